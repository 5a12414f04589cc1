//! What is measured. Each phase starts the servers one after the other on empty folders.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::ensure;
use testkit::wait_for;

use crate::fleet::{START_MS, TICKS_PER_HOUR};
use crate::isolation::{interval_ms, lateness, now_s};
use crate::load::Load;
use crate::servers::{Kind, Server};
use crate::targets::Targets;

/// Sizes, and which servers.
pub struct Options {
    pub kinds: Vec<Kind>,
    pub targets: usize,
    pub series: usize,
    pub hours: f64,
    /// Of the demo's history.
    pub days: u32,
    pub seconds: u64,
    pub interval: String,
    pub rounds: usize,
    pub dir: PathBuf,
}

/// A figure of one server.
#[derive(Debug, Clone)]
pub struct Figure {
    pub kind: Kind,
    pub what: &'static str,
    pub value: f64,
}

/// An empty folder for a server.
///
/// # Errors
/// What was there cannot be removed.
pub fn fresh(dir: &Path, kind: Kind) -> anyhow::Result<PathBuf> {
    let dir = dir.join(kind.name());
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(dir)
}

/// Nothing is scraped.
pub const IDLE: &str = "global:\n  scrape_interval: 1000h\n";

/// Remote write of `targets` × 200 series over `hours`; then a crash and a start on what is there.
///
/// # Errors
/// A server fails, or answers differently.
pub async fn ingest(options: &Options) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut answers: Vec<(Kind, Vec<f64>)> = Vec::new();
    for kind in options.kinds.iter().copied() {
        let scrapes = if kind == Kind::Victoria { "" } else { IDLE };
        let server = Server::start(kind, &fresh(&options.dir, kind)?, scrapes).await?;
        let mut add = |what, value| figures.push(Figure { kind, what, value });
        let mut load = Load::new(options.targets);
        let (idle_mib, before) = (server.peak_mib()?, server.cpu_s()?);
        let first = load.send(&server.base, 1).await?;
        let created = server.cpu_s()? - before;
        add("µs CPU a new series", created * 1e6 / first.samples as f64);
        let ticks = (options.hours * TICKS_PER_HOUR as f64) as i64 - 1;
        let before = server.cpu_s()?;
        let sent = load.send(&server.base, ticks).await?;
        // what is put off until later belongs to it
        tokio::time::sleep(Duration::from_secs(5)).await;
        let cpu = server.cpu_s()? - before;
        add("µs CPU a sample", cpu * 1e6 / sent.samples as f64);
        add("samples a second", sent.samples as f64 / sent.wall_s);
        add("peak MiB", server.peak_mib()?);
        add("bytes a series (peak less idle)", (server.peak_mib()? - idle_mib) * 1048576.0 / load.series() as f64);
        add("MiB write-ahead log", server.disk_bytes("wal") as f64 / 1048576.0);
        add("MiB on disk", server.disk_bytes("") as f64 / 1048576.0);
        answers.push((kind, checks(&server, sent.last_ms).await?));
        let server = server.crash_and_restart().await?;
        add("s until ready after kill -9", server.ready_s);
        add("CPU s until ready", server.ready_cpu_s);
        add("MiB peak after the start", server.peak_mib()?);
        let again = checks(&server, sent.last_ms).await?;
        ensure!(
            kind == Kind::Victoria || again == answers[answers.len() - 1].1,
            "{} lost samples: {again:?}",
            kind.name()
        );
    }
    // VictoriaMetrics looks back otherwise and may lose the last seconds.
    let exact: Vec<_> = answers.iter().filter(|(kind, _)| *kind != Kind::Victoria).collect();
    ensure!(exact.windows(2).all(|pair| pair[0].1 == pair[1].1), "answers differ: {answers:?}");
    Ok(figures)
}

/// Counts and sums at a few times.
async fn checks(server: &Server, last_ms: i64) -> anyhow::Result<Vec<f64>> {
    let mut out = Vec::new();
    for part in [0.5, 0.9, 1.0] {
        let time_s = (START_MS as f64 + (last_ms - START_MS) as f64 * part) / 1000.0 + 1.007;
        for query in ["count({__name__=~\".+\"})", "sum(count_over_time(up[10m]))", "sum(http_inflight_requests)"] {
            out.push(server.number(query, time_s).await?);
        }
    }
    Ok(out)
}

/// Scrapes of `targets` targets of `series` series each for `seconds` seconds.
///
/// # Errors
/// A server fails.
pub async fn scrape(options: &Options) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let targets = Targets::start(options.series).await?;
    let config = targets.config(options.targets, &options.interval);
    for kind in options.kinds.iter().copied() {
        let server = Server::start(kind, &fresh(&options.dir, kind)?, &config).await?;
        let mut add = |what, value| figures.push(Figure { kind, what, value });
        // the first rounds create the series, and a busy machine takes its time
        let all = async || server.number("sum(up)", now_s()).await.is_ok_and(|up| up == options.targets as f64);
        wait_for("all targets to be scraped", Duration::from_secs(600), all).await;
        tokio::time::sleep(Duration::from_millis(interval_ms(&options.interval)? as u64)).await;
        let created = server.cpu_s()?;
        add("CPU s of the first rounds", created);
        tokio::time::sleep(Duration::from_secs(options.seconds)).await;
        let cpu = server.cpu_s()? - created;
        let now_s = now_s();
        add("CPU cores", cpu / options.seconds as f64);
        add("peak MiB", server.peak_mib()?);
        let window = options.seconds;
        add("targets up", server.number("sum(up)", now_s).await?);
        add("scrapes", server.number(&format!("sum(count_over_time(up[{window}s]))"), now_s).await?);
        add("series", server.number("sum(scrape_samples_scraped)", now_s).await?);
        add("longest scrape, s", server.number("max(scrape_duration_seconds)", now_s).await?);
        if kind != Kind::Victoria {
            let late = lateness(&server, window, interval_ms(&options.interval)?).await?;
            add("longest pause beyond the interval, ms", late.longest_ms);
            add("targets with a scrape missing", late.missing);
        }
    }
    Ok(figures)
}
