//! Client and server over a real loopback connection, with and without snappy.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chunkenc::{Encoding, encode_xor, encode_xor2};
use labels::{Labels, Matcher};
use model::TimeRange;
use storage::{
    AggrChunk, Budget, Chunk, Ctx, EncodedChunk, Error, LabelQuery, MemorySource, Select, Series, SeriesSource, Shard,
    collect_series,
};
use storeapi::{
    ComponentType, EndpointInfo, InfoServer, Served, ServerOptions, StoreClient, StoreLimits, fetch_info, store_routes,
};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder};
use transport::ServeOptions;
use transport::grpc::{ClientMetrics, ClientOptions, Compression, ServerMetrics, ServerStack, connect};
use transport::http::Probe;

struct Served1 {
    client: StoreClient,
    channel: transport::grpc::Channel,
    metrics: Metrics,
    probe: Probe,
    shutdown: CancellationToken,
}

impl Drop for Served1 {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

async fn serve(source: MemorySource, limits: StoreLimits, compression: Compression) -> Served1 {
    let source: Arc<dyn SeriesSource> = Arc::new(source);
    let metrics = Metrics::new();
    let mut routes: RoutesBuilder = Routes::builder();
    let budget = Arc::new(Budget::unlimited);
    store_routes(&mut routes, source.clone(), ServerOptions { limits, budget, metrics: metrics.clone() });
    let served = Served { store: true, rules: true, ..Served::default() };
    let info = EndpointInfo {
        component: ComponentType::Sidecar,
        served,
        source: source.info(),
        sets: vec![],
        evaluator: String::new(),
    };
    let probe = Probe::new("starting");
    InfoServer::new(move || Some(info.clone())).add_to(&mut routes);
    let router = ServerStack::new(ServerMetrics::new(&metrics), probe.clone())
        .reflecting(storeapi::DESCRIPTORS, served.service_names())
        .router(routes.routes());
    let listener = transport::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let shutdown = CancellationToken::new();
    let options = ServeOptions::grpc(Duration::ZERO, Duration::ZERO);
    tokio::spawn(transport::serve(listener, router, options, shutdown.clone()));
    let options = ClientOptions {
        tls: None,
        compression,
        metrics: ClientMetrics::new(&metrics),
        connect_timeout: Duration::from_secs(5),
    };
    let channel = connect(&address, &options).unwrap();
    let client = StoreClient::new(&address, channel.clone(), source.info());
    Served1 { client, channel, metrics, probe, shutdown }
}

fn samples(n: i64) -> Vec<(i64, f64)> {
    (0..n).map(|i| (i * 15_000, (i * i) as f64 + 0.5)).collect()
}

fn xor(n: i64) -> Chunk {
    Chunk::raw(0, (n - 1) * 15_000, Encoding::Xor, Bytes::from(encode_xor(samples(n)).unwrap()))
}

fn series(i: usize, chunks: Vec<Chunk>) -> Series {
    let i = format!("{i:04}");
    Series { labels: Labels::from_pairs([("__name__", "up"), ("i", &i), ("replica", "a")]), chunks }
}

fn all() -> Select {
    Select::new(TimeRange::ALL, vec![Matcher::equal("__name__", "up")])
}

#[tokio::test]
async fn series_survive_the_wire() {
    let aggr = AggrChunk {
        parts: [
            Some(EncodedChunk { encoding: Encoding::Xor, data: encode_xor(samples(3)).unwrap().into() }),
            None,
            None,
            None,
            Some(EncodedChunk { encoding: Encoding::Xor, data: encode_xor(samples(5)).unwrap().into() }),
        ],
    };
    let aggr = Chunk::aggr(900_000, 930_000, aggr);
    let mut input: Vec<_> = (0..300).map(|i| series(i, vec![xor(20)])).collect();
    input.push(series(300, vec![xor(20), aggr]));
    for compression in [Compression::None, Compression::Snappy] {
        let served = serve(MemorySource::new(input.clone()), StoreLimits::default(), compression).await;
        let got = collect_series(served.client.select(&Ctx::background(), all())).await.unwrap();
        assert_eq!(got.value, input, "{compression:?}");
        let text = served.metrics.encode();
        assert!(text.contains(r#"grpc_server_handled_total{grpc_type="server_stream",grpc_service="thanos.Store",grpc_method="Series",grpc_code="OK"} 1"#), "{text}");
        assert!(text.contains("grpc_client_started_total"), "{text}");
    }
}

/// Who looks at some labels only says so, and tells series apart by a place.
#[tokio::test]
async fn labels_that_nobody_looks_at_stay_away() {
    let input: Vec<_> = (0..300).map(|i| series(i, vec![xor(20)])).collect();
    let served = serve(MemorySource::new(input.clone()), StoreLimits::default(), Compression::None).await;
    for (names, left) in [(&["replica"][..], r#"replica="a""#), (&[], "")] {
        let want = Select { labels: Some(names.iter().map(|name| (*name).to_owned()).collect()), ..all() };
        let got = collect_series(served.client.select(&Ctx::background(), want)).await.unwrap().value;
        assert_eq!(got.len(), input.len());
        assert!(got.is_sorted_by(|a, b| a.labels < b.labels) && got.iter().all(|s| storage::is_projected(&s.labels)));
        assert!(got.iter().zip(&input).all(|(got, put)| got.chunks == put.chunks), "the order is kept");
        assert!(got.iter().all(|s| s.labels.without(&[""]).to_string() == format!("{{{left}}}")), "{}", got[0].labels);
    }
}

/// Labels are told by their differences to those who say that they read that. Others get the protocol's messages.
#[tokio::test]
async fn peers_are_answered_as_they_read() {
    use proto::thanos::series_response::Result as Frame;
    let input: Vec<_> = (0..300).map(|i| series(i, vec![xor(20)])).collect();
    let served = serve(MemorySource::new(input.clone()), StoreLimits::default(), Compression::None).await;
    let want = proto::thanos::SeriesRequest {
        min_time: i64::MIN,
        max_time: i64::MAX,
        matchers: storeapi::matchers_to_wire(&all().matchers),
        ..Default::default()
    };
    for (header, batch) in [(None, 0), (None, 64), (Some("2"), 64), (Some("1"), 64)] {
        let mut client = proto::thanos::store_client::StoreClient::new(served.channel.clone());
        let request = proto::thanos::SeriesRequest { response_batch_size: batch, ..want.clone() };
        let mut request = tonic::Request::new(request);
        if let Some(value) = header {
            request.metadata_mut().insert("aion-label-deltas", value.parse().unwrap());
        }
        let mut stream = client.series(request).await.unwrap().into_inner();
        let (mut series, mut unknown) = (0, 0);
        while let Some(message) = stream.message().await.unwrap() {
            match message.result {
                Some(Frame::Series(_)) => series += 1,
                Some(Frame::Batch(batch)) => series += batch.series.len(),
                Some(other) => panic!("{other:?}"),
                None => unknown += 1,
            }
        }
        // Who asks for what it does not read finds nothing.
        assert_eq!((series, unknown > 0), if header == Some("1") { (0, true) } else { (300, false) });
    }
    let got = collect_series(served.client.select(&Ctx::background(), all())).await.unwrap();
    assert_eq!(got.value, input);
}

#[tokio::test]
async fn a_series_larger_than_a_frame_is_split_and_joined() {
    let chunk = |t: i64| Chunk::raw(t, t + 1, Encoding::FloatHistogram, Bytes::from(vec![7u8; 300_000]));
    let input = vec![series(0, (0..20).map(|i| chunk(i * 10)).collect()), series(1, vec![chunk(0)])];
    let served = serve(MemorySource::new(input.clone()), StoreLimits::default(), Compression::None).await;
    let got = collect_series(served.client.select(&Ctx::background(), all())).await.unwrap();
    assert_eq!(got.value, input);
}

#[tokio::test]
async fn newer_encodings_are_sent_in_their_plain_form() {
    let data = encode_xor2(samples(20).into_iter().map(|(t, v)| (0, t, v))).unwrap();
    let input = vec![series(0, vec![Chunk::raw(0, 285_000, Encoding::Xor2, Bytes::from(data))])];
    let served = serve(MemorySource::new(input), StoreLimits::default(), Compression::None).await;
    let got = collect_series(served.client.select(&Ctx::background(), all())).await.unwrap();
    assert_eq!(got.value, vec![series(0, vec![xor(20)])]);
}

#[tokio::test]
async fn limits_are_resource_exhausted() {
    let input: Vec<_> = (0..10).map(|i| series(i, vec![xor(20), xor(21)])).collect();
    for (limits, text) in [
        (StoreLimits { series: 5, samples: 0 }, "exceeded series limit: limit 5 violated (got 6)"),
        (StoreLimits { series: 0, samples: 1000 }, "exceeded samples limit: limit 1000 violated (got 1200)"),
    ] {
        let served = serve(MemorySource::new(input.clone()), limits, Compression::None).await;
        let error = collect_series(served.client.select(&Ctx::background(), all())).await.unwrap_err();
        assert!(matches!(&error, Error::Limit(t) if t.contains(text)), "{error}");
    }
}

#[tokio::test]
async fn replica_labels_limit_shards_and_labels_only() {
    let input: Vec<_> = (0..10).map(|i| series(i, vec![xor(20)])).collect();
    let served = serve(MemorySource::new(input), StoreLimits::default(), Compression::None).await;
    let ctx = Ctx::background();
    let want = Select { without_replica_labels: vec!["replica".into()].into(), skip_chunks: true, limit: 3, ..all() };
    let got = collect_series(served.client.select(&ctx, want)).await.unwrap().value;
    assert_eq!(got.len(), 3);
    assert!(got.iter().all(|s| s.chunks.is_empty() && s.labels.get("replica").is_none()));
    let mut seen = 0;
    for index in 0..4 {
        let shard = Shard { index, total: 4, by: true, labels: vec!["i".into()] };
        seen += collect_series(served.client.select(&ctx, Select { shard: Some(shard), ..all() }))
            .await
            .unwrap()
            .value
            .len();
    }
    assert_eq!(seen, 10);
}

#[tokio::test]
async fn labels_info_and_refusals() {
    let input: Vec<_> = (0..3).map(|i| series(i, vec![xor(20)])).collect();
    let external = Labels::from_pairs([("cluster", "eu")]);
    let served =
        serve(MemorySource::with_external_labels(input, external), StoreLimits::default(), Compression::Snappy).await;
    let ctx = Ctx::background();
    let names = served.client.label_names(&ctx, LabelQuery::new(TimeRange::ALL, vec![])).await.unwrap().value;
    assert_eq!(names, ["__name__", "cluster", "i", "replica"]);
    let values = served.client.label_values(&ctx, "i", LabelQuery::new(TimeRange::ALL, vec![])).await.unwrap().value;
    assert_eq!(values, ["0000", "0001", "0002"]);
    let info = fetch_info(&ctx, "x", served.channel.clone()).await.unwrap();
    assert_eq!(info.component, ComponentType::Sidecar);
    assert_eq!(info.source, served.client.info());
    assert!(info.served.rules && !info.served.targets);
    let error = served.client.label_values(&ctx, "", LabelQuery::new(TimeRange::ALL, vec![])).await.unwrap_err();
    assert!(matches!(&error, Error::Invalid(t) if t.contains("label name parameter cannot be empty")), "{error}");
    let backwards = Select { range: TimeRange::new(5, 4), ..all() };
    let error = collect_series(served.client.select(&ctx, backwards)).await.unwrap_err();
    assert!(matches!(&error, Error::Invalid(t) if t.contains("after max time")), "{error}");
}

/// What grpcurl and other tools ask first.
#[tokio::test]
async fn reflection_and_health() {
    use tonic_health::pb::health_client::HealthClient;
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

    let served = serve(MemorySource::new(vec![]), StoreLimits::default(), Compression::None).await;
    let ask = async |message: MessageRequest| {
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(message) };
        let mut answers = ServerReflectionClient::new(served.channel.clone())
            .server_reflection_info(futures::stream::iter([request]))
            .await
            .unwrap()
            .into_inner();
        let ServerReflectionResponse { message_response, .. } = answers.message().await.unwrap().unwrap();
        message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(list) = ask(MessageRequest::ListServices(String::new())).await else {
        panic!("no list")
    };
    let mut names: Vec<_> = list.service.into_iter().map(|s| s.name).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "thanos.Rules",
            "thanos.Store",
            "thanos.info.Info"
        ]
    );
    for symbol in ["thanos.Store", "thanos.SeriesRequest", "thanos.info.Info", "hintspb.SeriesRequestHints"] {
        let found = ask(MessageRequest::FileContainingSymbol(symbol.to_owned())).await;
        assert!(matches!(found, MessageResponse::FileDescriptorResponse(_)), "{symbol}: {found:?}");
    }

    let mut health = HealthClient::new(served.channel.clone());
    let whole = HealthCheckRequest { service: String::new() };
    let mut states = health.watch(whole.clone()).await.unwrap().into_inner();
    assert_eq!(states.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    served.probe.ready();
    assert_eq!(states.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    assert_eq!(health.check(whole).await.unwrap().into_inner().status(), ServingStatus::Serving);
    let other = HealthCheckRequest { service: "thanos.Store".to_owned() };
    assert_eq!(health.check(other).await.unwrap_err().code(), tonic::Code::NotFound);
    let counted = served.metrics.encode();
    let line = r#"grpc_server_handled_total{grpc_type="unary",grpc_service="grpc.health.v1.Health",grpc_method="Check",grpc_code="NotFound"} 1"#;
    assert!(counted.contains(line), "{counted}");
}

#[tokio::test]
async fn a_client_is_a_source() {
    use storage::conformance::{self, EXTERNAL, Traits};
    let source = || MemorySource::with_external_labels(conformance::series(), Labels::from_pairs(EXTERNAL));
    for compression in [Compression::None, Compression::Snappy] {
        let served = serve(source(), StoreLimits::default(), compression).await;
        conformance::run(&served.client, Traits { budgeted: false, exact_label_times: true }).await;
    }
}
