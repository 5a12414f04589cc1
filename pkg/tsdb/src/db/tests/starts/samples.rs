//! Series of all kinds.

use std::sync::Arc;

use histogram::{CUSTOM_BUCKETS_SCHEMA, Histogram, ResetHint, Span};
use storage::append::HistogramValue;

use super::random::Random;

/// How many series there are.
pub(super) const SERIES: usize = 16;

#[derive(Debug, Clone)]
pub(super) enum Sample {
    Float(f64),
    Histogram(HistogramValue),
}

impl Sample {
    /// As [`super::read`] shows it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Float(value) => super::read::float(*value),
            Self::Histogram(HistogramValue::Int(h)) => super::read::histogram(&h.to_float()),
            Self::Histogram(HistogramValue::Float(h)) => super::read::histogram(h),
        }
    }
}

pub(super) fn labels(n: usize) -> [(String, String); 2] {
    [("__name__".to_owned(), format!("m{}", n % 3)), ("n".to_owned(), n.to_string())]
}

/// The sample of series `n` at a tick, if it has one.
pub(super) fn sample(n: usize, tick: u64, random: &mut Random) -> Option<Sample> {
    // Series that end and begin again, after a time or a long one.
    let period = [0, 0, 31, 0, 0, 97, 0, 0, 0, 0, 450, 450, 0, 61, 0, 450][n];
    if period > 0 {
        match (tick + n as u64 * 7) % period {
            at if at == period / 2 => return Some(stale(n, random)),
            at if at > period / 2 => return None,
            _ => {}
        }
    }
    if random.one_in(40) {
        return None;
    }
    Some(match n {
        0 => Sample::Float(1.0),
        1 | 2 | 10 => Sample::Float(tick as f64),
        3 => Sample::Float(f64::from_bits(random.next())),
        4 | 5 => Sample::Float((tick as f64 * 0.1).sin()),
        6 | 11 => int(tick, 0, random),
        7 => int(tick, 1, random),
        8 => custom(tick, random),
        9 => as_float(int(tick, 0, random)),
        // Kinds that alternate.
        12 | 13 if random.one_in(5) => int(tick, 0, random),
        14 if random.one_in(5) => as_float(int(tick, 1, random)),
        15 if (tick / 90).is_multiple_of(2) => int(tick, 0, random),
        _ => Sample::Float(tick as f64 * 0.5),
    })
}

fn stale(n: usize, random: &mut Random) -> Sample {
    let marker = model::stale_nan();
    match n {
        11 => Sample::Histogram(HistogramValue::Int(Arc::new(Histogram { sum: marker, ..Histogram::default() }))),
        _ if random.one_in(2) || n != 13 => Sample::Float(marker),
        _ => as_float(Sample::Histogram(HistogramValue::Int(Arc::new(Histogram {
            sum: marker,
            ..Histogram::default()
        })))),
    }
}

fn as_float(sample: Sample) -> Sample {
    match sample {
        Sample::Histogram(HistogramValue::Int(h)) => Sample::Histogram(HistogramValue::Float(Arc::new(h.to_float()))),
        other => other,
    }
}

fn with_counts(counts: &[i64], mut h: Histogram) -> Sample {
    let mut before = 0;
    h.positive_deltas = counts.iter().map(|count| count - std::mem::replace(&mut before, *count)).collect();
    h.count = counts.iter().sum::<i64>() as u64 + h.zero_count;
    Sample::Histogram(HistogramValue::Int(Arc::new(h)))
}

/// A counter, or a gauge, whose buckets come and go.
fn int(tick: u64, gauge: u64, random: &mut Random) -> Sample {
    let reset = if random.one_in(30) { 1 } else { tick as i64 };
    let (first, second) = (1 + random.below(3) as u32, random.below(3) as u32);
    let spans = vec![Span { offset: random.below(2) as i32, length: first }, Span { offset: 2, length: second }];
    let counts: Vec<i64> = (0..i64::from(first + second)).map(|n| reset * (n + 1)).collect();
    with_counts(
        &counts,
        Histogram {
            schema: if random.one_in(50) { 2 } else { 1 },
            zero_threshold: if random.one_in(50) { 0.01 } else { 0.001 },
            zero_count: tick,
            sum: tick as f64 * 0.3,
            reset_hint: if gauge == 1 { ResetHint::Gauge } else { ResetHint::Unknown },
            positive_spans: spans,
            ..Histogram::default()
        },
    )
}

fn custom(tick: u64, random: &mut Random) -> Sample {
    let custom_values = if (tick / 40).is_multiple_of(3) { vec![1.0, 2.0, 5.0] } else { vec![1.0, 5.0] };
    let length = custom_values.len() as u32 + 1;
    let counts: Vec<i64> = (0..i64::from(length)).map(|n| tick as i64 + n + random.below(2) as i64).collect();
    with_counts(
        &counts,
        Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            sum: tick as f64,
            positive_spans: vec![Span { offset: 0, length }],
            custom_values,
            ..Histogram::default()
        },
    )
}
