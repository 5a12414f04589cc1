//! Downsampled chunks that overlap.

use chunkenc::TimedChunk;

use super::{LaneChunk, MergeError, Merged};

/// Keeps the chunks that begin earliest and do not overlap one another.
pub(crate) fn merge(run: &[LaneChunk], out: &mut Vec<TimedChunk>, merged: &mut Merged) -> Result<(), MergeError> {
    let mut end = i64::MIN;
    for chunk in run {
        if chunk.chunk.min_time > end {
            end = chunk.chunk.max_time;
            merged.copied += 1;
            out.push(chunk.chunk.clone());
        }
    }
    Ok(())
}
