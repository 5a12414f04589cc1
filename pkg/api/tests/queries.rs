//! `status/queries`: what is under way, what it took, and its end by request.

mod common;

use std::sync::Arc;

use api::ApiOptions;
use axum::body::Body;
use common::Api;
use futures::StreamExt;
use futures::future::BoxFuture;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use model::TimeRange;
use promql::EngineOptions;
use storage::{Answer, Ctx, LabelQuery, Select, SeriesSource, SeriesStream, SourceInfo};
use tokio::sync::Notify;
use tower::ServiceExt;

async fn ask(api: &Api, request: http::request::Builder) -> (StatusCode, serde_json::Value) {
    let response = api.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn listed(api: &Api, parameters: &str) -> serde_json::Value {
    let (status, body) = ask(api, Request::get(format!("/api/v1/status/queries?{parameters}"))).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body["data"].clone()
}

async fn query(api: &Api, text: &str, headers: &[(&str, &str)]) {
    let request = Request::get(format!("/api/v1/query?query={text}"));
    ask(api, headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await;
}

#[tokio::test]
async fn ended_queries_by_what_they_took_and_who_asked() {
    let api = Api::new();
    let grafana = [("X-Dashboard-Uid", "d1"), ("X-Panel-Id", "2")];
    query(&api, "1", &grafana).await;
    query(&api, "%7B__name__!=%22%22%7D", &grafana).await;
    query(&api, "label_replace(vector(1),%22a%22,%22b%22,%22c%22,%22(%22)", &[]).await;

    let ended = listed(&api, "state=ended&sort=samples").await;
    assert_eq!(ended["total"], 3);
    let first = &ended["items"][0];
    assert_eq!((first["query"].as_str(), first["dashboard"].as_str()), (Some("{__name__!=\"\"}"), Some("d1")));
    assert!(first["samples"].as_u64() > Some(0) && first["series"].as_u64() > Some(0), "{first}");
    let latest = listed(&api, "state=ended&sort=time&limit=1").await;
    assert_eq!((&latest["total"], &latest["items"][0]["error"]), (&3.into(), &"execution".into()));
    let second = listed(&api, "state=ended&sort=time&limit=1&offset=1").await;
    assert_eq!(second["items"][0]["query"], "{__name__!=\"\"}");

    let panels = listed(&api, "state=ended&group=panel&sort=samples").await;
    let told: Vec<_> =
        panels["items"].as_array().unwrap().iter().map(|g| (g["panel"].as_str(), g["count"].as_u64())).collect();
    assert_eq!(told, [(Some("2"), Some(2)), (Some(""), Some(1))]);
    assert_eq!(panels["items"][1]["failed"], 1);
    assert_eq!(listed(&api, "").await, serde_json::json!({ "total": 0, "items": [] }));
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let api = Api::new();
    for (parameters, name) in [
        ("state=x", "state"),
        ("state=ended&group=x", "group"),
        ("group=panel", "group"),
        ("sort=x", "sort"),
        ("limit=-1", "limit"),
    ] {
        let (status, body) = ask(&api, Request::get(format!("/api/v1/status/queries?{parameters}"))).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{parameters}");
        assert!(body["error"].as_str().unwrap().contains(&format!("\"{name}\"")), "{body}");
    }
}

#[tokio::test]
async fn pages_are_small_whatever_is_asked() {
    let api = Api::new();
    let long = format!("%22{}%22", "%5C%5C".repeat(5000));
    for _ in 0..150 {
        query(&api, &long, &[("X-Dashboard-Uid", &"d".repeat(5000))]).await;
    }
    let (_, body) = ask(&api, Request::get("/api/v1/status/queries?state=ended&limit=1000000")).await;
    assert_eq!(
        (body["data"]["total"].as_u64(), body["data"]["items"].as_array().map(Vec::len)),
        (Some(150), Some(100))
    );
    assert!(body.to_string().len() < 200_000, "{} bytes", body.to_string().len());
}

/// Never answers.
#[derive(Debug, Default)]
struct Stuck {
    begun: Arc<Notify>,
}

impl SeriesSource for Stuck {
    fn info(&self) -> SourceInfo {
        let (range, no) = (TimeRange::ALL, false);
        SourceInfo { label_sets: Vec::new(), range, supports_sharding: no, supports_without_replica_labels: no }
    }

    fn select(&self, _: &Ctx, _: Select) -> SeriesStream {
        self.begun.notify_one();
        futures::stream::pending().boxed()
    }

    fn label_names(&self, _: &Ctx, _: LabelQuery) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        Box::pin(async { Ok(Answer::default()) })
    }

    fn label_values(
        &self,
        _: &Ctx,
        _: &str,
        _: LabelQuery,
    ) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        Box::pin(async { Ok(Answer::default()) })
    }
}

#[tokio::test]
async fn a_query_under_way_is_seen_and_cancelled_by_its_own() {
    let stuck = Stuck::default();
    let begun = stuck.begun.clone();
    let options = ApiOptions { enforce_tenancy: true, ..ApiOptions::default() };
    let api = Arc::new(Api::over(Arc::new(stuck), options, EngineOptions::default()));
    let asking = tokio::spawn({
        let api = api.clone();
        async move { ask(&api, Request::get("/api/v1/query?query=up").header("THANOS-TENANT", "a")).await }
    });
    begun.notified().await;

    let of = |tenant: &'static str| {
        let api = api.clone();
        async move {
            ask(&api, Request::get("/api/v1/status/queries").header("THANOS-TENANT", tenant)).await.1["data"].clone()
        }
    };
    assert_eq!(of("b").await["total"], 0);
    let seen = of("a").await;
    assert_eq!((seen["total"].as_u64(), seen["items"][0]["query"].as_str()), (Some(1), Some("up")));
    let id = seen["items"][0]["id"].as_str().unwrap().to_owned();
    let cancel =
        |tenant: &str| Request::post(format!("/api/v1/status/queries/cancel?id={id}")).header("THANOS-TENANT", tenant);
    assert_eq!(ask(&api, cancel("b")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(
        ask(&api, cancel("a").header("Origin", "http://elsewhere").header("Host", "here")).await.0,
        StatusCode::FORBIDDEN
    );
    assert_eq!(ask(&api, cancel("a")).await.0, StatusCode::OK);
    assert_eq!(asking.await.unwrap().1["errorType"], "canceled");
    assert_eq!((of("a").await["total"].as_u64(), ask(&api, cancel("a")).await.0), (Some(0), StatusCode::NOT_FOUND));
}
