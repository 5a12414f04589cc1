//! Spans around requests and calls, and how their context travels.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::Code;
use tracing::field::Empty;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::sampler::FORCED;
use crate::grpc::follow::code_name;

/// A client that sends it wants its request traced.
const FORCE_HEADER: &str = "x-thanos-force-tracing";
/// The header of an answer that names its trace.
const ID_HEADER: HeaderName = HeaderName::from_static("x-thanos-trace-id");

struct Headers<'h>(&'h HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|v| v.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'h>(&'h mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (key.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            self.0.insert(name, value);
        }
    }
}

/// Makes `span` go on with the trace that the headers tell of.
fn go_on(span: &Span, headers: &HeaderMap) {
    let parent = TraceContextPropagator::new().extract(&Headers(headers));
    if parent.span().span_context().is_valid() {
        // fails without an exporter only
        let _ = span.set_parent(parent);
    }
}

/// Writes `span`'s context into the headers.
fn tell(span: &Span, headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&span.context(), &mut HeadersMut(headers));
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty())
}

/// An HTTP request, served by `handler` (its name in metrics).
pub(crate) async fn http_server(handler: &str, request: Request, next: Next) -> Response {
    let span = tracing::info_span!(
        target: telemetry::TRACE,
        "http",
        otel.name = format!("/{handler} HTTP[server]"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.method = %request.method(),
        http.url = %request.uri(),
        http.status_code = Empty,
        request_id = Empty,
        thanos.force_tracing = Empty,
    );
    if span.is_disabled() {
        return next.run(request).await;
    }
    if let Some(id) = text(request.headers(), "x-request-id") {
        span.record("request_id", id);
    }
    if text(request.headers(), FORCE_HEADER).is_some() {
        span.record(FORCED, "true");
    }
    go_on(&span, request.headers());
    let mut response = next.run(request).instrument(span.clone()).await;
    span.record("http.status_code", response.status().as_u16());
    if response.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    let context = span.context();
    let context = context.span().span_context().clone();
    if context.is_sampled()
        && let Ok(id) = HeaderValue::from_str(&context.trace_id().to_string())
    {
        response.headers_mut().insert(ID_HEADER, id);
    }
    response
}

/// A gRPC call that is served; goes on with the caller's trace.
pub(crate) fn grpc_server(path: &str, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        target: telemetry::TRACE,
        "grpc",
        otel.name = path,
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system = "grpc",
        rpc.grpc.status_code = Empty,
    );
    if !span.is_disabled() {
        go_on(&span, headers);
    }
    span
}

/// A gRPC call to `address`; tells the other side its trace.
pub(crate) fn grpc_client(address: &str, path: &str, headers: &mut HeaderMap) -> Span {
    let span = tracing::info_span!(
        target: telemetry::TRACE,
        "grpc",
        otel.name = path,
        otel.kind = "client",
        otel.status_code = Empty,
        rpc.system = "grpc",
        rpc.grpc.status_code = Empty,
        server.address = address,
    );
    if !span.is_disabled() {
        tell(&span, headers);
    }
    span
}

/// Notes how a call ended.
pub(crate) fn grpc_ended(span: &Span, code: Code) {
    if span.is_disabled() {
        return;
    }
    span.record("rpc.grpc.status_code", code_name(code));
    if !matches!(code, Code::Ok | Code::Cancelled) {
        span.record("otel.status_code", "ERROR");
    }
}
