//! Series with native histograms: chunks in, chunks out, chosen sample by sample as when blocks are rewritten.

use bytes::Bytes;
use chunkenc::{Encoding, TimedChunk, encode_xor};
use storage::{Chunk, ChunkData};

use crate::rewrite::{LaneChunk, MergeError, SeriesMerger};
use crate::{DedupOptions, Method};

/// Follows one replica. Raw chunks only, sorted by time. The second value tells of chunks that did not decode; the other
/// replicas stand in for them.
pub(crate) fn dedup(chunks: Vec<Chunk>, options: &DedupOptions) -> (Vec<Chunk>, Vec<String>) {
    let mut corrupt = Vec::new();
    let mut lanes: Vec<LaneChunk> = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        match timed(&chunk) {
            Ok(Some(timed)) => lanes.push(LaneChunk { replica: chunk.replica, order: 0, chunk: timed }),
            Ok(None) => {}
            Err(e) => corrupt.push(format!("chunk from {} to {} ms: {e}", chunk.min_time, chunk.max_time)),
        }
    }
    let mut merger = SeriesMerger::new(options.lookback_ms).until(options.end_ms);
    let mut out = Vec::new();
    let mut result = merger.merge(lanes.clone(), Method::Penalty, &mut out);
    if let Err(MergeError::Chunk { .. }) = result {
        lanes.retain(|lane| match lane.check() {
            Ok(()) => true,
            Err(e) => {
                corrupt.push(e.to_string());
                false
            }
        });
        result = merger.merge(lanes.clone(), Method::Penalty, &mut out);
    }
    if let Err(e) = result {
        corrupt.push(e.to_string());
        out = without_overlap(lanes);
    }
    (out.into_iter().map(|c| Chunk::raw(c.min_time, c.max_time, c.encoding, c.data)).collect(), corrupt)
}

fn timed(chunk: &Chunk) -> Result<Option<TimedChunk>, chunkenc::Error> {
    let (encoding, data) = match &chunk.data {
        ChunkData::Raw(raw) => (raw.encoding, raw.data.clone()),
        ChunkData::Decoded(column) => (Encoding::Xor, Bytes::from(encode_xor(column.iter())?)),
        ChunkData::Aggr(_) => return Ok(None),
    };
    Ok(Some(TimedChunk { min_time: chunk.min_time, max_time: chunk.max_time, encoding, data }))
}

/// What can be shown of chunks that could not be merged: from the first on, those that overlap nothing shown yet.
fn without_overlap(lanes: Vec<LaneChunk>) -> Vec<TimedChunk> {
    let mut end = i64::MIN;
    let mut free = |chunk: &TimedChunk| {
        let free = chunk.min_time > end;
        end = if free { chunk.max_time } else { end };
        free
    };
    lanes.into_iter().map(|lane| lane.chunk).filter(|chunk| free(chunk)).collect()
}
