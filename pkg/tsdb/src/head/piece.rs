//! A chunk that somebody is given, or the place on disk where it is.

use chunkenc::TimedChunk;
use model::TimeRange;
use storage::{EncodedChunk, Result};

use super::open::shorten;
use super::seams::ChunkStore;

/// A chunk, or where it is on disk.
#[derive(Debug)]
pub(crate) enum Piece {
    Ready(TimedChunk),
    Mapped {
        reference: u64,
        min_time: i64,
        max_time: i64,
        /// Only the first samples are seen.
        samples: Option<usize>,
    },
}

impl Piece {
    pub fn range(&self) -> TimeRange {
        match self {
            Self::Ready(chunk) => TimeRange::new(chunk.min_time, chunk.max_time),
            Self::Mapped { min_time, max_time, .. } => TimeRange::new(*min_time, *max_time),
        }
    }

    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Ready(chunk) => chunk.data.len(),
            // Of a full chunk, about.
            Self::Mapped { .. } => 256,
        }
    }

    /// The chunk, read from disk if need be.
    pub fn load(self, store: &dyn ChunkStore) -> Result<TimedChunk> {
        match self {
            Self::Ready(chunk) => Ok(chunk),
            Self::Mapped { reference, min_time, max_time, samples } => {
                let EncodedChunk { encoding, data } = store.read(reference)?;
                let Some(samples) = samples else { return Ok(TimedChunk { min_time, max_time, encoding, data }) };
                let mut data = data.to_vec();
                let max_time = shorten(encoding, &mut data, samples).map_err(corrupt)?;
                Ok(TimedChunk { min_time, max_time, encoding, data: data.into() })
            }
        }
    }
}

pub(crate) fn corrupt(e: chunkenc::Error) -> storage::Error {
    storage::Error::Corrupt(format!("chunk of the head: {e}"))
}
