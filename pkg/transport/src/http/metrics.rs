//! `http_requests_total` and friends, under the names and labels of Thanos' dashboards.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use telemetry::{CounterVec, GaugeVec, HistogramVec, Metrics};

use crate::traces::span;

/// Counts, times and traces requests per route; the path of an unknown route is not a label value, so strangers cannot fill
/// memory with names.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    requests: CounterVec,
    duration: HistogramVec,
    inflight: GaugeVec,
}

/// Upper bounds in seconds, Thanos' own.
const BUCKETS: [f64; 14] = [0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0];

impl HttpMetrics {
    /// Registers the families in `metrics`; a second time gives the same families.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            requests: metrics.counters(
                "http_requests_total",
                "HTTP requests by code, method and handler.",
                &["code", "handler", "method"],
            ),
            duration: metrics.histograms(
                "http_request_duration_seconds",
                "Time from request to the end of the response's head.",
                &["code", "handler", "method"],
                &BUCKETS,
            ),
            inflight: metrics.gauges("http_inflight_requests", "Requests being served.", &["handler", "method"]),
        }
    }

    /// Wraps all routes of `router`.
    pub fn wrap(&self, router: Router) -> Router {
        let metrics = self.clone();
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let metrics = metrics.clone();
            async move { metrics.observe(request, next).await }
        }))
    }

    async fn observe(&self, request: Request, next: Next) -> Response {
        let handler = match request.extensions().get::<MatchedPath>() {
            Some(path) => handler_name(path.as_str()),
            None => "unknown".to_owned(),
        };
        let method = match request.method().as_str() {
            m @ ("GET" | "POST" | "PUT" | "DELETE" | "HEAD" | "OPTIONS") => m.to_ascii_lowercase(),
            _ => "unknown".to_owned(),
        };
        let inflight = self.inflight.with(&[&handler, &method]);
        inflight.inc();
        let started = Instant::now();
        let response = span::http_server(&handler, request, next).await;
        inflight.dec();
        let code = response.status().as_u16().to_string();
        self.requests.with(&[&code, &handler, &method]).inc();
        self.duration.with(&[&code, &handler, &method]).observe(started.elapsed().as_secs_f64());
        response
    }
}

/// Thanos names the handlers of the API by their last words: `query_range`, `label_values`.
fn handler_name(path: &str) -> String {
    let rest = path.split("/api/v1/").nth(1).unwrap_or(path.trim_start_matches('/'));
    match rest {
        r if r.starts_with("label/") => "label_values".to_owned(),
        r => r.replace(['/', '-'], "_").trim_matches('_').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn handlers_are_named_as_in_dashboards() {
        for (path, name) in [
            ("/api/v1/query_range", "query_range"),
            ("/prefix/api/v1/query", "query"),
            ("/api/v1/label/{name}/values", "label_values"),
            ("/-/healthy", "healthy"),
            ("/metrics", "metrics"),
        ] {
            assert_eq!(super::handler_name(path), name);
        }
    }
}
