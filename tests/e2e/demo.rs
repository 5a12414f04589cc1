//! The demo as a newcomer starts it: queries answer the same before, while and after its compactor works, which makes blocks
//! of two days of the replicas' and downsamples them. What happened in its history shows. Its replicas go on after the
//! start, and its log has nothing to say.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use testkit::{Process, free_port, wait_for};
use tests::aion::binary;
use tests::blocks::visible;
use tests::client::Api;
use tests::peer::{ended, tail, terminate};

const DAY_MS: i64 = 24 * 3_600_000;
/// Back-filling and compacting take long on a busy machine without optimisation.
const WITHIN: Duration = Duration::from_secs(420);

struct Demo {
    process: Process,
    api: Api,
}

async fn demo(dir: &Path, extra: &[&str]) -> anyhow::Result<Demo> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let log = std::fs::File::options().create(true).append(true).open(dir.join("demo.log"))?;
    let mut command = Command::new(binary());
    command
        .args(["demo", "--server.http-address=127.0.0.1:0", "--host.http-address=127.0.0.1:0"])
        .arg(format!("--http-address={address}"))
        .arg(format!("--dir={}", dir.join("demo").display()))
        .args(extra)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    let process = Process::start(&mut command)?;
    let api = Api::new(&format!("http://{address}"))?;
    let up = api.clone();
    wait_for("the demo's blocks", WITHIN, async || {
        let answer = up.query("count(up)", (now_s() - 4 * 86_400) as f64).await;
        answer.is_ok_and(|a| a["data"]["result"].as_array().is_some_and(|r| !r.is_empty()))
    })
    .await;
    Ok(Demo { process, api })
}

async fn stop(mut demo: Demo) -> anyhow::Result<()> {
    terminate(demo.process.id())?;
    let status = ended(&mut demo.process).await?;
    ensure!(status.success(), "the demo ended with {status}");
    Ok(())
}

fn now_s() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64)
}

/// Query, and how much an answer may differ: which of two replicas is followed from a block's start on is free.
const QUERIES: [(&str, f64); 4] = [
    ("count by (cluster) (up)", 0.0),
    ("up", 0.0),
    ("sum by (cluster) (rate(http_requests_total[30m]))", 0.03),
    // Sessions begin and end between the scrapes of two replicas.
    ("count by (cluster, __name__) ({__name__!=\"\", session=\"\"})", 0.0),
];

/// Over twelve days, each half an hour in its middle, where no series changes between the scrapes of two replicas.
async fn answers(api: &Api, until_s: i64) -> anyhow::Result<Vec<Value>> {
    let mut out = Vec::new();
    for (query, _) in QUERIES {
        let (from_s, to_s) = ((until_s - 12 * 86_400) as f64, until_s as f64);
        let answer = api.query_range(query, from_s, to_s, 5400.0).await?;
        let mut result = answer["data"]["result"].clone();
        result.as_array_mut().with_context(|| answer.to_string())?.sort_by_key(|s| s["metric"].to_string());
        out.push(result);
    }
    Ok(out)
}

