//! Metrics of OpenTelemetry over HTTP: `POST /api/v1/otlp/v1/metrics`, protobuf or JSON, as Prometheus takes them.
//!
//! A request is walked where it lies after decompression; no message is built of it. The bytes that name a series (its
//! resource, its metric, its attributes) are digested, and the digest finds the series ([`ingest::SeriesCache`]): names are
//! translated and labels are built for new series alone. Samples go into columns. Everything that is valid is committed,
//! and the sender is told what was rejected.
//!
//! JSON is rewritten into protobuf first, so that there is one way in.
//!
//! Source: OTLP 1.x (<https://opentelemetry.io/docs/specs/otlp/>), and for what becomes of a metric Prometheus 3.14's
//! translator and <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>.

mod answer;
mod any;
mod batch;
mod delta;
mod exemplars;
mod exponential;
mod histograms;
mod inflate;
mod json;
mod json_schema;
mod labels;
mod limits;
mod metric;
mod metrics;
mod names;
mod point;
mod receiver;
mod rows;
mod series;
mod settings;
mod take;
mod target_info;
mod translate;
mod units;

pub use receiver::{Receiver, ReceiverDeps, ReceiverOptions};
pub use settings::{DeltaMode, Settings, Strategy};

#[doc(hidden)]
pub use receiver::untrusted;
