//! Prometheus' remote protocols: remote read, of a running Prometheus as a source of series ([`RemoteRead`]) and as a
//! server ([`serve::ReadServer`]), the receiver of remote write ([`receive::Receiver`]) and its sender ([`send::RemoteWrite`]).
//!
//! Chunks are passed on as Prometheus encoded them, decoded frame by frame as they arrive. Wire messages do not leave
//! this crate.

mod frames;
mod messages;
mod out;
mod plan;
mod push;
mod read;
pub mod receive;
mod samples;
pub mod send;
pub mod serve;
mod slots;
mod store;
#[doc(hidden)]
pub mod untrusted;

pub use frames::FrameDecoder;
pub use plan::Identity;
pub use push::{PushedFamily, PushedSample, push_headers, push_message};
pub use read::{RemoteRead, RemoteReadOptions};
pub use store::{RemoteStore, RemoteStoreConfig, RemoteStoreMetrics};