/// The first difference beyond `share`.
fn difference(before: &Value, now: &Value, share: f64) -> Option<String> {
    let lists = |v: &Value| v.as_array().cloned().unwrap_or_default();
    let (before, now) = (lists(before), lists(now));
    if before.len() != now.len() {
        return Some(format!("{} series before, {} now", before.len(), now.len()));
    }
    for (before, now) in before.iter().zip(&now) {
        let metric = &before["metric"];
        if metric != &now["metric"] {
            return Some(format!("{metric} before, {} now", now["metric"]));
        }
        let (a, b) = (lists(&before["values"]), lists(&now["values"]));
        if a.len() != b.len() {
            return Some(format!("{metric}: {} points before, {} now", a.len(), b.len()));
        }
        for (a, b) in a.iter().zip(&b) {
            let number = |v: &Value| v[1].as_str().and_then(|s| s.parse::<f64>().ok());
            let (Some(x), Some(y)) = (number(a), number(b)) else {
                return Some(format!("{metric}: {a} before, {b} now"));
            };
            if a[0] != b[0] || (x - y).abs() > share * x.abs() {
                return Some(format!("{metric}: {a} before, {b} now"));
            }
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_compacts_its_bucket() -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("aion-demo-").tempdir()?;
    let bucket = dir.path().join("demo/bucket");
    let first = demo(dir.path(), &["--no-compact", "--days=15"]).await?;
    let until_s = now_s().div_euclid(1800) * 1800 - 86_400 + 900;
    let before = answers(&first.api, until_s).await?;
    ensure!(before.iter().all(|a| a.as_array().is_some_and(|a| !a.is_empty())), "no answers: {before:?}");
    stop(first).await?;
    let known: BTreeSet<_> = visible(&bucket)?.iter().map(|f| f.meta.ulid).collect();
    ensure!(known.len() > 20, "{} blocks", known.len());

    let mut second = demo(dir.path(), &[]).await?;
    let deadline = tokio::time::Instant::now() + WITHIN;
    loop {
        let now = answers(&second.api, until_s).await?;
        for (((query, share), before), now) in QUERIES.iter().zip(&before).zip(&now) {
            if let Some(difference) = difference(before, now, *share) {
                anyhow::bail!("{query}: {difference}");
            }
        }
        let blocks = visible(&bucket)?;
        let live = blocks.iter().filter(|f| !f.marked).map(|f| &f.meta);
        let days = live.filter(|m| m.max_time - m.min_time == 2 * DAY_MS && !known.contains(&m.ulid));
        let resolutions: BTreeSet<i64> = days.map(|m| m.resolution_ms()).collect();
        if resolutions == BTreeSet::from([0, 300_000]) {
            break;
        }
        let log = || tail(&dir.path().join("demo.log"));
        ensure!(tokio::time::Instant::now() < deadline, "blocks of two days at {resolutions:?} only: {}", log());
        ensure!(second.process.child().try_wait()?.is_none(), "the demo ended: {}", log());
    }
    let log = std::fs::read_to_string(dir.path().join("demo.log"))?;
    let bad: Vec<_> = log.lines().filter(|l| l.contains("level=error") || l.contains("panicked at")).collect();
    ensure!(bad.is_empty(), "{}", bad.join("\n"));
    stop(second).await
}

/// The only value of a query's answer.
async fn value(api: &Api, query: &str, at_s: i64) -> anyhow::Result<f64> {
    let answer = api.query(query, at_s as f64).await?;
    let value = answer["data"]["result"][0]["value"][1].as_str().with_context(|| format!("{query}: {answer}"))?;
    Ok(value.parse()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_in_the_history_shows() -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("aion-demo-").tempdir()?;
    let demo = demo(dir.path(), &["--no-compact", "--days=9"]).await?;
    let record: Value = serde_json::from_slice(&std::fs::read(dir.path().join("demo/history.json"))?)?;
    let end_s = record["end_ms"].as_i64().context("the history's end")? / 1000;
    // A tenth, two ninths and a third of nine days back, on the hour.
    let event_s = |back_h: f64| (end_s - (back_h * 3600.0) as i64).div_euclid(3600) * 3600;
    let (incident, explosion, gap) = (event_s(21.6), event_s(48.0), event_s(72.0));

    let errors = r#"sum(rate(http_requests_total{cluster="eu-1",code="500"}[10m]))"#;
    let (before, within) =
        (value(&demo.api, errors, incident - 3600).await?, value(&demo.api, errors, incident + 3600).await?);
    ensure!(within > 10.0 * before, "{before} errors a second before, {within} within the incident");
    let down = value(&demo.api, r#"count(up{cluster="eu-1"} == 0)"#, incident + 40 * 60).await?;
    ensure!(down == 1.0, "{down} targets down");

    let sessions = r#"count(count_over_time(http_session_requests_total{cluster="us-1"}[6h]))"#;
    let sessions = value(&demo.api, sessions, explosion + 6 * 3600).await?;
    ensure!(sessions > 4000.0, "{sessions} sessions");

    let scrapes = "count by (cluster) (up)";
    let during = demo.api.query(scrapes, (gap + 2 * 3600) as f64).await?;
    let clusters = during["data"]["result"].as_array().context("clusters")?;
    let names: Vec<_> = clusters.iter().map(|c| c["metric"]["cluster"].to_string()).collect();
    ensure!(names == ["\"eu-1\""], "{names:?} within the gap");
    stop(demo).await
}

/// The time of the newest sample of each cluster and replica, as a query at this moment sees it.
async fn newest(api: &Api) -> anyhow::Result<Vec<(String, f64)>> {
    let query = r#"max by (cluster, replica) (timestamp(up{cluster!="local"}))"#;
    let answer = api.get("/api/v1/query", &[("query", query), ("dedup", "false")]).await?;
    let result = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    let mut out: Vec<_> =
        result.iter().filter_map(|s| Some((s["metric"].to_string(), s["value"][1].as_str()?.parse().ok()?))).collect();
    out.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(out)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_stays_alive() -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("aion-demo-").tempdir()?;
    let demo = demo(dir.path(), &["--no-compact", "--days=5"]).await?;
    let first = newest(&demo.api).await?;
    ensure!(first.len() == 4 && first.iter().all(|(_, t)| (now_s() as f64 - t) < 60.0), "{first:?}");
    wait_for("newer samples of all replicas", WITHIN, async || {
        let now = newest(&demo.api).await.unwrap_or_default();
        now.len() == 4 && now.iter().zip(&first).all(|(now, first)| now.0 == first.0 && now.1 > first.1)
    })
    .await;
    let log = std::fs::read_to_string(dir.path().join("demo.log"))?;
    ensure!(log.is_empty(), "{log}");
    stop(demo).await
}
