//! `/metrics`, `/-/healthy`, `/-/ready`, `/debug/pprof/profile`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use parking_lot::Mutex;
use telemetry::Metrics;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

/// Whether the component lives and can serve; shared between the component, its routes and its gRPC health service.
#[derive(Debug, Clone, Default)]
pub struct Probe(Arc<ProbeState>);

#[derive(Debug, Default)]
struct ProbeState {
    ready: watch::Sender<bool>,
    unhealthy: AtomicBool,
    why: Mutex<String>,
}

impl Probe {
    /// Not ready, with a reason that the probe's answer shows.
    pub fn new(why: &str) -> Self {
        let probe = Self::default();
        probe.not_ready(why);
        probe
    }

    /// From now on `/-/ready` says 200.
    pub fn ready(&self) {
        self.0.ready.send_replace(true);
    }

    /// From now on `/-/ready` says 503 and `why`.
    pub fn not_ready(&self, why: &str) {
        why.clone_into(&mut self.0.why.lock());
        self.0.ready.send_replace(false);
    }

    /// From now on `/-/healthy` says 503.
    pub fn unhealthy(&self, why: &str) {
        why.clone_into(&mut self.0.why.lock());
        self.0.unhealthy.store(true, Ordering::SeqCst);
    }

    /// Whether `/-/ready` answers 200 at this moment.
    pub fn is_ready(&self) -> bool {
        *self.0.ready.borrow()
    }

    /// Whether it is ready: now, and at each change.
    pub(crate) fn changes(&self) -> WatchStream<bool> {
        WatchStream::new(self.0.ready.subscribe())
    }

    fn answer(&self, ok: bool) -> (StatusCode, String) {
        match ok {
            true => (StatusCode::OK, "OK".to_owned()),
            false => (StatusCode::SERVICE_UNAVAILABLE, format!("NOT OK: {}", self.0.why.lock())),
        }
    }
}

/// The routes that every component serves on its HTTP port.
pub fn common_routes(metrics: Metrics, probe: Probe) -> Router {
    let (healthy, ready) = (probe.clone(), probe);
    Router::new()
        .route("/metrics", get(move |headers: HeaderMap| async move { expose(&metrics, &headers) }))
        .route("/-/healthy", get(move || async move { healthy.answer(!healthy.0.unhealthy.load(Ordering::SeqCst)) }))
        .route("/-/ready", get(move || async move { ready.answer(ready.is_ready()) }))
        .route("/debug/pprof/", get(super::profile::index))
        .route("/debug/pprof/profile", get(super::profile::cpu))
        .route("/debug/fgprof", get(super::profile::cpu))
}

fn expose(metrics: &Metrics, headers: &HeaderMap) -> axum::response::Response {
    let accepts = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    if accepts.contains("application/openmetrics-text") {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        return ([(header::CONTENT_TYPE, kind)], metrics.encode_openmetrics()).into_response();
    }
    ([(header::CONTENT_TYPE, telemetry::CONTENT_TYPE)], metrics.encode()).into_response()
}
