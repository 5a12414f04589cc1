//! Bounds that are not options, and the texts of what lies beyond them.

/// Samples further ahead of the clock than this are refused; Prometheus' own bound.
pub(super) const AHEAD_MAX_MS: i64 = 10 * 60 * 1000;

/// Why a sample beyond that bound is refused, in Prometheus' words.
pub(super) const TOO_FAR_AHEAD: &str = "out of bounds: timestamp is too far in the future";

/// Things that were not taken which an answer names.
pub(super) const SHOWN_MAX: usize = 10;

/// Series whose labels are resolved in one call, and labels of them all, about.
pub(super) const RESOLVE_MAX: usize = 4096;
pub(super) const RESOLVE_LABELS_MAX: usize = 64 << 10;

/// Labels of one series; nobody has so many.
pub(super) const LABELS_MAX: usize = 16 << 10;

/// Labels of an exemplar with more bytes than this have more characters than any store takes.
pub(super) const EXEMPLAR_LABELS_BYTES_MAX: usize = 1024;

/// Help and unit of a metric are cut here, bytes.
pub(super) const HELP_BYTES_MAX: usize = 16 << 10;
/// Series whose metadata is appended in one call.
pub(super) const METADATA_MAX: usize = 1024;

/// Bytes that the columns of a request may take, as a multiple of its size and on top of it. A sample with its labels takes
/// about four times as much there, an empty histogram of two bytes a hundred times.
pub(super) const COLUMNS_FACTOR: usize = 10;
pub(super) const COLUMNS_BYTES: usize = 16 << 10;

/// Buffers that are kept for the next request, and how large such a one may be.
pub(super) const SPARE_MAX: usize = 16;
pub(super) const SPARE_BYTES_MAX: usize = 4 << 20;
