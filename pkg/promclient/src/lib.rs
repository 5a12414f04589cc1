//! The HTTP API of a running Prometheus as typed calls ([`PromClient`]): series, labels, rules, alerts, targets, metadata,
//! exemplars, status. Of it also the plain requests that other protocols of the same server are made of.

mod api;
mod client;
mod status;
#[doc(hidden)]
pub mod untrusted;

pub use client::{ClientOptions, PromClient, excerpt};
pub use status::{BuildInfo, ConfigState, Flags};
