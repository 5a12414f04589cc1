//! Remote reads from a server that misbehaves.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use futures::StreamExt;
use labels::{Labels, Matcher};
use model::TimeRange;
use promclient::{ClientOptions, PromClient};
use prost::Message;
use proto::prometheus as wire;
use proto::prometheus_copy::{Label, Sample, TimeSeries};
use remote::{Identity, RemoteRead, RemoteReadOptions};
use storage::{Budget, Ctx, Error, Select, SeriesEvent, SeriesSource, collect_series};
use transport::http::ClientConfig;

const STREAMED: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

#[derive(Clone)]
struct Answer {
    status: StatusCode,
    content: &'static str,
    parts: Vec<Vec<u8>>,
    /// What follows the parts.
    end: End,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Good,
    Broken,
    Never,
}

async fn answer(State(answer): State<Arc<Answer>>, body: Bytes) -> Response {
    let plain = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
    let request = wire::ReadRequest::decode(Bytes::from(plain)).unwrap();
    assert_eq!(request.accepted_response_types, [1, 0]);
    let end = answer.end;
    let parts = futures::stream::iter(answer.parts.clone()).map(Ok::<_, std::io::Error>);
    let tail = futures::stream::once(async move {
        match end {
            End::Good => Ok(Vec::new()),
            End::Broken => Err(std::io::Error::other("gone")),
            End::Never => std::future::pending().await,
        }
    });
    Response::builder()
        .status(answer.status)
        .header("Content-Type", answer.content)
        .body(Body::from_stream(parts.chain(tail)))
        .unwrap()
}

async fn source(answered: Answer, options: RemoteReadOptions) -> RemoteRead {
    let router = Router::new().route("/p/api/v1/read", post(answer)).with_state(Arc::new(answered));
    client(router, options).await
}

async fn client(router: Router, options: RemoteReadOptions) -> RemoteRead {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let http = ClientConfig::default().build().unwrap();
    let client = PromClient::new(&format!("http://{address}/p/"), http, ClientOptions::default());
    let identity = Identity {
        external: Labels::from_pairs([("replica", "a")]),
        range: TimeRange::ALL,
        limit_min_time: 0,
        label_names: Some(Arc::new(["__name__".to_owned(), "n".to_owned()].into())),
    };
    RemoteRead::new(client, move || Some(identity.clone()), options)
}

fn streamed(parts: Vec<Vec<u8>>, end: End) -> Answer {
    Answer { status: StatusCode::OK, content: STREAMED, parts, end }
}

fn labels(pairs: &[(&str, &str)]) -> Vec<Label> {
    pairs.iter().map(|(n, v)| Label { name: (*n).to_owned(), value: (*v).to_owned() }).collect()
}

