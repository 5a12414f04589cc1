//! A series' chunks into one column of samples: raw or downsampled, overlapping or not.

use std::fmt::Display;
use std::sync::Arc;

use chunkenc::{
    Column, Edge, Encoding, HistogramColumn, decode_floats, decode_histogram_edges, decode_histograms,
    decode_histograms_with_starts, decode_xor2,
};
use histogram::{FloatHistogram, ResetHint};
use labels::Labels;
use model::{Resolution, TimeRange, is_stale};
use promql_syntax::Reads;
use storage::{Chunk, ChunkData, EncodedChunk, PartialResponse, Series};

use crate::QueryError;
use crate::annotations::shown_labels;
use crate::eval::{Cx, Result};
use crate::native::{size_bytes, with_hint};
use crate::native_overlay::NativeOverlay;
use crate::overlay::Overlay;
use crate::samples::{HistogramSamples, Samples};
use crate::spare::SpareHistograms;

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
        if self.reach_ms >= self.step_ms {
            // There are no gaps between them.
            return true;
        }
        // The first stretch that ends at or after `min`.
        let ahead = min.saturating_sub(self.first_end).max(0) as u64;
        let end = self.first_end + (ahead.div_ceil(self.step_ms as u64) * self.step_ms as u64) as i64;
        end <= self.last_end && max > end - self.reach_ms
    }

    /// Whether the sample at `time` is the first or the last one in a stretch, with others right before and after it.
    fn is_edge(&self, before: i64, time: i64, next: i64) -> bool {
        self.ends_in(time, next)
            || self.ends_in(before.saturating_add(self.reach_ms), time.saturating_add(self.reach_ms))
    }

    /// Whether a stretch ends in `from..to`.
    fn ends_in(&self, from: i64, to: i64) -> bool {
        let ahead = from.saturating_sub(self.first_end).max(0) as u64;
        let end = self.first_end.saturating_add((ahead.div_ceil(self.step_ms as u64) * self.step_ms as u64) as i64);
        end < to && end >= from && end <= self.last_end
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
    native_overlay: NativeOverlay,
    reads: Reads,
    histograms: HistogramColumn,
    /// Bytes of the histograms decoded for the series so far.
    histogram_bytes: usize,
    /// Whether start timestamps are decoded, too.
    with_starts: bool,
    /// Whether buckets are left out; resets are found before.
    stats_only: bool,
    /// Whether windows look at their first and last native histogram only.
    edges_only: bool,
    /// Counted for the buffers, which stay as long as they ever were.
    held_bytes: usize,
    /// Whether the last series had downsampled native histograms, which are not in the samples.
    pub saw_histograms: bool,
}

impl Decoder {
    /// For what `cx`'s query allows.
    pub fn new(wanted: Reads, cx: &Cx) -> Self {
        let window_max_ms = if cx.read.auto_resolution { i64::MAX } else { cx.read.max_resolution_ms };
        let overlay = Overlay::new(wanted, window_max_ms);
        let native_overlay = NativeOverlay::new(wanted, window_max_ms);
        let (merged, raw) = (Column::new(), Column::new());
        Self {
            merged,
            raw,
            overlay,
            native_overlay,
            reads: wanted,
            histograms: HistogramColumn::default(),
            histogram_bytes: 0,
            with_starts: false,
            stats_only: false,
            edges_only: false,
            held_bytes: 0,
            saw_histograms: false,
        }
    }

    /// The same that decodes start timestamps where `wanted`.
    pub fn with_starts(self, wanted: bool) -> Self {
        Self { with_starts: wanted, ..self }
    }

    /// The same that leaves out the buckets of native histograms where `wanted`; their hints tell of resets then.
    pub fn stats_only(self, wanted: bool) -> Self {
        Self { stats_only: wanted, ..self }
    }

    /// The same that decodes, where `wanted` and possible, of the native histograms of a chunk only those that are the
    /// first or the last in a stretch looked at. Others in between stand there with the values of another one.
    pub fn edges_only(self, wanted: bool) -> Self {
        Self { edges_only: wanted, ..self }
    }

