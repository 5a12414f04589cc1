//! gRPC: server stack and client channels. Compression `snappy` (the framed format, as Thanos registers it) is a layer
//! around messages because tonic itself has only gzip, zstd and deflate.

mod client;
pub(crate) mod follow;
mod health;
mod metrics;
mod pool;
mod snappy;
mod stack;

pub use client::{Channel, ClientOptions, Compression, connect};
pub use metrics::{ClientMetrics, ServerMetrics};
#[doc(hidden)]
pub use snappy::unpack_all;
pub use stack::ServerStack;

/// Largest message received, in bytes: a batch of series, far above what a sane peer sends and far below memory.
pub const MESSAGE_BYTES_MAX: usize = 256 << 20;
