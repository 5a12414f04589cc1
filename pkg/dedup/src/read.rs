//! One lane, decoded piece by piece as far as it is needed.

use std::collections::VecDeque;

use chunkenc::{Column, decode_floats};
use model::is_stale;
use storage::{Chunk, ChunkData};

/// How many samples ahead tell a lane's spacing.
const SPACINGS: usize = 8;

/// Reads a lane forward; what lies before the position in the current piece can still be looked at.
pub(crate) struct Lane {
    chunks: VecDeque<Chunk>,
    /// The current piece: overlapping chunks decoded together.
    pub piece: Column,
    /// The next sample within it.
    pub at: usize,
    /// The sample before the current piece.
    before: Option<(i64, f64)>,
    /// The last one there that is not stale.
    live_before: Option<(i64, f64)>,
    /// Spacing of its samples, ms; 0 = not known yet.
    pub interval: i64,
    /// Pauses in a row.
    pub pauses: u32,
    /// What could not be decoded.
    pub damage: Vec<String>,
}

impl Lane {
    pub fn new(chunks: Vec<Chunk>) -> Self {
        Self {
            chunks: chunks.into(),
            piece: Column::new(),
            at: 0,
            before: None,
            live_before: None,
            interval: 0,
            pauses: 0,
            damage: Vec::new(),
        }
    }

    /// A lane of samples that are decoded already, in one piece.
    pub fn of_column(column: Column) -> Self {
        Self { piece: column, ..Self::new(Vec::new()) }
    }

    /// Makes `piece[at]` the next sample; false at the end.
    pub fn ready(&mut self) -> bool {
        while self.at >= self.piece.len() {
            if !self.load() {
                return false;
            }
        }
        true
    }

    /// The next sample.
    pub fn peek(&mut self) -> Option<(i64, f64)> {
        self.ready().then(|| (self.piece.times[self.at], self.piece.values[self.at]))
    }

    /// Moves to the first sample after `t`. Whole chunks before are skipped without decoding, but for the last one.
    pub fn seek_after(&mut self, t: i64) {
        loop {
            if self.piece.times.last().is_some_and(|last| *last > t) {
                let from = self.at;
                self.at += self.piece.times[from..].partition_point(|time| *time <= t);
                return;
            }
            self.at = self.piece.len();
            self.skip_to(t);
            if !self.load() {
                return;
            }
        }
    }

    /// The last sample that is not stale before the next one and no later than `t`, as far as it is known.
    pub fn previous(&self, t: i64) -> Option<(i64, f64)> {
        let inside = (0..self.at.min(self.piece.len())).rev().map(|i| (self.piece.times[i], self.piece.values[i]));
        inside.chain(self.live_before).find(|(time, v)| *time <= t && !is_stale(*v))
    }

    /// Moves to the next sample after `t` that is not stale and returns it, without crossing `until`.
    pub fn next_live(&mut self, t: i64, until: i64) -> Option<(i64, f64)> {
        self.seek_after(t);
        loop {
            match self.peek()? {
                (time, _) if time >= until => return None,
                (_, value) if is_stale(value) => self.at += 1,
                sample => return Some(sample),
            }
        }
    }

    /// A live sample after `last` and before `until`, to go on with after a switch. One that is nearer to `last` than
    /// half an interval is most likely the same scrape seen twice, whose closeness would upset `irate`; it is taken only
    /// where nothing else comes within `gap_max_ms`.
    pub fn next_after_switch(&mut self, last: i64, interval: i64, until: i64, gap_max_ms: i64) -> Option<(i64, f64)> {
        let near = last.saturating_add((interval / 2).min(gap_max_ms / 2));
        let first = self.next_live(last, until)?;
        if first.0 > near {
            return Some(first);
        }
        while self.piece.times.last().is_some_and(|t| *t <= near) && self.extend() {}
        let later = self.at + self.piece.times[self.at..].partition_point(|t| *t <= near);
        let later = self.piece.times.get(later).copied().unwrap_or(i64::MAX);
        if later.min(until).saturating_sub(last) > gap_max_ms {
            return Some(first);
        }
        self.next_live(near, until)
    }

