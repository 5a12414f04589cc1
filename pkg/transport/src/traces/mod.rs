//! Traces: spans of requests, calls, queries and bucket operations, exported over OTLP as `--tracing.config` says.
//!
//! Spans are `tracing` spans of target [`telemetry::TRACE`]; without a configuration they cost nothing. The context of a
//! trace comes and goes in W3C's `traceparent`, over HTTP and gRPC.

mod config;
mod export;
mod sampler;
pub(crate) mod span;

use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use telemetry::logs::SpanLayer;
use tokio::runtime::Handle;
use tracing_subscriber::Layer;

use crate::Error;

pub use config::{ExporterConfig, TracingConfig};

/// Exports the spans of this process until it is shut down.
#[derive(Debug)]
pub struct Tracing(SdkTracerProvider);

impl Tracing {
    /// Makes the exporter, which sends from tasks on `runtime`; nothing is connected yet.
    ///
    /// # Errors
    /// An address or TLS files that cannot be used.
    pub fn new(config: &ExporterConfig, runtime: Handle) -> Result<Self, Error> {
        let resource = Resource::builder_empty()
            .with_service_name(config.service_name.clone())
            .with_attributes(config.attributes.iter().map(|(k, v)| opentelemetry::KeyValue::new(k.clone(), v.clone())))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(export::Exporter::new(config, runtime)?)
            .with_sampler(config.sampler.clone())
            .with_resource(resource)
            .build();
        Ok(Self(provider))
    }

    /// What takes the spans, for [`telemetry::logs::init`].
    pub fn layer(&self) -> SpanLayer {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("aion"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .boxed()
    }

    /// Sends what is held now. Blocks as [`Self::shutdown`] does.
    pub fn flush(&self) {
        if let Err(e) = self.0.force_flush() {
            tracing::debug!(err = %e, "spans were not sent");
        }
    }

    /// Sends what is held, for at most `grace`. Blocks, and needs the runtime to run meanwhile: not to be called from a
    /// task.
    pub fn shutdown(&self, grace: Duration) {
        if let Err(e) = self.0.shutdown_with_timeout(grace) {
            tracing::debug!(err = %e, "last spans were not sent");
        }
    }
}
