//! `aion server` beside the real Prometheus: what both scrape, and what one sends to the other.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use serde_json::Value;
use testkit::{Process, free_port, wait_for};
use tests::aion::binary;
use tests::client::http;
use tests::peer::{Prometheus, PrometheusOptions, on_path, prometheus};

const LONG: Duration = Duration::from_secs(60);

fn server() -> PrometheusOptions {
    PrometheusOptions { subcommand: Some("server"), ..Default::default() }
}

/// Serves a page for as long as the test runs.
pub(crate) async fn serve(page: impl Fn() -> (String, String) + Clone + Send + Sync + 'static) -> anyhow::Result<u16> {
    let handler = get(move || {
        let (content_type, body) = page();
        async move { ([(CONTENT_TYPE, content_type)], body) }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/metrics", handler)).await });
    Ok(port)
}

/// Labels with bounds and quantiles as Prometheus 3 writes them: `1` is `1.0`.
fn identity(metric: &Value) -> String {
    let labels = metric.as_object().into_iter().flatten().map(|(name, value)| {
        let text = value.as_str().unwrap_or_default();
        let number = text.parse::<f64>().ok().filter(|_| name == "le" || name == "quantile");
        (name.clone(), number.map_or(text.to_owned(), |n| n.to_string()))
    });
    format!("{:?}", labels.collect::<BTreeMap<_, _>>())
}

/// All series of the job by their labels, with their values.
async fn series(of: &Prometheus) -> anyhow::Result<BTreeMap<String, String>> {
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs_f64();
    let answer = of.api.query("{job=\"node\"}", now_s).await?;
    let result = answer["data"]["result"].as_array().with_context(|| answer.to_string())?;
    let entry = |series: &Value| (identity(&series["metric"]), series["value"][1].as_str().unwrap_or("").to_owned());
    // How long a scrape took, and which formats were asked for, is not the target's doing.
    let own = |name: &Value| name.as_str().is_some_and(|n| n.starts_with("scrape_") || n.starts_with("promhttp_"));
    Ok(result.iter().filter(|s| !own(&s["metric"]["__name__"])).map(entry).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_exporter_is_scraped_as_prometheus_scrapes_it() -> anyhow::Result<()> {
    let Some(program) = prometheus("a_node_exporter_is_scraped_as_prometheus_scrapes_it") else { return Ok(()) };
    let Some(exporter) = on_path("prometheus-node-exporter") else {
        testkit::skip_without(
            "prometheus-node-exporter on PATH",
            "a_node_exporter_is_scraped_as_prometheus_scrapes_it",
        );
        return Ok(());
    };
    let port = free_port()?;
    let mut command = Command::new(exporter);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).stdin(Stdio::null()).stderr(Stdio::null());
    let _exporter = Process::start(&mut command)?;
    let (client, url) = (http()?, format!("http://127.0.0.1:{port}/metrics"));
    wait_for("the exporter", LONG, async || client.get(&url).send().await.is_ok()).await;
    // One body for both, in the format that both ask for first.
    let accept = "application/openmetrics-text;version=1.0.0";
    let answer = client.get(&url).header("Accept", accept).send().await?;
    let content_type = answer.headers()["content-type"].to_str()?.to_owned();
    let body = answer.text().await?;
    ensure!(body.lines().count() > 500, "{body}");
    let target = serve(move || (content_type.clone(), body.clone())).await?;

    let dir = tempfile::Builder::new().prefix("aion-scrape-").tempdir()?;
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: node\n  static_configs: [{{targets: [\"127.0.0.1:{target}\"]}}]\n"
    );
    let options = PrometheusOptions { config: Some(config), ..Default::default() };
    let theirs = Prometheus::start(&program, &dir.path().join("theirs"), &options).await?;
    let ours = PrometheusOptions { subcommand: Some("server"), ..options };
    let ours = Prometheus::start(binary(), &dir.path().join("ours"), &ours).await?;
    let up =
        async || series(&theirs).await.is_ok_and(|s| s.len() > 100) && series(&ours).await.is_ok_and(|s| s.len() > 100);
    wait_for("both to have scraped", LONG, up).await;
    let (expected, got) = (series(&theirs).await?, series(&ours).await?);
    for (labels, value) in &expected {
        ensure!(got.get(labels) == Some(value), "{labels}: {value} there, {:?} here", got.get(labels));
    }
    ensure!(got.len() == expected.len(), "{} series there, {} here", expected.len(), got.len());
    ours.stop().await?;
    theirs.stop().await
}

/// Files that change are loaded without being asked to, those that the configuration names too. Mistakes are told, and what
/// was in force stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_change_are_loaded_and_mistakes_are_told() -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("aion-reload-").tempdir()?;
    let included = dir.path().join("jobs.yml");
    let jobs = |name: &str| {
        format!("scrape_configs: [{{job_name: {name}, static_configs: [{{targets: ['127.0.0.1:1']}}]}}]\n")
    };
    std::fs::write(&included, jobs("first"))?;
    let options = PrometheusOptions {
        config: Some("scrape_config_files: [jobs.yml]\n".to_owned()),
        flags: ["--config.auto-reload", "--config.auto-reload-interval=100ms"].map(str::to_owned).into(),
        ..server()
    };
    let ours = Prometheus::start(binary(), dir.path(), &options).await?;
    let pools =
        async || ours.api.get("/api/v1/scrape_pools", &[]).await.unwrap_or_default()["data"]["scrapePools"].clone();
    let loaded = async || ours.api.metric("prometheus_config_last_reload_successful", "").await.unwrap_or(-1.0);
    let has = async |name: &str| wait_for(name, LONG, async || pools().await == serde_json::json!([name])).await;
    has("first").await;
    std::fs::write(&included, jobs("second"))?;
    has("second").await;
    ensure!(loaded().await == 1.0);
    std::fs::write(&included, "scrape_configs: [{job_name: }]\nnonsense: [")?;
    wait_for("the mistake to be told", LONG, async || loaded().await == 0.0).await;
    ensure!(pools().await == serde_json::json!(["second"]), "what was in force stays");
    std::fs::write(dir.path().join("prometheus.yml"), "global: {scrape_interval: nonsense}\n")?;
    std::fs::write(&included, jobs("third"))?;
    let log = dir.path().join("prometheus.log");
    let told = async || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("scrape_interval"));
    wait_for("the second mistake to be told", LONG, told).await;
    std::fs::write(dir.path().join("prometheus.yml"), "scrape_config_files: [jobs.yml]\n")?;
    has("third").await;
    wait_for("success to be told", LONG, async || loaded().await == 1.0).await;
    ours.stop().await
}

/// Times and values of all samples of `counted`.
/// Each way to put an expression into another, as deep as queries may go and deeper.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_query_is_too_deep_for_the_server() -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("aion-deep-").tempdir()?;
    let ours = Prometheus::start(binary(), dir.path(), &server()).await?;
    for (before, after) in [
        ("(", ")"),
        ("-", ""),
        ("sum(", ")"),
        ("topk(1, ", ")"),
        ("sum by (a) (", ")"),
        ("abs(", ")"),
        ("label_replace(", ", \"a\", \"$1\", \"b\", \"(.*)\")"),
        ("max_over_time((", ")[5m:1m])"),
        ("1 + (", ")"),
        ("x and on (a) (", ")"),
        ("info(", ")"),
    ] {
        for levels in [50, 90, 99, 150, 190, 199, 10_000] {
            let query = format!("{}up{}", before.repeat(levels), after.repeat(levels));
            let answered = ours.api.post("/api/v1/query", &[("query", &query)]).await;
            let (status, answer) = answered.with_context(|| format!("{levels} times {before}"))?;
            ensure!(status == 200 || status == 400, "{levels} times {before}: {answer}");
        }
    }
    ours.stop().await
}

async fn samples(of: &Prometheus, until_s: f64) -> anyhow::Result<BTreeMap<String, String>> {
    let answer = of.api.query("counted[1h]", until_s).await?;
    let points = answer["data"]["result"][0]["values"].as_array().with_context(|| answer.to_string())?;
    Ok(points.iter().map(|p| (p[0].to_string(), p[1].to_string())).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn remote_write_of_prometheus_loses_nothing_while_both_restart() -> anyhow::Result<()> {
    let Some(program) = prometheus("remote_write_of_prometheus_loses_nothing_while_both_restart") else {
        return Ok(());
    };
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    let target = serve(move || {
        let n = counted.fetch_add(1, Ordering::Relaxed);
        ("text/plain; version=0.0.4".to_owned(), format!("# TYPE counted counter\ncounted {n}\n"))
    })
    .await?;
    let dir = tempfile::Builder::new().prefix("aion-remote-write-").tempdir()?;
    let port = free_port()?;
    let config = format!(
        "global: {{scrape_interval: 100ms, scrape_timeout: 100ms}}\n\
         remote_write:\n- url: http://127.0.0.1:{port}/api/v1/write\n  queue_config: {{batch_send_deadline: 100ms, min_backoff: 10ms, max_backoff: 100ms}}\n\
         scrape_configs:\n- job_name: t\n  static_configs: [{{targets: [\"127.0.0.1:{target}\"]}}]\n"
    );
    let sending = PrometheusOptions { config: Some(config), ..Default::default() };
    let receiving = PrometheusOptions { port: Some(port), ..server() };
    let (theirs_dir, ours_dir) = (dir.path().join("theirs"), dir.path().join("ours"));
    let more = async |by: u64| {
        let until = count.load(Ordering::Relaxed) + by;
        wait_for("more scrapes", LONG, async || count.load(Ordering::Relaxed) >= until).await;
    };
    let mut ends = Vec::new();
    let mut ours = Prometheus::start(binary(), &ours_dir, &receiving).await?;
    let mut theirs = Prometheus::start(&program, &theirs_dir, &sending).await?;
    for round in 0..6 {
        more(8).await;
        if round == 3 {
            ends.push(now_s()?);
            theirs.stop().await?;
            theirs = Prometheus::start(&program, &theirs_dir, &sending).await?;
        } else {
            ours.crash()?;
            more(3).await;
            ours = Prometheus::start(binary(), &ours_dir, &receiving).await?;
        }
    }
    more(5).await;
    ends.push(now_s()?);
    theirs.stop().await?;
    let until_s = now_s()?;
    let kept = samples(&ours, until_s).await?;
    let reference = read_back(&program, &theirs_dir, until_s).await?;
    // A sender goes on behind its newest sample when it starts: what it had not sent at its end is its own loss.
    let near_an_end = |time: &str| time.parse::<f64>().is_ok_and(|t| ends.iter().any(|end| (end - t).abs() < 1.0));
    let missing = |(time, value): &(&String, &String)| kept.get(*time) != Some(*value) && !near_an_end(time);
    let lost: Vec<_> = reference.iter().filter(missing).collect();
    ensure!(lost.is_empty(), "{} of {} samples are not here: {lost:?}", lost.len(), reference.len());
    ensure!(kept.iter().all(|(time, value)| reference.get(time) == Some(value)), "samples that were never sent");
    ours.stop().await
}

fn now_s() -> anyhow::Result<f64> {
    Ok(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs_f64())
}

/// What a Prometheus that was stopped has on disk.
async fn read_back(program: &Path, dir: &Path, now_s: f64) -> anyhow::Result<BTreeMap<String, String>> {
    let idle = Prometheus::start(program, dir, &PrometheusOptions::default()).await?;
    let all = samples(&idle, now_s).await?;
    idle.stop().await?;
    Ok(all)
}