    /// Fills `out` with the samples of the chunks that `looks` touches, ascending, each time once. There may be more
    /// samples than are looked at. A chunk that does not decode is left out, with a warning, where partial answers do.
    pub fn series(&mut self, series: &Series, looks: Looks, out: &mut Samples, cx: &mut Cx) -> Result<()> {
        let Series { labels, chunks } = series;
        out.histograms.values.drain(..).for_each(|h| cx.histograms.give(h));
        out.clear();
        self.histogram_bytes = 0;
        self.saw_histograms = false;
        if chunks.iter().any(|c| matches!(c.data, ChunkData::Aggr(_))) {
            self.downsampled(series, looks, out, cx)?;
        } else {
            let edges = (self.edges_only && !self.with_starts && are_histograms_in_order(chunks)).then_some(looks);
            for chunk in chunks.iter().filter(|c| looks.touch(c.min_time, c.max_time)) {
                match (&chunk.data, edges) {
                    (ChunkData::Raw(c), Some(edges)) => {
                        self.native(labels, chunk, c, Some(edges), &mut out.histograms, cx)?;
                    }
                    _ => {
                        self.sampled(labels, chunk, out, cx)?;
                    }
                }
                cx.check_size(out.column.len() + out.histograms.len(), "samples of one series")?;
                self.count(&out.column, cx)?;
            }
        }
        self.settle(out);
        if self.stats_only {
            leave_out_buckets(&mut out.histograms, &mut cx.histograms);
            self.histogram_bytes = 0;
        }
        cx.stats.decoded_samples += (out.column.len() + out.histograms.len()) as u64;
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
        self.histogram_bytes = 0;
        self.saw_histograms = false;
        // A chunk that begins by `time` holds a sample at or before it: its first. Where it does not decode, there is the
        // one before.
        for chunk in chunks.iter().rev().skip_while(|c| c.min_time > time).take_while(|c| c.max_time > after) {
            let decoded = self.sampled(labels, chunk, out, cx)?;
            self.count(&out.column, cx)?;
            if decoded {
                break;
            }
        }
        cx.stats.decoded_samples += (out.column.len() + out.histograms.len()) as u64;
        Ok(())
    }

