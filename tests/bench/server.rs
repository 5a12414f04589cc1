//! Prometheus, VictoriaMetrics and `aion server` side by side: remote write, scrapes, restarts. See README.md here.

mod asking;
mod backfill;
mod fleet;
mod in_process;
mod isolation;
mod load;
mod measure;
mod native;
mod otlp;
mod phases;
mod queries;
mod receiver;
mod rules;
mod sender;
mod servers;
mod targets;

use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::in_process::World;
use crate::phases::{Figure, Options};
use crate::servers::Kind;

const USAGE: &str = "usage: server-side-by-side ingest|million|scrape|rules|sender|otlp|backfill|backtest|queries|native|isolation \
                     [--servers=prometheus,victoria,aion] [--targets=100] \
                     [--series=1000] [--hours=2] [--days=90] [--seconds=60] [--interval=15s] [--rounds=3] [--only=q07] \
                     [--hold] [--dir=run/server] [--out=FILE]";

/// How long the samples of a million series go on.
const MILLION_HOURS: f64 = 0.05;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let phase = args.next().context(USAGE)?;
    let mut options = Options {
        kinds: Kind::ALL.to_vec(),
        targets: 100,
        series: 1000,
        hours: 2.0,
        days: 90,
        seconds: 60,
        interval: "15s".to_owned(),
        rounds: 3,
        dir: tests::root().join("run/server"),
    };
    if phase == "million" {
        (options.targets, options.hours) = (1_000_000 / fleet::SERIES_PER_TARGET, MILLION_HOURS);
    }
    let (mut out, mut port, mut only, mut hold) = (None::<PathBuf>, 0, String::new(), false);
    for arg in args {
        let (name, value) = arg.split_once('=').unwrap_or((&arg, ""));
        match name {
            "--servers" => {
                let wanted = |kind: &Kind| value.split(',').any(|v| kind.name().to_lowercase().starts_with(v));
                options.kinds.retain(wanted);
            }
            "--targets" => options.targets = value.parse().context(USAGE)?,
            "--series" => options.series = value.parse().context(USAGE)?,
            "--hours" => options.hours = value.parse().context(USAGE)?,
            "--days" => options.days = value.parse().context(USAGE)?,
            "--seconds" => options.seconds = value.parse().context(USAGE)?,
            "--rounds" => options.rounds = value.parse().context(USAGE)?,
            "--only" => only = value.to_owned(),
            "--hold" => hold = true,
            "--interval" => options.interval = value.to_owned(),
            "--dir" => options.dir = std::path::absolute(value)?,
            "--out" => out = Some(std::path::absolute(value)?),
            "--port" => port = value.parse().context(USAGE)?,
            _ => bail!("{arg}: {USAGE}"),
        }
    }
    let figures = match phase.as_str() {
        "serve-targets" => return targets::serve(port, options.series).await,
        "serve-receiver" => return receiver::serve(port).await,
        "ingest" | "million" => phases::ingest(&options).await?,
        "scrape" => phases::scrape(&options).await?,
        "rules" => rules::rules(&options).await?,
        "sender" => sender::sender(&options).await?,
        "otlp" => otlp::otlp(&options).await?,
        "backfill" => backfill::backfill(&options).await?,
        "backtest" => backfill::backtest(&options).await?,
        "isolation" => isolation::isolation(&options).await?,
        "queries" | "native" => {
            let world = if phase == "native" { World::Native } else { World::Fleet };
            return finish(&phase, &options, &in_process::queries(world, &options, &only, hold).await?, out);
        }
        _ => bail!("{phase}: {USAGE}"),
    };
    finish(&phase, &options, &table(&options.kinds, &figures), out)
}

fn finish(phase: &str, options: &Options, table: &str, out: Option<PathBuf>) -> anyhow::Result<()> {
    let text = format!("{}\n{table}\n", about(phase, options));
    println!("{text}");
    if let Some(out) = out {
        std::fs::write(&out, &text).with_context(|| out.display().to_string())?;
    }
    Ok(())
}

fn about(phase: &str, options: &Options) -> String {
    let size = match phase {
        "backfill" | "backtest" => format!("{} days of the demo", options.days),
        "ingest" | "queries" | "sender" | "otlp" => {
            format!("{} targets × 200 series × {} h", options.targets, options.hours)
        }
        "native" => {
            format!(
                "{} targets × {} native histograms × {} h",
                options.targets,
                native::SERIES_PER_TARGET,
                options.hours
            )
        }
        _ => format!(
            "{} targets × {} series each {} for {} s",
            options.targets, options.series, options.interval, options.seconds
        ),
    };
    format!("{phase}: {size}; {}\n", measure::machine())
}

/// A line for each figure, a column for each server, and what the last one is of the others.
fn table(kinds: &[Kind], figures: &[Figure]) -> String {
    let mut whats: Vec<&str> = Vec::new();
    figures.iter().for_each(|f| {
        if !whats.contains(&f.what) {
            whats.push(f.what)
        }
    });
    let names: Vec<&str> = kinds.iter().map(|k| k.name()).collect();
    let mut out = format!("| | {} | ratios |\n|---|{}--:|\n", names.join(" | "), "--:|".repeat(kinds.len()));
    for what in whats {
        let of = |kind: &Kind| figures.iter().find(|f| f.kind == *kind && f.what == what).map(|f| f.value);
        let values: Vec<Option<f64>> = kinds.iter().map(of).collect();
        let shown: Vec<String> = values.iter().map(|v| v.map_or("–".to_owned(), |v| format!("{v:.3}"))).collect();
        let ours = values.last().copied().flatten().unwrap_or(f64::NAN);
        let ratio = |v: &Option<f64>| v.map_or("–".to_owned(), |v| format!("{:.2}", v / ours));
        let ratios: Vec<String> = values.iter().take(kinds.len().saturating_sub(1)).map(ratio).collect();
        out.push_str(&format!("| {what} | {} | {} |\n", shown.join(" | "), ratios.join(", ")));
    }
    out
}
