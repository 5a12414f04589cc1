//! `aion rule`: rules over queriers, alerts to an Alertmanager, series by StoreAPI or by remote write.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;
use testkit::wait_for;
use tests::aion::{Component, binary};
use tests::client::Api;
use tests::peer::{Prometheus, PrometheusOptions};

const LONG: Duration = Duration::from_secs(60);

const RULES: &str = "groups:\n- name: one\n  interval: 1s\n  rules:\n  - {record: 'job:up:sum', expr: 'sum by (job) (up)'}\n\
    \x20 - {alert: Always, expr: 'vector(1) == 1', labels: {severity: page}, annotations: {summary: 'it is {{ $value }}'}}\n";

type Alerts = Arc<Mutex<Vec<Value>>>;

/// An Alertmanager that keeps what it is told.
async fn alertmanager() -> anyhow::Result<(String, Alerts)> {
    let alerts = Alerts::default();
    let take = async |State(alerts): State<Alerts>, Json(body): Json<Vec<Value>>| alerts.lock().unwrap().extend(body);
    let routes = Router::new().route("/prefix/api/v2/alerts", post(take)).with_state(alerts.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok((format!("http://{address}/prefix"), alerts))
}

/// A server that scrapes itself.
async fn scraped(dir: &Path) -> anyhow::Result<Prometheus> {
    let port = testkit::free_port()?;
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: self\n  static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
    );
    let options =
        PrometheusOptions { subcommand: Some("server"), config: Some(config), port: Some(port), ..Default::default() };
    Prometheus::start(binary(), dir, &options).await
}

async fn value(api: &Api, query: &str) -> anyhow::Result<Value> {
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs_f64();
    let answer = api.query(query, now_s).await?;
    let found = &answer["data"]["result"][0];
    ensure!(!found.is_null(), "{answer}");
    Ok(found.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_over_a_querier_alerts_and_the_store_api() -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("aion-rule-").tempdir()?;
    let server = scraped(&dir.path().join("server")).await?;
    let (url, alerts) = alertmanager().await?;
    let rules = dir.path().join("rules.yml");
    std::fs::write(&rules, RULES)?;
    let args = [
        format!("--query={}", server.base.trim_start_matches("http://")),
        // Nobody listens there.
        "--query=127.0.0.1:9".to_owned(),
        format!("--rule-file={}", rules.display()),
        format!("--data-dir={}", dir.path().join("data").display()),
        "--label=ruler=\"a\"".to_owned(),
        "--label=replica=\"1\"".to_owned(),
        "--alert.label-drop=replica".to_owned(),
        "--alert.query-url=http://query.example".to_owned(),
        format!("--alertmanagers.url={url}"),
        "--resend-delay=1s".to_owned(),
    ];
    let mut rule = Component::start(binary(), "rule", &dir.path().join("rule"), &args, &[])?;
    rule.ready().await?;
    let endpoint = [format!("--endpoint={}", rule.grpc), "--query.replica-label=replica".to_owned()];
    let mut query = Component::start(binary(), "query", &dir.path().join("query"), &endpoint, &[])?;
    query.ready().await?;
    let recorded = async || value(&query.api, "{__name__=\"job:up:sum\"}").await.is_ok();
    wait_for("the recorded series over the StoreAPI", LONG, recorded).await;
    let series = value(&query.api, "{__name__=\"job:up:sum\"}").await?;
    ensure!(series["metric"]["ruler"] == "a" && series["metric"]["job"] == "self", "{series}");
    ensure!(series["value"][1] == "1" && series["metric"]["replica"].is_null(), "{series}");

    wait_for("the alert", LONG, async || !alerts.lock().unwrap().is_empty()).await;
    let alert = alerts.lock().unwrap()[0].clone();
    let labels = alert["labels"].as_object().context("labels")?.clone();
    ensure!(labels["alertname"] == "Always" && labels["severity"] == "page" && labels["ruler"] == "a", "{alert}");
    ensure!(!labels.contains_key("replica") && alert["annotations"]["summary"] == "it is 1", "{alert}");
    let link = "http://query.example/graph?g0.expr=vector%281%29+%3D%3D+1&g0.tab=1";
    ensure!(alert["generatorURL"] == link, "{alert}");

    for api in [&rule.api, &query.api] {
        let shown = api.get("/api/v1/rules", &[]).await?;
        let group = &shown["data"]["groups"][0];
        ensure!(group["name"] == "one" && group["rules"][0]["health"] == "ok", "{shown}");
    }
    std::fs::write(&rules, "groups: [{name: one, rules: [{record: a, expr: 'sum('}]}]")?;
    let client = tests::client::http()?;
    let reload = client.post(format!("{}/-/reload", rule.api.base)).send().await?;
    let (status, text) = (reload.status(), reload.text().await?);
    ensure!(status == 500 && text.contains("rules.yml"), "{status} {text}");
    ensure!(rule.api.get("/api/v1/rules", &[]).await?["data"]["groups"][0]["rules"][1]["name"] == "Always");
    ensure!(rule.api.metric("thanos_rule_config_last_reload_successful", "").await? == 0.0);
    std::fs::write(&rules, RULES)?;
    ensure!(client.post(format!("{}/-/reload", rule.api.base)).send().await?.status() == 200);
    query.stop(&[]).await?;
    rule.stop(&["not reloaded"]).await?;
    server.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_tsdb_series_go_by_remote_write() -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("aion-rule-").tempdir()?;
    let server = scraped(&dir.path().join("server")).await?;
    let rules = dir.path().join("rules.yml");
    std::fs::write(&rules, RULES)?;
    let args = [
        format!("--query={}", server.base),
        "--query.only-prometheus-params".to_owned(),
        format!("--rule-file={}", rules.display()),
        format!("--data-dir={}", dir.path().join("data").display()),
        "--label=ruler=\"b\"".to_owned(),
        format!("--remote-write.config=remote_write: [{{url: '{}/api/v1/write'}}]", server.base),
    ];
    let mut rule = Component::start(binary(), "rule", &dir.path().join("rule"), &args, &[])?;
    rule.ready().await?;
    let arrived = async || value(&server.api, "{__name__=\"job:up:sum\", ruler=\"b\"}").await.is_ok();
    wait_for("the recorded series by remote write", LONG, arrived).await;
    wait_for("the state of the alert", LONG, async || {
        value(&server.api, "ALERTS{alertstate=\"firing\"}").await.is_ok()
    })
    .await;
    rule.stop(&[]).await?;
    server.stop().await
}
