//! A series' chunks into one column of samples: raw or downsampled, overlapping or not.

use std::fmt::Display;

use chunkenc::{Column, decode_floats};
use labels::Labels;
use model::{Resolution, TimeRange};
use storage::{Chunk, ChunkData, PartialResponse, Series};

use crate::QueryError;
use crate::annotations::shown_labels;
use crate::eval::{Cx, Result};
use crate::overlay::Overlay;
use crate::samples::Samples;
use crate::wanted::Wanted;

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
        let ahead = min.saturating_sub(self.first_end).max(0) as u64;
        let end = self.first_end + (ahead.div_ceil(self.step_ms as u64) * self.step_ms as u64) as i64;
        end <= self.last_end && max > end - self.reach_ms
    }
}

/// The length of the longest windows of downsampled data, ms.
const WINDOW_MAX_MS: i64 = Resolution::COARSEST.ms();

/// How far before the stretches looked at downsampled data still matters: two windows, and a third because a chunk may end
/// in the middle of one, ms. After them it is the window that holds the last look.
const WINDOWS_REACH_MS: i64 = 3 * WINDOW_MAX_MS;

const SAMPLE_BYTES: usize = 16;

/// A downsampled sample in the overlay, and once more in what comes out, about.
const WINDOW_BYTES: usize = 128;

/// Decodes with buffers of its own, one per operator.
#[derive(Debug)]
pub(crate) struct Decoder {
    merged: Column,
    /// Raw samples of a series that has downsampled ones as well.
    raw: Column,
    overlay: Overlay,
    /// Counted for the buffers, which stay as long as they ever were.
    held_bytes: usize,
    /// Whether the last series had native histogram chunks, which are not in the samples.
    pub saw_histograms: bool,
}

impl Decoder {
    /// For what `cx`'s query allows.
    pub fn new(wanted: Wanted, cx: &Cx) -> Self {
        let window_max_ms = if cx.read.auto_resolution { i64::MAX } else { cx.read.max_resolution_ms };
        let overlay = Overlay::new(wanted, window_max_ms);
        let (merged, raw) = (Column::new(), Column::new());
        Self { merged, raw, overlay, held_bytes: 0, saw_histograms: false }
    }

    /// Fills `out` with the samples of the chunks that `looks` touches, ascending, each time once. There may be more
    /// samples than are looked at. A chunk that does not decode is left out, with a warning, where partial answers do.
    pub fn series(&mut self, series: &Series, looks: Looks, out: &mut Samples, cx: &mut Cx) -> Result<()> {
        let Series { labels, chunks } = series;
        out.clear();
        self.saw_histograms = false;
        if chunks.iter().any(|c| matches!(c.data, ChunkData::Aggr(_))) {
            self.downsampled(series, looks, out, cx)?;
        } else {
            for chunk in chunks.iter().filter(|c| looks.touch(c.min_time, c.max_time)) {
                self.chunk(labels, chunk, &mut out.column, cx)?;
                cx.check_size(out.column.len(), "samples of one series")?;
                self.count(&out.column, cx)?;
            }
        }
        cx.stats.decoded_samples += out.column.len() as u64;
        Ok(())
    }

    /// Fills `out` with at least the last sample at or before `time` of the series, if it has one after `after`.
    pub fn last_before(
        &mut self,
        series: &Series,
        after: i64,
        time: i64,
        out: &mut Samples,
        cx: &mut Cx,
    ) -> Result<()> {
        let Series { labels, chunks } = series;
        let disjoint = chunks.windows(2).all(|w| w[0].max_time < w[1].min_time);
        let aggregated = chunks.iter().any(|c| matches!(c.data, ChunkData::Aggr(_)));
        if !disjoint || aggregated {
            let looks = Looks { first_end: time, last_end: time, step_ms: 1, reach_ms: time - after };
            return self.series(series, looks, out, cx);
        }
        out.clear();
        self.saw_histograms = false;
        // A chunk that begins by `time` holds a sample at or before it: its first. Where it does not decode, there is the
        // one before.
        for chunk in chunks.iter().rev().skip_while(|c| c.min_time > time).take_while(|c| c.max_time > after) {
            let decoded = self.chunk(labels, chunk, &mut out.column, cx)?;
            self.count(&out.column, cx)?;
            if decoded {
                break;
            }
        }
        cx.stats.decoded_samples += out.column.len() as u64;
        Ok(())
    }

