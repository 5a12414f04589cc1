//! A server in a control group: series that explode and queries that want everything do not get it killed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use proto::prometheus::WriteRequest;
use proto::prometheus_copy::{Sample, TimeSeries};
use tests::aion::binary;
use tests::client::{Api, http};
use tests::peer::{Prometheus, PrometheusOptions};
use tests::remote_write::{send, wire_labels};

const LIMIT_BYTES: u64 = 256 << 20;
/// New series of one request, and requests at most: far more than the limit has room for.
const SERIES: usize = 2000;
const REQUESTS: usize = 1000;
/// Requests after the first one that is refused.
const MORE: usize = 100;
/// Series that are there before.
const KNOWN: usize = 100;
const START_MS: i64 = 1_700_000_000_000;

/// A control group with a limit of memory; it goes when dropped.
struct Group {
    dir: PathBuf,
    /// With `oom_kill` and a number in one of its lines.
    events: &'static str,
}

impl Group {
    /// `None` where no group can be made.
    fn new(name: &str) -> Option<Self> {
        let unified = Path::new("/sys/fs/cgroup");
        let _ = std::fs::write(unified.join("cgroup.subtree_control"), "+memory");
        [
            (unified, "memory.max", "memory.events"),
            (&unified.join("memory"), "memory.limit_in_bytes", "memory.oom_control"),
        ]
        .into_iter()
        .find_map(|(root, limit, events)| {
            if !root.join("cgroup.procs").exists() {
                return None;
            }
            let group = Self { dir: root.join(format!("{name}-{}", std::process::id())), events };
            std::fs::create_dir(&group.dir).ok()?;
            std::fs::write(group.dir.join(limit), LIMIT_BYTES.to_string()).ok()?;
            Some(group)
        })
    }

    fn oom_kills(&self) -> anyhow::Result<u64> {
        let text = std::fs::read_to_string(self.dir.join(self.events))?;
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok());
        count.with_context(|| text)
    }

    /// A program that runs `program` within the group.
    fn wrap(&self, program: &Path, script: &Path) -> anyhow::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let (procs, program) = (self.dir.join("cgroup.procs"), program.display());
        std::fs::write(script, format!("#!/bin/sh\necho $$ > {} && exec {program} \"$@\"\n", procs.display()))?;
        Ok(std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755))?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.dir);
    }
}

fn request(name: &str, from: usize, count: usize, time_ms: i64) -> WriteRequest {
    let series = |n: usize| TimeSeries {
        labels: wire_labels([
            ("__name__", name),
            ("job", "app"),
            ("session", format!("{n:08}-0123456789abcdef").as_str()),
        ]),
        samples: vec![Sample { value: 1.0, timestamp: time_ms }],
        ..Default::default()
    };
    WriteRequest { timeseries: (from..from + count).map(series).collect(), ..Default::default() }
}

/// Asks for everything until `stop`; gives how many answers came.
async fn ask(api: Api, stop: Arc<AtomicBool>) -> usize {
    let queries = ["count by (session) ({__name__=~\".+\"})", "{__name__=~\".+\"}", "rate({__name__=~\".+\"}[5m])"];
    let mut answers = 0;
    for query in queries.iter().cycle() {
        if stop.load(Ordering::Acquire) {
            break;
        }
        let from_s = START_MS as f64 / 1000.0;
        answers += usize::from(api.query_range(query, from_s, from_s + 600.0, 1.0).await.is_ok());
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exploding_series_and_heavy_queries_get_no_server_killed() -> anyhow::Result<()> {
    let Some(group) = Group::new("aion-memory") else {
        eprintln!("=== SKIPPED: no control group can be made here ===");
        return Ok(());
    };
    let dir = tempfile::Builder::new().prefix("aion-memory-").tempdir()?;
    let script = dir.path().join("in-group");
    group.wrap(binary(), &script)?;
    let options = PrometheusOptions { subcommand: Some("server"), ..Default::default() };
    let server = Prometheus::start(&script, dir.path(), &options).await?;
    let client = http()?;
    send(&client, &server.base, &request("known", 0, KNOWN, START_MS)).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let asking: Vec<_> = (0..2).map(|_| tokio::spawn(ask(server.api.clone(), stop.clone()))).collect();
    let (mut refused, mut written) = (None, 0);
    for n in 0..REQUESTS {
        let time_ms = START_MS + n as i64;
        if let Err(why) = send(&client, &server.base, &request("exploding", n * SERIES, SERIES, time_ms)).await {
            refused.get_or_insert((n, format!("{why:#}")));
        } else {
            written += 1;
        }
        if n % 20 == 0 {
            let known = send(&client, &server.base, &request("known", 0, KNOWN, time_ms + 1)).await;
            known.with_context(|| format!("known series are taken at request {n}, {refused:?}"))?;
        }
        if refused.as_ref().is_some_and(|(at, _)| n > at + MORE) {
            break;
        }
    }
    stop.store(true, Ordering::Release);
    for task in asking {
        ensure!(task.await? > 0, "queries are answered");
    }
    ensure!(group.oom_kills()? == 0, "the kernel killed it");
    let (at, why) = refused.context("new series are refused")?;
    ensure!(at > 10 && written >= at, "refused at request {at}, {written} written: {why}");
    ensure!(why.contains("--limits.memory"), "{why}");
    let log = std::fs::read_to_string(dir.path().join("prometheus.log"))?;
    ensure!(log.contains("metric exploding:") && log.contains("label session:"), "{log}");
    ensure!(server.api.metric("aion_head_refuses_new_series", "").await? == 1.0, "it is told");
    // What has exploded is told just then, whatever queries hold.
    let status = server.api.get("/api/v1/status/tsdb", &[]).await?;
    ensure!(status["data"]["seriesCountByMetricName"][0]["name"] == "exploding", "{status}");
    server.stop().await?;
    Ok(())
}