    /// The least spacing of the next samples, ms; 0 when there are none.
    pub fn spacing_ahead(&mut self) -> i64 {
        while self.piece.len() - self.at.min(self.piece.len()) < SPACINGS && self.extend() {}
        let at = self.at.min(self.piece.len());
        let mut last = match at.checked_sub(1) {
            Some(previous) => Some(self.piece.times[previous]),
            None => self.before.map(|(t, _)| t),
        };
        let spacings = self.piece.times[at..].iter().filter_map(|t| last.replace(*t).map(|last| t - last));
        spacings.take(SPACINGS).min().unwrap_or(0)
    }

    /// Drops chunks that end before `t`, keeping the last of them.
    fn skip_to(&mut self, t: i64) {
        while self.chunks.len() > 1 && self.chunks[1].min_time <= t && self.chunks[0].max_time <= t {
            self.chunks.pop_front();
        }
    }

    fn load(&mut self) -> bool {
        if self.chunks.is_empty() {
            return false;
        }
        if let (Some(t), Some(v)) = (self.piece.times.last(), self.piece.values.last()) {
            self.before = Some((*t, *v));
        }
        if let Some(live) = self.piece.values.iter().rposition(|v| !is_stale(*v)) {
            self.live_before = Some((self.piece.times[live], self.piece.values[live]));
        }
        self.piece.clear();
        self.at = 0;
        self.extend();
        // A piece may reach back before what was read: never go backwards in time.
        if let Some((t, _)) = self.before {
            self.at = self.piece.times.partition_point(|time| *time <= t);
        }
        true
    }

    /// Adds the next chunk to the current piece, and what overlaps it; false when there is none.
    fn extend(&mut self) -> bool {
        let Some(first) = self.chunks.pop_front() else { return false };
        let read = self.at.checked_sub(1).and_then(|at| self.piece.times.get(at)).copied();
        let mut end = first.max_time;
        self.decode(&first);
        while self.chunks.front().is_some_and(|next| next.min_time <= end) {
            let Some(next) = self.chunks.pop_front() else { break };
            end = end.max(next.max_time);
            self.decode(&next);
        }
        if let Some(t) = read {
            self.at = self.piece.times.partition_point(|time| *time <= t);
        }
        true
    }

    fn decode(&mut self, chunk: &Chunk) {
        let from = self.piece.len();
        let result = match &chunk.data {
            ChunkData::Decoded(column) => {
                self.piece.times.extend_from_slice(&column.times);
                self.piece.values.extend_from_slice(&column.values);
                Ok(())
            }
            ChunkData::Raw(raw) => decode_floats(raw.encoding, &raw.data, &mut self.piece),
            // Downsampled chunks do not come here.
            ChunkData::Aggr(_) => Ok(()),
        };
        if let Err(e) = result {
            self.piece.times.truncate(from);
            self.piece.values.truncate(from);
            self.damage.push(format!("chunk from {} to {} ms: {e}", chunk.min_time, chunk.max_time));
        }
        if from > 0 && self.piece.times.get(from).is_some_and(|t| *t <= self.piece.times[from - 1]) {
            sort_piece(&mut self.piece);
        }
    }
}

/// Orders overlapping chunks' samples by time; of two at one time the first stays.
fn sort_piece(piece: &mut Column) {
    let mut order: Vec<usize> = (0..piece.len()).collect();
    order.sort_by_key(|i| piece.times[*i]);
    order.dedup_by_key(|i| piece.times[*i]);
    piece.values = order.iter().map(|i| piece.values[*i]).collect();
    piece.times = order.iter().map(|i| piece.times[*i]).collect();
}

/// Whether the chunk's samples are raw floats.
pub(crate) fn is_float(chunk: &Chunk) -> bool {
    match &chunk.data {
        ChunkData::Raw(raw) => raw.encoding.is_float(),
        ChunkData::Decoded(_) => true,
        ChunkData::Aggr(_) => false,
    }
}
