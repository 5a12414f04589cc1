//! Native histograms of a series of which only some, or only parts, are looked at.

use std::sync::Arc;

use chunkenc::{Edge, decode_histogram_edges};
use histogram::{FloatHistogram, ResetHint};
use model::is_stale;
use storage::{Chunk, ChunkData, EncodedChunk};

use crate::looks::Looks;
use crate::native::{size_bytes, with_hint};
use crate::samples::HistogramSamples;
use crate::spare::SpareHistograms;

/// Makes of each histogram one without buckets, whose hint tells whether its counter was reset since the one before.
pub(crate) fn leave_out_buckets(histograms: &mut HistogramSamples, spare: &mut SpareHistograms) {
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
pub(crate) fn are_histograms_in_order(chunks: &[Chunk]) -> bool {
    chunks.iter().all(|c| matches!(&c.data, ChunkData::Raw(c) if c.encoding.is_histogram()))
        && chunks.windows(2).all(|w| w[0].max_time < w[1].min_time)
}

/// Appends the histograms at the edges of the stretches, and in the place of each other one the chunk's first; with
/// `stats_only` without buckets, but for the first and the last one of the chunk. Gives the bytes that were decoded; `None`
/// for a chunk that must be decoded as a whole.
pub(crate) fn edges_of(
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
