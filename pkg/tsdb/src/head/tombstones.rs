//! Samples that were deleted from the head: held back on reading, left out of blocks.

use chunkenc::TimedChunk;
use storage::{Error, Result};

use super::encode::{Encodings, Row, encode};
use super::recode::rows;

/// What is left of a chunk without the samples in `deleted`, both ends inclusive.
pub(crate) fn cut_out(chunk: TimedChunk, deleted: &[(i64, i64)]) -> Result<Vec<TimedChunk>> {
    let touched = deleted.iter().any(|(min, max)| *min <= chunk.max_time && chunk.min_time <= *max);
    if !touched {
        return Ok(vec![chunk]);
    }
    let is_left = |row: &Row| !deleted.iter().any(|(min, max)| *min <= row.time_ms && row.time_ms <= *max);
    let left: Vec<Row> = rows(&chunk)?.into_iter().filter(is_left).collect();
    let chunks = encode(&left, Encodings::like(chunk.encoding))
        .map_err(|e| Error::Corrupt(format!("chunk of the head: {e}")))?;
    Ok(chunks.iter().map(|full| full.chunk()).collect())
}

/// Adds an interval to those of a series; neighbours become one.
pub(crate) fn add(intervals: &mut Vec<(i64, i64)>, (mut min, mut max): (i64, i64)) {
    intervals.retain(|(a, b)| {
        let apart = *b < min.saturating_sub(1) || max.saturating_add(1) < *a;
        if !apart {
            (min, max) = (min.min(*a), max.max(*b));
        }
        apart
    });
    let at = intervals.partition_point(|(a, _)| *a < min);
    intervals.insert(at, (min, max));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_join() {
        let mut all = Vec::new();
        for interval in [(10, 20), (40, 50), (21, 25), (60, 60), (0, 3)] {
            add(&mut all, interval);
        }
        assert_eq!(all, [(0, 3), (10, 25), (40, 50), (60, 60)]);
        add(&mut all, (2, 49));
        assert_eq!(all, [(0, 50), (60, 60)]);
        add(&mut all, (i64::MIN, i64::MAX));
        assert_eq!(all, [(i64::MIN, i64::MAX)]);
    }
}
