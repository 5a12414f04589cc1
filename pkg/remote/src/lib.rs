//! A running Prometheus: its HTTP API as typed calls ([`PromClient`]), its remote read endpoint as a source of series
//! ([`RemoteRead`]).
//!
//! Chunks are passed on as Prometheus encoded them, decoded frame by frame as they arrive. Wire messages do not leave
//! this crate.

mod api;
mod client;
mod external;
mod frames;
mod order;
mod read;
mod samples;
mod slots;
mod status;
#[doc(hidden)]
pub mod untrusted;

pub use client::{ClientOptions, PromClient};
pub use frames::FrameDecoder;
pub use read::{Identity, RemoteRead, RemoteReadOptions};
pub use status::{BuildInfo, ConfigState, Flags};
