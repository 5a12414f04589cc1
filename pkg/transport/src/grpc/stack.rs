//! What every gRPC server has around its services: health, reflection, metrics, request logs, snappy.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::Builder;
use tracing::Instrument;

use super::follow::Follow;
use super::health::ProbeHealth;
use super::{ServerMetrics, snappy};
use crate::http::Probe;
use crate::request_log::RequestLog;
use crate::traces::span;

/// Puts a call's span around its service, and around what is read of its answer.
async fn traced(request: Request, next: Next) -> Response {
    let span = span::grpc_server(request.uri().path(), request.headers());
    if span.is_disabled() {
        return next.run(request).await;
    }
    let response = next.run(request).instrument(span.clone()).await;
    Follow::of(span).response(response).map(Body::new)
}

/// The surroundings of a gRPC server's services.
#[derive(Debug, Clone)]
pub struct ServerStack {
    metrics: ServerMetrics,
    probe: Probe,
    descriptors: &'static [u8],
    services: Vec<&'static str>,
    log: RequestLog,
}

impl ServerStack {
    /// Counts with `metrics`; the health service says what `probe` says.
    pub fn new(metrics: ServerMetrics, probe: Probe) -> Self {
        Self { metrics, probe, descriptors: &[], services: Vec::new(), log: RequestLog::default() }
    }

    /// Server reflection lists `services` (full names), described in the encoded `FileDescriptorSet`.
    #[must_use]
    pub fn reflecting(mut self, descriptors: &'static [u8], services: Vec<&'static str>) -> Self {
        (self.descriptors, self.services) = (descriptors, services);
        self
    }

    /// Logs calls as `log` says; without this none is logged.
    #[must_use]
    pub fn logging(mut self, log: RequestLog) -> Self {
        self.log = log;
        self
    }

    /// `routes` with health and reflection beside them, and metrics, traces, request log and snappy around them.
    pub fn router(self, routes: Routes) -> Router {
        let mut routes = routes.add_service(HealthServer::new(ProbeHealth(self.probe.clone())));
        let v1 = self.reflection("grpc.reflection.v1.ServerReflection").build_v1();
        let old = self.reflection("grpc.reflection.v1alpha.ServerReflection").build_v1alpha();
        match (v1, old) {
            (Ok(v1), Ok(old)) => routes = routes.add_service(v1).add_service(old),
            (Err(e), _) | (_, Err(e)) => tracing::error!(err = %e, "descriptors do not fit, no gRPC reflection"),
        }
        let router = routes.prepare().into_axum_router().layer(axum::middleware::from_fn(snappy::server));
        self.metrics.wrap(self.log.grpc(router.layer(axum::middleware::from_fn(traced))))
    }

    fn reflection(&self, own_name: &str) -> Builder<'static> {
        let mut builder = Builder::configure()
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health")
            .with_service_name(own_name);
        if !self.services.is_empty() {
            builder = builder.register_encoded_file_descriptor_set(self.descriptors);
        }
        self.services.iter().fold(builder, |b, name| b.with_service_name(*name))
    }
}