    /// Whole windows are needed to settle what stands for them, hence all chunks from first to last look.
    fn downsampled(&mut self, series: &Series, looks: Looks, out: &mut Samples, cx: &mut Cx) -> Result<()> {
        let Series { labels, chunks } = series;
        let mut range = looks.range();
        range.min = range.min.saturating_sub(WINDOWS_REACH_MS);
        range.max = range.max.saturating_add(WINDOW_MAX_MS);
        self.overlay.clear();
        let mut raw = std::mem::take(&mut self.raw);
        raw.clear();
        let mut blended = false;
        for chunk in chunks.iter().filter(|c| range.overlaps(TimeRange::new(c.min_time, c.max_time))) {
            match &chunk.data {
                ChunkData::Aggr(aggr) => {
                    cx.stats.chunk_bytes += chunk.size_bytes() as u64;
                    match self.overlay.add(aggr, chunk.replica) {
                        Ok(is_float) => self.saw_histograms |= !is_float,
                        Err(e) => corrupt(labels, chunk, &e, cx)?,
                    }
                }
                data => {
                    blended |= matches!(data, ChunkData::Decoded(_));
                    self.chunk(labels, chunk, &mut raw, cx)?;
                }
            }
            cx.check_size(raw.len() + self.overlay.len(), "samples of one series")?;
            self.count(&raw, cx)?;
        }
        self.overlay.finish(&raw, blended, out);
        self.raw = raw;
        Ok(())
    }

    /// Counts the buffers when they have grown.
    fn count(&mut self, out: &Column, cx: &mut Cx) -> Result<()> {
        let samples = out.times.capacity() + self.raw.times.capacity() + self.merged.times.capacity();
        let bytes = samples * SAMPLE_BYTES + self.overlay.len() * WINDOW_BYTES;
        if bytes > self.held_bytes {
            cx.hold(0, bytes - self.held_bytes)?;
            self.held_bytes = bytes;
        }
        Ok(())
    }

    /// Appends the samples of `chunk` to `out`; false for a corrupt one, which is left out with a warning.
    fn chunk(&mut self, labels: &Labels, chunk: &Chunk, out: &mut Column, cx: &mut Cx) -> Result<bool> {
        let before = out.len();
        cx.stats.chunk_bytes += chunk.size_bytes() as u64;
        match &chunk.data {
            ChunkData::Raw(c) if c.encoding.is_float() => {
                if let Err(e) = decode_floats(c.encoding, &c.data, out) {
                    return corrupt(labels, chunk, &e, cx).map(|()| false);
                }
                if !is_within(&out.times[before..], chunk) {
                    out.times.truncate(before);
                    out.values.truncate(before);
                    return corrupt(labels, chunk, &"it holds samples of other times", cx).map(|()| false);
                }
            }
            ChunkData::Raw(_) => {
                self.saw_histograms = true;
                return Ok(true);
            }
            ChunkData::Decoded(column) => {
                out.times.extend_from_slice(&column.times);
                out.values.extend_from_slice(&column.values);
            }
            ChunkData::Aggr(_) => return Ok(true),
        }
        cx.work(out.len() - before)?;
        if before > 0 && out.len() > before && out.times[before] <= out.times[before - 1] {
            cx.work(self.merge_tail(out, before))?;
        }
        Ok(true)
    }

    /// Merges `out[at..]` into `out[..at]`, both ascending. Of two samples at one time the earlier chunk's stays. Gives how
    /// many samples it moved.
    fn merge_tail(&mut self, out: &mut Column, at: usize) -> usize {
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
        merged.len()
    }
}

/// Whether the first and the last sample lie in the time that the chunk says it holds.
fn is_within(times: &[i64], chunk: &Chunk) -> bool {
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return true };
    *first >= chunk.min_time && *last <= chunk.max_time
}

/// A chunk cannot be used: a warning, or an error where no part may be missing.
fn corrupt(labels: &Labels, chunk: &Chunk, why: &dyn Display, cx: &mut Cx) -> Result<()> {
    let (series, min, max) = (shown_labels(labels), chunk.min_time, chunk.max_time);
    let text = format!("chunk of {series} from {min} to {max} ms is corrupt and left out: {why}");
    if cx.read.partial_response == PartialResponse::Abort {
        return Err(QueryError::Storage(storage::Error::Corrupt(text)));
    }
    cx.annotations.source_warning(text);
    Ok(())
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
