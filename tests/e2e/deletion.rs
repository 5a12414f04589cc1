//! Series are deleted on request over HTTP, from blocks of all resolutions, and nothing else is; blocks are marked.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{bail, ensure};
use block::LocalBlock;
use tests::blocks::{BLOCK_MS, START_MS, World, difference, samples, visible};

use crate::waiting::{Compactor, folder, is_done};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn series_go_on_request_and_no_others() -> anyhow::Result<()> {
    let temp = tempfile::tempdir()?;
    let (bucket, data) = (temp.path().join("bucket"), temp.path().join("data"));
    let world = World { clusters: vec!["eu", "us"], replicas: vec![("a", 123)], blocks: 6 };
    let mut wanted = world.write(&bucket)?;
    let mut compactor = Compactor::start(&folder(&bucket), &data, "")?;
    let settled = |status: &serde_json::Value| match status["groups"].as_array().map_or(0, Vec::len) {
        6 => is_done(status, &BTreeSet::new()),
        n => Err(format!("{n} groups of 6")),
    };
    compactor.until("all resolutions are there", settled).await?;

    let path = "/api/v1/compact/deletions";
    for (form, want) in [
        (&[][..], "selector"),
        (&[("match[]", "{")][..], "match[]"),
        (&[("match[]", "up"), ("start", "yesterday")][..], "is no time"),
        (&[("match[]", "up"), ("start", "20"), ("end", "10")][..], ""),
    ] {
        let (status, answer) = compactor.api.post(path, form).await?;
        let text = answer["error"].as_str().unwrap_or_default();
        ensure!(status == 400 && !text.is_empty() && text.contains(want), "{form:?}: {status} {answer}");
    }
    // a whole series of one cluster, and six hours of another one of both
    let noon_ms = START_MS + 3 * BLOCK_MS;
    let (from, to) = (format!("{}", START_MS / 1000), format!("{}", noon_ms / 1000));
    let requests = [
        &[("match[]", r#"temperature{path="Zürich", cluster="eu"}"#), ("details", "asked for")][..],
        &[("match[]", r#"requests_total{path="/cart"}"#), ("start", from.as_str()), ("end", to.as_str())][..],
    ];
    for form in requests {
        let (status, answer) = compactor.api.post(path, form).await?;
        ensure!(status == 200 && answer["data"]["id"].is_string(), "{form:?}: {status} {answer}");
    }
    for (labels, values) in &mut wanted {
        let is = |name: &str, value: &str| labels.get(name) == Some(value);
        if is("path", "Zürich") && is("cluster", "eu") {
            values.clear();
        }
        if is("path", "/cart") {
            values.retain(|t, _| *t > noon_ms);
        }
    }
    wanted.retain(|_, values| !values.is_empty());

    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(120);
    loop {
        let answer = compactor.api.get(path, &[]).await?;
        let listed = answer["data"]["requests"].as_array().cloned().unwrap_or_default();
        if listed.len() == 2 && listed.iter().all(|r| r["done"].is_string() && r["blocksLeft"] == 0) {
            break;
        }
        ensure!(tokio::time::Instant::now() < deadline, "not done: {answer}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    compactor.until("all is done", settled).await?;

    // blocks are marked as Thanos' API does it
    let id = visible(&bucket)?.into_iter().find(|f| !f.marked).map(|f| f.meta.ulid.to_string()).unwrap_or_default();
    for (form, want) in [
        (&[("action", "DELETION")][..], "ID cannot be empty"),
        (&[("id", "x"), ("action", "DELETION")][..], "is not valid"),
        (&[("id", id.as_str()), ("action", "EAT")][..], "not supported marker EAT"),
        (&[("id", id.as_str()), ("action", "NO_COMPACTION"), ("detail", "why")][..], ""),
    ] {
        let (status, answer) = compactor.api.post("/api/v1/blocks/mark", form).await?;
        let text = answer["error"].as_str().unwrap_or_default();
        ensure!((status == 200) == want.is_empty() && text.contains(want), "{form:?}: {status} {answer}");
    }
    ensure!(std::fs::read_to_string(bucket.join(&id).join("no-compact-mark.json"))?.contains("why"), "the mark");
    for (path, key) in [("runtimeinfo", "startTime"), ("buildinfo", "version"), ("flags", "data-dir")] {
        let answer = compactor.api.get(&format!("/api/v1/status/{path}"), &[]).await?;
        ensure!(answer["data"][key].is_string(), "{path}: {answer}");
    }
    drop(compactor);

    let found: Vec<_> = visible(&bucket)?.into_iter().filter(|f| !f.marked).collect();
    if let Some(difference) = difference(&wanted, &samples(&found)?) {
        bail!("{difference}");
    }
    let mut seen: BTreeMap<i64, BTreeSet<(String, String)>> = BTreeMap::new();
    for block in &found {
        let cluster = block.meta.thanos.as_ref().map(|t| t.labels["cluster"].clone()).unwrap_or_default();
        let opened = LocalBlock::open(&block.dir)?;
        for id in opened.index().all_postings()? {
            let labels = opened.index().series(id)?.labels;
            let path = labels.get("path").unwrap_or_default().to_owned();
            seen.entry(block.meta.resolution_ms()).or_default().insert((cluster.clone(), path));
        }
    }
    ensure!(seen.keys().copied().eq([0, 300_000, 3_600_000]), "resolutions {:?}", seen.keys());
    for (resolution_ms, series) in seen {
        let has = |cluster: &str, path: &str| series.contains(&(cluster.to_owned(), path.to_owned()));
        ensure!(!has("eu", "Zürich"), "it is still there at {resolution_ms}");
        ensure!(has("us", "Zürich") && has("eu", "東京") && has("eu", "/cart"), "too much is gone at {resolution_ms}");
    }
    Ok(())
}
