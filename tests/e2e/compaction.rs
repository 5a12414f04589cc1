//! Compactors on one bucket, killed at each step, alone and beside others: no sample is lost or invented at any moment,
//! and what is left in the end is whole, without overlap, and stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use testkit::Process;
use tests::aion::{Component, binary};
use tests::blocks::{Samples, World, difference, overlaps, samples, visible};
use tests::peer::{Prometheus, PrometheusOptions, tail};

/// Two hours back from here the last block ends; nothing is downsampled by range, all by age.
const CROWD: [usize; 3] = [1, 2, 3];
/// Marked blocks are deleted by the next cleaning.
const AT_ONCE: &str = "--delete-delay=0s";
/// How long one run over the small bucket may take on a busy machine.
const RUN_WITHIN: Duration = Duration::from_secs(120);

fn small() -> World {
    World { clusters: vec!["eu"], replicas: vec![("a", 123), ("b", 20_456)], blocks: 6 }
}

/// A compactor that goes over the bucket until there is nothing to do; `extra` flags may be given.
fn compactor(bucket: &Path, data: &Path, extra: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Process> {
    std::fs::create_dir_all(data)?;
    let log = std::fs::File::options().create(true).append(true).open(data.join("compact.log"))?;
    let mut command = Command::new(binary());
    command
        .arg("compact")
        .arg(format!(
            "--objstore.config={{type: FILESYSTEM, config: {{directory: {:?}}}}}",
            bucket.display().to_string()
        ))
        .arg(format!("--data-dir={}", data.display()))
        .args(["--http-address=127.0.0.1:0", "--consistency-delay=0s"])
        .args(extra)
        .args(["--deduplication.replica-label=replica", "--compact.lease-ttl=5s", "--compact.segment-size=1KB"])
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    Ok(Process::start(&mut command)?)
}

/// Waits for the end of all; whether each ended well.
async fn ends(crowd: &mut [Process]) -> anyhow::Result<Vec<bool>> {
    let deadline = tokio::time::Instant::now() + RUN_WITHIN;
    let mut out = Vec::new();
    for process in crowd {
        loop {
            if let Some(status) = process.child().try_wait()? {
                out.push(status.success());
                break;
            }
            ensure!(tokio::time::Instant::now() < deadline, "a compactor does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(out)
}

/// What must hold at every moment.
fn check(bucket: &Path, wanted: &Samples) -> anyhow::Result<()> {
    let found = visible(bucket)?;
    match difference(wanted, &samples(&found)?) {
        Some(difference) => anyhow::bail!("{difference}"),
        None => Ok(()),
    }
}

/// What must hold once compactors have had their time.
fn check_settled(bucket: &Path, wanted: &Samples) -> anyhow::Result<()> {
    check(bucket, wanted)?;
    let found = visible(bucket)?;
    let overlaps = overlaps(&found);
    ensure!(overlaps.is_empty(), "blocks overlap: {overlaps:?}");
    let resolutions: BTreeSet<_> = found.iter().map(|f| f.meta.resolution_ms()).collect();
    ensure!(resolutions == BTreeSet::from([0, 300_000, 3_600_000]), "resolutions {resolutions:?}");
    let marked: Vec<_> = found.iter().filter(|f| f.marked).map(|f| f.meta.ulid).collect();
    ensure!(marked.is_empty(), "blocks are left that are marked for deletion: {marked:?}");
    Ok(())
}

/// All objects with their sizes.
fn objects(bucket: &Path) -> anyhow::Result<BTreeMap<PathBuf, u64>> {
    let mut out = BTreeMap::new();
    let mut dirs = vec![bucket.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir)? {
            let (entry, path) = entry.map(|e| (e.metadata(), e.path()))?;
            let entry = entry?;
            if entry.is_dir() {
                dirs.push(path);
            } else {
                out.insert(path, entry.len());
            }
        }
    }
    Ok(out)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    for (path, _) in objects(from)? {
        let target = to.join(path.strip_prefix(from)?);
        std::fs::create_dir_all(target.parent().context("a file lies in a folder")?)?;
        std::fs::copy(&path, &target)?;
    }
    Ok(())
}

/// Runs compactors until two runs in a row change no block. Leases that the killed left do not hold them up.
async fn settle(bucket: &Path, data: &Path) -> anyhow::Result<()> {
    let blocks = |bucket: &Path| -> anyhow::Result<BTreeMap<PathBuf, u64>> {
        let own = |path: &Path| path.strip_prefix(bucket).is_ok_and(|p| p.starts_with("aion-compactor"));
        Ok(objects(bucket)?.into_iter().filter(|(path, _)| !own(path)).collect())
    };
    let mut before = blocks(bucket)?;
    for _ in 0..8 {
        let mut alone = [compactor(bucket, data, &[AT_ONCE, "--compact.single-instance"], &[])?];
        let ended = ends(&mut alone).await.with_context(|| tail(&data.join("compact.log")))?;
        ensure!(ended == [true], "a compactor failed: {}", tail(&data.join("compact.log")));
        let after = blocks(bucket)?;
        if after == before {
            return Ok(());
        }
        before = after;
    }
    anyhow::bail!("the bucket does not settle: {}", tail(&data.join("compact.log")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compactors_killed_at_each_step() -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("aion-compact-").tempdir()?;
    let fresh = dir.path().join("fresh");
    let wanted = small().write(&fresh)?;
    let mut hit = BTreeSet::new();
    for failpoint in compactor::failpoints() {
        for crowd in CROWD {
            let case = format!("{failpoint} with {crowd}");
            let bucket = dir.path().join(format!("{failpoint}-{crowd}"));
            copy(&fresh, &bucket)?;
            let data = |n: usize| dir.path().join(format!("{failpoint}-{crowd}-data{n}"));
            let mut doomed = vec![compactor(&bucket, &data(0), &[AT_ONCE], &[("AION_FAILPOINT", failpoint)])?];
            for n in 1..crowd {
                doomed.push(compactor(&bucket, &data(n), &[AT_ONCE], &[])?);
            }
            let ended = ends(&mut doomed).await.with_context(|| case.clone())?;
            if !ended[0] {
                hit.insert(failpoint);
            }
            check(&bucket, &wanted).with_context(|| format!("{case}, after the kill"))?;
            // the one that was killed comes back, in its own folder
            settle(&bucket, &data(0)).await.with_context(|| case.clone())?;
            check_settled(&bucket, &wanted)
                .with_context(|| format!("{case}, settled: {}", tail(&data(0).join("compact.log"))))?;
            std::fs::remove_dir_all(&bucket)?;
        }
    }
    let never: Vec<_> = compactor::failpoints().iter().filter(|f| !hit.contains(*f)).collect();
    ensure!(never.is_empty(), "never came to {never:?}");
    Ok(())
}

/// Kills in pairs. A process alone dies at `first`, comes back and dies at `second`; of several, two die at the same time,
/// one at each place, and then again with the places changed.
async fn killed_in_pairs(dir: &Path, wanted: &Samples, [first, second]: [&str; 2], crowd: usize) -> anyhow::Result<()> {
    let case = dir.join(format!("{first}-{second}-{crowd}"));
    let bucket = case.join("bucket");
    copy(&dir.join("fresh"), &bucket)?;
    let data = |n: usize| case.join(format!("data{n}"));
    for failpoints in [[first, second], [second, first]] {
        let mut doomed = Vec::new();
        for n in 0..crowd {
            let env: Vec<_> = failpoints.get(n).map(|f| ("AION_FAILPOINT", *f)).into_iter().collect();
            doomed.push(compactor(&bucket, &data(n), &[AT_ONCE], &env)?);
        }
        ends(&mut doomed).await.with_context(|| {
            let logs: Vec<_> = (0..crowd).map(|n| tail(&data(n).join("compact.log"))).collect();
            format!("with {failpoints:?}: {}", logs.join("\n\n"))
        })?;
        check(&bucket, wanted).with_context(|| format!("after {failpoints:?}"))?;
    }
    settle(&bucket, &data(0)).await?;
    check_settled(&bucket, wanted).with_context(|| format!("settled: {}", tail(&data(0).join("compact.log"))))?;
    std::fs::remove_dir_all(&case)?;
    Ok(())
}

/// One pair for each place by default; all pairs of all places with `AION_ALL_PAIRS` set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compactors_killed_in_pairs() -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("aion-compact2-").tempdir()?;
    let wanted = small().write(&dir.path().join("fresh"))?;
    let all = compactor::failpoints();
    let everything = std::env::var_os("AION_ALL_PAIRS").is_some();
    let pairs = (0..all.len()).flat_map(|i| (0..all.len()).map(move |j| (i, j)));
    let cases: Vec<_> = pairs
        .filter(|(i, j)| everything || *j == (i * 7 + 3) % all.len())
        .flat_map(|(i, j)| CROWD.map(|crowd| ([all[i], all[j]], crowd)))
        .collect();
    // most of the time they wait for each other's leases
    stream::iter(cases)
        .map(Ok)
        .try_for_each_concurrent(3, async |(pair, crowd)| {
            killed_in_pairs(dir.path(), &wanted, pair, crowd).await.with_context(|| format!("{pair:?} with {crowd}"))
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_run_does_all_there_is() -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("aion-compact-once-").tempdir()?;
    let (bucket, data) = (dir.path().join("bucket"), dir.path().join("data"));
    // two days: blocks of all ranges up to 2 d, which are downsampled and merged again
    let wanted = World { blocks: 30, replicas: vec![("a", 123)], ..small() }.write(&bucket)?;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let ended = ends(&mut [compactor(&bucket, &data, &[], &[])?]).await?;
        ensure!(ended == [true], "a compactor failed: {}", tail(&data.join("compact.log")));
        check(&bucket, &wanted)?;
        let left = visible(&bucket)?.into_iter().filter(|f| !f.marked).map(|f| f.meta.ulid);
        seen.push(left.collect::<BTreeSet<_>>());
    }
    ensure!(seen[0] == seen[1], "the second run found more to do: {seen:?}");
    Ok(())
}

/// Queries that the small bucket answers, with where in its twelve hours to evaluate them, s after its start.
const QUERIES: [&str; 9] = [
    "requests_total",
    "sum by (path) (rate(requests_total[10m]))",
    "increase(requests_total[1h])",
    "temperature",
    "max_over_time(temperature[30m])",
    "count_over_time(job_running[1h])",
    "job_running",
    "backup_bytes",
    "count({__name__!=\"\"})",
];

async fn answers(api: &tests::client::Api) -> anyhow::Result<Vec<serde_json::Value>> {
    let start = tests::blocks::START_MS / 1000;
    let mut out = Vec::new();
    for query in QUERIES {
        let range = api.query_range(query, start as f64 + 7.007, start as f64 + 12.0 * 3600.0, 613.0).await?;
        let mut data = range["data"]["result"].clone();
        if let Some(list) = data.as_array_mut() {
            list.sort_by_key(|s| s["metric"].to_string());
        }
        ensure!(data.as_array().is_some_and(|l| !l.is_empty()), "{query}: {range}");
        out.push(data);
    }
    Ok(out)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_answers_the_same_from_compacted_blocks() -> anyhow::Result<()> {
    let test = "prometheus_answers_the_same_from_compacted_blocks";
    let Some(program) = tests::peer::prometheus(test) else { return Ok(()) };
    let dir = tempfile::Builder::new().prefix("aion-compact-prom-").tempdir()?;
    // one replica: Prometheus does not know external labels of blocks
    let world = World { replicas: vec![("a", 123)], ..small() };
    let (bucket, before, after) = (dir.path().join("bucket"), dir.path().join("before"), dir.path().join("after"));
    world.write(&bucket)?;
    copy(&bucket, &before.join("data"))?;
    settle(&bucket, &dir.path().join("compactor")).await?;
    let raw: Vec<_> = visible(&bucket)?.into_iter().filter(|f| f.meta.resolution_ms() == 0).collect();
    ensure!(raw.len() < world.blocks, "nothing was compacted");
    for block in &raw {
        copy(&block.dir, &after.join("data").join(block.meta.ulid.to_string()))?;
    }
    let mut got = Vec::new();
    for folder in [before, after] {
        let prometheus = Prometheus::start(&program, &folder, &PrometheusOptions::default()).await?;
        got.push(answers(&prometheus.api).await?);
        prometheus.stop().await?;
    }
    for ((query, before), after) in QUERIES.iter().zip(&got[0]).zip(&got[1]) {
        ensure!(before == after, "{query}: {before} before, {after} after");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_are_equal_before_during_and_after() -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("aion-compact-query-").tempdir()?;
    let bucket = dir.path().join("bucket");
    // one replica, so that the same samples are shown whatever is merged already
    World { replicas: vec![("a", 123)], ..small() }.write(&bucket)?;
    let args = [
        format!("--objstore.config={{type: FILESYSTEM, config: {{directory: {:?}}}}}", bucket.display().to_string()),
        format!("--data-dir={}", dir.path().join("store").display()),
        "--sync-block-duration=200ms".to_owned(),
    ];
    let mut store = Component::start(binary(), "store", &dir.path().join("s"), &args, &[])?;
    store.ready().await?;
    let args = [format!("--endpoint={}", store.grpc), "--query.replica-label=replica".to_owned()];
    let mut query = Component::start(binary(), "query", &dir.path().join("q"), &args, &[])?;
    query.ready().await?;
    let api = query.api.clone();
    testkit::wait_for("the store's blocks", RUN_WITHIN, async || answers(&api).await.is_ok()).await;
    let before = answers(&query.api).await?;
    let data = dir.path().join("compactor");
    let mut rounds = 0;
    for _ in 0..4 {
        let mut run = [compactor(&bucket, &data, &[], &[])?];
        loop {
            let now = answers(&query.api).await?;
            for ((query, before), now) in QUERIES.iter().zip(&before).zip(&now) {
                ensure!(before == now, "{query}, round {rounds}: {before} before, {now} now");
            }
            rounds += 1;
            if run[0].child().try_wait()?.is_some() {
                break;
            }
        }
    }
    ensure!(visible(&bucket)?.iter().any(|f| f.meta.compaction.level > 1), "nothing was compacted");
    for part in [query, store] {
        let errors = part.stop(&[]).await?;
        ensure!(errors.is_empty(), "{}", errors.join("\n"));
    }
    Ok(())
}
