//! A series' chunks into one column of samples: raw or downsampled, overlapping or not.

use chunkenc::{Column, CounterReader, decode_floats};
use model::TimeRange;
use storage::{AggrChunk, Aggregate, Aggregates, Chunk, ChunkData};

use crate::QueryError;
use crate::eval::{Cx, Result};

/// Which of a downsampled chunk's aggregates a function reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    One(Aggregate),
    /// sum / count.
    Average,
}

impl Wanted {
    /// As Thanos chooses by function name.
    pub fn of(function: Option<&str>) -> Self {
        match function.unwrap_or("") {
            "min" => Self::One(Aggregate::Min),
            "max" => Self::One(Aggregate::Max),
            "count" => Self::One(Aggregate::Count),
            "rate" | "irate" | "increase" | "resets" => Self::One(Aggregate::Counter),
            f if f.starts_with("min_") => Self::One(Aggregate::Min),
            f if f.starts_with("max_") => Self::One(Aggregate::Max),
            f if f.starts_with("count_") => Self::One(Aggregate::Count),
            f if f.starts_with("sum_") => Self::One(Aggregate::Sum),
            _ => Self::Average,
        }
    }

    /// To ask the source for.
    pub fn aggregates(self) -> Aggregates {
        match self {
            Self::One(a) => Aggregates::of(&[a]),
            Self::Average => Aggregates::of(&[Aggregate::Count, Aggregate::Sum]),
        }
    }
}

/// The stretches of time that an operator looks at: for each step, the ms after `end − reach` up to `end`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Looks {
    /// The end of the first stretch, ms.
    pub first_end: i64,
    /// The end of the last one, ms.
    pub last_end: i64,
    /// From one to the next, ms; at least 1.
    pub step_ms: i64,
    /// How long each is, ms.
    pub reach_ms: i64,
}

impl Looks {
    /// From the earliest to the latest ms looked at.
    pub fn range(&self) -> TimeRange {
        TimeRange::new(self.first_end - self.reach_ms + 1, self.last_end)
    }

    /// Whether any of `min..=max` is looked at.
    fn touch(&self, min: i64, max: i64) -> bool {
        if min > self.last_end || max <= self.first_end - self.reach_ms {
            return false;
        }
        // The first stretch that ends at or after `min`.
        let ahead = (min - self.first_end).max(0) as u64;
        let end = self.first_end + (ahead.div_ceil(self.step_ms as u64) * self.step_ms as u64) as i64;
        end <= self.last_end && max > end - self.reach_ms
    }
}

/// Decodes with buffers of its own, one per operator.
#[derive(Debug)]
pub(crate) struct Decoder {
    wanted: Wanted,
    merged: Column,
    part: Column,
    counts: Column,
    /// Reset correction of counter aggregates, over chunks.
    counter: CounterReader,
    /// Whether raw chunks of the series are read through `counter` as well.
    corrected: bool,
    /// Whether the last series had native histogram chunks, which are not in the column.
    pub saw_histograms: bool,
}

