//! Configuration and rules that change under a real Prometheus.

mod common;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::*;
use labels::Labels;
use model::SystemClock;
use sidecar::Reloader;
use sidecar::reloader::{Env, Method, ReloaderOptions};
use storage::RuleKind;
use telemetry::Metrics;
use testkit::wait_for;
use tokio_util::sync::CancellationToken;

fn env() -> Env {
    Arc::new(|name| (name == "ZONE").then(|| "z1".to_owned()))
}

fn rule(name: &str) -> String {
    format!("groups:\n- name: g\n  rules:\n  - record: {name}\n    expr: up\n")
}

/// Writes as a mounted ConfigMap changes: the file is replaced.
fn replace(path: &Path, content: &[u8]) {
    let new = path.with_extension("new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, path).unwrap();
}

fn options(dir: &Path) -> ReloaderOptions {
    ReloaderOptions {
        config_file: Some(dir.join("in/prometheus.yml")),
        output_file: Some(dir.join("prometheus.yml")),
        rule_dirs: vec![dir.join("rules")],
        watch_interval: Duration::from_secs(3600),
        retry_interval: Duration::from_millis(100),
        settle: Duration::from_millis(10),
        ..ReloaderOptions::default()
    }
}

async fn cycles(p: &Prometheus, options: ReloaderOptions) {
    let (dir, client) = (p.dir.path().to_owned(), p.client());
    std::fs::create_dir_all(dir.join("in")).unwrap();
    let source = dir.join("in/prometheus.yml");
    let text = |label: &str| config_text(p.port, &[("zone", label)]);
    std::fs::write(&source, text("$(ZONE)")).unwrap();
    let metrics = Metrics::new();
    let shutdown = CancellationToken::new();
    let reloader = Reloader::new(options, client.clone(), env(), Arc::new(SystemClock), &metrics);
    let task = tokio::spawn(reloader.run(shutdown.clone()));

    let external =
        async |want: &str| client.external_labels().await.is_ok_and(|l| l == Labels::from_pairs([("zone", want)]));
    wait_for("the expanded configuration", LONG, async || external("z1").await).await;
    // a rule
    let rules = async |want: &str| {
        let groups = client.rules(RuleKind::All).await.unwrap().value;
        groups.iter().flat_map(|g| &g.rules).any(|r| r.name == want)
    };
    replace(&dir.join("rules/a.yml"), rule("one").as_bytes());
    wait_for("a new rule", LONG, async || rules("one").await).await;
    replace(&dir.join("rules/a.yml"), rule("two").as_bytes());
    wait_for("a changed rule", LONG, async || rules("two").await).await;
    // a variable that is not set: the file before stays in force
    replace(&source, text("$(NOPE)").as_bytes());
    let says = |line: &str| metrics.encode().lines().any(|l| l.starts_with(line));
    wait_for("the failure", LONG, async || {
        says("thanos_sidecar_reloader_config_environment_variable_expansion_errors 1")
    })
    .await;
    assert!(external("z1").await);
    // a configuration that prometheus refuses, then a good one, gzipped
    replace(&source, b"global: [\n");
    wait_for("the refusal", LONG, async || says("thanos_sidecar_reloader_last_reload_successful 0")).await;
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(text("packed").as_bytes()).unwrap();
    replace(&source, &gz.finish().unwrap());
    wait_for("the packed configuration", LONG, async || external("packed").await).await;
    wait_for("its success", LONG, async || says("thanos_sidecar_reloader_last_reload_successful 1")).await;
    shutdown.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn by_http() {
    if !have_prometheus("by_http") {
        return;
    }
    let p = Prometheus::start(&[], &["--web.enable-lifecycle"], |_| {}).await;
    cycles(&p, options(p.dir.path())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_signal() {
    if !have_prometheus("by_signal") {
        return;
    }
    let p = Prometheus::start(&[], &[], |_| {}).await;
    // a view of /proc with this one server, for others may run beside it
    let proc = tempfile::tempdir().unwrap();
    let own = proc.path().join(p.pid().to_string());
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("comm"), "prometheus\n").unwrap();
    let method = Method::Signal { process_name: "prometheus".to_owned() };
    cycles(&p, ReloaderOptions { method, proc_root: proc.path().to_owned(), ..options(p.dir.path()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_lifecycle_api() {
    if !have_prometheus("without_lifecycle_api") {
        return;
    }
    let p = Prometheus::start(&[], &[], |_| {}).await;
    let error = p.client().reload().await.unwrap_err().to_string();
    assert!(error.contains("--web.enable-lifecycle"), "{error}");
}

#[tokio::test]
async fn a_first_configuration_that_cannot_be_expanded() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("in")).unwrap();
    std::fs::create_dir(dir.path().join("rules")).unwrap();
    std::fs::write(dir.path().join("in/prometheus.yml"), "a: $(NOPE)").unwrap();
    let http = transport::http::ClientConfig::default().build().unwrap();
    let client = promclient::PromClient::new("http://127.0.0.1:1", http, promclient::ClientOptions::default());
    let make = |options| Reloader::new(options, client.clone(), env(), Arc::new(SystemClock), &Metrics::new());
    let error = make(options(dir.path())).run(CancellationToken::new()).await.unwrap_err();
    assert!(error.contains("environment variable \"NOPE\" is not set"), "{error}");
    // expanded once, with no Prometheus to reload
    std::fs::write(dir.path().join("in/prometheus.yml"), "a: $(ZONE)").unwrap();
    let shutdown = CancellationToken::new();
    let once = ReloaderOptions { watch_interval: Duration::ZERO, ..options(dir.path()) };
    let task = tokio::spawn(make(once).run(shutdown.clone()));
    let output = dir.path().join("prometheus.yml");
    wait_for("the output", LONG, async || std::fs::read_to_string(&output).is_ok_and(|t| t == "a: z1")).await;
    shutdown.cancel();
    task.await.unwrap().unwrap();
}
