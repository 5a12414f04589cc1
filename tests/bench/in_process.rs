//! The fixed queries, asked of each server as it stands: blocks and head, filled by remote write.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::asking::{Side, compare, end_s, median};
use crate::fleet::TICKS_PER_HOUR;
use crate::load::Load;
use crate::measure::cpu_s;
use crate::native;
use crate::phases::{IDLE, Options};
use crate::queries::{Ask, QUERIES};
use crate::servers::{Kind, Server};

/// The wall time that one query's repetitions of one round should take, so that ticks of 10 ms measure them.
const ROUND_S: f64 = 0.5;
/// At most so many repetitions.
const REPEAT_MAX: usize = 60;

/// One query's figures, a place for each server.
struct Row {
    id: &'static str,
    ask: Ask,
    repeats: usize,
    cpu_s: Vec<Vec<f64>>,
    /// What is wrong with ours.
    differs: Option<String>,
    /// Entries of the answers.
    entries: Vec<usize>,
}

/// What the servers are filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// Floats of 200 series a target.
    Fleet,
    /// Native histograms, which VictoriaMetrics does not take.
    Native,
}

impl World {
    fn queries(self) -> &'static [(&'static str, Ask)] {
        match self {
            Self::Fleet => &QUERIES,
            Self::Native => &native::QUERIES,
        }
    }

    async fn fill(self, server: &Server, options: &Options) -> anyhow::Result<()> {
        let ticks = (options.hours * TICKS_PER_HOUR as f64) as i64;
        match self {
            Self::Fleet => Load::new(options.targets).send(&server.base, ticks).await.map(drop),
            Self::Native => native::send(&server.base, options.targets, ticks).await,
        }
    }
}

/// Fills all servers with `world`, asks each its queries, of these the `only` ones, and gives a page.
///
/// # Errors
/// A server fails, or ours answers otherwise than Prometheus.
pub async fn queries(world: World, options: &Options, only: &str, hold: bool) -> anyhow::Result<String> {
    let mut servers = Vec::new();
    for kind in options.kinds.iter().copied().filter(|kind| world == World::Fleet || *kind != Kind::Victoria) {
        servers.push(filled(kind, world, options).await?);
    }
    let kinds: Vec<Kind> = servers.iter().map(|server| server.kind).collect();
    let sides: Vec<Side> = servers.iter().map(|s| Side { api: s.api.clone(), pids: vec![s.id()] }).collect();
    let end_s = end_s(options.hours);
    let mut rows = Vec::new();
    for (id, ask) in world.queries().iter().filter(|(id, _)| id.starts_with(only)) {
        rows.push(first_answers(id, *ask, &kinds, &sides, end_s).await?);
    }
    for server in &servers {
        server.reset_peak()?;
    }
    for round in 0..options.rounds {
        for row in &mut rows {
            for (at, side) in sides.iter().enumerate() {
                let before = cpu_s(&side.pids)?;
                for _ in 0..row.repeats {
                    side.time(&row.ask, end_s).await?;
                }
                row.cpu_s[at].push((cpu_s(&side.pids)? - before) / row.repeats as f64);
            }
        }
        eprintln!("round {} of {}", round + 1, options.rounds);
    }
    let peaks = servers.iter().map(Server::peak_mib).collect::<anyhow::Result<Vec<f64>>>()?;
    let text = page(&kinds, &rows, &peaks);
    if hold {
        println!("{text}");
        servers.iter().for_each(|server| eprintln!("{} {} pid {}", server.kind.name(), server.base, server.id()));
        eprintln!("Ctrl-C ends all");
        tokio::signal::ctrl_c().await?;
    }
    let wrong: Vec<String> =
        rows.iter().filter_map(|row| row.differs.as_ref().map(|why| format!("{}: {why}", row.id))).collect();
    ensure!(wrong.is_empty(), "answers differ:\n{}\n{text}", wrong.join("\n"));
    Ok(text)
}

/// How many entries an answer has.
fn entries(answer: &Value) -> usize {
    let data = &answer["data"];
    let list = data["result"].as_array().or_else(|| data.as_array());
    list.map_or(0, Vec::len)
}

async fn first_answers(id: &'static str, ask: Ask, kinds: &[Kind], sides: &[Side], end_s: f64) -> anyhow::Result<Row> {
    let mut answers: Vec<Value> = Vec::new();
    let mut fastest_s = f64::INFINITY;
    for side in sides {
        let (answer, wall_s) = side.ask(&ask, end_s).await.with_context(|| id)?;
        fastest_s = fastest_s.min(wall_s);
        answers.push(answer);
    }
    let of = |kind: Kind| kinds.iter().position(|k| *k == kind).and_then(|at| answers.get(at));
    let differs = match (of(Kind::Prometheus), of(Kind::Aion)) {
        (Some(expected), Some(answer)) => compare(&ask, expected, answer)?,
        _ => None,
    };
    let repeats = ((ROUND_S / fastest_s) as usize).clamp(1, REPEAT_MAX);
    let entries = answers.iter().map(entries).collect();
    Ok(Row { id, ask, repeats, cpu_s: vec![Vec::new(); sides.len()], differs, entries })
}

/// A server with the data set, which is kept for later runs.
async fn filled(kind: Kind, world: World, options: &Options) -> anyhow::Result<Server> {
    let of = if world == World::Fleet { "queries" } else { "native" };
    let dir = options.dir.join(format!("{of}-{}x{}h", options.targets, options.hours)).join(kind.name());
    let done = dir.join("done");
    if !done.exists() {
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        let server = Server::start(kind, &dir, scrapes(kind)).await?;
        world.fill(&server, options).await?;
        settled(&server).await?;
        server.stop().await?;
        std::fs::write(&done, "")?;
        eprintln!("{}: filled", kind.name());
    }
    let server = Server::start(kind, Path::new(&dir), scrapes(kind)).await?;
    settled(&server).await?;
    Ok(server)
}

fn scrapes(kind: Kind) -> &'static str {
    if kind == Kind::Victoria { "" } else { IDLE }
}

/// Waits until blocks are cut and merged, which shows in a processor that idles.
async fn settled(server: &Server) -> anyhow::Result<()> {
    let mut idle = 0;
    while idle < 4 {
        let before = server.cpu_s()?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        idle = if server.cpu_s()? - before < 0.1 { idle + 1 } else { 0 };
    }
    Ok(())
}

fn page(kinds: &[Kind], rows: &[Row], peaks: &[f64]) -> String {
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    let ours = names.len() - 1;
    let mut out = format!(
        "| query, CPU ms | {} | entries | of {} |\n|---|{}--:|--:|\n",
        names.join(" | "),
        names[..ours].join(", of "),
        "--:|".repeat(names.len())
    );
    let ratio = |theirs: f64, ours: f64| if ours > 0.0 { format!("{:.1}", theirs / ours) } else { "–".to_owned() };
    let mut line = |what: &str, figures: &[f64], entries: &str| {
        let shown: Vec<String> = figures.iter().map(|figure| format!("{figure:.1}")).collect();
        let ratios: Vec<String> = figures[..ours].iter().map(|theirs| ratio(*theirs, figures[ours])).collect();
        out.push_str(&format!("| {what} | {} | {entries} | {} |\n", shown.join(" | "), ratios.join(", ")));
    };
    for row in rows {
        let figures: Vec<f64> = row.cpu_s.iter().map(|cpu| median(cpu) * 1e3).collect();
        let entries: Vec<String> = row.entries.iter().map(ToString::to_string).collect();
        line(row.id, &figures, &entries.join(", "));
    }
    line("peak MiB while asked", peaks, "");
    out
}
