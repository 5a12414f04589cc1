//! Time, Prometheus durations, staleness, clocks, annotations: small words shared by all.
//!
//! Times are `i64` milliseconds since the Unix epoch, everywhere. This crate does no I/O.

mod annotations;
mod calendar;
mod case;
mod clock;
mod duration;
mod float;
mod grid;
mod limits;
mod meta;
mod redact;
mod resolution;
mod staleness;
mod target;
mod time;
mod yaml;

pub use annotations::{Annotation, Annotations, Severity};
pub use calendar::{DAY_MS, Date, format_rfc3339_ms, parse_rfc3339_ms};
pub use case::{to_lower, to_upper, upper};
pub use clock::{Clock, FakeClock, SystemClock};
pub use duration::{DurationError, format_duration, parse_duration};
pub use float::{FloatError, parse_go_float};
pub use grid::Grid;
pub use limits::{ByteSize, ByteSizeError};
pub use meta::{Exemplar, ExemplarSeries, MetricMetadata, MetricType};
pub use redact::redact_urls;
pub use resolution::{Resolution, ResolutionError};
pub use staleness::{STALE_NAN_BITS, is_stale, stale_nan};
pub use target::{ADDRESS_LABEL, TargetGroup};
pub use time::{MAX_TIME_MS, MIN_TIME_MS, TimeRange};
pub use yaml::first_document;
