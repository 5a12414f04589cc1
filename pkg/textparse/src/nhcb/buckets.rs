//! The numbers of a classic histogram, and what native histogram they make.

use std::sync::Arc;

use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, ResetHint, Span};

use crate::entry::NativeHistogram;
use crate::protobuf::compact;

/// Integers up to here are exact as floats.
const INTEGER_MAX: f64 = (1u64 << 53) as f64;
/// Empty buckets in a row that integer histograms keep between others, as Prometheus does.
const EMPTY_KEPT: usize = 2;

/// Cumulative counts by upper bound.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    /// Bound and count, both ascending.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    wrong: Option<String>,
}

impl Buckets {
    /// A bucket; one with a bound that is there already is passed over.
    pub(super) fn bucket(&mut self, bound: f64, count: f64) {
        if count.is_nan() || count < 0.0 {
            return self.refuse(format!("bucket count must be non-negative: le={bound}, count={count}"));
        }
        let at = self.buckets.partition_point(|(le, _)| *le < bound);
        if self.buckets.get(at).is_some_and(|(le, _)| *le == bound) {
            return;
        }
        let below = at.checked_sub(1).and_then(|before| self.buckets.get(before)).map_or(0.0, |(_, count)| *count);
        let above = self.buckets.get(at).map_or(f64::INFINITY, |(_, count)| *count);
        if count < below || count > above {
            return self.refuse(format!("count is not cumulative: le={bound}, count={count}"));
        }
        self.buckets.insert(at, (bound, count));
    }

    pub(super) fn count(&mut self, count: f64) {
        if count.is_nan() || count < 0.0 {
            return self.refuse(format!("count must be non-negative: count={count}"));
        }
        self.count = Some(count);
    }

    pub(super) fn sum(&mut self, sum: f64) {
        self.sum = sum;
    }

    fn refuse(&mut self, why: String) {
        self.wrong.get_or_insert(why);
    }

    pub(super) fn convert(mut self, reset_hint: ResetHint) -> Result<NativeHistogram, String> {
        if let Some(why) = self.wrong {
            return Err(why);
        }
        let highest = self.buckets.last().copied();
        let count = match (self.count, highest) {
            (Some(count), _) => count,
            (None, Some((_, count))) => count,
            (None, None) => return Err("count must be provided when no buckets are present".to_owned()),
        };
        if highest.is_none_or(|(bound, _)| bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let (_, last) = self.buckets.last().copied().unwrap_or_default();
        if last != count {
            return Err(format!("count mismatch: count={count} != le=+Inf count={last}"));
        }
        if self.buckets.first().is_some_and(|(bound, _)| *bound == f64::NEG_INFINITY) {
            return Err("a bucket bound must not be -Inf".to_owned());
        }
        let cumulative: Vec<f64> = self.buckets.iter().map(|(_, count)| *count).collect();
        if cumulative.windows(2).any(|pair| pair[0] > pair[1]) {
            return Err(format!("count is not cumulative: count={count} is below that of a bucket"));
        }
        let custom_values = self.buckets[..self.buckets.len() - 1].iter().map(|(bound, _)| *bound).collect();
        let is_integer = cumulative.iter().all(|count| count.fract() == 0.0 && *count < INTEGER_MAX);
        Ok(if is_integer {
            integer(&cumulative, self.sum, custom_values, reset_hint)
        } else {
            float(&cumulative, self.sum, custom_values, reset_hint)
        })
    }
}

fn span(buckets: usize) -> Vec<Span> {
    vec![Span { offset: 0, length: buckets as u32 }]
}

fn integer(cumulative: &[f64], sum: f64, custom_values: Vec<f64>, reset_hint: ResetHint) -> NativeHistogram {
    let mut before = 0;
    let absolute: Vec<i64> = cumulative
        .iter()
        .map(|count| {
            let count = *count as i64;
            count - std::mem::replace(&mut before, count)
        })
        .collect();
    let (positive_spans, absolute) = compact(&span(absolute.len()), &absolute, EMPTY_KEPT);
    NativeHistogram::Int(Arc::new(Histogram {
        reset_hint,
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: before as u64,
        sum,
        positive_spans,
        positive_deltas: crate::protobuf::deltas(&absolute),
        custom_values,
        ..Histogram::default()
    }))
}

fn float(cumulative: &[f64], sum: f64, custom_values: Vec<f64>, reset_hint: ResetHint) -> NativeHistogram {
    let mut before = 0.0;
    let absolute: Vec<f64> = cumulative.iter().map(|count| count - std::mem::replace(&mut before, *count)).collect();
    let (positive_spans, positive_buckets) = compact(&span(absolute.len()), &absolute, 0);
    NativeHistogram::Float(Arc::new(FloatHistogram {
        reset_hint,
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: before,
        sum,
        positive_spans,
        positive_buckets,
        custom_values,
        ..FloatHistogram::default()
    }))
}