fn frame(series: &[(&str, &str)], encoding: i32, bytes: usize) -> Vec<u8> {
    let chunk = wire::Chunk { min_time_ms: 1, max_time_ms: 2, r#type: encoding, data: vec![0; bytes].into() };
    let series = wire::ChunkedSeries { labels: labels(series), chunks: vec![chunk] };
    let message = wire::ChunkedReadResponse { chunked_series: vec![series], query_index: 0 }.encode_to_vec();
    let mut out = Vec::new();
    prost::encoding::encode_varint(message.len() as u64, &mut out);
    out.extend(crc32c::crc32c(&message).to_be_bytes());
    out.extend(message);
    out
}

fn up(n: &str) -> Vec<u8> {
    frame(&[("__name__", "up"), ("n", n), ("replica", "a")], 1, 40)
}

fn want() -> Select {
    Select::new(TimeRange::ALL, vec![Matcher::equal("__name__", "up")])
}

#[tokio::test]
async fn faults_are_errors_of_their_kind() {
    let broken = |text: &str, status: u16| Answer {
        status: StatusCode::from_u16(status).unwrap(),
        content: "text/plain",
        parts: vec![text.as_bytes().to_vec()],
        end: End::Good,
    };
    let mut flipped = up("2");
    flipped[20] ^= 4;
    let cut = up("2")[..30].to_vec();
    type Check = fn(&Error) -> bool;
    let cases: Vec<(&str, Answer, Check)> = vec![
        ("exceeded sample limit", broken("exceeded sample limit (5)\n", 400), |e| matches!(e, Error::Invalid(_))),
        ("down for now", broken("down for now", 503), |e| matches!(e, Error::Unavailable(_))),
        ("out of memory", broken("out of memory", 500), |e| matches!(e, Error::Unavailable(_))),
        ("no remote read's", broken("hello", 200), |e| matches!(e, Error::Other { .. })),
        ("checksum differs", streamed(vec![up("1"), flipped], End::Good), |e| matches!(e, Error::Corrupt(_))),
        ("stream ends 30 bytes into", streamed(vec![up("1"), cut], End::Good), |e| matches!(e, Error::Unavailable(_))),
        ("broken off: query timed out", streamed(vec![up("1"), b"query timed out\n".to_vec()], End::Good), |e| {
            matches!(e, Error::Unavailable(_))
        }),
        ("/api/v1/read", streamed(vec![up("1")], End::Broken), |e| matches!(e, Error::Unavailable(_))),
        ("over the limit of 200", streamed(vec![frame(&[("__name__", "up")], 1, 300)], End::Good), |e| {
            matches!(e, Error::Limit(_))
        }),
        ("encoding 77 is unknown", streamed(vec![frame(&[("__name__", "up")], 77, 9)], End::Good), |e| {
            matches!(e, Error::Corrupt(_))
        }),
        ("labels of a series", streamed(vec![frame(&[("z", "1"), ("a", "1")], 1, 9)], End::Good), |e| {
            matches!(e, Error::Corrupt(_))
        }),
        ("no answer within", streamed(vec![up("1")], End::Never), |e| matches!(e, Error::Timeout(_))),
    ];
    for (text, answer, kind) in cases {
        let options = RemoteReadOptions {
            frame_bytes_max: 200,
            idle_timeout: Duration::from_millis(300),
            ..RemoteReadOptions::default()
        };
        let source = source(answer, options).await;
        let error = collect_series(source.select(&Ctx::background(), want())).await.unwrap_err();
        assert!(error.to_string().contains(text) && kind(&error), "{text}: {error:?}");
        assert!(error.to_string().contains("prometheus http://127.0.0.1:"), "{error}");
    }
}

#[tokio::test]
async fn series_go_out_while_more_come() {
    let source = source(streamed(vec![up("1"), up("2"), up("3")], End::Never), RemoteReadOptions::default()).await;
    let mut stream = source.select(&Ctx::background(), want());
    // The last one waits: what comes next may belong before it.
    let Some(Ok(SeriesEvent::Batch(batch))) = stream.next().await else { panic!("no batch") };
    assert_eq!(batch[0].labels, Labels::from_pairs([("__name__", "up"), ("n", "1"), ("replica", "a")]));
}

#[tokio::test]
async fn unexpected_labels_never_break_the_order() {
    // `replica` turns up as a label of its own, of other values than the external one
    let own = |n: &str, replica: &str| frame(&[("__name__", "up"), ("n", n), ("replica", replica)], 1, 40);
    let source = source(
        streamed(vec![own("1", "x"), own("1", "y"), own("0", "z"), own("2", "a")], End::Good),
        RemoteReadOptions::default(),
    )
    .await;
    let got = collect_series(source.select(&Ctx::background(), want())).await.unwrap().value;
    let names: Vec<_> = got.iter().map(|s| (s.labels.value("n"), s.chunks.len())).collect();
    assert_eq!(names, [("0", 1), ("1", 2), ("2", 1)]);
    assert!(got.iter().all(|s| s.labels.value("replica") == "a"));
}

#[tokio::test]
async fn budget_holds_what_waits() {
    let parts =
        (0..50).map(|n| frame(&[("__name__", "up"), ("n", &n.to_string()), ("replica", "b")], 1, 2000)).collect();
    let source = source(streamed(parts, End::Good), RemoteReadOptions::default()).await;
    let ctx = Ctx { budget: Budget::new("this request", "--x", 50_000, None), ..Ctx::background() };
    let error = collect_series(source.select(&ctx, want())).await.unwrap_err();
    assert!(matches!(&error, Error::Limit(text) if text.contains("--x")), "{error}");
    assert_eq!(ctx.budget.used_bytes(), 0);
}

#[tokio::test]
async fn samples_when_that_is_what_comes() {
    let one = |n: &str| TimeSeries {
        labels: labels(&[("__name__", "up"), ("n", n), ("replica", "a")]),
        samples: (0..130).map(|t| Sample { timestamp: t, value: t as f64 }).collect(),
        ..Default::default()
    };
    let message = wire::ReadResponse { results: vec![wire::QueryResult { timeseries: vec![one("2"), one("1")] }] };
    let body = snap::raw::Encoder::new().compress_vec(&message.encode_to_vec()).unwrap();
    let answer =
        Answer { status: StatusCode::OK, content: "application/x-protobuf", parts: vec![body], end: End::Good };
    let source = source(answer, RemoteReadOptions::default()).await;
    let got = collect_series(source.select(&Ctx::background(), want())).await.unwrap().value;
    let got: Vec<_> = got.iter().map(|s| (s.labels.value("n"), s.chunks.len())).collect();
    assert_eq!(got, [("1", 2), ("2", 2)], "sorted, in chunks of 120");
}

#[tokio::test]
async fn cancelled_and_late() {
    let source = source(streamed(vec![], End::Never), RemoteReadOptions::default()).await;
    let ctx = Ctx { deadline: Some(std::time::Instant::now() + Duration::from_millis(50)), ..Ctx::background() };
    assert!(matches!(collect_series(source.select(&ctx, want())).await, Err(Error::Timeout(_))));
    let ctx = Ctx::background();
    let stream = source.select(&ctx, want());
    ctx.cancel.cancel();
    assert!(matches!(collect_series(stream).await, Err(Error::Cancelled)));
}

#[tokio::test]
async fn nothing_is_asked_of_what_cannot_match() {
    // No route answers: a request would be an error.
    let source = client(Router::new(), RemoteReadOptions::default()).await;
    let ctx = Ctx::background();
    let mut other = want();
    other.matchers = Arc::from([Matcher::equal("__name__", "up"), Matcher::equal("replica", "b")]);
    assert!(collect_series(source.select(&ctx, other)).await.unwrap().value.is_empty());
    let mut before = want();
    before.range = TimeRange::new(-10, -1);
    assert!(collect_series(source.select(&ctx, before)).await.unwrap().value.is_empty());
    let error = collect_series(source.select(&ctx, want())).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported(_)), "{error:?}");
}

