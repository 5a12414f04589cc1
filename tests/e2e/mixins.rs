//! The dashboards and alerts of others find what they read: each component exports the metrics, with the labels, that the mixins of
//! Thanos and Prometheus ask a component of its kind for. `testdata/mixins` has the names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use tests::aion::{Component, binary};
use tests::blocks::{START_MS, World};
use tests::client::Api;
use tests::peer::{Prometheus, PrometheusOptions};

const WITHIN: Duration = Duration::from_secs(90);

/// Names that Thanos' dashboards still read, and no Thanos has any more: `thanos_compact_blocks_marked_total` and
/// `thanos_compact_downsample_failures_total` have taken their place.
const RENAMED: [&str; 2] =
    ["thanos_compact_blocks_marked_for_deletion_total", "thanos_compact_downsample_failed_total"];
const RULES: &str = "groups:\n- name: g\n  interval: 1s\n  rules:\n  - {record: ones, expr: 'vector(1)'}\n  - {alert: A, expr: 'vector(1)'}\n";

/// A metric and the labels that are asked for.
type Wanted = (String, BTreeSet<String>);

/// The rows of a table whose first field is `component`; all rows where the table has no components.
fn wanted(file: &str, component: Option<&str>) -> Vec<Wanted> {
    let path = tests::root().join("testdata/mixins").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let rows = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut fields = line.split('\t');
        let of = component.map(|_| fields.next().unwrap_or_default());
        let name = fields.next()?.to_owned();
        let labels =
            fields.next().unwrap_or_default().split(',').filter(|l| !l.is_empty()).map(str::to_owned).collect();
        (of == component && !RENAMED.contains(&name.as_str())).then_some((name, labels))
    });
    let rows: Vec<Wanted> = rows.collect();
    assert!(rows.len() > 4, "{file}: {component:?} has {} rows", rows.len());
    rows
}

/// The label names of each series on a page of metrics, by metric.
fn exported(page: &str) -> BTreeMap<&str, Vec<BTreeSet<&str>>> {
    let mut all: BTreeMap<&str, Vec<BTreeSet<&str>>> = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, rest)) = line.split_once(['{', ' ']) else { continue };
        // Each label name stands before `="`, after a comma or at the start.
        let names = rest.split("=\"").filter_map(|part| part.rsplit([',', '{']).next());
        let names = names.filter(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
        all.entry(name).or_default().push(names.collect());
    }
    all
}

/// What of `wanted` is not on the page.
fn missing(wanted: &[Wanted], page: &str) -> Vec<String> {
    let exported = exported(page);
    let is_there = |(name, labels): &Wanted| {
        let series = exported.get(name.as_str()).map_or(&[][..], Vec::as_slice);
        series.iter().any(|has| labels.iter().all(|label| has.contains(label.as_str())))
    };
    wanted.iter().filter(|row| !is_there(row)).map(|(name, labels)| format!("{name} {labels:?}")).collect()
}

