//! Prometheus and aion side by side: the same blocks, the same queries, in turn. See README.md here.

mod asking;
mod fleet;
mod measure;
mod prepare;
mod queries;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use testkit::wait_for;
use tests::aion::{Component, binary};
use tests::client::Api;
use tests::peer::{Prometheus, PrometheusOptions};

use crate::asking::{Side, compare, end_s};
use crate::measure::{cpu_s, peak_mib};
use crate::queries::QUERIES;
use crate::report::{Engine, Measured, Report};

/// The wall time that one query's repetitions of one round should take, so that ticks of 10 ms measure them.
const ROUND_S: f64 = 0.5;
/// At most so many repetitions.
const REPEAT_MAX: usize = 40;

struct Options {
    targets: usize,
    hours: i64,
    rounds: usize,
    dir: PathBuf,
    out: Option<PathBuf>,
    only: String,
    hold: bool,
}

const USAGE: &str = "usage: side-by-side [--targets=100] [--hours=12] [--rounds=5] [--dir=run/bench] [--out=FILE] \
                     [--only=q07] [--hold]";

fn options() -> anyhow::Result<Options> {
    let mut options = Options {
        targets: 100,
        hours: 12,
        rounds: 5,
        dir: tests::root().join("run/bench"),
        out: None,
        only: String::new(),
        hold: false,
    };
    for arg in std::env::args().skip(1) {
        let (name, value) = arg.split_once('=').unwrap_or((&arg, ""));
        match name {
            "--targets" => options.targets = value.parse().context(USAGE)?,
            "--hours" => options.hours = value.parse().context(USAGE)?,
            "--rounds" => options.rounds = value.parse().context(USAGE)?,
            "--dir" => options.dir = std::path::absolute(value)?,
            "--out" => options.out = Some(std::path::absolute(value)?),
            "--only" => options.only = value.to_owned(),
            "--hold" => options.hold = true,
            _ => bail!("{arg}: {USAGE}"),
        }
    }
    Ok(options)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = options()?;
    let program = tests::peer::prometheus("side-by-side").context("there is no prometheus on PATH")?;
    let prepared = prepare::prepare(&program, &options.dir, options.targets, options.hours).await?;
    let prometheus = Prometheus::start(&program, &prepared.served, &PrometheusOptions::default()).await?;
    let folder = options.dir.join("aion");
    // a cold start: no index-header from a run before
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let args =
        [format!("--data-dir={}", folder.join("store").display()), format!("--objstore.config={}", prepared.config())];
    let mut store = Component::start(binary(), "store", &folder, &args, &[])?;
    store.ready().await?;
    let args = [format!("--endpoint={}", store.grpc), "--query.replica-label=replica".to_owned()];
    let mut query = Component::start(binary(), "query", &folder, &args, &[])?;
    query.ready().await?;
    let api = query.api.clone();
    let serves = async || {
        let answer = api.get("/api/v1/stores", &[]).await.unwrap_or_default();
        answer["data"]["store"][0]["lastError"].is_null() && answer["data"]["store"][0]["labelSets"][0].is_object()
    };
    wait_for("the querier to see the store", Duration::from_secs(60), serves).await;

    let theirs = Side { api: prometheus.api.clone(), pids: vec![prometheus.id()] };
    let ours = Side { api: query.api.clone(), pids: vec![store.id(), query.id()] };
    let end_s = end_s(options.hours as f64);
    let mut report = Report::default();
    let mut repeats = Vec::new();
    let asked: Vec<_> = QUERIES.iter().filter(|(id, _)| id.starts_with(&options.only)).collect();
    for (id, ask) in &asked {
        let before = traffic(&store.api).await?;
        let (answer, cold_s) = ours.ask(ask, end_s).await?;
        let after = traffic(&store.api).await?;
        let (expected, wall_s) = theirs.ask(ask, end_s).await?;
        let differs = compare(ask, &expected, &answer)?;
        if let Some(why) = &differs {
            eprintln!("{id}: answers differ: {why}");
        }
        repeats.push(((ROUND_S / wall_s) as usize).clamp(1, REPEAT_MAX));
        report.rows.push(Measured {
            id,
            equal: differs.is_none(),
            cold_s,
            requests: after.0 - before.0,
            bytes: after.1 - before.1,
            ..Default::default()
        });
    }
    for round in 0..options.rounds {
        for (i, (_, ask)) in asked.iter().enumerate() {
            for (side, engine) in [(&theirs, Engine::Prometheus), (&ours, Engine::Aion)] {
                let before = cpu_s(&side.pids)?;
                let mut walls = Vec::with_capacity(repeats[i]);
                for _ in 0..repeats[i] {
                    walls.push(side.time(ask, end_s).await?);
                }
                let cpu = (cpu_s(&side.pids)? - before) / repeats[i] as f64;
                report.rows[i].add(engine, cpu, &walls);
            }
        }
        eprintln!("round {} of {}", round + 1, options.rounds);
    }
    report.peak_mib = [peak_mib(prometheus.id())?, peak_mib(query.id())?, peak_mib(store.id())?];
    report.about = report::About {
        targets: options.targets,
        hours: options.hours,
        rounds: options.rounds,
        prometheus: version(&program)?,
        aion: version(binary())?,
        machine: measure::machine(),
    };
    let text = report.markdown();
    println!("{text}");
    if let Some(out) = &options.out {
        std::fs::write(out, &text).with_context(|| out.display().to_string())?;
    }
    if options.hold {
        eprintln!("prometheus {} pid {}", prometheus.base, prometheus.id());
        eprintln!("query {} pid {}, store pid {}; Ctrl-C ends all", query.api.base, query.id(), store.id());
        tokio::signal::ctrl_c().await?;
    }
    let mut errors = query.stop(&[]).await?;
    errors.extend(store.stop(&[]).await?);
    prometheus.stop().await?;
    ensure!(errors.is_empty(), "{}", errors.join("\n"));
    ensure!(report.rows.iter().all(|row| row.equal), "answers differ");
    Ok(())
}

/// Requests for objects, and bytes they brought, so far.
async fn traffic(store: &Api) -> anyhow::Result<(f64, f64)> {
    let name = "thanos_objstore_bucket_operations_total";
    let requests =
        store.metric(name, "operation=\"get\"").await? + store.metric(name, "operation=\"get_range\"").await?;
    Ok((requests, store.metric("thanos_objstore_bucket_operation_fetched_bytes_total", "").await?))
}

/// The first line that a program says about its version.
fn version(program: &std::path::Path) -> anyhow::Result<String> {
    let output = std::process::Command::new(program).arg("--version").output()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or_default();
    Ok(line.split(" (").next().unwrap_or(line).to_owned())
}
