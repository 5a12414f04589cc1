//! What leaves `aion server`: samples by remote write, through kills of both ends; queries by remote read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use proto::prometheus::WriteRequest;
use proto::prometheus_copy::{Sample, TimeSeries};
use serde_json::Value;
use testkit::{free_port, wait_for};
use tests::aion::binary;
use tests::client::http;
use tests::peer::{Prometheus, PrometheusOptions, prometheus};
use tests::remote_write::{send, wire_labels};

const LONG: Duration = Duration::from_secs(90);
const START_MS: i64 = 1_700_000_000_000;
const SERIES: usize = 60;

/// The `k`th request: a sample of each series.
fn request(k: i64) -> WriteRequest {
    let series = |n: usize| TimeSeries {
        labels: wire_labels([("__name__", "sent"), ("n", n.to_string().as_str())]),
        samples: vec![Sample { value: k as f64, timestamp: START_MS + k * 1000 }],
        ..Default::default()
    };
    WriteRequest { timeseries: (0..SERIES).map(series).collect(), ..Default::default() }
}

/// Writes requests from `first` on until `stop`; how many there are then.
async fn write(base: &str, first: i64, stop: &AtomicBool) -> anyhow::Result<i64> {
    let client = http()?;
    let mut next = first;
    while !stop.load(Ordering::Acquire) && send(&client, base, &request(next)).await.is_ok() {
        next += 1;
    }
    // The last one may be there or not.
    Ok(next + 1)
}

/// All samples of all series.
async fn samples(of: &Prometheus, requests: i64) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let (range_s, end_s) = (requests + 10, (START_MS / 1000 + requests + 5) as f64);
    let answer = of.api.query(&format!("sent[{range_s}s]"), end_s).await?;
    let result = answer["data"]["result"].as_array().with_context(|| answer.to_string())?;
    let points =
        |series: &Value| series["values"].as_array().into_iter().flatten().map(ToString::to_string).collect::<Vec<_>>();
    Ok(result.iter().map(|series| (series["metric"]["n"].to_string(), points(series))).collect())
}

fn sender(to: u16, more: &str) -> PrometheusOptions {
    let config = format!(
        "global: {{scrape_interval: 1000h}}\n\
         remote_write:\n\
         - url: http://127.0.0.1:{to}/api/v1/write\n\
         \x20 queue_config: {{batch_send_deadline: 30ms, min_backoff: 10ms, max_backoff: 200ms, max_samples_per_send: 100{more}}}\n"
    );
    PrometheusOptions { subcommand: Some("server"), config: Some(config), ..Default::default() }
}

/// One sends to the other, and both are killed in turn.
async fn through_kills(receiver: &Path, options: PrometheusOptions) -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("aion-sending-").tempdir()?;
    let (from_dir, to_dir) = (dir.path().join("from"), dir.path().join("to"));
    let port = free_port()?;
    let options = PrometheusOptions { port: Some(port), ..options };
    let mut to = Some(Prometheus::start(receiver, &to_dir, &options).await?);
    let mut requests = 0;
    for life in 0..6 {
        let from = Prometheus::start(binary(), &from_dir, &sender(port, ", min_shards: 2")).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let base = from.base.clone();
        let kill = async {
            tokio::time::sleep(Duration::from_millis(150 + life * 97 % 300)).await;
            if let Some(running) = to.take_if(|_| life % 2 == 1) {
                running.crash()?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            stop.store(true, Ordering::Release);
            from.crash()
        };
        let (wrote, killed) = tokio::join!(write(&base, requests, &stop), kill);
        requests = wrote?;
        killed?;
        if to.is_none() {
            to = Some(Prometheus::start(receiver, &to_dir, &options).await?);
        }
    }
    let to = to.context("the receiver")?;
    let from = Prometheus::start(binary(), &from_dir, &sender(port, "")).await?;
    let expected = samples(&from, requests).await?;
    ensure!(expected.len() == SERIES && expected.values().all(|points| points.len() > 50), "too few were written");
    let arrived = async || samples(&to, requests).await.is_ok_and(|found| found == expected);
    wait_for("the same samples at both ends", LONG, arrived).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prometheus_gets_every_sample_through_kills_of_both() -> anyhow::Result<()> {
    let Some(program) = prometheus("a_prometheus_gets_every_sample_through_kills_of_both") else { return Ok(()) };
    through_kills(&program, PrometheusOptions::default()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_gets_every_sample_through_kills_of_both() -> anyhow::Result<()> {
    through_kills(binary(), PrometheusOptions { subcommand: Some("server"), ..Default::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_read_other_storages_too() -> anyhow::Result<()> {
    let Some(program) = prometheus("queries_read_other_storages_too") else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let options =
        PrometheusOptions { external_labels: vec![("zone".to_owned(), "z".to_owned())], ..Default::default() };
    let far = Prometheus::start(&program, &dir.path().join("far"), &options).await?;
    let client = http()?;
    for k in 0..20 {
        send(&client, &far.base, &request(k)).await?;
    }
    let config = |more: &str| {
        format!(
            "global: {{scrape_interval: 1000h, external_labels: {{zone: z}}}}\n\
             alerting: {{alertmanagers: [{{path_prefix: am, static_configs: [{{targets: ['127.0.0.1:1']}}]}}]}}\n\
             remote_read: [{{url: '{}/api/v1/read', name: far{more}}}]\n",
            far.base
        )
    };
    let near =
        |more: &str| PrometheusOptions { subcommand: Some("server"), config: Some(config(more)), ..Default::default() };
    let local = Prometheus::start(binary(), &dir.path().join("near"), &near(", read_recent: true")).await?;
    for k in 15..30 {
        send(&client, &local.base, &request(k)).await?;
    }
    let points = async |of: &Prometheus| -> anyhow::Result<Vec<usize>> {
        Ok(samples(of, 40).await?.values().map(Vec::len).collect())
    };
    // Both, each sample once; the external label is asked for and taken off.
    ensure!(points(&local).await? == vec![30; SERIES], "{:?}", points(&local).await?);
    let known = async || {
        let known = local.api.get("/api/v1/alertmanagers", &[]).await.unwrap_or_default();
        known["data"]["activeAlertmanagers"][0]["url"] == "http://127.0.0.1:1/am/api/v2/alerts"
    };
    wait_for("the Alertmanager to be discovered", LONG, known).await;
    // Only what is older than the local samples.
    local.stop().await?;
    let local = Prometheus::start(binary(), &dir.path().join("near"), &near("")).await?;
    ensure!(points(&local).await? == vec![30; SERIES], "{:?}", points(&local).await?);
    // Selectors without the required matcher do not ask it.
    local.stop().await?;
    let local = Prometheus::start(binary(), &dir.path().join("near"), &near(", required_matchers: {n: '7'}")).await?;
    let all = samples(&local, 40).await?;
    ensure!(all.values().all(|points| points.len() == 15), "{all:?}");
    let one = local.api.query("count_over_time(sent{n=\"7\"}[40s])", (START_MS / 1000 + 35) as f64).await?;
    ensure!(one["data"]["result"][0]["value"][1] == "30", "{one}");
    // One that is away is told.
    far.stop().await?;
    let answer = local.api.query("sent{n=\"7\"}", (START_MS / 1000) as f64).await?;
    let warning = answer["warnings"][0].as_str().unwrap_or_default();
    ensure!(warning.contains("remote_read far"), "{answer}");
    Ok(())
}
