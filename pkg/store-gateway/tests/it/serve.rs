//! The whole component: over HTTP and gRPC, with an S3 server, with golden blocks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use assembly::Listeners;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use model::{SystemClock, TimeRange};
use objstore::OpenOptions;
use serde_json::Value;
use storage::{Ctx, LabelQuery, Select, SeriesSource, SourceInfo, collect_series};
use store_gateway::Store;
use storeapi::{ComponentType, StoreClient, fetch_info};
use telemetry::Metrics;
use testkit::s3::{FaultKind, Operation, Server};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use transport::grpc::{Channel, ClientMetrics, ClientOptions, Compression, connect};

use crate::common::*;

const HOUR: i64 = 3_600_000;

pub struct Running {
    pub channel: Channel,
    pub client: StoreClient,
    http: String,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), assembly::Error>>,
}

pub async fn start(component: Store) -> Running {
    let listeners = Listeners::loopback().await.unwrap();
    let address = listeners.grpc_address().unwrap().unwrap().to_string();
    let http_address = listeners.http_address().unwrap().to_string();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(assembly::serve(component, listeners, shutdown.clone()));
    let options = ClientOptions {
        tls: None,
        compression: Compression::None,
        metrics: ClientMetrics::new(&Metrics::new()),
        connect_timeout: Duration::from_secs(5),
    };
    let channel = connect(&address, &options).unwrap();
    let client = client(&address, channel.clone());
    Running { channel, client, http: http_address, shutdown, task }
}

pub fn client(address: &str, channel: Channel) -> StoreClient {
    let info = SourceInfo {
        label_sets: vec![],
        range: TimeRange::ALL,
        supports_sharding: true,
        supports_without_replica_labels: true,
    };
    StoreClient::new(address, channel, info)
}

