//! What the program says about itself: log lines ([`logs`]) and its own metrics ([`Metrics`]).
//!
//! Both are handed down as parameters. There is one [`Metrics`] per process (one per test), cloned freely; a component
//! that runs twice under one roof takes [`Metrics::with_labels`]. Names and labels follow Thanos, so that its alerts and
//! dashboards work unchanged.
//!
//! ```
//! let metrics = telemetry::Metrics::new();
//! let ops = metrics.counters("thanos_objstore_bucket_operations_total", "Operations tried.", &["operation"]);
//! ops.with(&["get"]).inc();
//! assert!(metrics.encode().contains(r#"thanos_objstore_bucket_operations_total{operation="get"} 1"#));
//! ```
//!
//! This crate knows no HTTP: whoever serves `/metrics` calls [`Metrics::encode`].

mod metrics;
mod occasionally;
mod summary;
mod text;
mod vec;

/// Target of the spans that are exported as traces; they never show in the log.
pub const TRACE: &str = "trace";

pub mod build;
pub mod logs;
pub mod process;

pub use metrics::{Metrics, exponential_buckets};
pub use occasionally::Occasionally;
pub use prometheus_client::metrics::histogram::Histogram;
pub use summary::{Summary, SummaryVec};
pub use text::CONTENT_TYPE;
pub use vec::{Counter, CounterVec, FloatCounter, FloatCounterVec, Gauge, GaugeVec, HistogramVec, LabelSet};
