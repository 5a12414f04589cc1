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
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

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

/// Compresses answers for clients that accept it. They are written once and read once: the cheapest level saves most of the
/// bytes.
pub fn compression() -> CompressionLayer {
    CompressionLayer::new().quality(CompressionLevel::Fastest)
}

/// The routes that every component serves on its HTTP port.
pub fn common_routes(metrics: Metrics, probe: Probe) -> Router {
    let (healthy, ready) = (probe.clone(), probe);
    Router::new()
        .route(
            "/metrics",
            get(move |headers: HeaderMap| async move { expose(&metrics, &headers) }).layer(compression()),
        )
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

#[cfg(test)]
mod tests {
    use std::io::Read;

    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn metrics_are_compressed_where_that_is_accepted() {
        let metrics = Metrics::new();
        metrics.counter("packed_total", "A counter whose help makes the page worth to be compressed.").inc();
        let get = async |encoding: &str| {
            let request = Request::get("/metrics").header("accept-encoding", encoding).body(Body::empty()).unwrap();
            let routes = common_routes(metrics.clone(), Probe::default());
            let (head, body) = routes.oneshot(request).await.unwrap().into_parts();
            (head.headers.get("content-encoding").cloned(), to_bytes(body, usize::MAX).await.unwrap())
        };
        let (encoding, plain) = get("identity").await;
        assert_eq!(encoding, None);
        let (encoding, packed) = get("gzip").await;
        assert_eq!(encoding.unwrap(), "gzip");
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&*packed).read_to_end(&mut text).unwrap();
        assert!(text == plain && String::from_utf8(text).unwrap().contains("packed_total 1"));
    }
}
