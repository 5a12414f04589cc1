//! The server of remote read, read by our own reader, by hand, and by a real Prometheus.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use chunkenc::{Encoding, HistogramAppender, ResetFlag};
use futures::StreamExt;
use futures::stream;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use labels::{Labels, Matcher};
use model::TimeRange;
use promclient::{ClientOptions, PromClient};
use prost::Message;
use proto::prometheus as wire;
use remote::serve::{ReadServer, ReadServerOptions};
use remote::{FrameDecoder, Identity, RemoteRead, RemoteReadOptions};
use storage::{
    Answer, Budget, Chunk, Ctx, Error, LabelQuery, MemorySource, Select, Series, SeriesEvent, SeriesSource,
    SeriesStream, SourceInfo, collect_series,
};
use telemetry::Metrics;
use testkit::{Process, free_port, wait_for};
use tower::ServiceExt;
use transport::http::ClientConfig;

fn series(name: &str, job: &str, times: std::ops::Range<i64>) -> Series {
    let samples: Vec<_> = times.map(|t| (t * 1000, t as f64)).collect();
    testkit::series(&[("__name__", name), ("job", job)], &samples)
}

fn server(source: Arc<dyn SeriesSource>, options: ReadServerOptions) -> (Router, Metrics) {
    let metrics = Metrics::new();
    let external: Arc<dyn Fn() -> Labels + Send + Sync> = Arc::new(|| Labels::from_pairs([("replica", "a")]));
    (ReadServer::new(source, external, options, Budget::unlimited(), &metrics).router(), metrics)
}

fn source() -> Arc<MemorySource> {
    Arc::new(MemorySource::new(vec![series("down", "x", 0..10), series("up", "x", 0..1000), series("up", "y", 5..8)]))
}