impl Running {
    pub async fn wait_ready(&self) {
        let ready = async || fetch_info(&Ctx::background(), "it", self.channel.clone()).await.is_ok();
        testkit::wait_for("the first sync", Duration::from_secs(20), ready).await;
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        drop((self.client, self.channel));
        self.task.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_grpc() {
    let mut f = Fixture::new();
    for n in 0..3u128 {
        let (from, cluster) = (n as i64 / 2 * HOUR, if n % 2 == 0 { "a" } else { "b" });
        f.raw(n, &[("cluster", cluster), ("replica", "r")], (from, from + HOUR), fleet("up", 300, from, 240)).await;
    }
    let running = start(f.component(|c| c.grpc.serve.grace = Duration::from_secs(5))).await;
    running.wait_ready().await;
    let info = fetch_info(&Ctx::background(), "it", running.channel.clone()).await.unwrap();
    assert_eq!((info.component, info.sets.len()), (ComponentType::Store, 2));
    assert!(info.source.supports_sharding && info.source.supports_without_replica_labels);
    assert_eq!(info.source.range, TimeRange::new(0, 2 * HOUR));
    let without: Arc<[String]> = Arc::from(["replica".to_owned()]);
    for want in [
        select((0, 2 * HOUR), &["__name__=up"]),
        select((0, 2 * HOUR), &["__name__=up", "cluster=a", "job=~job-[12]"]),
        Select { without_replica_labels: without, ..select((0, 2 * HOUR), &["__name__=up"]) },
        Select { skip_chunks: true, ..select((0, HOUR), &["__name__=up"]) },
    ] {
        let got = collect_series(running.client.select(&Ctx::background(), want.clone())).await.unwrap();
        assert_eq!((got.value, got.warnings.len()), (f.right(&want).await, 0));
    }
    let query = LabelQuery::new(TimeRange::new(0, 2 * HOUR), vec![m("cluster=b")]);
    let values = running.client.label_values(&Ctx::background(), "job", query).await.unwrap().value;
    assert_eq!(values.len(), 7);
    running.stop().await;
}

/// Limits and errors as codes that the family knows.
#[tokio::test]
async fn errors_over_grpc() {
    let mut f = Fixture::new();
    f.raw(1, &[("cluster", "a")], (0, HOUR), fleet("up", 300, 0, 240)).await;
    let running = start(f.component(|c| c.limits.touched_series = 299)).await;
    running.wait_ready().await;
    let want = select((0, HOUR), &["__name__=up"]);
    let error = collect_series(running.client.select(&Ctx::background(), want)).await.unwrap_err();
    assert!(matches!(&error, storage::Error::Limit(t) if t.contains("limit 299")), "{error:?}");
    running.stop().await;
    // Before the first sync: no Info, no series, not ready.
    f.faults.always("down", None, "", objstore::faults::Effect::Fail(objstore::ErrorKind::Unavailable));
    let running = start(f.component(|_| {})).await;
    let error = fetch_info(&Ctx::background(), "it", running.channel.clone()).await.unwrap_err();
    assert!(matches!(error, storage::Error::Unavailable(_)), "{error:?}");
    let want = select((0, HOUR), &["__name__=up"]);
    let error = collect_series(running.client.select(&Ctx::background(), want)).await.unwrap_err();
    assert!(matches!(error, storage::Error::Unavailable(_)), "{error:?}");
    assert!(!running.http.is_empty());
    running.stop().await;
}

async fn call(component: &Store, method: &str, uri: &str, body: &str) -> (StatusCode, String) {
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(body.to_owned()))
        .unwrap();
    let response = assembly::http_router(component).oneshot(request).await.unwrap();
    let cors = response.headers().contains_key("access-control-allow-origin");
    assert!(cors || !uri.starts_with("/api"), "{uri} without CORS");
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn http() {
    let mut f = Fixture::new();
    let id = f.raw(1, &[("cluster", "<a>")], (0, HOUR), fleet("up", 3, 0, 3)).await;
    let component = f.component(|c| {
        c.web_label = "cluster".into();
        c.http.shown_flags = vec![("data-dir".into(), "./data".into())];
    });
    assert_eq!(call(&component, "GET", "/-/ready", "").await.0, StatusCode::SERVICE_UNAVAILABLE);
    component.syncer.sync().await.unwrap();
    assert_eq!(call(&component, "GET", "/-/ready", "").await.0, StatusCode::OK);
    for view in ["", "?view=loaded", "?view=global"] {
        let (status, text) = call(&component, "GET", &format!("/api/v1/blocks{view}"), "").await;
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &json["status"]), (StatusCode::OK, &Value::from("success")));
        assert_eq!(json["data"]["blocks"][0]["ulid"], id.to_string());
        assert_eq!(json["data"]["blocks"][0]["thanos"]["labels"]["cluster"], "<a>");
        assert_eq!((&json["data"]["label"], &json["data"]["err"]), (&Value::from("cluster"), &Value::Null));
    }
    let (_, text) = call(&component, "GET", "/api/v1/status/flags", "").await;
    assert!(text.contains(r#""data-dir":"./data""#), "{text}");
    assert!(call(&component, "GET", "/api/v1/status/buildinfo", "").await.1.contains(r#""version":"#));
    let (status, page) = call(&component, "GET", "/loaded", "").await;
    assert!(status == StatusCode::OK && page.starts_with("<!doctype html>"), "{page}");
    assert!(call(&component, "GET", "/ui.json", "").await.1.contains(r#""component":"store""#));
    assert_eq!(call(&component, "GET", "/", "").await.0, StatusCode::FOUND);
    for (body, want) in [
        ("", "ID cannot be empty"),
        ("id=x", "Action cannot be empty"),
        ("id=x&action=DELETION", "is not valid"),
        (&*format!("id={id}&action=EAT"), "not supported marker EAT"),
        ("id=01M7XNEDBRHMVA77T71GPE1DE5&action=DELETION", "is not in the bucket"),
        (&*format!("id={id}&action=NO_COMPACTION&detail=why"), "success"),
        (&*format!("id={id}&action=DELETION"), "success"),
        (&*format!("id={id}&action=DELETION"), "success"),
    ] {
        let (status, text) = call(&component, "POST", "/api/v1/blocks/mark", body).await;
        assert!(text.contains(want), "{body}: {text}");
        assert_eq!(status == StatusCode::OK, want == "success");
    }
    let (_, text) = call(&component, "POST", &format!("/api/v1/blocks/mark?id={id}&action=EAT"), "").await;
    assert!(text.contains("not supported marker EAT"), "{text}");
    let mark = f.plain.get(&format!("{id}/no-compact-mark.json")).await.unwrap();
    assert!(String::from_utf8_lossy(&mark).contains("\"details\":\"why\""));
    assert!(f.plain.exists(&format!("{id}/deletion-mark.json")).await.unwrap());
    let component = f.gateway(|c| {
        c.http.admin_disabled = true;
        c.http.pages_disabled = true;
    });
    let component = component.await;
    let (status, text) = call(&component, "POST", "/api/v1/blocks/mark", &format!("id={id}&action=DELETION")).await;
    assert!(status == StatusCode::BAD_REQUEST && text.contains("Admin operations are disabled"), "{text}");
    assert_eq!(call(&component, "GET", "/loaded", "").await.0, StatusCode::NOT_FOUND);
    assert!(call(&component, "GET", "/metrics", "").await.1.contains("thanos_bucket_store_blocks_loaded 1"));
}

#[tokio::test]
async fn blocks_in_pages() {
    let mut f = Fixture::new();
    let id = f.raw(1, &[("cluster", "a")], (0, HOUR), fleet("up", 3, 0, 3)).await;
    let component = f.component(|_| {});
    component.syncer.sync().await.unwrap();
    let (_, text) = call(&component, "GET", "/api/v1/blocks?limit=5&brief=true", "").await;
    let page = &serde_json::from_str::<Value>(&text).unwrap()["data"];
    assert_eq!((&page["total"], &page["next"]), (&Value::from(1), &Value::Null));
    assert!(page["blocks"][0]["sizeBytes"].is_u64() && page["blocks"][0]["compaction"]["sources"].is_null());
    let (_, text) = call(&component, "GET", &format!("/api/v1/blocks?limit=5&next={id}"), "").await;
    assert!(text.contains(r#""blocks":[]"#) && text.contains(r#""total":1"#), "{text}");
    let (status, text) = call(&component, "GET", "/api/v1/blocks?limit=none", "").await;
    assert!(status == StatusCode::BAD_REQUEST && text.contains("limit"), "{text}");
}

fn golden() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/golden-blocks");
    std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect()
}

/// Blocks that Prometheus wrote, from an S3 server that throttles, fails and cuts bodies now and then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_blocks_over_s3() {
    let server = Server::start().await;
    let config = objstore::Config::parse(&server.config_yaml(), &|_| None).unwrap();
    let bucket = config.open(&OpenOptions::default()).unwrap();
    let mut f = Fixture::new();
    f.plain = bucket.clone();
    for dir in golden() {
        f.copy(&dir).await;
    }
    f.bucket = bucket;
    let component = f.gateway(|_| {}).await;
    let want = select((i64::MIN, i64::MAX), &["__name__=~.+", "__name__!=x"]);
    let got = ask(&component, &want).await;
    assert_eq!(got.warnings, Vec::<String>::new());
    assert!(got.value.len() > 400, "{}", got.value.len());
    let right = f.right(&want).await;
    assert_eq!(got.value, right);
    let kinds = [
        FaultKind::Status(503),
        FaultKind::Status(500),
        FaultKind::Cut(10),
        FaultKind::Short(10),
        FaultKind::Flip(700),
    ];
    for kind in kinds {
        let component = f.gateway(|c| c.data_dir = None).await;
        server.fault(testkit::s3::Fault::next(1, Operation::Get, "/index", kind));
        server.fault(testkit::s3::Fault::next(1, Operation::Get, "/chunks/", kind));
        let again = ask(&component, &want).await;
        server.clear_faults();
        assert_eq!(again, got, "{kind:?}");
    }
    // 403 is for good.
    let component = f.gateway(|c| c.data_dir = None).await;
    server.fault(testkit::s3::Fault::next(u64::MAX, Operation::Get, "/index", FaultKind::Status(403)));
    let denied = ask(&component, &want).await;
    assert!(denied.value.is_empty() && denied.warnings.len() == golden().len(), "{:?}", denied.warnings);
}

/// A directory as the bucket.
#[tokio::test]
async fn golden_blocks_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", dir.path().join("bucket").display());
    let bucket = objstore::Config::parse(&yaml, &|_| None).unwrap().open(&OpenOptions::default()).unwrap();
    let mut f = Fixture::new();
    f.plain = bucket.clone();
    for path in golden() {
        f.copy(&path).await;
    }
    let mut config = config();
    config.data_dir = Some(dir.path().join("data"));
    let component = build(config, bucket, Arc::new(SystemClock), Metrics::new());
    component.syncer.sync().await.unwrap();
    let want = select((i64::MIN, i64::MAX), &["__name__!="]);
    let right = f.right(&want).await;
    assert_eq!(ask(&component, &want).await.value.len(), right.len());
}
