//! Time, Prometheus durations, staleness, clocks, annotations: small words shared by all.
//!
//! Times are `i64` milliseconds since the Unix epoch, everywhere. This crate does no I/O.

mod annotations;
mod clock;
mod duration;
mod float;
mod limits;
mod meta;
mod redact;
mod staleness;
mod time;
mod yaml;

pub use annotations::{Annotation, Annotations, Severity};
pub use clock::{Clock, FakeClock, SystemClock};
pub use duration::{DurationError, format_duration, parse_duration};
pub use float::{FloatError, parse_go_float};
pub use limits::ByteSize;
pub use meta::{Exemplar, ExemplarSeries, MetricMetadata, MetricType};
pub use redact::redact_urls;
pub use staleness::{STALE_NAN_BITS, is_stale, stale_nan};
pub use time::{MAX_TIME_MS, MIN_TIME_MS, TimeRange, format_rfc3339_ms};
pub use yaml::first_document;
