//! The HTTP API of a running Prometheus as typed calls ([`PromClient`]): series, labels, rules, alerts, targets, metadata,
//! exemplars, status. Of it also the plain requests that other protocols of the same server are made of.

mod api;
mod client;
mod native;
mod range;
mod status;
#[doc(hidden)]
pub mod untrusted;

pub use api::label_values_path;
pub use client::{ClientOptions, PromClient, excerpt};
pub use native::HistogramJson;
pub use range::{RangeSeries, RangeSteps};
pub use status::{BuildInfo, ConfigState, Flags};