    /// Whole windows are needed to settle what stands for them, hence all chunks from first to last look.
    fn downsampled(&mut self, series: &Series, looks: Looks, out: &mut Samples, cx: &mut Cx) -> Result<()> {
        let Series { labels, chunks } = series;
        let mut range = looks.range();
        range.min = range.min.saturating_sub(WINDOWS_REACH_MS);
        range.max = range.max.saturating_add(WINDOW_MAX_MS);
        self.overlay.clear();
        self.native_overlay.clear();
        let mut raw = std::mem::take(&mut self.raw);
        raw.clear();
        let mut blended = false;
        let mut histograms = HistogramSamples::default();
        for chunk in chunks.iter().filter(|c| range.overlaps(TimeRange::new(c.min_time, c.max_time))) {
            match &chunk.data {
                ChunkData::Aggr(aggr) => {
                    cx.stats.chunk_bytes += chunk.size_bytes() as u64;
                    if let Some(part) = NativeOverlay::part(self.reads, aggr) {
                        match self.native_overlay.add(aggr, part, chunk.replica) {
                            Ok(bytes) => self.histogram_bytes += bytes,
                            Err(e) => corrupt(labels, chunk, &e, cx)?,
                        }
                        self.count(&raw, cx)?;
                        continue;
                    }
                    match self.overlay.add(aggr, chunk.replica) {
                        Ok(is_float) => self.saw_histograms |= !is_float,
                        Err(e) => corrupt(labels, chunk, &e, cx)?,
                    }
                }
                ChunkData::Raw(c) if c.encoding.is_histogram() => {
                    self.native(labels, chunk, c, None, &mut histograms, cx)?;
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
        if !histograms.is_empty() || !self.native_overlay.is_empty() {
            out.histograms = histograms;
            self.settle(out);
            self.native_overlay.add_raw(&mut out.histograms);
            self.native_overlay.finish(&mut out.histograms);
            // Windows of both kinds have no order among one another.
            if !out.column.is_empty() {
                self.saw_histograms = true;
                out.histograms.clear();
            }
        }
        self.raw = raw;
        Ok(())
    }

    /// Counts the buffers when they have grown.
    fn count(&mut self, out: &Column, cx: &mut Cx) -> Result<()> {
        let samples = out.times.capacity() + self.raw.times.capacity() + self.merged.times.capacity();
        let bytes = samples * SAMPLE_BYTES + self.overlay.len() * WINDOW_BYTES + self.histogram_bytes;
        if bytes > self.held_bytes {
            cx.hold(0, bytes - self.held_bytes)?;
            self.held_bytes = bytes;
        }
        Ok(())
    }

    /// Appends the samples of `chunk`, of either kind, to `out`; false for a corrupt one, which is left out with a warning.
    fn sampled(&mut self, labels: &Labels, chunk: &Chunk, out: &mut Samples, cx: &mut Cx) -> Result<bool> {
        match &chunk.data {
            ChunkData::Raw(c) if c.encoding.is_histogram() => {
                self.native(labels, chunk, c, None, &mut out.histograms, cx)
            }
            ChunkData::Raw(c) if self.with_starts && c.encoding == Encoding::Xor2 => {
                cx.stats.chunk_bytes += chunk.size_bytes() as u64;
                let rows = match decode_xor2(&c.data) {
                    Ok(rows) => rows,
                    Err(e) => return corrupt(labels, chunk, &e, cx).map(|()| false),
                };
                cx.work(rows.len())?;
                for (start, time, value) in rows {
                    out.column.push(time, value);
                    out.starts.push(start);
                }
                Ok(true)
            }
            _ if self.with_starts => {
                let mut column = std::mem::take(&mut self.raw);
                column.clear();
                let decoded = self.chunk(labels, chunk, &mut column, cx);
                out.column.times.extend_from_slice(&column.times);
                out.column.values.extend_from_slice(&column.values);
                out.starts.resize(out.column.len(), 0);
                self.raw = column;
                decoded
            }
            _ => self.chunk(labels, chunk, &mut out.column, cx),
        }
    }

    /// Appends the native histograms of a chunk; with `edges`, where possible, only those at the edges of these stretches.
    fn native(
        &mut self,
        labels: &Labels,
        chunk: &Chunk,
        encoded: &EncodedChunk,
        edges: Option<Looks>,
        out: &mut HistogramSamples,
        cx: &mut Cx,
    ) -> Result<bool> {
        cx.stats.chunk_bytes += chunk.size_bytes() as u64;
        if let Some(looks) = edges {
            let before = out.len();
            match edges_of(encoded, looks, self.stats_only, out, &mut cx.histograms) {
                Ok(Some(bytes)) if is_within(&out.times[before..], chunk) => {
                    self.histogram_bytes += bytes;
                    cx.work(bytes / 8 + encoded.data.len())?;
                    return Ok(true);
                }
                // Where something is wrong, decoding the whole tells what.
                _ => out.truncate(before),
            }
        }
        let column = &mut self.histograms;
        column.times.clear();
        column.values.clear();
        let starts = out.starts.len();
        let decoded = match self.with_starts {
            true => decode_histograms_with_starts(encoded.encoding, &encoded.data, column, &mut out.starts),
            false => decode_histograms(encoded.encoding, &encoded.data, column),
        };
        if let Err(e) = decoded {
            return corrupt(labels, chunk, &e, cx).map(|()| false);
        }
        if !is_within(&column.times, chunk) {
            out.starts.truncate(starts);
            return corrupt(labels, chunk, &"it holds samples of other times", cx).map(|()| false);
        }
        let bytes: usize = column.values.iter().map(size_bytes).sum();
        self.histogram_bytes += bytes;
        cx.work(bytes / 8)?;
        for (time, value) in column.times.drain(..).zip(column.values.drain(..)) {
            out.push(time, Arc::new(value));
        }
        Ok(true)
    }

    /// Puts samples of overlapping chunks in order, one for each time; the earlier chunk's stays, a float before a histogram.
    fn settle(&self, out: &mut Samples) {
        if self.with_starts && !out.column.times.is_sorted_by(|a, b| a < b) {
            let Samples { column, starts, .. } = out;
            let mut order: Vec<usize> = (0..column.len()).collect();
            order.sort_by_key(|i| column.times[*i]);
            order.dedup_by_key(|i| column.times[*i]);
            *starts = order.iter().map(|i| starts[*i]).collect();
            column.values = order.iter().map(|i| column.values[*i]).collect();
            column.times = order.iter().map(|i| column.times[*i]).collect();
        }
        let histograms = &mut out.histograms;
        if histograms.is_empty() {
            return;
        }
        if !histograms.times.is_sorted_by(|a, b| a < b) {
            let mut order: Vec<usize> = (0..histograms.len()).collect();
            order.sort_by_key(|i| histograms.times[*i]);
            order.dedup_by_key(|i| histograms.times[*i]);
            let starts = &histograms.starts;
            histograms.starts = order.iter().filter_map(|i| starts.get(*i).copied()).collect();
            // Each hint speaks of the sample before in its own chunk.
            let unhinted = |h: &Arc<FloatHistogram>| match h.reset_hint {
                ResetHint::Gauge | ResetHint::Unknown => h.clone(),
                _ => Arc::new(FloatHistogram { reset_hint: ResetHint::Unknown, ..(**h).clone() }),
            };
            histograms.values = order.iter().map(|i| unhinted(&histograms.values[*i])).collect();
            histograms.times = order.iter().map(|i| histograms.times[*i]).collect();
        }
        if !out.column.is_empty() {
            let floats = &out.column.times;
            histograms.retain(|i, all| floats.binary_search(&all.times[i]).is_err());
        }
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
            // Those of histograms are not brought here.
            ChunkData::Raw(_) => return Ok(true),
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

/// Makes of each histogram one without buckets, whose hint tells whether its counter was reset since the one before.
fn leave_out_buckets(histograms: &mut HistogramSamples, spare: &mut SpareHistograms) {
    let mut before: Option<Arc<FloatHistogram>> = None;
    for value in histograms.values.iter_mut().filter(|h| !is_stale(h.sum)) {
        let mut reset_hint = value.reset_hint;
        if let Some(before) = &before
            && reset_hint == ResetHint::Unknown
        {
            reset_hint = if value.is_reset_since(before) { ResetHint::Reset } else { ResetHint::NotReset };
        }
        let as_it_is = reset_hint == value.reset_hint && is_bare(value);
        let stats = if as_it_is { value.clone() } else { Arc::new(without_buckets(value, reset_hint)) };
        if let Some(done) = before.replace(std::mem::replace(value, stats)) {
            spare.give(done);
        }
    }
}

fn is_bare(h: &FloatHistogram) -> bool {
    let no_zero_bucket = h.zero_threshold == 0.0 && h.zero_count == 0.0;
    no_zero_bucket && h.positive_spans.is_empty() && h.negative_spans.is_empty() && h.custom_values.is_empty()
}

fn without_buckets(h: &FloatHistogram, reset_hint: ResetHint) -> FloatHistogram {
    FloatHistogram { reset_hint, schema: h.schema, count: h.count, sum: h.sum, ..FloatHistogram::default() }
}

/// Whether there are only raw chunks of native histograms, none overlapping another.
fn are_histograms_in_order(chunks: &[Chunk]) -> bool {
    chunks.iter().all(|c| matches!(&c.data, ChunkData::Raw(c) if c.encoding.is_histogram()))
        && chunks.windows(2).all(|w| w[0].max_time < w[1].min_time)
}

/// Appends the histograms at the edges of the stretches, and in the place of each other one the chunk's first; with
/// `stats_only` without buckets, but for the first and the last one of the chunk. Gives the bytes that were decoded; `None`
/// for a chunk that must be decoded as a whole.
fn edges_of(
    chunk: &EncodedChunk,
    looks: Looks,
    stats_only: bool,
    out: &mut HistogramSamples,
    spare: &mut SpareHistograms,
) -> std::result::Result<Option<usize>, chunkenc::Error> {
    let mut bytes = 0;
    let mut inner = None;
    let wanted = |before, time, next| looks.is_edge(before, time, next);
    let decoded = decode_histogram_edges(chunk.encoding, &chunk.data, wanted, |time, found| match found {
        Some((edge, row)) => {
            let h = match edge {
                Edge::Inner if stats_only => spare.make(|h| row.write_stats_to(h)),
                _ => spare.make(|h| row.write_to(h)),
            };
            bytes += size_bytes(&h);
            out.push(time, h);
        }
        None => {
            let inner = inner.get_or_insert_with(|| {
                let first = out.values.last().cloned().unwrap_or_default();
                match stats_only {
                    true => Arc::new(without_buckets(&first, ResetHint::NotReset)),
                    false => with_hint(&first, ResetHint::NotReset),
                }
            });
            out.push(time, inner.clone());
        }
    })?;
    Ok(decoded.then_some(bytes))
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
        // The starts are -0, 90+, 200; samples every 4 ms.
        let edges = (0..60).map(|i| 4 * i).filter(|t| looks.is_edge(t - 4, *t, t + 4)).collect::<Vec<_>>();
        assert_eq!(edges, [4, 8, 104, 108, 204, 208]);
        let dense = Looks { step_ms: 5, ..looks };
        assert!((1..210).all(|t| dense.touch(t, t)));
    }
}
