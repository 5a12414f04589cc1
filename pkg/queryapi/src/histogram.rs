//! Native histograms on the wire.

use histogram::{FloatHistogram, Histogram, ResetHint, Span};
use proto::prometheus_copy as wire;

/// A float histogram as it is sent.
pub(crate) fn to_wire(timestamp: i64, h: &FloatHistogram) -> wire::Histogram {
    use wire::histogram::{Count, ResetHint as Hint, ZeroCount};
    let hint = match h.reset_hint {
        ResetHint::Unknown => Hint::Unknown,
        ResetHint::Reset => Hint::Yes,
        ResetHint::NotReset => Hint::No,
        ResetHint::Gauge => Hint::Gauge,
    };
    let spans = |list: &[Span]| list.iter().map(|s| wire::BucketSpan { offset: s.offset, length: s.length }).collect();
    wire::Histogram {
        count: Some(Count::CountFloat(h.count)),
        zero_count: Some(ZeroCount::ZeroCountFloat(h.zero_count)),
        sum: h.sum,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        negative_spans: spans(&h.negative_spans),
        negative_counts: h.negative_buckets.clone(),
        positive_spans: spans(&h.positive_spans),
        positive_counts: h.positive_buckets.clone(),
        reset_hint: hint.into(),
        timestamp,
        custom_values: h.custom_values.clone(),
        ..Default::default()
    }
}

/// A histogram that was received, of either kind.
///
/// # Errors
/// Where spans and counts do not fit together, or the schema is none.
pub(crate) fn from_wire(h: &wire::Histogram) -> Result<FloatHistogram, String> {
    use wire::histogram::{Count, ResetHint as Hint, ZeroCount};
    let reset_hint = match Hint::try_from(h.reset_hint) {
        Ok(Hint::Yes) => ResetHint::Reset,
        Ok(Hint::No) => ResetHint::NotReset,
        Ok(Hint::Gauge) => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    };
    let spans = |list: &[wire::BucketSpan]| -> Vec<Span> {
        list.iter().map(|s| Span { offset: s.offset, length: s.length }).collect()
    };
    let (positive_spans, negative_spans) = (spans(&h.positive_spans), spans(&h.negative_spans));
    let out = if let Some(Count::CountInt(count)) = h.count {
        let zero_count = if let Some(ZeroCount::ZeroCountInt(count)) = h.zero_count { count } else { 0 };
        Histogram {
            reset_hint,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            zero_count,
            count,
            sum: h.sum,
            positive_spans,
            positive_deltas: h.positive_deltas.clone(),
            negative_spans,
            negative_deltas: h.negative_deltas.clone(),
            custom_values: h.custom_values.clone(),
        }
        .to_float()
    } else {
        let float = |count: Option<Count>| if let Some(Count::CountFloat(v)) = count { v } else { 0.0 };
        FloatHistogram {
            reset_hint,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            zero_count: if let Some(ZeroCount::ZeroCountFloat(v)) = h.zero_count { v } else { 0.0 },
            count: float(h.count),
            sum: h.sum,
            positive_spans,
            positive_buckets: h.positive_counts.clone(),
            negative_spans,
            negative_buckets: h.negative_counts.clone(),
            custom_values: h.custom_values.clone(),
        }
    };
    check(&out).map(|()| out)
}

/// Results of queries may count less than nothing, so only the shape is checked.
fn check(h: &FloatHistogram) -> Result<(), String> {
    let known = (histogram::SCHEMA_MIN..=histogram::SCHEMA_MAX).contains(&h.schema) || h.has_custom_buckets();
    if !known {
        return Err(format!("histogram of schema {}", h.schema));
    }
    for (spans, counts) in [(&h.positive_spans, &h.positive_buckets), (&h.negative_spans, &h.negative_buckets)] {
        let covered = spans.iter().fold(0u64, |sum, s| sum + u64::from(s.length));
        if covered != counts.len() as u64 {
            return Err(format!("histogram with {} counts of {covered} buckets", counts.len()));
        }
    }
    Ok(())
}

/// The memory that a histogram takes, bytes.
pub(crate) fn size_bytes(h: &FloatHistogram) -> u64 {
    let spans = h.positive_spans.len() + h.negative_spans.len();
    let floats = h.positive_buckets.len() + h.negative_buckets.len() + h.custom_values.len();
    (size_of::<FloatHistogram>() + 8 * (spans + floats)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        let h = FloatHistogram {
            reset_hint: ResetHint::Gauge,
            schema: 3,
            count: -2.5,
            sum: f64::INFINITY,
            zero_count: 1.0,
            zero_threshold: 0.25,
            positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }],
            positive_buckets: vec![1.0, -4.0, 0.5],
            negative_spans: vec![Span { offset: 7, length: 1 }],
            negative_buckets: vec![9.0],
            custom_values: Vec::new(),
        };
        let sent = to_wire(17, &h);
        assert_eq!((sent.timestamp, from_wire(&sent)), (17, Ok(h)));
    }

    #[test]
    fn whole_numbers_and_refusals() {
        use wire::histogram::Count;
        let spans = vec![wire::BucketSpan { offset: 1, length: 2 }];
        let whole = wire::Histogram {
            count: Some(Count::CountInt(5)),
            positive_spans: spans.clone(),
            positive_deltas: vec![2, 1],
            ..Default::default()
        };
        assert_eq!(from_wire(&whole).unwrap().positive_buckets, [2.0, 3.0]);
        let lacking = wire::Histogram { positive_spans: spans, positive_deltas: vec![2], ..whole };
        assert!(from_wire(&lacking).is_err());
        assert!(from_wire(&wire::Histogram { schema: 99, ..Default::default() }).is_err());
    }
}
