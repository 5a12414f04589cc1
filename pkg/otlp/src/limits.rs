//! Bounds that are not options.

/// Samples further ahead of the clock than this are rejected; Prometheus' own bound.
pub(crate) const AHEAD_MAX_MS: i64 = 10 * 60 * 1000;

/// Attributes of one resource, scope or data point; nobody has so many.
pub(crate) const ATTRIBUTES_MAX: usize = 16 << 10;
/// Buckets of one side of a histogram, and quantiles of a summary.
pub(crate) const BUCKETS_MAX: usize = 16 << 10;
/// Exemplars of one data point.
pub(crate) const EXEMPLARS_MAX: usize = 16 << 10;
/// How deep lists and maps may lie in one another in an attribute.
pub(crate) const DEPTH_MAX: usize = 128;

/// Series whose labels are resolved in one call.
pub(crate) const RESOLVE_MAX: usize = 4096;
/// Series whose metadata is appended in one call.
pub(crate) const METADATA_MAX: usize = 1024;
/// Description of a metric is cut here, bytes.
pub(crate) const HELP_BYTES_MAX: usize = 16 << 10;
/// Samples of `target_info` for one resource of a request. A resource whose data points lie further apart has them only
/// at the end of its time.
pub(crate) const TARGET_INFO_MAX: i64 = 1000;

/// Things that were rejected which an answer names, and characters of a name in it.
pub(crate) const SHOWN_MAX: usize = 10;
pub(crate) const NAME_SHOWN_MAX: usize = 128;

/// Characters of the labels of an exemplar; beyond, attributes are left out.
pub(crate) const EXEMPLAR_CHARS_MAX: usize = 128;
