//! A chunk's samples, floats and histograms alike.

use chunkenc::{
    Column, Encoding, HistogramColumn, ResetFlag, decode_floats, decode_histograms_with_starts, decode_xor2,
};
use histogram::{FloatHistogram, ResetHint};
use model::{is_stale, stale_nan};

use super::chunk::{LaneChunk, MergeError, Merged};

/// A decoded chunk. What a histogram shows of itself as a number is its count, which falls when it was reset; of a
/// gauge nothing is.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) times: Vec<i64>,
    pub(crate) values: Vec<f64>,
    /// One per time in a chunk with start timestamps, else none; 0 = unknown.
    pub(crate) starts: Vec<i64>,
    /// One per time in a chunk of histograms, else none.
    pub(crate) histograms: Vec<FloatHistogram>,
    /// Histograms were written with integer counts.
    pub(crate) integers: bool,
}

impl Decoded {
    pub(crate) fn of(lane: &LaneChunk, merged: &mut Merged) -> Result<Self, MergeError> {
        let chunk = &lane.chunk;
        let failed = |source| MergeError::Chunk {
            min_time: chunk.min_time,
            max_time: chunk.max_time,
            replica: lane.replica,
            source,
        };
        let decoded = if chunk.encoding.is_histogram() {
            let (mut column, mut starts) = (HistogramColumn::default(), Vec::new());
            decode_histograms_with_starts(chunk.encoding, &chunk.data, &mut column, &mut starts).map_err(failed)?;
            if !matches!(chunk.encoding, Encoding::HistogramSt | Encoding::FloatHistogramSt) {
                starts.clear();
            }
            if ResetFlag::of(chunk.encoding, &chunk.data) == ResetFlag::Reset
                && let Some(first) = column.values.first_mut()
            {
                first.reset_hint = ResetHint::Reset;
            }
            let number = |h: &FloatHistogram| match h.reset_hint {
                _ if is_stale(h.sum) => stale_nan(),
                ResetHint::Gauge => f64::NAN,
                _ => h.count,
            };
            Self {
                values: column.values.iter().map(number).collect(),
                times: column.times,
                starts,
                histograms: column.values,
                integers: matches!(chunk.encoding, Encoding::Histogram | Encoding::HistogramSt),
            }
        } else if chunk.encoding == Encoding::Xor2 {
            let samples = decode_xor2(&chunk.data).map_err(failed)?;
            Self {
                times: samples.iter().map(|s| s.1).collect(),
                values: samples.iter().map(|s| s.2).collect(),
                starts: samples.iter().map(|s| s.0).collect(),
                histograms: Vec::new(),
                integers: false,
            }
        } else {
            let mut column = Column::new();
            decode_floats(chunk.encoding, &chunk.data, &mut column).map_err(failed)?;
            let (times, values) = (column.times, column.values);
            Self { times, values, starts: Vec::new(), histograms: Vec::new(), integers: false }
        };
        merged.samples_out_of_order += decoded.times.windows(2).filter(|w| w[1] <= w[0]).count() as u64;
        Ok(decoded)
    }

    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }
}

impl LaneChunk {
    /// Whether a raw chunk can be read.
    pub(crate) fn check(&self) -> Result<(), MergeError> {
        Decoded::of(self, &mut Merged::default()).map(drop)
    }
}