#[tokio::test]
async fn strange_api_answers() {
    let text = |body: &'static str| get(move || async move { body });
    let router = Router::new()
        .route("/p/api/v1/status/config", text(r#"{"status":"success","data":{"yaml":"global: [\n"}}"#))
        .route("/p/api/v1/status/buildinfo", text("<html>login</html>"))
        .route("/p/api/v1/labels", text(r#"{"status":"error","error":"no"}"#))
        .route("/p/api/v1/rules", text(r#"{"status":"success","data":{"groups":null},"new":1}"#))
        .route("/p/metrics", text("up 1\n"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let http = ClientConfig::default().build().unwrap();
    let client = PromClient::new(&format!("http://{address}/p"), http, ClientOptions::default());
    let config = client.external_labels().await.unwrap_err().to_string();
    assert!(config.contains("/api/v1/status/config") && config.contains("global section"), "{config}");
    assert!(client.build_info().await.unwrap_err().to_string().contains("not what Prometheus says"));
    assert!(client.label_names(TimeRange::ALL, &[], 0).await.unwrap_err().to_string().contains("\"error\": no"));
    assert!(client.rules(storage::RuleKind::All).await.unwrap().value.is_empty());
    assert!(client.lowest_timestamp_ms().await.unwrap_err().to_string().contains("is this a Prometheus server?"));
    let small = client.with_options(ClientOptions { answer_bytes_max: 3, ..ClientOptions::default() });
    assert!(matches!(small.rules(storage::RuleKind::All).await, Err(Error::Limit(_))));
}