impl Decoder {
    pub fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            merged: Column::new(),
            part: Column::new(),
            counts: Column::new(),
            counter: CounterReader::new(),
            corrected: false,
            saw_histograms: false,
        }
    }

    /// Fills `out` with the samples of the chunks that `looks` touches, ascending, each time once. There may be more
    /// samples than are looked at.
    pub fn series(&mut self, chunks: &[Chunk], looks: Looks, out: &mut Column, cx: &mut Cx) -> Result<()> {
        out.clear();
        self.saw_histograms = false;
        self.counter = CounterReader::new();
        // Where a downsampled part goes over into raw data the totals go on, or the border would look like a reset.
        self.corrected = self.wanted == Wanted::One(Aggregate::Counter)
            && chunks.iter().any(|c| matches!(c.data, ChunkData::Aggr(_)));
        for chunk in chunks {
            // Counter aggregates go on from one chunk to the next, whether looked at or not.
            let needed = match chunk.data {
                ChunkData::Aggr(_) => looks.range().overlaps(TimeRange::new(chunk.min_time, chunk.max_time)),
                _ => looks.touch(chunk.min_time, chunk.max_time),
            };
            if needed {
                self.chunk(chunk, out, cx)?;
                cx.check_size(out.len(), "samples of one series")?;
            }
        }
        cx.stats.decoded_samples += out.len() as u64;
        Ok(())
    }

    /// Fills `out` with at least the last sample at or before `time` of the series, if it has one after `after`.
    pub fn last_before(
        &mut self,
        chunks: &[Chunk],
        after: i64,
        time: i64,
        out: &mut Column,
        cx: &mut Cx,
    ) -> Result<()> {
        let disjoint = chunks.windows(2).all(|w| w[0].max_time < w[1].min_time);
        let aggregated = chunks.iter().any(|c| matches!(c.data, ChunkData::Aggr(_)));
        if !disjoint || aggregated {
            let looks = Looks { first_end: time, last_end: time, step_ms: 1, reach_ms: time - after };
            return self.series(chunks, looks, out, cx);
        }
        out.clear();
        self.saw_histograms = false;
        self.corrected = false;
        // A chunk that begins by `time` holds a sample at or before it: its first.
        if let Some(chunk) = chunks.iter().rev().find(|c| c.min_time <= time)
            && chunk.max_time > after
        {
            self.chunk(chunk, out, cx)?;
        }
        cx.stats.decoded_samples += out.len() as u64;
        Ok(())
    }

    fn chunk(&mut self, chunk: &Chunk, out: &mut Column, cx: &mut Cx) -> Result<()> {
        let before = out.len();
        cx.stats.chunk_bytes += chunk.size_bytes() as u64;
        match &chunk.data {
            ChunkData::Raw(c) if c.encoding.is_float() && self.corrected => {
                self.counter.read(c.encoding, &c.data, out).map_err(|e| damaged(chunk, &e))?;
            }
            ChunkData::Raw(c) if c.encoding.is_float() => {
                decode_floats(c.encoding, &c.data, out).map_err(|e| damaged(chunk, &e))?;
            }
            ChunkData::Raw(_) => {
                self.saw_histograms = true;
                return Ok(());
            }
            ChunkData::Decoded(column) => {
                out.times.extend_from_slice(&column.times);
                out.values.extend_from_slice(&column.values);
            }
            ChunkData::Aggr(aggr) => self.aggregates(chunk, aggr, out)?,
        }
        if before > 0 && out.len() > before && out.times[before] <= out.times[before - 1] {
            self.merge_tail(out, before);
        }
        Ok(())
    }

    fn aggregates(&mut self, chunk: &Chunk, aggr: &AggrChunk, out: &mut Column) -> Result<()> {
        let read = |a: Aggregate, into: &mut Column| -> Result<bool> {
            let Some(part) = aggr.get(a) else { return Ok(false) };
            if !part.encoding.is_float() {
                return Ok(false);
            }
            decode_floats(part.encoding, &part.data, into).map_err(|e| damaged(chunk, &e))?;
            Ok(true)
        };
        match self.wanted {
            Wanted::One(Aggregate::Counter) => {
                if let Some(part) = aggr.get(Aggregate::Counter).filter(|p| p.encoding.is_float()) {
                    self.counter.read(part.encoding, &part.data, out).map_err(|e| damaged(chunk, &e))?;
                }
            }
            Wanted::One(a) => {
                read(a, out)?;
            }
            Wanted::Average => {
                self.part.clear();
                self.counts.clear();
                if !(read(Aggregate::Sum, &mut self.part)? && read(Aggregate::Count, &mut self.counts)?) {
                    return Ok(());
                }
                // The two have the same times; where damaged data has not, only common times count.
                let mut at = 0;
                for (t, sum) in self.part.iter() {
                    while at < self.counts.len() && self.counts.times[at] < t {
                        at += 1;
                    }
                    if at < self.counts.len() && self.counts.times[at] == t {
                        out.push(t, sum / self.counts.values[at]);
                    }
                }
            }
        }
        Ok(())
    }

    /// Merges `out[at..]` into `out[..at]`, both ascending. Of two samples at one time the earlier chunk's stays.
    fn merge_tail(&mut self, out: &mut Column, at: usize) {
        let from = out.times[..at].partition_point(|t| *t < out.times[at]);
        let merged = &mut self.merged;
        merged.clear();
        let (mut i, mut j) = (from, at);
        while i < at || j < out.len() {
            let left = i < at && (j >= out.len() || out.times[i] <= out.times[j]);
            let k = if left { i } else { j };
            if left && j < out.len() && out.times[j] == out.times[i] {
                j += 1;
            }
            merged.push(out.times[k], out.values[k]);
            if left {
                i += 1;
            } else {
                j += 1;
            }
        }
        out.times.truncate(from);
        out.values.truncate(from);
        out.times.extend_from_slice(&merged.times);
        out.values.extend_from_slice(&merged.values);
    }
}

fn damaged(chunk: &Chunk, error: &chunkenc::Error) -> QueryError {
    QueryError::Storage(storage::Error::Corrupt(format!(
        "chunk from {} to {} ms does not decode: {error}",
        chunk.min_time, chunk.max_time
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_touch_what_steps_see() {
        // (0, 10], (100, 110], (200, 210]
        let looks = Looks { first_end: 10, last_end: 210, step_ms: 100, reach_ms: 10 };
        for (min, max, want) in [
            (-5, 0, false),
            (-5, 1, true),
            (10, 10, true),
            (11, 100, false),
            (11, 101, true),
            (110, 150, true),
            (50, 160, true),
            (111, 200, false),
            (210, 300, true),
            (211, 300, false),
        ] {
            assert_eq!(looks.touch(min, max), want, "{min}..={max}");
        }
        let dense = Looks { step_ms: 5, ..looks };
        assert!((1..210).all(|t| dense.touch(t, t)));
    }
}