fn matcher(name: &str, value: &str) -> wire::LabelMatcher {
    wire::LabelMatcher { r#type: 0, name: name.to_owned(), value: value.to_owned() }
}

fn query(matchers: &[(&str, &str)], min_ms: i64, max_ms: i64) -> wire::Query {
    wire::Query {
        start_timestamp_ms: min_ms,
        end_timestamp_ms: max_ms,
        matchers: matchers.iter().map(|(n, v)| matcher(n, v)).collect(),
        hints: None,
    }
}

async fn ask(router: &Router, queries: Vec<wire::Query>, forms: &[i32]) -> (StatusCode, HeaderMap, Bytes) {
    let message = wire::ReadRequest { queries, accepted_response_types: forms.to_vec() };
    let body = snap::raw::Encoder::new().compress_vec(&message.encode_to_vec()).unwrap();
    send(router, body).await
}

async fn send(router: &Router, body: Vec<u8>) -> (StatusCode, HeaderMap, Bytes) {
    let request = Request::post("/api/v1/read").body(Body::from(body)).unwrap();
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    (parts.status, parts.headers, body.collect().await.unwrap().to_bytes())
}

fn frames(body: &[u8]) -> Vec<wire::ChunkedReadResponse> {
    let mut decoder = FrameDecoder::new(1 << 20);
    decoder.push(body);
    let mut all = Vec::new();
    while let Some(frame) = decoder.next_frame().unwrap() {
        all.push(wire::ChunkedReadResponse::decode(frame).unwrap());
    }
    decoder.finish().unwrap();
    all
}

fn labels_of(list: &[proto::prometheus_copy::Label]) -> String {
    list.iter().map(|l| format!("{}={}", l.name, l.value)).collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn in_frames() {
    let (router, metrics) = server(source(), ReadServerOptions { frame_bytes_max: 200, ..Default::default() });
    // An external label of the right value is no condition on the series.
    let queries = vec![
        query(&[("__name__", "up"), ("replica", "a")], 0, 1_000_000),
        query(&[("__name__", "up"), ("replica", "b")], 0, 1_000_000),
        query(&[("__name__", "down")], 0, 1_000_000),
    ];
    let (status, headers, body) = ask(&router, queries, &[1, 0]).await;
    assert_eq!(status, 200);
    assert_eq!(headers["content-type"], "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse");
    let found = frames(&body);
    let shown: Vec<_> = found.iter().map(|f| (f.query_index, labels_of(&f.chunked_series[0].labels))).collect();
    let mut distinct = shown.clone();
    distinct.dedup();
    assert_eq!(
        distinct,
        [
            (0, "__name__=up,job=x,replica=a".to_owned()),
            (0, "__name__=up,job=y,replica=a".to_owned()),
            (2, "__name__=down,job=x,replica=a".to_owned()),
        ]
    );
    assert!(shown.len() > 5, "the long series is split over frames: {}", shown.len());
    let times: Vec<_> = found[0..shown.iter().filter(|(_, l)| l.contains("up,job=x")).count()]
        .iter()
        .flat_map(|f| &f.chunked_series[0].chunks)
        .map(|c| (c.min_time_ms, c.max_time_ms))
        .collect();
    assert!(times.windows(2).all(|w| w[0].1 < w[1].0), "{times:?}");
    assert!(metrics.encode().contains("prometheus_remote_read_handler_queries 0.0\n"));
}

#[tokio::test]
async fn as_samples() {
    let (router, _) = server(source(), ReadServerOptions { samples_max: 100, ..Default::default() });
    for forms in [&[][..], &[0], &[9, 0, 1]] {
        let queries = vec![query(&[("__name__", "up")], 5000, 6000), query(&[("job", "none")], 0, 1)];
        let (status, headers, body) = ask(&router, queries, forms).await;
        assert_eq!(status, 200);
        assert_eq!(
            (headers["content-type"].as_bytes(), headers["content-encoding"].as_bytes()),
            (&b"application/x-protobuf"[..], &b"snappy"[..])
        );
        let plain = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
        let answer = wire::ReadResponse::decode(&*plain).unwrap();
        assert_eq!(answer.results.len(), 2);
        let found: Vec<_> = answer.results[0]
            .timeseries
            .iter()
            .map(|s| (labels_of(&s.labels), s.samples.iter().map(|s| s.timestamp).collect::<Vec<_>>()))
            .collect();
        assert_eq!(
            found,
            [
                ("__name__=up,job=x,replica=a".to_owned(), vec![5000, 6000]),
                ("__name__=up,job=y,replica=a".to_owned(), vec![5000, 6000]),
            ]
        );
        assert!(answer.results[1].timeseries.is_empty());
    }
    let (status, _, body) = ask(&router, vec![query(&[("__name__", "up")], 0, 1_000_000)], &[0]).await;
    assert_eq!((status.as_u16(), &body[..]), (400, &b"exceeded sample limit (100)\n"[..]));
}

/// As in Prometheus.
#[tokio::test]
async fn hints_and_queries_without_matchers() {
    let (router, _) = server(source(), ReadServerOptions::default());
    let hinted = |start_ms: i64, end_ms: i64| wire::Query {
        hints: Some(wire::ReadHints { start_ms, end_ms, ..Default::default() }),
        ..query(&[("__name__", "down")], 0, 1_000_000)
    };
    let queries = || vec![query(&[], 0, 1_000_000), hinted(2000, 3000), hinted(0, 0), query(&[("job", "y")], 0, 5000)];
    let (_, _, body) = ask(&router, queries(), &[0]).await;
    let answer = wire::ReadResponse::decode(&*snap::raw::Decoder::new().decompress_vec(&body).unwrap()).unwrap();
    let times = |result: &wire::QueryResult| -> Vec<i64> {
        result.timeseries.iter().flat_map(|series| &series.samples).map(|sample| sample.timestamp).collect()
    };
    let found: Vec<_> = answer.results.iter().map(times).collect();
    assert_eq!(found, [vec![], vec![2000, 3000], vec![0], vec![5000]]);
    let (status, _, body) = ask(&router, queries(), &[1]).await;
    assert_eq!(status, 200);
    assert_eq!(frames(&body).iter().map(|frame| frame.query_index).collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test]
async fn whole_histograms_stay_whole() {
    let h = histogram::Histogram {
        count: 7,
        sum: 1.5,
        positive_spans: vec![histogram::Span { offset: 0, length: 2 }],
        positive_deltas: vec![2, 3],
        ..Default::default()
    };
    let mut appender = HistogramAppender::new(ResetFlag::Unknown);
    appender.append(1000, &h).unwrap();
    let chunk = Chunk::raw(1000, 1000, Encoding::Histogram, appender.to_vec().into());
    let source =
        MemorySource::new(vec![Series { labels: Labels::from_pairs([("__name__", "h")]), chunks: vec![chunk] }]);
    let (router, _) = server(Arc::new(source), ReadServerOptions::default());
    let (_, _, body) = ask(&router, vec![query(&[("__name__", "h")], 0, 2000)], &[0]).await;
    let plain = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
    let answer = wire::ReadResponse::decode(&*plain).unwrap();
    let found = &answer.results[0].timeseries[0].histograms[0];
    assert_eq!((found.timestamp, &found.positive_deltas[..]), (1000, &[2, 3][..]));
    assert_eq!(found.count, Some(proto::prometheus_copy::histogram::Count::CountInt(7)));
}

#[tokio::test]
async fn requests_that_are_none() {
    let (router, _) = server(source(), ReadServerOptions { request_bytes_max: 1000, ..Default::default() });
    let bad_regex = wire::Query {
        matchers: vec![wire::LabelMatcher { r#type: 2, name: "a".into(), value: "(".into() }],
        ..Default::default()
    };
    let bad_type = wire::Query {
        matchers: vec![wire::LabelMatcher { r#type: 9, name: "a".into(), value: "b".into() }],
        ..Default::default()
    };
    for (queries, forms, text) in [
        (vec![bad_regex], &[0][..], "regex"),
        (vec![bad_type], &[0], "invalid matcher type"),
        (vec![], &[7], "does not support any of the requested response types"),
    ] {
        let (status, _, body) = ask(&router, queries, forms).await;
        let said = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(status, 400, "{said}");
        assert!(said.contains(text), "{said}");
    }
    let (status, _, _) = send(&router, b"not snappy".to_vec()).await;
    assert_eq!(status, 400);
    let (status, _, body) = send(&router, vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0]).await;
    assert_eq!((status.as_u16(), &body[..]), (400, &b"snappy: decoded length 4294967295 exceeds limit 1000\n"[..]));
    assert_eq!(send(&router, vec![0; 2000]).await.0, 400);
}

/// Gives a series, then fails or warns.
#[derive(Debug)]
struct Broken(SeriesEvent, Option<Error>);

impl SeriesSource for Broken {
    fn info(&self) -> SourceInfo {
        MemorySource::default().info()
    }

    fn select(&self, _: &Ctx, want: Select) -> SeriesStream {
        assert_eq!(want.partial_response, storage::PartialResponse::Abort);
        let end = self.1.clone().map(Err);
        stream::iter([Ok(self.0.clone())].into_iter().chain(end)).boxed()
    }

    fn label_names(
        &self,
        _: &Ctx,
        _: LabelQuery,
    ) -> futures::future::BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        Box::pin(async { Ok(Answer::default()) })
    }

    fn label_values(
        &self,
        _: &Ctx,
        _: &str,
        _: LabelQuery,
    ) -> futures::future::BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        Box::pin(async { Ok(Answer::default()) })
    }
}

#[tokio::test]
async fn nothing_is_missing_without_an_error() {
    let one = SeriesEvent::Batch(vec![series("a", "x", 0..3), series("b", "x", 0..3)]);
    let warning = SeriesEvent::Warning("block 01FZ: chunk corrupt".to_owned());
    for forms in [&[0][..], &[1]] {
        let (router, _) = server(Arc::new(Broken(warning.clone(), None)), ReadServerOptions::default());
        let (status, _, body) = ask(&router, vec![query(&[("job", "x")], 0, 9000)], forms).await;
        assert_eq!((status.as_u16(), &body[..]), (500, &b"block 01FZ: chunk corrupt\n"[..]));
    }
    let failing = Broken(one, Some(Error::Corrupt("block 01FZ: chunk corrupt".to_owned())));
    let (router, _) = server(Arc::new(failing), ReadServerOptions::default());
    let (status, _, body) = ask(&router, vec![query(&[("job", "x")], 0, 9000)], &[1]).await;
    assert_eq!(status, 200, "the first series had gone out");
    let mut decoder = FrameDecoder::new(1 << 20);
    decoder.push(&body);
    assert!(decoder.next_frame().unwrap().is_some());
    let told = loop {
        match decoder.next_frame() {
            Ok(Some(_)) => {}
            Ok(None) => break decoder.finish().unwrap_err(),
            Err(e) => break e,
        }
    };
    assert!(told.to_string().contains("chunk corrupt"), "{told}");
}

async fn listening(router: Router) -> (String, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (address, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
}

/// What our own reader sees is what is there.
#[tokio::test]
async fn our_own_reader() {
    let (router, _) = server(source(), ReadServerOptions::default());
    let (address, serving) = listening(router).await;
    let client = ClientConfig::default().build().unwrap();
    let prometheus = PromClient::new(&format!("http://{address}"), client, ClientOptions::default());
    let identity = Identity {
        external: Labels::from_pairs([("replica", "a")]),
        range: TimeRange::ALL,
        limit_min_time: i64::MIN,
        label_names: Some(Arc::new(BTreeSet::from(["__name__".to_owned(), "job".to_owned()]))),
    };
    let reader = RemoteRead::new(prometheus, move || Some(identity.clone()), RemoteReadOptions::default());
    let want = Select::new(
        TimeRange::new(0, 1_000_000),
        vec![Matcher::equal("replica", "a"), Matcher::equal("__name__", "up")],
    );
    let got = collect_series(reader.select(&Ctx::background(), want)).await.unwrap();
    assert_eq!(got.value.len(), 2);
    assert_eq!(got.value[0].labels.to_string(), r#"{__name__="up", job="x", replica="a"}"#);
    let of_source = source().select(&Ctx::background(), Select::new(TimeRange::ALL, vec![Matcher::equal("job", "y")]));
    assert_eq!(got.value[1].chunks, collect_series(of_source).await.unwrap().value[0].chunks);
    serving.abort();
}

/// A real Prometheus reads from the server for its queries.
#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_reads() {
    if !testkit::prometheus::have_prometheus("a_prometheus_reads") {
        return;
    }
    let now_s = 1_700_000_000;
    let (router, _) = server(
        Arc::new(MemorySource::new(vec![series("remote_only", "x", now_s - 600..now_s)])),
        ReadServerOptions::default(),
    );
    let (address, serving) = listening(router).await;
    let dir = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();
    let config = dir.path().join("prometheus.yml");
    let mut file = std::fs::File::create(&config).unwrap();
    writeln!(file, "remote_read: [{{url: 'http://{address}/api/v1/read', read_recent: true}}]").unwrap();
    let prometheus = Process::start(
        std::process::Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stderr(std::process::Stdio::null()),
    )
    .unwrap();
    let client = ClientConfig::default().build().unwrap();
    let url = format!("http://127.0.0.1:{port}/api/v1/query?query=count_over_time(remote_only[10m])&time={now_s}");
    let mut answer = String::new();
    wait_for("Prometheus to answer", Duration::from_secs(60), async || {
        let Ok(got) = client.get(&url).unwrap().send().await else { return false };
        answer = got.text().await.unwrap_or_default();
        answer.contains("success")
    })
    .await;
    assert!(answer.contains("\"600\""), "{answer}");
    drop(prometheus);
    serving.abort();
}
