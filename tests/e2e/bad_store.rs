//! A compactor on a store that throttles, stalls, breaks off and lies, and one whose disk is full: it stays up, says what is
//! wrong, loses nothing, and goes on when things are well again.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};
use serde_json::Value as Json;
use testkit::s3::{Fault, FaultKind, Operation, Server};
use tests::aion::{Component, binary};
use tests::blocks::{Samples, World, difference, overlaps, samples, visible};

use crate::waiting::{Compactor, is_done};

fn world() -> World {
    World { clusters: vec!["eu", "us"], replicas: vec![("a", 123), ("b", 20_456)], blocks: 6 }
}

/// Fills the server's bucket; gives all samples.
fn fill(server: &Server, temp: &Path) -> anyhow::Result<Samples> {
    let dir = temp.join("blocks");
    let wanted = world().write(&dir)?;
    let mut dirs = vec![dir.clone()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next)? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let key = path.strip_prefix(&dir)?.to_str().context("a name")?;
            server.backend().insert(Server::BUCKET, key, fs::read(&path)?, SystemTime::now());
        }
    }
    Ok(wanted)
}

/// Two clusters at three resolutions, and nothing left to do.
fn all_done(status: &Json) -> Result<(), String> {
    match status["groups"].as_array().map_or(0, Vec::len) {
        6 => is_done(status, &BTreeSet::new()),
        n => Err(format!("{n} groups of 6")),
    }
}

/// Waits until the bucket holds every sample, once: marks may still be on their way.
async fn settles(server: &Server, temp: &Path, wanted: &Samples) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    for n in 0.. {
        match check(server, &temp.join(format!("after-{n}")), wanted) {
            Err(e) if tokio::time::Instant::now() > deadline => return Err(e),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            Ok(()) => break,
        }
    }
    Ok(())
}

fn check(server: &Server, dir: &Path, wanted: &Samples) -> anyhow::Result<()> {
    for key in server.backend().keys(Server::BUCKET) {
        let path = dir.join(&key);
        fs::create_dir_all(path.parent().context("a directory")?)?;
        fs::write(path, server.backend().object(Server::BUCKET, &key).context("it was listed")?)?;
    }
    let mut found = visible(dir)?;
    found.retain(|f| !f.marked);
    if let Some(difference) = difference(wanted, &samples(&found)?) {
        bail!("{difference}");
    }
    let overlaps = overlaps(&found);
    ensure!(overlaps.is_empty(), "overlaps stay: {overlaps:?}");
    let levels: BTreeSet<i64> = found.iter().map(|f| f.meta.resolution_ms()).collect();
    ensure!(levels == BTreeSet::from([0, 300_000, 3_600_000]), "resolutions {levels:?}");
    ensure!(found.len() < 24, "nothing was merged");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_with_all_kinds_of_trouble() -> anyhow::Result<()> {
    let temp = tempfile::tempdir()?;
    let server = Server::start().await;
    let wanted = fill(&server, temp.path())?;
    let trouble = [
        (Operation::List, 3, 6, FaultKind::Status(503)),
        (Operation::List, 30, 4, FaultKind::Status(429)),
        (Operation::Head, 2, 6, FaultKind::Status(500)),
        (Operation::Get, 20, 8, FaultKind::Status(503)),
        (Operation::Get, 60, 3, FaultKind::Cut(100)),
        (Operation::Get, 90, 3, FaultKind::Short(50)),
        (Operation::Get, 120, 2, FaultKind::Flip(40)),
        (Operation::Get, 150, 2, FaultKind::Latency(Duration::from_secs(600))),
        (Operation::Get, 200, 3, FaultKind::Flip(7)),
        (Operation::Put, 5, 4, FaultKind::Status(503)),
        (Operation::Put, 20, 3, FaultKind::StatusAfter(500)),
        (Operation::Put, 40, 1, FaultKind::Latency(Duration::from_secs(600))),
        (Operation::Put, 60, 30, FaultKind::Status(503)),
        (Operation::Delete, 3, 5, FaultKind::StatusAfter(503)),
        (Operation::Delete, 20, 3, FaultKind::Status(403)),
    ];
    for (operation, skip, times, kind) in trouble {
        server.fault(Fault { operation: Some(operation), path_contains: String::new(), skip, times, kind });
    }
    let config = format!("{}  http_config:\n    response_header_timeout: 2s\n", server.config_yaml());
    let mut compactor = Compactor::start(&config, &temp.path().join("data"), "")?;
    compactor.until("all is done", all_done).await?;
    ensure!(compactor.api.metric("thanos_compact_halted", "").await? == 0.0, "it halted");
    settles(&server, temp.path(), &wanted).await?;
    // the trouble was there
    for (operation, skip) in
        [(Operation::Get, 200), (Operation::Put, 60), (Operation::Delete, 20), (Operation::List, 30)]
    {
        ensure!(server.requests(operation) > skip, "only {} requests of {operation:?}", server.requests(operation));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk() -> anyhow::Result<()> {
    let temp = tempfile::tempdir()?;
    let server = Server::start().await;
    let wanted = fill(&server, temp.path())?;
    let keys = server.backend().keys(Server::BUCKET).len();
    let data = temp.path().join("data");
    // no byte fits into any file
    let mut compactor = Compactor::start(&server.config_yaml(), &data, "trap '' XFSZ; ulimit -f 0;")?;
    let told = |status: &Json| {
        let groups = status["quarantine"]["groups"].as_array().map(Vec::as_slice).unwrap_or_default();
        let of_disk = groups.iter().filter(|g| g["hint"].as_str().is_some_and(|h| h.contains("--data-dir"))).count();
        if of_disk == 2 { Ok(()) } else { Err(format!("{groups:?}")) }
    };
    compactor.until("the disk is named", told).await?;
    ensure!(compactor.api.metric("thanos_compact_halted", "").await? == 0.0, "it halted");
    ensure!(server.backend().keys(Server::BUCKET).len() >= keys, "something was deleted");
    drop(compactor);
    let mut compactor = Compactor::start(&server.config_yaml(), &data, "")?;
    compactor.until("all is done", all_done).await?;
    settles(&server, temp.path(), &wanted).await
}

/// A bucket that cannot be reached at the start is waited for, and said to be missing; nothing is made in its place.
#[tokio::test]
async fn a_bucket_that_is_away_at_the_start_is_waited_for() -> anyhow::Result<()> {
    let temp = tempfile::tempdir()?;
    let bucket = temp.path().join("bucket");
    let config = crate::waiting::folder(&bucket);
    let mut compactor = Compactor::start(&config, &temp.path().join("compact"), "")?;
    let args = [
        format!("--objstore.config={config}"),
        format!("--data-dir={}", temp.path().join("store").display()),
        "--sync-block-duration=1s".to_owned(),
    ];
    let mut store = Component::start(binary(), "store", &temp.path().join("logs"), &args, &[])?;
    for api in [&compactor.api, &store.api] {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
        loop {
            let why = match api.get_bytes("/-/ready", &[]).await {
                Ok(body) => String::from_utf8_lossy(&body).into_owned(),
                Err(e) => e.to_string(),
            };
            if why.contains("NOT OK") && why.contains(bucket.to_str().context("a name")?) {
                break;
            }
            ensure!(tokio::time::Instant::now() < deadline, "{}: {why}", api.base);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    ensure!(!bucket.exists(), "the bucket's directory was made");
    fs::create_dir(&bucket)?;
    store.ready().await?;
    compactor
        .until("it reads the bucket", |status| status["groups"].is_array().then_some(()).ok_or("no groups".into()))
        .await?;
    Ok(())
}
