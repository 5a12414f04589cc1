//! gRPC: server stack and client channels. Compression `snappy` (the framed format, as Thanos registers it) is a layer
//! around messages because tonic itself has only gzip, zstd and deflate.

mod client;
mod metrics;
mod snappy;

pub use client::{Channel, ClientOptions, Compression, connect};
pub use metrics::{ClientMetrics, ServerMetrics};

use axum::Router;
use tonic::service::Routes;

/// The router of a gRPC server: `routes` and the standard health service, behind metrics and snappy.
pub fn server_router(routes: Routes, metrics: &ServerMetrics) -> Router {
    let (_, health) = tonic_health::server::health_reporter();
    let router = routes.add_service(health).prepare().into_axum_router();
    metrics.wrap(router.layer(axum::middleware::from_fn(snappy::server)))
}

/// Largest message received, in bytes: a batch of series, far above what a sane peer sends and far below memory.
pub const MESSAGE_BYTES_MAX: usize = 256 << 20;
