//! Prometheus' remote protocols: remote read, of a running Prometheus as a source of series ([`RemoteRead`]) and as a
//! server ([`serve::ReadServer`]), and the receiver of remote write ([`receive::Receiver`]).
//!
//! Chunks are passed on as Prometheus encoded them, decoded frame by frame as they arrive. Wire messages do not leave
//! this crate.

mod frames;
mod messages;
mod out;
mod plan;
mod read;
pub mod receive;
mod samples;
pub mod serve;
mod slots;
#[doc(hidden)]
pub mod untrusted;

pub use frames::FrameDecoder;
pub use plan::Identity;
pub use read::{RemoteRead, RemoteReadOptions};
