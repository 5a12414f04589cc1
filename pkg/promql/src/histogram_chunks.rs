//! Native histograms of a series of which only parts are looked at.

use std::sync::Arc;

use histogram::{FloatHistogram, ResetHint};
use model::is_stale;
use storage::{Chunk, ChunkData};

use crate::samples::HistogramSamples;

/// Makes of each histogram one without buckets, whose hint tells whether its counter was reset since the one before.
pub(crate) fn leave_out_buckets(histograms: &mut HistogramSamples) {
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
        before = Some(std::mem::replace(value, stats));
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
pub(crate) fn are_histograms_in_order(chunks: &[Chunk]) -> bool {
    chunks.iter().all(|c| matches!(&c.data, ChunkData::Raw(c) if c.encoding.is_histogram()))
        && chunks.windows(2).all(|w| w[0].max_time < w[1].min_time)
}
