//! One series' chunks at a coarser resolution: raw samples into windows of 5 minutes, those into windows of an hour.
//!
//! Pure functions over chunks. What is written is byte for byte what Thanos writes (`docs/formats/chunks.md`, the
//! aggregates), but for the cases where Thanos loses or distorts data; [`Downsampler`] lists them. Which blocks are
//! downsampled, and when, is decided elsewhere.

mod aggregates;
mod columns;
mod downsampler;
mod encode;
mod float_windows;
mod histogram_chunk;
mod histograms;
mod sizing;

pub use downsampler::{Downsampler, Report};

/// Why chunks could not be downsampled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A resolution is not positive, or not a whole multiple of the input's. Nothing but the caller's job is wrong.
    #[error("cannot downsample from {from_ms} ms to {to_ms} ms: not a whole multiple")]
    Resolution {
        /// The input's, ms; 0 = raw.
        from_ms: i64,
        /// Window length of the output, ms.
        to_ms: i64,
    },
    /// A chunk of the input is corrupt.
    #[error("chunk from {min_time} to {max_time} ms: {source}")]
    Chunk {
        /// The chunk's first sample, ms.
        min_time: i64,
        /// The chunk's last sample, ms.
        max_time: i64,
        /// Why it cannot be decoded.
        source: chunkenc::Error,
    },
    /// A chunk cannot be written.
    #[error("write aggregates: {0}")]
    Encode(chunkenc::Error),
}
