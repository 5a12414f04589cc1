//! Answers as samples in one message.

use chunkenc::Encoding;
use histogram::{FloatHistogram, ResetHint, Span};
use labels::Labels;
use model::TimeRange;
use prost::Message;
use proto::prometheus::{QueryResult, ReadResponse};
use proto::prometheus_copy as wire;
use storage::{Error, Reservation, Result, Series};

use super::join::{Value, decode_raw, in_order};
use super::messages::labels;
use super::whole::WholeSeries;

/// What a sample holds in memory until it is sent, bytes, about.
const SAMPLE_BYTES: u64 = 24;

/// Reads a query to its end.
///
/// # Errors
/// [`Error::Limit`] when there are more than `samples_max` samples (0 = any number), and what reading fails with.
pub(super) async fn result(
    mut series: WholeSeries,
    range: TimeRange,
    external: &Labels,
    samples_max: u64,
    held: &mut Reservation,
) -> Result<QueryResult> {
    let (mut timeseries, mut count) = (Vec::new(), 0u64);
    while let Some(one) = series.next().await? {
        let one = samples(one, range, external)?;
        let samples = (one.samples.len() + one.histograms.len()) as u64;
        count += samples;
        if samples_max > 0 && count > samples_max {
            return Err(Error::Limit(format!("exceeded sample limit ({samples_max})")));
        }
        held.grow(samples * SAMPLE_BYTES + one.histograms.iter().map(|h| h.encoded_len() as u64).sum::<u64>())?;
        if samples > 0 {
            timeseries.push(one);
        }
    }
    Ok(QueryResult { timeseries })
}

fn samples(series: Series, range: TimeRange, external: &Labels) -> Result<wire::TimeSeries> {
    let mut out = wire::TimeSeries { labels: labels(&series.labels, external), ..Default::default() };
    let mut decoded = Vec::new();
    for chunk in in_order(series.chunks).map_err(|e| e.within(&series.labels))? {
        decode_raw(chunk.encoding, &chunk.data, &mut decoded).map_err(|e| e.within(&series.labels))?;
        for (timestamp, value) in decoded.drain(..).filter(|(t, _)| range.contains(*t)) {
            match value {
                Value::Float(value) => out.samples.push(wire::Sample { value, timestamp }),
                Value::Histogram(h, encoding) => out.histograms.push(histogram(timestamp, *h, encoding)),
            }
        }
    }
    Ok(out)
}

fn histogram(timestamp: i64, h: FloatHistogram, encoding: Encoding) -> wire::Histogram {
    use wire::histogram::{Count, ZeroCount};
    let whole = matches!(encoding, Encoding::Histogram | Encoding::HistogramSt);
    let stale = model::is_stale(h.sum);
    let mut out = wire::Histogram {
        sum: h.sum,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        negative_spans: spans(&h.negative_spans),
        positive_spans: spans(&h.positive_spans),
        reset_hint: match h.reset_hint {
            ResetHint::Unknown => 0,
            ResetHint::Reset => 1,
            ResetHint::NotReset => 2,
            ResetHint::Gauge => 3,
        },
        timestamp,
        custom_values: h.custom_values,
        ..Default::default()
    };
    if whole && !stale {
        out.count = Some(Count::CountInt(h.count as u64));
        out.zero_count = Some(ZeroCount::ZeroCountInt(h.zero_count as u64));
        out.negative_deltas = deltas(&h.negative_buckets);
        out.positive_deltas = deltas(&h.positive_buckets);
    } else {
        out.count = Some(if whole { Count::CountInt(0) } else { Count::CountFloat(h.count) });
        out.zero_count = Some(if whole { ZeroCount::ZeroCountInt(0) } else { ZeroCount::ZeroCountFloat(h.zero_count) });
        out.negative_counts = h.negative_buckets;
        out.positive_counts = h.positive_buckets;
    }
    out
}

fn spans(list: &[Span]) -> Vec<wire::BucketSpan> {
    list.iter().map(|s| wire::BucketSpan { offset: s.offset, length: s.length }).collect()
}

/// Counts that are whole numbers as differences.
fn deltas(counts: &[f64]) -> Vec<i64> {
    let mut before = 0i64;
    counts.iter().map(|count| (*count as i64).wrapping_sub(std::mem::replace(&mut before, *count as i64))).collect()
}

/// The body of an answer.
///
/// # Errors
/// A message above what snappy can pack.
pub(super) fn body(results: Vec<QueryResult>) -> Result<Vec<u8>> {
    let message = ReadResponse { results }.encode_to_vec();
    snap::raw::Encoder::new().compress_vec(&message).map_err(|e| Error::Limit(format!("answer: {e}")))
}
