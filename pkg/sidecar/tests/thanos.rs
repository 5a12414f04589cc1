//! Thanos' own querier over this sidecar: set `AION_THANOS_BIN` to its binary.

mod common;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use common::*;
use testkit::{Process, free_port, wait_for};

/// The values of an instant query by series, without `drop`ped labels.
async fn ask(base: &str, query: &str, at_s: i64, drop: &[&str]) -> BTreeMap<String, String> {
    let client = transport::http::ClientConfig::default().build().unwrap();
    let request = client.get(&format!("{base}/api/v1/query")).unwrap();
    let request =
        request.query(&[("query", query.to_owned()), ("time", at_s.to_string()), ("dedup", "false".to_owned())]);
    let Ok(answer) = request.send().await else { return BTreeMap::new() };
    let answer: serde_json::Value = answer.json().await.unwrap();
    assert!(answer["warnings"].is_null(), "{answer}");
    let results = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    let one = |result: serde_json::Value| {
        let mut metric = result["metric"].as_object().unwrap().clone();
        metric.retain(|name, _| !drop.contains(&name.as_str()));
        let value = if result["value"].is_null() { &result["histogram"] } else { &result["value"] };
        (serde_json::Value::Object(metric).to_string(), value.to_string())
    };
    results.into_iter().map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn querier_sees_what_prometheus_sees() {
    let Some(thanos) = std::env::var_os("AION_THANOS_BIN") else {
        return testkit::skip_without_service("AION_THANOS_BIN", "querier_sees_what_prometheus_sees");
    };
    if !have_prometheus("querier_sees_what_prometheus_sees") {
        return;
    }
    let external = [("cluster", "eu"), ("replica", "a")];
    let p = Prometheus::start(&external, &["--enable-feature=native-histograms"], |_| {}).await;
    let running = start(config(&[format!("--prometheus.url={}", p.url())])).await;
    wait_for("the sidecar to be ready", LONG, async || running.state.is_up()).await;
    let port = free_port().unwrap();
    let mut command = Command::new(thanos);
    command
        .arg("query")
        .arg(format!("--http-address=127.0.0.1:{port}"))
        .arg(format!("--grpc-address=127.0.0.1:{}", free_port().unwrap()))
        .arg(format!("--endpoint={}", running.grpc))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _querier = Process::start(&mut command).unwrap();
    let base = format!("http://127.0.0.1:{port}");
    let now = || model::Clock::now_ms(&model::SystemClock) / 1000;
    wait_for("the querier to see series", LONG, async || !ask(&base, "up", now(), &[]).await.is_empty()).await;
    // a few scrapes, and a time that is over
    let began = now();
    wait_for("five scrapes", LONG, async || now() > began + 6).await;
    let at = now() - 1;
    for query in [
        "{__name__=~\".+\"}",
        "sum by (handler) (prometheus_http_requests_total)",
        "rate(prometheus_http_requests_total[5s])",
        "count({__name__=~\".+\"})",
        "up{cluster=\"eu\"} or up",
        "histogram_count(prometheus_http_request_duration_seconds)",
    ] {
        let theirs = ask(&p.url(), &query.replace("{cluster=\"eu\"}", ""), at, &[]).await;
        let ours = ask(&base, query, at, &["cluster", "replica"]).await;
        assert_eq!(ours, theirs, "{query}");
        assert!(!ours.is_empty() || query.starts_with("histogram"), "{query}");
    }
    assert!(ask(&base, "up{replica=\"b\"}", at, &[]).await.is_empty());
    let labels = get(&format!("{base}/api/v1/label/replica/values")).await;
    assert!(labels.contains("[\"a\"]"), "{labels}");
    for (path, want) in [("targets", "\"cluster\":\"eu\""), ("metadata", "prometheus_build_info"), ("rules", "groups")]
    {
        let text = get(&format!("{base}/api/v1/{path}")).await;
        assert!(text.contains("\"success\"") && text.contains(want), "{text}");
    }
}
