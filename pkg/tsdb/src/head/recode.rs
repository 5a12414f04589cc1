//! Chunks taken apart and put together again.

use chunkenc::{
    Column, Encoding, HistogramColumn, TimedChunk, decode_floats, decode_histograms_with_starts, decode_xor2,
};
use histogram::{FloatHistogram, Histogram};
use storage::append::HistogramValue;
use storage::{Error, Result};

use super::encode::Row;
use super::parts::Value;

/// The samples of a chunk.
pub(crate) fn rows(chunk: &TimedChunk) -> Result<Vec<Row>> {
    let corrupt = |e| Error::Corrupt(format!("chunk of the head: {e}"));
    let row = |(time_ms, value)| Row { time_ms, start_ms: 0, value };
    if chunk.encoding == Encoding::Xor2 {
        let samples = decode_xor2(&chunk.data).map_err(corrupt)?;
        let row = |(start_ms, time_ms, value)| Row { time_ms, start_ms, value: Value::Float(value) };
        return Ok(samples.into_iter().map(row).collect());
    }
    if chunk.encoding.is_float() {
        let mut column = Column::new();
        decode_floats(chunk.encoding, &chunk.data, &mut column).map_err(corrupt)?;
        return Ok(column.iter().map(|(time, v)| row((time, Value::Float(v)))).collect());
    }
    let mut column = HistogramColumn::default();
    let mut starts_ms = Vec::new();
    decode_histograms_with_starts(chunk.encoding, &chunk.data, &mut column, &mut starts_ms).map_err(corrupt)?;
    let ints = matches!(chunk.encoding, Encoding::Histogram | Encoding::HistogramSt);
    let value = |h: FloatHistogram| match ints {
        true => HistogramValue::Int(integers(&h).into()),
        false => HistogramValue::Float(h.into()),
    };
    let samples = column.times.into_iter().zip(starts_ms).zip(column.values);
    let row = |((time_ms, start_ms), h)| Row { time_ms, start_ms, value: Value::Histogram(value(h)) };
    Ok(samples.map(row).collect())
}

/// A histogram of whole counts as what it was: readers get all with float counts.
pub(crate) fn integers(h: &FloatHistogram) -> Histogram {
    let deltas = |counts: &[f64]| {
        let mut before = 0i64;
        let delta = |count: &f64| {
            let count = *count as i64;
            let delta = count.wrapping_sub(before);
            before = count;
            delta
        };
        counts.iter().map(delta).collect::<Vec<_>>()
    };
    Histogram {
        reset_hint: h.reset_hint,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: h.zero_count as u64,
        count: h.count as u64,
        sum: h.sum,
        positive_spans: h.positive_spans.clone(),
        negative_spans: h.negative_spans.clone(),
        positive_deltas: deltas(&h.positive_buckets),
        negative_deltas: deltas(&h.negative_buckets),
        custom_values: h.custom_values.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_counts_come_back() {
        let before = Histogram {
            count: 9,
            zero_count: 2,
            sum: 4.5,
            positive_spans: vec![histogram::Span { offset: 1, length: 3 }],
            positive_deltas: vec![2, 1, -2],
            ..Histogram::default()
        };
        assert_eq!(integers(&before.to_float()), before);
    }
}
