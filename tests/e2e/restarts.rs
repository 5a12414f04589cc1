//! A server that is killed again and again while it is written to: what it acknowledged is there, and nothing else is.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use proto::prometheus::WriteRequest;
use proto::prometheus_copy::{Sample, TimeSeries};
use tests::aion::binary;
use tests::client::http;
use tests::peer::{Prometheus, PrometheusOptions};
use tests::remote_write::{send, wire_labels};

/// `AION_RESTARTS` asks for more.
const RESTARTS: usize = 100;
/// Series of one request.
const SERIES: usize = 40;
/// After so many requests one series ends and another begins.
const REQUESTS_PER_SERIES: usize = 50;
/// Requests whose samples are asked for at a time.
const REQUESTS_PER_QUERY: usize = 5000;
/// Between two samples of a series, ms.
const STEP_MS: i64 = 1000;
/// The samples since the last comparison are compared after so many restarts, all of them at the end.
const COMPARE_EVERY: usize = 20;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// The server said that it has it.
    Kept,
    /// No answer came: it is there as a whole, or in part, or not at all.
    Unknown,
}

/// All requests so far. The sample of request `k` has the value `k`.
#[derive(Debug, Default)]
struct Written {
    fates: Vec<Fate>,
}

/// The numbers of the series that request `k` writes.
fn series_of(k: usize) -> Range<usize> {
    k / REQUESTS_PER_SERIES..k / REQUESTS_PER_SERIES + SERIES
}

fn request(k: usize, start_ms: i64) -> WriteRequest {
    let timestamp = start_ms + k as i64 * STEP_MS;
    let series = |n: usize| TimeSeries {
        labels: wire_labels([("__name__", "written"), ("n", n.to_string().as_str())]),
        samples: vec![Sample { value: k as f64, timestamp }],
        ..Default::default()
    };
    let timeseries = series_of(k).map(series).collect();
    WriteRequest { timeseries, ..Default::default() }
}

impl Written {
    /// Writes until `stop`.
    async fn go_on(&mut self, base: &str, start_ms: i64, stop: Arc<AtomicBool>) -> anyhow::Result<()> {
        let client = http()?;
        while !stop.load(Ordering::Acquire) {
            let k = self.fates.len();
            let sent = send(&client, base, &request(k, start_ms)).await;
            self.fates.push(if sent.is_ok() { Fate::Kept } else { Fate::Unknown });
            if sent.is_err() {
                // The server is gone, or this was refused: then it is no request that was under way.
                ensure!(stop.load(Ordering::Acquire) || !is_refusal(&sent), "request {k}: {sent:?}");
                return Ok(());
            }
        }
        Ok(())
    }

    /// Compares what requests `from` and later ones wrote.
    async fn compare(&self, server: &Prometheus, start_ms: i64, from: usize) -> anyhow::Result<()> {
        for first in (from..self.fates.len()).step_by(REQUESTS_PER_QUERY) {
            let last = self.fates.len().min(first + REQUESTS_PER_QUERY) - 1;
            let at_s = |k: usize| (start_ms + k as i64 * STEP_MS) as f64 / 1000.0;
            let range = format!("written[{}ms]", (last - first) as i64 * STEP_MS + STEP_MS / 2);
            let answer = server.api.query(&range, at_s(last)).await?;
            let mut seen = vec![HashSet::new(); last + 1 - first];
            for series in answer["data"]["result"].as_array().with_context(|| answer.to_string())? {
                let n: usize = series["metric"]["n"].as_str().and_then(|n| n.parse().ok()).context("n")?;
                for point in series["values"].as_array().context("values")? {
                    let time_ms = (point[0].as_f64().context("time")? * 1000.0).round() as i64;
                    let k = ((time_ms - start_ms) / STEP_MS) as usize;
                    ensure!(point[1] == k.to_string().as_str(), "series {n}: {point} is not what was written");
                    ensure!(
                        (first..=last).contains(&k) && series_of(k).contains(&n),
                        "series {n}: {k} was not written"
                    );
                    ensure!(seen[k - first].insert(n), "series {n}: {k} is there twice");
                }
            }
            for (k, seen) in (first..).zip(&seen) {
                let is_whole = self.fates[k] != Fate::Kept || seen.len() == SERIES;
                ensure!(is_whole, "request {k} of {}: only {} of its samples are there", self.fates.len(), seen.len());
            }
        }
        Ok(())
    }
}

fn is_refusal(sent: &anyhow::Result<()>) -> bool {
    sent.as_ref().is_err_and(|e| !e.chain().any(|cause| cause.is::<reqwest::Error>()))
}

async fn restarts(program: &Path, options: &PrometheusOptions, times: usize) -> anyhow::Result<usize> {
    let dir = tempfile::Builder::new().prefix("aion-restarts-").tempdir()?;
    let start_ms = 1_700_000_000_000;
    let (mut written, mut compared) = (Written::default(), 0);
    for restart in 0..=times {
        let server =
            Prometheus::start(program, dir.path(), options).await.with_context(|| format!("start {restart}"))?;
        if restart.is_multiple_of(COMPARE_EVERY) || restart == times {
            let from = if restart == times { 0 } else { compared };
            written.compare(&server, start_ms, from).await.with_context(|| format!("after {restart} restarts"))?;
            compared = written.fates.len();
            if restart == times {
                break;
            }
        }
        let stop = Arc::new(AtomicBool::new(false));
        // of no regular length, and the same in each run
        let life = Duration::from_millis(20 + (restart as u64 * 7919) % 180);
        let base = server.base.clone();
        let kill = async {
            tokio::time::sleep(life).await;
            stop.store(true, Ordering::Release);
            server.crash()
        };
        let (wrote, killed) = tokio::join!(written.go_on(&base, start_ms, stop.clone()), kill);
        wrote.with_context(|| format!("life {restart}"))?;
        killed?;
    }
    Ok(written.fates.iter().filter(|fate| **fate == Fate::Kept).count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_every_kill() -> anyhow::Result<()> {
    let times = std::env::var("AION_RESTARTS").ok().and_then(|n| n.parse().ok()).unwrap_or(RESTARTS);
    let options = PrometheusOptions { subcommand: Some("server"), ..Default::default() };
    let kept = restarts(binary(), &options, times).await?;
    ensure!(kept > times, "only {kept} requests were acknowledged");
    Ok(())
}

/// The test itself is right if the real one passes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_is_with_prometheus() -> anyhow::Result<()> {
    let Some(program) = tests::peer::prometheus("so_it_is_with_prometheus") else { return Ok(()) };
    let kept = restarts(&program, &PrometheusOptions::default(), 8).await?;
    ensure!(kept > 8, "only {kept} requests were acknowledged");
    Ok(())
}
