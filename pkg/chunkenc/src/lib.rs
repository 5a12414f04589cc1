//! Chunk encodings: a run of samples of one series as compressed bytes, and back into columns.
//!
//! Reading is columnar: a decoder appends to a [`Column`] of times and values, never sample by sample through a trait.
//! Byte formats: `docs/formats/chunks.md`.

pub mod aggr;
mod bits;
mod column;
mod counter;
mod decode;
mod encoding;
mod fast;
mod histogram_edges;
mod histogram_read;
mod histogram_rows;
mod histogram_spans;
mod histogram_starts;
mod histogram_state;
mod histogram_write;
mod layout;
mod reduce;
mod reversed;
mod start_times;
mod timed;
mod varbit_runs;
mod xor;
mod xor2;
mod xor_state;

pub use column::{Column, HistogramColumn};
pub use counter::CounterReader;
pub use decode::{decode_floats, decode_floats_between, first_spacing, num_samples};
pub use encoding::Encoding;
pub use histogram_edges::{EdgeChunk, EdgeNumbers, HistogramEdges};
pub use histogram_read::{decode_histograms, decode_histograms_between};
pub use histogram_starts::{decode_histograms_with_starts, encode_float_histograms_with_starts};
pub use histogram_write::{Appended, FloatHistogramAppender, HistogramAppender, ResetFlag};
pub use layout::MAX_BUCKETS;
pub use timed::TimedChunk;
pub use xor::{MAX_SAMPLES, XorAppender, encode_xor};
pub use xor_state::{XOR_STATE_BYTES, XorState};
pub use xor2::{Xor2Appender, decode_xor2, encode_xor2};

/// Why bytes are no chunk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end in the middle of a sample.
    #[error("chunk of {len} bytes ends inside sample {sample} of {samples}")]
    Truncated {
        /// Length of the chunk's data.
        len: usize,
        /// Index of the sample that is cut.
        sample: usize,
        /// Samples that the header promises.
        samples: usize,
    },
    /// The first bytes make no header.
    #[error("chunk header: {0}")]
    Header(String),
    /// A value that the format does not allow.
    #[error("chunk sample {sample}: {what}")]
    Invalid {
        /// Which sample, from 0.
        sample: usize,
        /// What the format does not allow.
        what: String,
    },
    /// The chunk has as many samples as its count can tell; begin a new one.
    #[error("chunk is full")]
    Full,
    /// No such encoding, or not one of this kind.
    #[error("chunk encoding {0}")]
    Encoding(String),
}
