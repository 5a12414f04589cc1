//! The same pages scraped by a real Prometheus: it must have stored the same series.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use axum::Router;
use axum::http::header;
use axum::routing::get;
use labels::{Builder, Labels};
use testkit::prometheus::have_prometheus;
use transport::http::{ClientConfig, HttpClient};

use crate::harness::{Harness, SOON, serve};

const TEXT: &str = include_str!("../testdata/page.txt");
const OPENMETRICS: &str = include_str!("../testdata/page.om.txt");
const RULES: &str = "[{action: drop, source_labels: [__name__], regex: 'go_.*'}, \
                     {source_labels: [code], regex: '(.).*', target_label: class, replacement: '${1}xx'}]";

fn routes() -> Router {
    let page =
        |kind: &'static str, body: &'static str| get(move || async move { ([(header::CONTENT_TYPE, kind)], body) });
    Router::new()
        .route("/text", page("text/plain; version=0.0.4", TEXT))
        .route("/openmetrics", page("application/openmetrics-text; version=1.0.0", OPENMETRICS))
}

/// Prometheus wrote bounds as they came before 3.0.
fn normalised(labels: &Labels) -> String {
    let mut out = Builder::from_labels(labels);
    for bound in ["le", "quantile"] {
        if let Ok(value) = labels.value(bound).parse::<f64>() {
            out.set(bound, &textparse::format_openmetrics_float(value));
        }
    }
    out.build().to_string()
}

async fn stored(harness: &Harness) -> BTreeSet<String> {
    harness.series().await.iter().map(normalised).collect()
}

async fn stored_by_prometheus(client: &HttpClient, base: &str) -> BTreeSet<String> {
    let url = format!("{base}/api/v1/series?match[]={{job=~\".%2B\"}}");
    let Ok(answer) = client.get(&url).unwrap().send().await else { return BTreeSet::new() };
    let answer: serde_json::Value = answer.json().await.unwrap_or_default();
    let series = answer["data"].as_array().cloned().unwrap_or_default();
    let labels = |series: &serde_json::Value| {
        let pairs = series.as_object().into_iter().flatten();
        normalised(&Labels::from_pairs(pairs.map(|(n, v)| (n.as_str(), v.as_str().unwrap_or_default()))))
    };
    series.iter().map(labels).collect()
}

#[tokio::test]
async fn the_same_series() {
    if !have_prometheus("the_same_series") {
        return;
    }
    let address = serve(routes()).await.to_string();
    let job = |name: &str, path: &str, more: &str| {
        format!("job_name: {name}, metrics_path: {path}, metric_relabel_configs: {RULES}{more}")
    };
    let honest = ", honor_labels: true";
    let jobs = [
        job("text", "/text", ""),
        job("text-honored", "/text", honest),
        job("openmetrics", "/openmetrics", ""),
        job("openmetrics-honored", "/openmetrics", honest),
    ];
    let dir = tempfile::tempdir().unwrap();
    let times = "scrape_interval: 1s, scrape_timeout: 1s";
    let entries: Vec<String> = jobs
        .iter()
        .map(|job| format!("- {{{times}, {job}, static_configs: [{{targets: ['{address}'], labels: {{dc: x}}}}]}}\n"))
        .collect();
    std::fs::write(dir.path().join("prometheus.yml"), format!("scrape_configs:\n{}", entries.concat())).unwrap();
    let listen = format!("127.0.0.1:{}", testkit::free_port().unwrap());
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", dir.path().join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
        .arg(format!("--web.listen-address={listen}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _prometheus = testkit::Process::start(&mut command).unwrap();

    let jobs: Vec<String> = jobs.iter().map(|job| format!("{times}, {job}")).collect();
    let harness = Harness::new(&jobs.iter().map(String::as_str).collect::<Vec<_>>());
    let target: &[&[(&str, &str)]] = &[&[("__address__", &address), ("dc", "x")]];
    harness.discover(&[
        ("text", target),
        ("text-honored", target),
        ("openmetrics", target),
        ("openmetrics-honored", target),
    ]);
    let client = ClientConfig::default().build().unwrap();
    testkit::wait_for("four jobs to be scraped by both", SOON, async || {
        let theirs = stored_by_prometheus(&client, &format!("http://{listen}")).await;
        let up = |series: &BTreeSet<String>| series.iter().filter(|s| s.contains("__name__=\"up\"")).count();
        up(&theirs) == 4 && up(&stored(&harness).await) == 4
    })
    .await;
    let (ours, theirs) = (stored(&harness).await, stored_by_prometheus(&client, &format!("http://{listen}")).await);
    let missing: Vec<_> = theirs.difference(&ours).collect();
    let invented: Vec<_> = ours.difference(&theirs).collect();
    assert!(missing.is_empty() && invented.is_empty(), "missing {missing:#?}, invented {invented:#?}");
    assert!(ours.len() > 60, "{}", ours.len());
}
