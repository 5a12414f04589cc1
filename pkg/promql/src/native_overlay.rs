//! Downsampled native histograms of a series over its raw ones: what [`Overlay`] does for floats, done with the places of
//! histograms in a list in their stead.

use std::sync::Arc;

use chunkenc::{Column, HistogramColumn, ResetFlag, decode_floats, decode_histograms};
use histogram::{FloatHistogram, ResetHint};
use promql_syntax::Reads;
use storage::{AggrChunk, Aggregate, EncodedChunk};

use crate::native::{divide, size_bytes};
use crate::overlay::{Overlay, Row};
use crate::reads;
use crate::samples::{HistogramSamples, Samples};

/// Collects the chunks of native histograms of one series, then gives its samples.
#[derive(Debug)]
pub(crate) struct NativeOverlay {
    reads: Reads,
    /// Its values are places in `list`.
    overlay: Overlay,
    list: Vec<Arc<FloatHistogram>>,
    raw: Column,
    column: HistogramColumn,
    counts: Column,
    shown: Samples,
}

impl NativeOverlay {
    /// Of windows that are no longer than `window_max_ms`.
    pub fn new(reads: Reads, window_max_ms: i64) -> Self {
        Self {
            reads,
            // Places are not added up, nor divided.
            overlay: Overlay::new(Reads::Sum, window_max_ms),
            list: Vec::new(),
            raw: Column::new(),
            column: HistogramColumn::default(),
            counts: Column::new(),
            shown: Samples::default(),
        }
    }

    pub fn clear(&mut self) {
        self.overlay.clear();
        self.list.clear();
        self.raw.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What is wanted of the chunk, if that is native histograms.
    pub fn part(reads: Reads, aggr: &AggrChunk) -> Option<&EncodedChunk> {
        aggr.get(reads::aggregate(reads)).filter(|part| part.encoding.is_histogram())
    }

    /// Adds raw histograms, chunks in order of time.
    pub fn add_raw(&mut self, samples: &mut HistogramSamples) {
        for (time, value) in samples.times.drain(..).zip(samples.values.drain(..)) {
            self.raw.push(time, self.list.len() as f64);
            self.list.push(value);
        }
        samples.clear();
    }

    /// Adds the `part` of a chunk that [`Self::part`] gave, chunks in order of time. Gives the memory taken, bytes.
    pub fn add(
        &mut self,
        aggr: &AggrChunk,
        part: &EncodedChunk,
        replica: u64,
    ) -> std::result::Result<usize, chunkenc::Error> {
        let HistogramColumn { times, values } = &mut self.column;
        times.clear();
        values.clear();
        self.counts.clear();
        decode_histograms(part.encoding, &part.data, &mut self.column)?;
        if let Some(counts) = aggr.get(Aggregate::Count).filter(|p| p.encoding.is_float()) {
            decode_floats(counts.encoding, &counts.data, &mut self.counts)?;
        }
        let HistogramColumn { times, values } = &mut self.column;
        if let Some(first) = values.first_mut()
            && ResetFlag::of(part.encoding, &part.data) == ResetFlag::Reset
        {
            // Who downsampled saw both sides of the reset.
            first.reset_hint = ResetHint::Reset;
        }
        let mut rows = Vec::with_capacity(times.len());
        let mut bytes = 0;
        for (time, mut h) in times.drain(..).zip(values.drain(..)) {
            let count = self.counts.times.binary_search(&time).map_or(f64::NAN, |at| self.counts.values[at]);
            let divides = self.reads == Reads::Average;
            if divides && (count <= 0.0 || count.is_nan()) {
                continue;
            }
            if divides {
                divide(&mut h, count);
            }
            let mut row = Row::new(time, self.list.len() as f64);
            row.cover.count = count;
            rows.push(row);
            bytes += size_bytes(&h);
            self.list.push(Arc::new(h));
        }
        self.overlay.push(rows, 0, replica);
        Ok(bytes)
    }

    /// Puts all that was added into `out`.
    pub fn finish(&mut self, out: &mut HistogramSamples) {
        out.clear();
        self.overlay.finish(&self.raw, false, &mut self.shown);
        let Samples { column, covers, .. } = &self.shown;
        let place = |v: &f64| self.list[*v as usize].clone();
        out.values.extend(column.values.iter().map(place));
        out.times.extend_from_slice(&column.times);
        out.covers.extend_from_slice(covers);
    }
}
