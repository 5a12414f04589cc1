//! One trace from an HTTP request over a query and gRPC to the stores, exported over OTLP. A process of its own: there is
//! one taker of spans per process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use telemetry::logs;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use transport::ServeOptions;
use transport::traces::{Tracing, TracingConfig};
use world::{START_S, Store, World, series};

#[path = "it/world.rs"]
#[allow(dead_code, reason = "the other tests use more of it")]
mod world;

fn reversed(event: storage::SeriesEvent) -> storage::SeriesEvent {
    event
}

/// What a collector got.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(ExportTraceServiceRequest, String)>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let token = request.metadata().get("authorization").and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        self.0.lock().push((request.into_inner(), token));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn serve(&self, shutdown: CancellationToken) -> String {
        let mut routes = Routes::builder();
        let service = TraceServiceServer::new(self.clone());
        routes.add_service(service.accept_compressed(tonic::codec::CompressionEncoding::Gzip));
        let router = routes.routes().prepare().into_axum_router();
        let listener = transport::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(transport::serve(listener, router, ServeOptions::grpc(Duration::ZERO, Duration::ZERO), shutdown));
        address
    }

    fn spans(&self) -> Vec<Span> {
        let all = self.0.lock();
        let scopes = all.iter().flat_map(|(r, _)| &r.resource_spans).flat_map(|r| &r.scope_spans);
        scopes.flat_map(|s| s.spans.clone()).collect()
    }
}

fn attributes(span: &Span) -> BTreeMap<String, String> {
    let text = |v: &Value| match v {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(n) => n.to_string(),
        other => format!("{other:?}"),
    };
    let pair = |a: &opentelemetry_proto::tonic::common::v1::KeyValue| {
        Some((a.key.clone(), text(a.value.as_ref()?.value.as_ref()?)))
    };
    span.attributes.iter().filter_map(pair).collect()
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn one_trace_through_all() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (collector, shutdown) = (Collector::default(), CancellationToken::new());
    let address = runtime.block_on(collector.serve(shutdown.clone()));
    let yaml = format!(
        "type: OTLP\nconfig:\n  client_type: grpc\n  endpoint: {address}\n  insecure: true\n  service_name: all\n  \
         compression: gzip\n  headers: {{Authorization: Bearer secret}}\n  sampler_type: parentbasedneversample\n"
    );
    let tracing =
        Tracing::new(&TracingConfig::parse(&yaml).unwrap().exporter.unwrap(), runtime.handle().clone()).unwrap();
    logs::init(tracing::Level::WARN, logs::Format::Logfmt, Some(tracing.layer())).unwrap();

    let world = runtime.block_on(async {
        let stores = vec![Store::of("eu", "a", series(&["x"], 0..100)), Store::of("us", "a", series(&["x"], 0..100))];
        let world = World::start(stores, &[]).await;
        let client = reqwest::Client::new();
        let at = (START_S + 900).to_string();
        let url = format!("{}/api/v1/query", world.http);
        let params = [("query", "up"), ("time", at.as_str())];
        // not sampled, by the configuration: leaves nothing
        let plain = client.get(&url).query(&params).send().await.unwrap();
        assert!(plain.headers().get("x-thanos-trace-id").is_none());
        // forced, within a trace of the client's
        let asked = client.get(&url).query(&params).header("traceparent", PARENT).header("x-request-id", "r1");
        let answer = asked.header("x-thanos-force-tracing", "1").send().await.unwrap();
        assert_eq!(answer.headers().get("x-thanos-trace-id").unwrap(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(answer.status(), 200);
        world
    });
    // a span ends when what answered is put away, which may be after the answer has arrived
    let began = Instant::now();
    let wanted = [("/query HTTP[server]", 1), ("promql_instant_query", 1), ("/thanos.Store/Series", 4)];
    loop {
        tracing.flush();
        let spans = collector.spans();
        if wanted.iter().all(|(name, count)| spans.iter().filter(|s| s.name == *name).count() >= *count) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "spans are missing: {spans:#?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(world);
    tracing.shutdown(Duration::from_secs(10));

    assert!(collector.0.lock().iter().all(|(_, token)| token == "Bearer secret"));
    let resource = collector.0.lock()[0].0.resource_spans[0].resource.clone().unwrap();
    assert!(resource.attributes.iter().any(|a| a.key == "service.name"), "{resource:?}");
    let spans = collector.spans();
    let shown: Vec<_> = spans.iter().map(|s| (&s.name, attributes(s))).collect();
    assert!(spans.iter().all(|s| s.trace_id == spans[0].trace_id), "{shown:#?}");
    let one = |name: &str| {
        let found: Vec<_> = spans.iter().filter(|s| s.name == name).collect();
        assert_eq!(found.len(), 1, "{name} in {shown:#?}");
        found[0]
    };
    let http = one("/query HTTP[server]");
    assert_eq!(http.parent_span_id, [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
    let told = attributes(http);
    assert_eq!((told["http.status_code"].as_str(), told["request_id"].as_str()), ("200", "r1"));
    let query = one("promql_instant_query");
    assert_eq!((&query.parent_span_id, attributes(query)["query"].as_str()), (&http.span_id, "up"));
    let series: Vec<_> = spans.iter().filter(|s| s.name == "/thanos.Store/Series").collect();
    let (clients, servers): (Vec<_>, Vec<_>) = series.into_iter().partition(|s| s.parent_span_id == query.span_id);
    assert_eq!((clients.len(), servers.len()), (2, 2), "{shown:#?}");
    for server in servers {
        assert!(clients.iter().any(|c| c.span_id == server.parent_span_id), "a store's span without its caller's");
        assert_eq!(attributes(server)["rpc.grpc.status_code"], "OK");
    }
    shutdown.cancel();
}
