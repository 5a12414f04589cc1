//! Bounds that are not options, and the texts of what lies beyond them.

/// Samples further ahead of the clock than this are refused; Prometheus' own bound.
pub(super) const AHEAD_MAX_MS: i64 = 10 * 60 * 1000;

/// Why a sample beyond that bound is refused, in Prometheus' words.
pub(super) const TOO_FAR_AHEAD: &str = "out of bounds: timestamp is too far in the future";

/// Things that were not taken which an answer names.
pub(super) const SHOWN_MAX: usize = 10;

/// Series whose labels are resolved in one call.
pub(super) const RESOLVE_MAX: usize = 4096;

/// Buffers that are kept for the next request, and how large such a one may be.
pub(super) const SPARE_MAX: usize = 16;
pub(super) const SPARE_BYTES_MAX: usize = 4 << 20;
