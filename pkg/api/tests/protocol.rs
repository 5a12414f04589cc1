//! What holds for all endpoints: methods, CORS, compression, size, cancellation, metrics.

mod common;

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use api::ApiOptions;
use axum::body::Body;
use common::{Api, NOW_MS};
use futures::StreamExt;
use futures::future::BoxFuture;
use http::{Method, Request, StatusCode};
use promql::EngineOptions;
use storage::{Answer, Ctx, LabelQuery, MemorySource, Select, SeriesSource, SeriesStream, SourceInfo};
use tokio::sync::mpsc;
use tower::ServiceExt;

fn request(method: Method, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut builder = Request::builder().method(method).uri(format!("/api/v1/{path}"));
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn cross_origin_headers() {
    let api = Api::new();
    for (method, path, status) in [
        (Method::OPTIONS, "query", 204),
        (Method::OPTIONS, "anything", 204),
        (Method::GET, "query?query=1", 200),
        (Method::HEAD, "status/buildinfo", 405),
        (Method::GET, "query", 400),
        (Method::GET, "nothing", 404),
        (Method::PUT, "labels", 405),
        (Method::POST, "stores", 405),
    ] {
        let got = api.send(request(method.clone(), path, &[])).await;
        assert_eq!(got.status.as_u16(), status, "{method} {path}");
        assert_eq!(got.headers["access-control-allow-origin"], "*", "{method} {path}");
        assert_eq!(got.headers["access-control-allow-methods"], "GET, POST, OPTIONS");
    }
    let api = Api::with(ApiOptions { disable_cors: true, ..ApiOptions::default() });
    let got = api.get("query?query=1").await;
    assert!(!got.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn origins_that_are_allowed() {
    let origins = labels::Matcher::new(labels::MatchType::Regex, "origin", r"https?://(a|b)\.example").unwrap();
    let api = Api::with(ApiOptions { origins: Some(origins), ..ApiOptions::default() });
    for (origin, allowed) in [
        (Some("https://a.example"), true),
        (Some("http://b.example"), true),
        (Some("https://c.example"), false),
        (Some("https://a.example.org"), false),
        (Some("null"), false),
        (None, false),
    ] {
        for method in [Method::GET, Method::OPTIONS] {
            let headers: Vec<_> = origin.map(|origin| ("origin", origin)).into_iter().collect();
            let got = api.send(request(method, "query?query=1", &headers)).await;
            let told = got.headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap());
            assert_eq!(told, origin.filter(|_| allowed), "{origin:?}");
            assert!(got.headers.get_all("vary").iter().any(|value| value == "origin"), "{origin:?}");
        }
    }
}

/// So many series that the answer is streamed.
fn wide() -> MemorySource {
    let one = |i: usize| {
        let samples: Vec<_> = (0..50).map(|t| (NOW_MS - 50_000 + t * 1000, i as f64 + 0.25)).collect();
        testkit::series(&[("__name__", "wide"), ("i", &format!("{i:04}"))], &samples)
    };
    MemorySource::new((0..500).map(one).collect())
}

#[tokio::test]
async fn large_answers_are_the_same_streamed_and_compressed() {
    let api = Api::over(Arc::new(wide()), ApiOptions::default(), EngineOptions::default());
    let path = format!("query_range?query=wide&start={}&end={}&step=1", NOW_MS / 1000 - 49, NOW_MS / 1000);
    let plain = api.send(request(Method::GET, &path, &[])).await;
    assert!(plain.body.len() > 300_000 && !plain.headers.contains_key("content-length"));
    assert_eq!(plain.json()["data"]["result"].as_array().unwrap().len(), 500);
    for encoding in ["gzip", "zstd", "snappy"] {
        let got = api.send(request(Method::GET, &path, &[("accept-encoding", encoding)])).await;
        assert_eq!(got.headers["content-encoding"], encoding);
        assert!(got.body.len() < plain.body.len() / 2, "{encoding}: {}", got.body.len());
        let mut text = Vec::new();
        match encoding {
            "gzip" => flate2::read::GzDecoder::new(&*got.body).read_to_end(&mut text).unwrap(),
            "zstd" => zstd::Decoder::new(&*got.body).unwrap().read_to_end(&mut text).unwrap(),
            _ => snap::read::FrameDecoder::new(&*got.body).read_to_end(&mut text).unwrap(),
        };
        assert!(text == plain.body, "{encoding} answers the same");
    }
    // Gzip is what browsers and Grafana name beside others.
    let got = api.send(request(Method::GET, &path, &[("accept-encoding", "gzip, snappy")])).await;
    assert_eq!(got.headers["content-encoding"], "gzip");
}

#[tokio::test]
async fn forms_have_a_size() {
    let api = Api::with(ApiOptions { body_bytes_max: 100, ..ApiOptions::default() });
    assert_eq!(api.post("query", "query=1").await.status, StatusCode::OK);
    let got = api.post("query", &format!("query={}", "1".repeat(100))).await;
    assert_eq!((got.status, got.json()["errorType"].as_str().unwrap()), (StatusCode::PAYLOAD_TOO_LARGE, "bad_data"));
    // Those of several parts count alike; the URL comes first there.
    for (value, path, status) in [("2", "query", 200), ("x(", "query?query=1", 200), (&"1".repeat(100), "query", 413)] {
        let body = format!("--b\r\nContent-Disposition: form-data; name=query\r\n\r\n{value}\r\n--b--");
        let form = Request::post(format!("/api/v1/{path}")).header("content-type", "multipart/form-data; boundary=b");
        assert_eq!(api.send(form.body(Body::from(body)).unwrap()).await.status, status, "{value} {path}");
    }
    // Only forms are read.
    let json = Request::post("/api/v1/query?query=1").header("content-type", "application/json");
    assert_eq!(api.send(json.body(Body::from("query=x(")).unwrap()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn parameters_have_a_number_and_a_length() {
    let api = Api::with(ApiOptions { parameters_max: 5, ..ApiOptions::default() });
    for name in ["match[]", "storeMatch[]", "replicaLabels[]", "file[]", "other"] {
        let few = format!("query=1&{}", vec![format!("{name}=%7Ba%3D%22b%22%7D"); 4].join("&"));
        assert_eq!(api.post("query", &few).await.status, StatusCode::OK, "{name}");
        for got in [api.post("query", &format!("{few}&x=1")).await, api.get(&format!("query?{few}&x=1")).await] {
            let json = got.json();
            assert_eq!((got.status.as_u16(), json["errorType"].as_str()), (400, Some("bad_data")), "{name}");
            assert!(json["error"].as_str().unwrap().contains("more than 5 parameters"), "{json}");
        }
    }
    for path in ["series", "labels"] {
        let got = api.post(path, &"match[]=a&".repeat(6)).await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST, "{path}");
    }
    let long = "a".repeat((1 << 20) + 1);
    for name in ["match[]", "storeMatch[]", "replicaLabels[]", "time"] {
        let got = api.post("labels", &format!("{name}={long}")).await;
        let error = got.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(name) && error.contains("1048577 bytes, more than 1048576"), "{error}");
    }
    let none = Api::with(ApiOptions { parameters_max: 0, ..ApiOptions::default() });
    assert_eq!(none.post("labels", &"match[]=a&".repeat(1500)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn regular_expressions_of_selectors_have_a_limit() {
    let mut options = EngineOptions::default();
    options.parse.max_regex_bytes = 100_000;
    let api = Api::over(Arc::new(wide()), ApiOptions::default(), options);
    let selector = |i: usize| format!("match[]=%7B__name__%3D~%22w.*[a-f]%7B1,9%7D{i}%22%7D&");
    assert_eq!(api.post("series", &selector(1)).await.status, StatusCode::OK);
    let all: String = (0..100).map(selector).collect();
    for path in ["series", "labels"] {
        let got = api.post(path, &all).await;
        assert_eq!((got.status.as_u16(), got.json()["errorType"].as_str().unwrap()), (400, "bad_data"), "{path}");
        assert!(
            got.text().contains("more than 100000 bytes when compiled (--query.max-regex-bytes)"),
            "{}",
            got.text()
        );
    }
}

#[tokio::test]
async fn answers_count_while_they_are_sent() {
    let api = Api::over(Arc::new(wide()), ApiOptions::default(), EngineOptions::default());
    let path = format!("query_range?query=wide&start={}&end={}&step=1", NOW_MS / 1000 - 50, NOW_MS / 1000);
    let response = api.unread(&path).await;
    // 500 series of 50 values.
    assert!(api.budget.used_bytes() > 500 * 50 * 8, "{}", api.budget.used_bytes());
    drop(response);
    assert_eq!(api.budget.used_bytes(), 0);
}

/// Never answers; tells of each request's beginning and end.
#[derive(Debug)]
struct Stuck(mpsc::UnboundedSender<&'static str>);

#[derive(Debug)]
struct TellsEnd(mpsc::UnboundedSender<&'static str>);

impl Drop for TellsEnd {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

impl Stuck {
    async fn wait(ctx: Ctx, events: mpsc::UnboundedSender<&'static str>) {
        let _end = TellsEnd(events.clone());
        let _ = events.send("asked");
        ctx.cancel.cancelled().await;
        let _ = events.send("cancelled");
    }
}

impl SeriesSource for Stuck {
    fn info(&self) -> SourceInfo {
        MemorySource::default().info()
    }

    fn select(&self, ctx: &Ctx, _: Select) -> SeriesStream {
        let (ctx, events) = (ctx.clone(), self.0.clone());
        futures::stream::once(async move {
            Self::wait(ctx, events).await;
            Err(storage::Error::Cancelled)
        })
        .boxed()
    }

    fn label_names(&self, ctx: &Ctx, _: LabelQuery) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        let (ctx, events) = (ctx.clone(), self.0.clone());
        Box::pin(async move {
            Self::wait(ctx, events).await;
            Err(storage::Error::Cancelled)
        })
    }

    fn label_values(
        &self,
        ctx: &Ctx,
        _: &str,
        want: LabelQuery,
    ) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        self.label_names(ctx, want)
    }
}

async fn next(events: &mut mpsc::UnboundedReceiver<&'static str>) -> &'static str {
    tokio::time::timeout(Duration::from_secs(20), events.recv()).await.expect("an event in time").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn work_stops_when_the_client_goes_away() {
    let (sender, mut events) = mpsc::unbounded_channel();
    let api = Api::over(Arc::new(Stuck(sender)), ApiOptions::default(), EngineOptions::default());
    for path in
        ["query?query=up", "query_range?query=up&start=1&end=2", "series?match[]=up", "labels", "label/a/values"]
    {
        let router = api.router.clone();
        let serving = tokio::spawn(router.oneshot(request(Method::GET, path, &[])));
        assert_eq!(next(&mut events).await, "asked", "{path}");
        serving.abort();
        // The future is dropped, or hears that it is cancelled and ends.
        while next(&mut events).await != "dropped" {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn timeouts_end_requests() {
    let (sender, _events) = mpsc::unbounded_channel();
    let api = Api::over(Arc::new(Stuck(sender)), ApiOptions::default(), EngineOptions::default());
    for path in ["query?query=up&timeout=50ms", "series?match[]=up&timeout=0.05", "labels?timeout=50ms"] {
        let got = tokio::time::timeout(Duration::from_secs(20), api.get(path)).await.expect("an answer in time");
        assert_eq!((got.status.as_u16(), got.json()["errorType"].as_str().unwrap()), (503, "timeout"), "{path}");
    }
}

#[tokio::test]
async fn warnings_come_through() {
    #[derive(Debug)]
    struct Partial(MemorySource);
    impl SeriesSource for Partial {
        fn info(&self) -> SourceInfo {
            self.0.info()
        }
        fn select(&self, ctx: &Ctx, want: Select) -> SeriesStream {
            let warning = Ok(storage::SeriesEvent::Warning("b:10901: no answer".to_owned()));
            futures::stream::iter([warning]).chain(self.0.select(ctx, want)).boxed()
        }
        fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
            self.0.label_names(ctx, want)
        }
        fn label_values(
            &self,
            ctx: &Ctx,
            name: &str,
            want: LabelQuery,
        ) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
            self.0.label_values(ctx, name, want)
        }
    }
    let source = Partial(MemorySource::new(common::samples()));
    let api = Api::over(Arc::new(source), ApiOptions::default(), EngineOptions::default());
    for path in ["query?query=up", "series?match[]=up", "query_range?query=up&start=1435781400&end=1435781430&step=15"]
    {
        let got = api.get(path).await;
        assert_eq!(got.json()["warnings"], serde_json::json!(["b:10901: no answer"]), "{path}");
        assert_eq!(got.headers["cache-control"], "no-store");
        assert!(!got.text().contains("[]"), "{path}: data comes beside the warning");
    }
    // An annotation of the query itself does not keep the answer from caches.
    let got = Api::new().get("query?query=rate(up[5m])").await;
    assert!(got.json()["infos"][0].as_str().unwrap().starts_with("PromQL info: "), "{}", got.text());
    assert!(!got.headers.contains_key("cache-control"));
}

#[tokio::test]
async fn metrics_of_dashboards() {
    let api = Api::new();
    api.get("query_range?query=up&start=0&end=3600&step=60").await;
    api.get("query?query=up").await;
    api.get("query?query=up+%2B+on()+up").await;
    let text = api.metrics.encode();
    for line in [
        "thanos_query_concurrent_gate_queries_in_flight 0.0",
        "thanos_query_concurrent_gate_queries_max 20.0",
        "prometheus_engine_queries 0.0",
        "prometheus_engine_query_duration_histogram_seconds_count{slice=\"inner_eval\"} 2",
        "prometheus_engine_query_duration_seconds_count{slice=\"inner_eval\"} 2",
        "prometheus_engine_query_samples_total 2",
        "thanos_query_range_requested_timespan_duration_seconds_sum 3600.0",
        "aion_query_failures_total{type=\"execution\"} 1",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line} in\n{text}");
    }
    assert!(text.contains("prometheus_engine_query_duration_seconds{quantile=\"0.9\",slice=\"inner_eval\"}"), "{text}");
}

#[tokio::test]
async fn budget_refuses() {
    let options = ApiOptions { request_bytes_max: 100, ..ApiOptions::default() };
    let api = Api::over(Arc::new(wide()), options, EngineOptions::default());
    let got = api.get("series?match[]=wide").await;
    assert_eq!((got.status.as_u16(), got.json()["errorType"].as_str().unwrap()), (422, "execution"));
    assert!(got.json()["error"].as_str().unwrap().contains("over its limit of 100"), "{}", got.text());
}
