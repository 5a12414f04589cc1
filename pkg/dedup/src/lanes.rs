//! Chunks of one series into lanes, one a replica.

use chunkenc::num_samples;
use storage::{Chunk, ChunkData};

/// The end of a lane of chunks whose replica is not known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    /// The time of the lane's last sample, ms.
    time: i64,
    /// The mean spacing of its last chunk's samples, ms.
    interval: i64,
}

impl End {
    /// The end of a chunk.
    pub(crate) fn of(min_time: i64, max_time: i64, samples: usize) -> Self {
        let steps = i64::try_from(samples).unwrap_or(i64::MAX).saturating_sub(1).max(1);
        let interval = if samples > 1 { max_time.saturating_sub(min_time) / steps } else { 0 };
        Self { time: max_time, interval }
    }

    /// How far from where the lane's next sample is expected a chunk begins; none if the chunk begins before its end.
    fn distance(self, start: i64) -> Option<u64> {
        (self.time < start).then(|| start.abs_diff(self.time.saturating_add(self.interval)))
    }

    /// Of the lanes that have ended before `start`, the one that most likely goes on there.
    pub(crate) fn going_on(ends: impl Iterator<Item = Self>, start: i64) -> Option<usize> {
        let ended = ends.enumerate().filter_map(|(i, end)| Some((end.distance(start)?, i)));
        ended.min().map(|(_, i)| i)
    }
}

/// Whether chunks are of one replica, as those of most series are, as far as that is known.
pub(crate) fn is_one(chunks: &[Chunk]) -> bool {
    match chunks {
        [] => false,
        [first, rest @ ..] => {
            (rest.is_empty() || first.replica != 0) && rest.iter().all(|chunk| chunk.replica == first.replica)
        }
    }
}

/// Splits chunks (sorted by time) by replica. A chunk whose replica is not known goes to the lane whose next sample was
/// due nearest to its first: most likely its own replica's. (Thanos takes the first lane that it does not overlap; a lane
/// then hops from one replica to another after a gap, and what it saw before says nothing of a counter's reset in
/// between.) Exact doubles are dropped.
pub(crate) fn split(mut chunks: Vec<Chunk>) -> Vec<Vec<Chunk>> {
    if is_one(&chunks) {
        chunks.dedup();
        return vec![chunks];
    }
    let mut known: Vec<(u64, Vec<Chunk>)> = Vec::new();
    let mut unknown: Vec<Vec<Chunk>> = Vec::new();
    let mut ends: Vec<End> = Vec::new();
    for chunk in chunks {
        if chunk.replica != 0 {
            match known.iter_mut().find(|(replica, _)| *replica == chunk.replica) {
                Some((_, lane)) if lane.last() == Some(&chunk) => {}
                Some((_, lane)) => lane.push(chunk),
                None => known.push((chunk.replica, vec![chunk])),
            }
            continue;
        }
        if unknown.iter().any(|lane| lane.last() == Some(&chunk)) {
            continue;
        }
        let end = End::of(chunk.min_time, chunk.max_time, samples(&chunk));
        match End::going_on(ends.iter().copied(), chunk.min_time) {
            Some(lane) => {
                unknown[lane].push(chunk);
                ends[lane] = end;
            }
            None => {
                unknown.push(vec![chunk]);
                ends.push(end);
            }
        }
    }
    known.into_iter().map(|(_, lane)| lane).chain(unknown).collect()
}

/// How many samples a chunk has, as far as that can be told without decoding it.
fn samples(chunk: &Chunk) -> usize {
    match &chunk.data {
        ChunkData::Raw(raw) => num_samples(raw.encoding, &raw.data).unwrap_or(0),
        ChunkData::Decoded(column) => column.len(),
        ChunkData::Aggr(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use chunkenc::Encoding;

    fn chunk(replica: u64, min: i64, max: i64) -> Chunk {
        Chunk { replica, ..Chunk::raw(min, max, Encoding::Xor, Bytes::new()) }
    }

    #[test]
    fn lanes() {
        let shape = |chunks: &[(u64, i64, i64)]| -> Vec<Vec<(i64, i64)>> {
            let lanes = split(chunks.iter().map(|(r, a, b)| chunk(*r, *a, *b)).collect());
            lanes.iter().map(|l| l.iter().map(|c| (c.min_time, c.max_time)).collect()).collect()
        };
        assert_eq!(shape(&[(7, 0, 10), (9, 1, 11), (7, 11, 20)]), [vec![(0, 10), (11, 20)], vec![(1, 11)]]);
        assert_eq!(shape(&[(0, 0, 10), (0, 0, 10), (0, 5, 15), (0, 11, 20)]), [vec![(0, 10), (11, 20)], vec![(5, 15)]]);
        // After a gap of the first replica the second goes on in its own lane.
        assert_eq!(
            shape(&[(0, 0, 10), (0, 5, 30), (0, 31, 50), (0, 40, 60)]),
            [vec![(0, 10), (40, 60)], vec![(5, 30), (31, 50)]]
        );
        // One replica alone, with a double.
        assert_eq!(shape(&[(7, 0, 10), (7, 0, 10), (7, 11, 20)]), [vec![(0, 10), (11, 20)]]);
        assert_eq!(shape(&[(0, 0, 10)]), [vec![(0, 10)]]);
        // The live and the shipped form of one replica's data overlap and stay together.
        assert_eq!(shape(&[(7, 0, 10), (7, 5, 12)]), [vec![(0, 10), (5, 12)]]);
    }
}
