//! The input of a merge, and what it reports.

use chunkenc::TimedChunk;

/// A chunk and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneChunk {
    /// Chunks of one replica have the same number; 0 = not known.
    pub replica: u64,
    /// Of samples with equal times, that of the higher order is taken.
    pub order: u32,
    /// The encoded samples, of which the first and the last time are known.
    pub chunk: TimedChunk,
}

/// What was done with one series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// Chunks that are in the output as they were.
    pub copied: u64,
    /// Chunks of the output that no input chunk equals.
    pub rewritten: u64,
    /// Chunks that stood there twice, byte for byte.
    pub duplicates: u64,
    /// Samples of decoded chunks that were not later than the one before in their chunk. Those with a time of their own
    /// are kept, at their place.
    pub samples_out_of_order: u64,
    /// Samples of decoded chunks that are not in the output: their time is another replica's, or another replica is
    /// followed.
    pub samples_left_out: u64,
}

/// Why chunks could not be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// A chunk cannot be read: the block it is from is corrupt.
    #[error("chunk from {min_time} to {max_time} ms of replica {replica}: {source}")]
    Chunk {
        /// The chunk's first sample, ms.
        min_time: i64,
        /// The chunk's last sample, ms.
        max_time: i64,
        /// The replica's number, see [`LaneChunk::replica`].
        replica: u64,
        /// What is wrong with the bytes.
        source: chunkenc::Error,
    },
    /// A chunk cannot be written.
    #[error("write chunk: {0}")]
    Write(chunkenc::Error),
}
