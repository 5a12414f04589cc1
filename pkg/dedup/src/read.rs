//! The decoded samples of one lane and how far they have been read.

use chunkenc::{Column, decode_floats};
use model::is_stale;
use storage::{Chunk, ChunkData};

/// The samples of a lane, and how far they have been read.
#[derive(Debug)]
pub(crate) struct Lane {
    /// The samples, whose times ascend without doubles.
    pub samples: Column,
    /// The place of the next sample in `samples`; its length at the end.
    pub at: usize,
    /// While it is followed: the spacing of its samples, ms; 0 = not known yet.
    pub interval: i64,
    /// While another lane is followed: how far ahead of it this one is, see [`Lane::compare`].
    pub lead: i64,
    /// The place and the lead from which the last comparison of many samples began.
    pub compared_from: (usize, i64),
    /// Here it has clearly more samples than the one that is followed.
    pub is_denser: bool,
    /// Until then it lags behind, as was found out before.
    pub lags_until: i64,
}

impl Lane {
    pub fn new(samples: Column) -> Self {
        Self { samples, at: 0, interval: 0, lead: 0, compared_from: (0, 0), is_denser: false, lags_until: i64::MIN }
    }

    /// The next sample's time and value, without moving on.
    pub fn peek(&self) -> Option<(i64, f64)> {
        Some((*self.samples.times.get(self.at)?, *self.samples.values.get(self.at)?))
    }

    /// Moves on to the first sample after `t`.
    pub fn seek_after(&mut self, t: i64) {
        self.at = self.place_after(self.at, t);
    }

    /// The first place from `from` on with a sample after `t`, which is most often near.
    pub fn place_after(&self, from: usize, t: i64) -> usize {
        const NEAR: usize = 8;
        let times = &self.samples.times;
        let mut at = from;
        while at < times.len() && times[at] <= t {
            at += 1;
            if at == from + NEAR {
                return at + times[at..].partition_point(|time| *time <= t);
            }
        }
        at
    }

    /// The last sample that is not stale before the next one and no later than `t`.
    pub fn previous(&self, t: i64) -> Option<(i64, f64)> {
        let passed = (0..self.at.min(self.samples.len())).rev();
        let mut passed = passed.map(|i| (self.samples.times[i], self.samples.values[i]));
        passed.find(|(time, v)| *time <= t && !is_stale(*v))
    }

    /// Moves to the next sample after `t` that is not stale and returns its time, without crossing `until`.
    fn next_live(&mut self, t: i64, until: i64) -> Option<i64> {
        self.seek_after(t);
        loop {
            match self.peek()? {
                (time, _) if time >= until => return None,
                (_, value) if is_stale(value) => self.at += 1,
                (time, _) => return Some(time),
            }
        }
    }

    /// The time of a live sample after `last` and before `until`, to go on with after a switch. One that is nearer to `last`
    /// than half an interval is most likely the same scrape seen twice, whose closeness would upset `irate`; it is given only
    /// where the lane has nothing else within `gap_max_ms`, and said to be a double.
    pub fn next_after_switch(&mut self, last: i64, interval: i64, until: i64, gap_max_ms: i64) -> Option<(i64, bool)> {
        let near = last.saturating_add((interval / 2).min(gap_max_ms / 2));
        let first = self.next_live(last, until)?;
        if first > near {
            return Some((first, false));
        }
        let later = self.samples.times.get(self.place_after(self.at, near)).copied().unwrap_or(i64::MAX);
        if later.min(until).saturating_sub(last) > gap_max_ms {
            return Some((first, true));
        }
        Some((self.next_live(near, until)?, false))
    }

    /// Whether all that is left are live samples no later than `t`.
    pub fn ends_alive_by(&self, t: i64) -> bool {
        let left = self.samples.values.get(self.at..).unwrap_or(&[]);
        self.samples.times.last().is_none_or(|last| *last <= t) && !left.iter().any(|v| is_stale(*v))
    }
}

/// The samples of a lane's chunks no later than `end`, ascending; of two at one time the first stays, but no stale marker
/// in place of a sample. Chunks that do not decode are named in
/// `corrupt`.
pub(crate) fn decode(chunks: &[Chunk], end: i64, corrupt: &mut Vec<String>) -> Column {
    let mut column = Column::new();
    for chunk in chunks {
        match &chunk.data {
            ChunkData::Decoded(samples) => {
                column.times.extend_from_slice(&samples.times);
                column.values.extend_from_slice(&samples.values);
            }
            ChunkData::Raw(raw) => {
                if let Err(e) = decode_floats(raw.encoding, &raw.data, &mut column) {
                    corrupt.push(format!("chunk from {} to {} ms: {e}", chunk.min_time, chunk.max_time));
                }
            }
            // Downsampled chunks do not come here.
            ChunkData::Aggr(_) => {}
        }
    }
    if !column.times.is_sorted_by(|a, b| a < b) {
        sort(&mut column);
    }
    let len = column.times.partition_point(|t| *t <= end);
    column.times.truncate(len);
    column.values.truncate(len);
    column
}

fn sort(column: &mut Column) {
    let mut order: Vec<usize> = (0..column.len()).collect();
    order.sort_by_key(|i| (column.times[*i], is_stale(column.values[*i])));
    order.dedup_by_key(|i| column.times[*i]);
    column.values = order.iter().map(|i| column.values[*i]).collect();
    column.times = order.iter().map(|i| column.times[*i]).collect();
}

/// Whether the chunk's samples are raw floats.
pub(crate) fn is_float(chunk: &Chunk) -> bool {
    match &chunk.data {
        ChunkData::Raw(raw) => raw.encoding.is_float(),
        ChunkData::Decoded(_) => true,
        ChunkData::Aggr(_) => false,
    }
}
