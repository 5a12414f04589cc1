//! What is passed on to the server behind, and what is not.

use std::sync::{Arc, Mutex};

use assembly::{Component, Deps};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use telemetry::Metrics;
use tower::ServiceExt;
use transport::http::Probe;
use uicommand::Ui;

/// What the server behind was asked: method, target, tenant, whether there was a password, body.
type Asked = Arc<Mutex<Vec<(Method, String, String, bool, String)>>>;

async fn note(State(asked): State<Asked>, request: Request) -> (StatusCode, String) {
    let (parts, body) = request.into_parts();
    let text = |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let (target, tenant, knows) = (parts.uri.to_string(), text("thanos-tenant"), !text("authorization").is_empty());
    let is_stores = parts.uri.path().ends_with("/stores");
    asked.lock().unwrap().push((parts.method, target, tenant, knows, body));
    if is_stores { (StatusCode::NOT_FOUND, String::new()) } else { (StatusCode::IM_A_TEAPOT, "answer".to_owned()) }
}

/// A server behind, and what it was asked.
async fn server() -> (String, Asked) {
    let asked = Asked::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/before", listener.local_addr().unwrap());
    let router = Router::new().fallback(note).with_state(asked.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, asked)
}

async fn pages(url: &str) -> Router {
    let args = [format!("--url={url}"), "--url.max-request-bytes=100B".to_owned()];
    let deps = Deps::isolated(Metrics::new());
    let config = assembly::configured::<Ui>(args, &deps).unwrap();
    Ui::build(config, deps, Probe::new("starting")).await.unwrap().http_routes()
}

async fn ask(pages: &Router, method: Method, target: &str, body: &str) -> (StatusCode, String) {
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header("THANOS-TENANT", "a")
        .header("Authorization", "Basic eA==")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(Body::from(body.to_owned()));
    let response = pages.clone().oneshot(request.unwrap()).await.unwrap();
    let status = response.status();
    (status, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn reads_are_passed_on_as_they_are() {
    let (url, asked) = server().await;
    let pages = pages(&url).await;
    for (method, path, body) in [
        (Method::GET, "/api/v1/query?query=up&time=1", ""),
        (Method::POST, "/api/v1/query_range", "query=up%7B%7D"),
        (Method::GET, "/api/v1/label/job/values", ""),
        (Method::GET, "/api/v1/status/tsdb/blocks", ""),
    ] {
        assert_eq!(ask(&pages, method.clone(), path, body).await, (StatusCode::IM_A_TEAPOT, "answer".to_owned()));
        let last = asked.lock().unwrap().pop().unwrap();
        assert_eq!(last, (method, format!("/before{path}"), "a".to_owned(), false, body.to_owned()));
    }
}

#[tokio::test]
async fn nothing_else_is_passed_on() {
    let (url, asked) = server().await;
    let pages = pages(&url).await;
    for (method, path, status) in [
        (Method::POST, "/api/v1/admin/tsdb/delete_series", 404),
        (Method::GET, "/api/v1/admin/tsdb/snapshot", 404),
        (Method::POST, "/api/v1/write", 404),
        (Method::GET, "/api/v1/queryx", 404),
        (Method::GET, "/api/v1/status/../../-/quit", 404),
        (Method::POST, "/api/v1/status/queries/cancel", 405),
        (Method::PUT, "/api/v1/query", 405),
        (Method::POST, "/-/quit", 404),
        (Method::GET, "/blocks", 404),
    ] {
        assert_eq!(ask(&pages, method, path, "").await.0.as_u16(), status, "{path}");
    }
    assert_eq!(ask(&pages, Method::POST, "/api/v1/query", &"x".repeat(101)).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn pages_are_those_of_what_is_behind() {
    let (url, _) = server().await;
    let pages = pages(&url).await;
    let site: Value = serde_json::from_str(&ask(&pages, Method::GET, "/ui.json", "").await.1).unwrap();
    assert_eq!((&site["component"], &site["thanos"]), (&"prometheus".into(), &false.into()));
    let (status, html) = ask(&pages, Method::GET, "/targets", "").await;
    assert!(status == StatusCode::OK && html.starts_with("<!doctype html>"));
}

#[tokio::test]
async fn a_server_that_is_gone_is_named_without_its_password() {
    let pages = pages("http://user:secret@127.0.0.1:1").await;
    let (status, text) = ask(&pages, Method::GET, "/api/v1/query?query=up", "").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(text.contains("127.0.0.1:1") && text.contains("refused") && !text.contains("secret"), "{text}");
    assert_eq!(ask(&pages, Method::GET, "/ui.json", "").await.0, StatusCode::OK);
}
