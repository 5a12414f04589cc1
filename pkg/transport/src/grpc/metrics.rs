//! `grpc_server_*` and `grpc_client_*` under the names and labels of go-grpc-middleware.

use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use telemetry::{CounterVec, HistogramVec, Metrics};

use super::follow::{Follow, code_name};
use super::pool::Place;

const BUCKETS: [f64; 14] = [0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0];

/// The metric families of one side, under go-grpc-middleware's names.
#[derive(Debug, Clone)]
struct Families {
    started: CounterVec,
    handled: CounterVec,
    duration: HistogramVec,
}

/// Counts and times the calls that a server answers: `grpc_server_*`.
#[derive(Debug, Clone)]
pub struct ServerMetrics(Families);

/// Counts and times the calls that a client makes: `grpc_client_*`.
#[derive(Debug, Clone)]
pub struct ClientMetrics(Families);

impl ServerMetrics {
    /// Registers the families in `metrics`; a second time gives the same families.
    pub fn new(metrics: &Metrics) -> Self {
        Self(Families {
            started: metrics.counters("grpc_server_started_total", "RPCs started on the server.", METHOD),
            handled: metrics.counters("grpc_server_handled_total", "RPCs completed on the server.", CODE),
            duration: metrics.histograms(
                "grpc_server_handling_seconds",
                "Time from the start of an RPC to the end of its answer.",
                METHOD,
                &BUCKETS,
            ),
        })
    }

    /// Wraps all services of `router`.
    pub(super) fn wrap(&self, router: Router) -> Router {
        let families = self.0.clone();
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let families = families.clone();
            async move {
                let call = families.start(request.uri().path(), ());
                let response: Response = next.run(request).await;
                call.response(response).map(Body::new)
            }
        }))
    }
}

impl ClientMetrics {
    /// Registers the families in `metrics`; a second time gives the same families.
    pub fn new(metrics: &Metrics) -> Self {
        Self(Families {
            started: metrics.counters("grpc_client_started_total", "RPCs started by the client.", METHOD),
            handled: metrics.counters("grpc_client_handled_total", "RPCs completed by the client.", CODE),
            duration: metrics.histograms(
                "grpc_client_handling_seconds",
                "Time from the start of an RPC to the end of its answer.",
                METHOD,
                &BUCKETS,
            ),
        })
    }

    /// Counts a call as begun. `place` is given back when it ends.
    pub(super) fn start(&self, path: &str, place: Place) -> Follow {
        self.0.start(path, place)
    }
}

const METHOD: &[&str] = &["grpc_type", "grpc_service", "grpc_method"];
const CODE: &[&str] = &["grpc_type", "grpc_service", "grpc_method", "grpc_code"];

impl Families {
    /// Counts a call as begun; what is returned must be told how it ends, and keeps `held` until then.
    fn start(&self, path: &str, held: impl Send + 'static) -> Follow {
        let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or(("unknown", "unknown"));
        let known = service.starts_with("thanos") || service.starts_with("grpc.");
        let (service, method) = if known { (service, method) } else { ("unknown", "unknown") };
        let streams = !matches!(method, "LabelNames" | "LabelValues" | "Info" | "RemoteWrite" | "Check");
        let kind = if streams { "server_stream" } else { "unary" };
        self.started.with(&[kind, service, method]).inc();
        let (families, service, method) = (self.clone(), service.to_owned(), method.to_owned());
        let started = Instant::now();
        Follow::new(move |code| {
            drop(held);
            families.handled.with(&[kind, &service, &method, code_name(code)]).inc();
            families.duration.with(&[kind, &service, &method]).observe(started.elapsed().as_secs_f64());
        })
    }
}
