//! The suite of evaluators over a real loopback connection.

use std::sync::Arc;
use std::time::Duration;

use promql::conformance::{Source, run};
use promql::{Engine, EngineOptions, Evaluate, LocalEvaluator, Query, QueryError, ReadOptions};
use queryapi::{QueryClient, QueryServer};
use storage::{Budget, Ctx};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use transport::ServeOptions;
use transport::grpc::{ClientMetrics, ClientOptions, Compression, ServerMetrics, ServerStack, connect};
use transport::http::Probe;

/// A client of a server over `source`; the server ends with the guard.
async fn remote(source: Arc<Source>) -> (QueryClient, tokio_util::sync::DropGuard) {
    let evaluator = Arc::new(LocalEvaluator::new(Engine::new(EngineOptions::default()), source));
    let mut routes = Routes::builder();
    QueryServer::new(evaluator, Budget::unlimited()).add_to(&mut routes);
    let metrics = Metrics::new();
    let router = ServerStack::new(ServerMetrics::new(&metrics), Probe::default()).router(routes.routes());
    let listener = transport::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let shutdown = CancellationToken::new();
    let options = ServeOptions::grpc(Duration::ZERO, Duration::ZERO);
    tokio::spawn(transport::serve(listener, router, options, shutdown.clone()));
    let options = ClientOptions {
        tls: None,
        compression: Compression::None,
        metrics: ClientMetrics::new(&metrics),
        connect_timeout: Duration::from_secs(5),
    };
    (QueryClient::new(&address, connect(&address, &options).unwrap()), shutdown.drop_guard())
}

#[tokio::test]
async fn the_client_conforms() {
    let source = Arc::new(Source::new());
    let (client, _running) = remote(source.clone()).await;
    run(&client, &source).await;
}

#[tokio::test]
async fn parts_of_seconds_are_refused_not_rounded() {
    let (client, _running) = remote(Arc::new(Source::new())).await;
    let lookback = ReadOptions { lookback_ms: 1500, ..ReadOptions::default() };
    for query in [
        Query::instant("m", 1500),
        Query::range("m", 0, 1000, 500),
        Query::range("m", 1, 1001, 1000),
        Query::instant("m", 0).reading(lookback),
    ] {
        let error = client.evaluate(&Ctx::background(), query).await.unwrap_err();
        assert!(matches!(&error, QueryError::Bad(text) if text.contains("whole seconds")), "{error:?}");
    }
}

#[tokio::test]
async fn a_peer_that_is_away_is_named() {
    let (client, running) = remote(Arc::new(Source::new())).await;
    drop(running);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let error = client.evaluate(&Ctx::background(), Query::instant("m", 0)).await.unwrap_err();
    assert!(matches!(&error, QueryError::Storage(storage::Error::Unavailable(_))), "{error:?}");
    assert!(error.to_string().contains("127.0.0.1:"), "{error}");
}