/// Waits until all that is wanted is exported; meanwhile `ask` is done again and again.
async fn finds(what: &str, wanted: &[Wanted], api: &Api, ask: impl AsyncFn()) {
    let deadline = tokio::time::Instant::now() + WITHIN;
    loop {
        ask().await;
        let page = api.get_bytes("/metrics", &[]).await.unwrap();
        let missing = missing(wanted, &String::from_utf8(page).unwrap());
        if missing.is_empty() {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what} does not export\n{}", missing.join("\n"));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A remote storage that takes everything, and an Alertmanager.
async fn receiver() -> String {
    let routes = Router::new()
        .route("/write", post(async || StatusCode::NO_CONTENT))
        .route("/api/v2/alerts", post(async || StatusCode::OK));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address.to_string()
}

/// A server that scrapes itself, with rules, an Alertmanager, a remote storage, and a discovery that fails.
async fn server(dir: &Path) -> Prometheus {
    let (port, receiver) = (testkit::free_port().unwrap(), receiver().await);
    std::fs::write(dir.join("rules.yml"), RULES).unwrap();
    let config = format!(
        "global: {{scrape_interval: 1s, external_labels: {{cluster: eu, replica: a}}}}\n\
         rule_files: [{:?}]\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{receiver}']}}]}}]}}\n\
         remote_write:\n\
         - url: http://{receiver}/write\n\
         \x20 write_relabel_configs: [{{source_labels: [__name__], regex: up, action: drop}}]\n\
         scrape_configs:\n\
         - job_name: self\n\
         \x20 static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n\
         - job_name: nobody\n\
         \x20 http_sd_configs: [{{url: 'http://127.0.0.1:1/'}}]\n",
        dir.join("rules.yml").display().to_string()
    );
    let options =
        PrometheusOptions { subcommand: Some("server"), config: Some(config), port: Some(port), ..Default::default() };
    Prometheus::start(binary(), &dir.join("server"), &options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_mixin_finds_its_metrics() {
    let dir = tempfile::Builder::new().prefix("aion-mixins-").tempdir().unwrap();
    let server = server(dir.path()).await;
    let ask = async || {
        let _ = server.api.query("up", 1.0).await;
    };
    finds("aion server", &wanted("prometheus.tsv", None), &server.api, ask).await;
    server.stop().await.unwrap();
}

async fn component(name: &str, dir: &Path, args: &[String]) -> Component {
    let mut component = Component::start(binary(), name, &dir.join(name), args, &[]).unwrap();
    component.ready().await.unwrap();
    component
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thanos_mixin_finds_its_metrics() {
    let dir = tempfile::Builder::new().prefix("aion-mixins-").tempdir().unwrap();
    let (dir, bucket) = (dir.path(), dir.path().join("bucket"));
    std::fs::create_dir_all(&bucket).unwrap();
    World { clusters: vec!["eu"], replicas: vec![("a", 0)], blocks: 2 }.write(&bucket).unwrap();
    let bucket =
        format!("--objstore.config={{type: FILESYSTEM, config: {{directory: {:?}}}}}", bucket.display().to_string());
    let data = |name: &str| format!("--data-dir={}", dir.join(name).join("data").display());
    let server = server(dir).await;
    let path = format!("--tsdb.path={}", server.data().display());
    let sidecar = [format!("--prometheus.url={}", server.base), path, bucket.clone()];
    let sidecar = component("sidecar", dir, &sidecar).await;
    let store = component("store", dir, &[data("store"), bucket.clone()]).await;
    let by_name = |address: &str| format!("dns+localhost:{}", address.rsplit(':').next().unwrap_or_default());
    let endpoints = [
        format!("--endpoint={}", sidecar.grpc),
        format!("--endpoint={}", store.grpc),
        // Found by name.
        format!("--endpoint={}", by_name(&store.grpc)),
    ];
    let query = component("query", dir, &endpoints).await;
    let (address, alertmanager) = (query.api.base.trim_start_matches("http://"), receiver().await);
    let rule = [
        data("rule"),
        bucket.clone(),
        format!("--query={}", by_name(address)),
        format!("--alertmanagers.url=http://{alertmanager}"),
        format!("--alertmanagers.url=dns+http://localhost:{}", by_name(&alertmanager).rsplit(':').next().unwrap()),
        format!("--rule-file={}", dir.join("rules.yml").display()),
        "--label=ruler=\"a\"".to_owned(),
    ];
    let rule = component("rule", dir, &rule).await;
    // Another querier asks what the first one and the ruler serve.
    let asked = [format!("--endpoint={}", query.grpc), format!("--endpoint={}", rule.grpc)];
    let above = component("query", &dir.join("above"), &asked).await;
    let ask = async || {
        let then_s = (START_MS / 1000 + 3600) as f64;
        for api in [&query.api, &above.api] {
            for path in ["/api/v1/query?query=temperature", "/api/v1/query?query=up", "/api/v1/query?query=ones"] {
                // Endpoints that are not known yet make warnings, no errors.
                let _ = api.get_bytes(path, &[]).await;
            }
            let _ = api.query("temperature", then_s).await;
            let _ = api.query_range("temperature", then_s - 600.0, then_s, 60.0).await;
        }
    };
    for (name, api) in [("query", &query.api), ("store", &store.api), ("sidecar", &sidecar.api), ("rule", &rule.api)] {
        finds(&format!("aion {name}"), &wanted("thanos.tsv", Some(name)), api, &ask).await;
    }
    for component in [above, rule, query, store, sidecar] {
        component.stop(&[]).await.unwrap();
    }
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thanos_mixin_finds_its_metrics_of_the_compactor() {
    let dir = tempfile::Builder::new().prefix("aion-mixins-").tempdir().unwrap();
    let (dir, bucket) = (dir.path(), dir.path().join("bucket"));
    std::fs::create_dir_all(&bucket).unwrap();
    World { clusters: vec!["eu"], replicas: vec![("a", 0)], blocks: 8 }.write(&bucket).unwrap();
    let port = testkit::free_port().unwrap();
    let log = std::fs::File::create(dir.join("compact.log")).unwrap();
    let mut command = std::process::Command::new(binary());
    command.args(["compact", "--wait", "--consistency-delay=0s"]);
    command.arg(format!(
        "--objstore.config={{type: FILESYSTEM, config: {{directory: {:?}}}}}",
        bucket.display().to_string()
    ));
    command.arg(format!("--data-dir={}", dir.join("data").display())).arg(format!("--http-address=127.0.0.1:{port}"));
    let mut process = testkit::Process::start(command.stdin(std::process::Stdio::null()).stderr(log)).unwrap();
    let api = Api::new(&format!("http://127.0.0.1:{port}")).unwrap();
    testkit::wait_for("the compactor", WITHIN, async || api.ready().await).await;
    finds("aion compact", &wanted("thanos.tsv", Some("compact")), &api, async || ()).await;
    process.kill().unwrap();
}
