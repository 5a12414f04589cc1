//! A series' chunks into one column of samples: raw or downsampled, overlapping or not.

use std::fmt::Display;
use std::sync::Arc;

use chunkenc::{
    Column, Encoding, HistogramColumn, decode_floats, decode_histograms, decode_histograms_with_starts, decode_xor2,
};
use histogram::{FloatHistogram, ResetHint};
use labels::Labels;
use model::{Resolution, TimeRange};
use promql_syntax::Reads;
use storage::{Chunk, ChunkData, EncodedChunk, PartialResponse, Series};

use crate::QueryError;
use crate::annotations::shown_labels;
use crate::eval::{Cx, Result};
use crate::histogram_chunks::{are_histograms_in_order, leave_out_buckets};
use crate::looks::Looks;
use crate::native::size_bytes;
use crate::native_overlay::NativeOverlay;
use crate::one_lane::OneLane;
use crate::overlay::Overlay;
use crate::samples::{Cover, HistogramSamples, Samples};

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
    one_lane: OneLane,
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
        let one_lane = OneLane::new(wanted, window_max_ms);
        let overlay = Overlay::new(wanted, window_max_ms);
        let native_overlay = NativeOverlay::new(wanted, window_max_ms);
        let (merged, raw) = (Column::new(), Column::new());
        Self {
            merged,
            raw,
            one_lane,
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

    /// Another one that decodes the same.
    pub fn fork(&self, cx: &Cx) -> Self {
        let Self { with_starts, stats_only, edges_only, .. } = *self;
        Self { with_starts, stats_only, edges_only, ..Self::new(self.reads, cx) }
    }

    /// The same that decodes start timestamps where `wanted`.
    pub fn with_starts(self, wanted: bool) -> Self {
        Self { with_starts: wanted, ..self }
    }

    /// The same that leaves out the buckets of native histograms where `wanted`; their hints tell of resets then.
    pub fn stats_only(self, wanted: bool) -> Self {
        Self { stats_only: wanted, ..self }
    }

    /// The same that decodes, where `wanted` and possible, of native histograms only those that are the first or the last in a
    /// stretch looked at, and of the others their times.
    pub fn edges_only(self, wanted: bool) -> Self {
        Self { edges_only: wanted, ..self }
    }

    /// Fills `out` with the samples of the chunks that `looks` touches, ascending, each time once. There may be more
    /// samples than are looked at. A chunk that does not decode is left out, with a warning, where partial answers do.
    pub fn series(&mut self, series: &Series, looks: Looks, out: &mut Samples, cx: &mut Cx) -> Result<()> {
        let Series { labels, chunks } = series;
        out.clear();
        self.histogram_bytes = 0;
        self.saw_histograms = false;
        if chunks.iter().any(|c| matches!(c.data, ChunkData::Aggr(_))) {
            self.downsampled(series, looks, out, cx)?;
        } else if !self.edges(chunks, looks, out, cx)? {
            for chunk in chunks.iter().filter(|c| looks.touch(c.min_time, c.max_time)) {
                self.sampled(labels, chunk, out, cx)?;
                cx.check_size(out.column.len() + out.histograms.len(), "samples of one series")?;
                self.count(&out.column, cx)?;
            }
        }
        self.settle(out);
        if self.stats_only {
            leave_out_buckets(&mut out.histograms);
            self.histogram_bytes = 0;
        }
        cx.stats.decoded_samples += (out.column.len() + out.histograms.len() + out.edges.times.len()) as u64;
        Ok(())
    }

    /// Fills `out` with all samples of a counter of native histograms, and the numbers of those at the edges of the stretches;
    /// false, and nothing in it, where that is not wanted or not possible. Where something is wrong, decoding the whole tells
    /// what.
    fn edges(&mut self, chunks: &[Chunk], looks: Looks, out: &mut Samples, cx: &mut Cx) -> Result<bool> {
        if !self.edges_only || self.with_starts || !are_histograms_in_order(chunks) {
            return Ok(false);
        }
        out.edges.clear(self.stats_only);
        let (mut finder, mut chunk_bytes) = (looks.edges(), 0);
        for chunk in chunks.iter().filter(|c| looks.touch(c.min_time, c.max_time)) {
            let ChunkData::Raw(encoded) = &chunk.data else { return Ok(false) };
            let before = out.edges.times.len();
            let wanted = |before, time, next| finder.is_edge(before, time, next);
            let decoded = out.edges.append(encoded.encoding, &encoded.data, wanted);
            if decoded != Ok(true) || !is_within(&out.edges.times[before..], chunk) {
                return Ok(self.no_edges(out));
            }
            chunk_bytes += chunk.size_bytes() as u64;
            cx.work(encoded.data.len())?;
            cx.check_size(out.edges.times.len(), "samples of one series")?;
            self.histogram_bytes = out.edges.size_bytes();
            self.count(&out.column, cx)?;
        }
        if !out.edges.times.is_sorted_by(|a, b| a < b) {
            return Ok(self.no_edges(out));
        }
        cx.stats.chunk_bytes += chunk_bytes;
        Ok(true)
    }

    fn no_edges(&mut self, out: &mut Samples) -> bool {
        out.edges.clear(false);
        self.histogram_bytes = 0;
        false
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
        let inside = |c: &&Chunk| range.overlaps(TimeRange::new(c.min_time, c.max_time));
        if self.one_lane(chunks.iter().filter(inside), out, cx)? {
            return Ok(());
        }
        self.overlay.clear();
        self.native_overlay.clear();
        let mut raw = std::mem::take(&mut self.raw);
        raw.clear();
        let mut blended = false;
        let mut histograms = HistogramSamples::default();
        for chunk in chunks.iter().filter(inside) {
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
                    self.native(labels, chunk, c, &mut histograms, cx)?;
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

    /// Fills `out` where the chunks are downsampled floats that simply go on from one another; false, and nothing in it, where
    /// they do not.
    fn one_lane<'c>(
        &mut self,
        chunks: impl Iterator<Item = &'c Chunk>,
        out: &mut Samples,
        cx: &mut Cx,
    ) -> Result<bool> {
        self.one_lane.clear();
        let mut bytes = 0;
        for chunk in chunks {
            let goes_on = match &chunk.data {
                ChunkData::Aggr(aggr) => self.one_lane.add(aggr, chunk.replica, &mut out.column),
                _ => false,
            };
            if !goes_on {
                out.column.clear();
                self.one_lane.clear();
                return Ok(false);
            }
            bytes += chunk.size_bytes() as u64;
            cx.check_size(out.column.len(), "samples of one series")?;
            self.count(&out.column, cx)?;
        }
        self.one_lane.finish(out);
        cx.stats.chunk_bytes += bytes;
        Ok(true)
    }

    /// Counts the buffers when they have grown.
    fn count(&mut self, out: &Column, cx: &mut Cx) -> Result<()> {
        let samples = out.times.capacity() + self.raw.times.capacity() + self.merged.times.capacity();
        let windows = self.overlay.len() * WINDOW_BYTES + self.one_lane.len() * (SAMPLE_BYTES + size_of::<Cover>());
        let bytes = samples * SAMPLE_BYTES + windows + self.histogram_bytes;
        if bytes > self.held_bytes {
            cx.hold(0, bytes - self.held_bytes)?;
            self.held_bytes = bytes;
        }
        Ok(())
    }

    /// Appends the samples of `chunk`, of either kind, to `out`; false for a corrupt one, which is left out with a warning.
    fn sampled(&mut self, labels: &Labels, chunk: &Chunk, out: &mut Samples, cx: &mut Cx) -> Result<bool> {
        match &chunk.data {
            ChunkData::Raw(c) if c.encoding.is_histogram() => self.native(labels, chunk, c, &mut out.histograms, cx),
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

    /// Appends the native histograms of a chunk.
    fn native(
        &mut self,
        labels: &Labels,
        chunk: &Chunk,
        encoded: &EncodedChunk,
        out: &mut HistogramSamples,
        cx: &mut Cx,
    ) -> Result<bool> {
        cx.stats.chunk_bytes += chunk.size_bytes() as u64;
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

/// Whether the first and the last sample lie in the time that the chunk says it holds.
fn is_within(times: &[i64], chunk: &Chunk) -> bool {
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return true };
    *first >= chunk.min_time && *last <= chunk.max_time
}

/// A chunk cannot be used: a warning, or an error where no part may be missing.
fn corrupt(labels: &Labels, chunk: &Chunk, why: &dyn Display, cx: &mut Cx) -> Result<()> {
    let (mut series, min, max) = (shown_labels(labels), chunk.min_time, chunk.max_time);
    if storage::is_projected(labels) {
        series = format!("{} (its other labels were not read)", shown_labels(&labels.without(&[storage::PLACE])));
    }
    let text = format!("chunk of {series} from {min} to {max} ms is corrupt and left out: {why}");
    if cx.read.partial_response == PartialResponse::Abort {
        return Err(QueryError::Storage(storage::Error::Corrupt(text)));
    }
    cx.annotations.source_warning(text);
    Ok(())
}
