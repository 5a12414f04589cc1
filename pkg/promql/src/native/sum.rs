//! Sums and means of many histograms, compensated as those of floats are.

use histogram::{FloatHistogram, Incompatible, ResetHint, Span, collect, indexed};

use super::arithmetic::{divide, is_clear_of_zero};
use crate::functions::kahan;

/// A running sum. Where histograms have one layout, as most often, adding one takes no memory.
#[derive(Debug, Clone)]
pub(crate) struct Sum {
    hint: ResetHint,
    schema: i32,
    zero_threshold: f64,
    custom_values: Vec<f64>,
    zero: Value,
    count: Value,
    sum: Value,
    positive: Side,
    negative: Side,
}

/// A float and what its sum has lost so far.
type Value = (f64, f64);

fn increase(value: &mut Value, by: f64) {
    *value = kahan::add(by, value.0, value.1);
}

/// Buckets by index, ascending: sums, and what each has lost so far.
#[derive(Debug, Clone, Default)]
struct Side {
    indices: Vec<i32>,
    sums: Vec<f64>,
    lost: Vec<f64>,
}

impl Side {
    fn new(spans: &[Span], counts: &[f64]) -> Self {
        let mut side = Self::default();
        side.indices.reserve_exact(counts.len());
        side.sums.reserve_exact(counts.len());
        for (index, count) in indexed(spans, counts) {
            side.indices.push(index);
            side.sums.push(count);
        }
        side.lost = vec![0.0; side.sums.len()];
        side
    }

    fn add(&mut self, spans: &[Span], counts: &[f64]) {
        let (mut at, mut next) = (0, 0i32);
        let mut rest = counts;
        let mut missing: Vec<(i32, f64)> = Vec::new();
        for span in spans {
            let first = next.wrapping_add(span.offset);
            next = first.wrapping_add(span.length as i32);
            let (own, behind) = rest.split_at(rest.len().min(span.length as usize));
            rest = behind;
            if self.indices.get(at) != Some(&first) {
                at += self.indices[at..].partition_point(|i| *i < first);
            }
            // Indices ascend: where the first and the last one are as far apart as in the span, so are those between them.
            let until = at + own.len();
            if !own.is_empty()
                && self.indices.get(at) == Some(&first)
                && self.indices.get(until - 1) == Some(&first.wrapping_add(own.len() as i32 - 1))
            {
                kahan::add_each(own, &mut self.sums[at..until], &mut self.lost[at..until]);
                at = until;
                continue;
            }
            for (index, count) in (0..span.length).map(|i| first.wrapping_add(i as i32)).zip(own) {
                while self.indices.get(at).is_some_and(|i| *i < index) {
                    at += 1;
                }
                match self.indices.get(at) {
                    Some(i) if *i == index => {
                        (self.sums[at], self.lost[at]) = kahan::add(*count, self.sums[at], self.lost[at]);
                    }
                    _ if *count == 0.0 => {}
                    _ => missing.push((index, *count)),
                }
            }
        }
        if !missing.is_empty() {
            self.insert(&missing);
        }
    }

    /// Puts in buckets whose indices are not there, from the last one on.
    fn insert(&mut self, missing: &[(i32, f64)]) {
        let mut from = self.indices.len();
        let all = from + missing.len();
        self.indices.resize(all, 0);
        self.sums.resize(all, 0.0);
        self.lost.resize(all, 0.0);
        let mut missing = missing.iter().rev().peekable();
        for to in (0..all).rev() {
            let own = from.checked_sub(1).map(|last| self.indices[last]);
            let new = missing.next_if(|(index, _)| own.is_none_or(|own| own < *index));
            let (index, sum, lost) = match (new, own) {
                (Some((index, count)), _) => (*index, *count, 0.0),
                (None, Some(own)) => {
                    from -= 1;
                    (own, self.sums[from], self.lost[from])
                }
                (None, None) => break,
            };
            (self.indices[to], self.sums[to], self.lost[to]) = (index, sum, lost);
        }
    }

    fn buckets(&self, f: impl Fn(Value) -> f64) -> impl Iterator<Item = (i32, f64)> {
        let values = self.sums.iter().zip(&self.lost).map(move |(sum, lost)| f((*sum, *lost)));
        self.indices.iter().copied().zip(values).filter(|(_, v)| *v != 0.0)
    }
}

impl Sum {
    /// The sum of one histogram.
    pub fn new(first: &FloatHistogram) -> Self {
        Self {
            hint: first.reset_hint,
            schema: first.schema,
            zero_threshold: first.zero_threshold,
            custom_values: first.custom_values.clone(),
            zero: (first.zero_count, 0.0),
            count: (first.count, 0.0),
            sum: (first.sum, 0.0),
            positive: Side::new(&first.positive_spans, &first.positive_buckets),
            negative: Side::new(&first.negative_spans, &first.negative_buckets),
        }
    }

    /// The memory held, bytes.
    pub fn size_bytes(&self) -> usize {
        let buckets = self.positive.indices.capacity() + self.negative.indices.capacity();
        size_of::<Self>() + buckets * (size_of::<i32>() + size_of::<Value>()) + self.custom_values.capacity() * 8
    }

    /// Adds a histogram; true when custom bounds differed, and those that both have were kept.
    ///
    /// # Errors
    /// [`Incompatible`] when only one of them has custom buckets; the sum is as before.
    pub fn add(&mut self, h: &FloatHistogram) -> Result<bool, Incompatible> {
        let same_layout = is_clear_of_zero(h)
            && self.schema == h.schema
            && self.zero_threshold == h.zero_threshold
            && self.custom_values == h.custom_values;
        if !same_layout {
            // What was lost so far is put in, for the layout of the sum changes.
            let mut total = self.value();
            let combined = total.add(h)?;
            *self = Self::new(&total);
            return Ok(combined.bounds_reconciled);
        }
        self.hint = joined(self.hint, h.reset_hint);
        increase(&mut self.zero, h.zero_count);
        increase(&mut self.count, h.count);
        increase(&mut self.sum, h.sum);
        self.positive.add(&h.positive_spans, &h.positive_buckets);
        self.negative.add(&h.negative_spans, &h.negative_buckets);
        Ok(false)
    }

    /// The sum, compacted.
    pub fn value(&self) -> FloatHistogram {
        self.map(|(value, lost)| value + lost)
    }

    fn map(&self, f: impl Fn(Value) -> f64) -> FloatHistogram {
        let (positive_spans, positive_buckets) = collect(self.positive.buckets(&f));
        let (negative_spans, negative_buckets) = collect(self.negative.buckets(&f));
        FloatHistogram {
            reset_hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: f(self.zero),
            count: f(self.count),
            sum: f(self.sum),
            positive_spans,
            positive_buckets,
            negative_spans,
            negative_buckets,
            custom_values: self.custom_values.clone(),
        }
    }

    /// Whether a value is so large that adding one as large might not fit into a float.
    fn is_near_overflow(&self) -> bool {
        let sums = self.positive.sums.iter().chain(&self.negative.sums);
        [self.zero.0, self.count.0, self.sum.0].iter().chain(sums).any(|v| v.abs() >= LARGE)
    }
}

/// Two values below this have a sum that fits into a float.
const LARGE: f64 = 8e307;

/// The hint of a sum of two histograms.
fn joined(a: ResetHint, b: ResetHint) -> ResetHint {
    use ResetHint::{Gauge, Unknown};
    match (a, b) {
        (a, b) if a == b => a,
        (Gauge, _) | (_, Gauge) => Gauge,
        _ => Unknown,
    }
}

/// A running mean: by the sum as long as that fits into floats, incrementally from there.
#[derive(Debug, Clone)]
pub(crate) struct Mean {
    /// The sum, or the mean itself once the sum overflowed.
    sum: Sum,
    count: f64,
    incremental: bool,
}

impl Mean {
    /// The mean of one histogram.
    pub fn new(first: &FloatHistogram) -> Self {
        Self { sum: Sum::new(first), count: 1.0, incremental: false }
    }

    /// The memory held, bytes.
    pub fn size_bytes(&self) -> usize {
        self.sum.size_bytes()
    }

    /// Adds a histogram, as [`Sum::add`].
    ///
    /// # Errors
    /// As [`Sum::add`].
    pub fn add(&mut self, h: &FloatHistogram) -> Result<bool, Incompatible> {
        if !self.incremental {
            if !self.sum.is_near_overflow() && !overflows(h, LARGE) {
                let reconciled = self.sum.add(h)?;
                self.count += 1.0;
                return Ok(reconciled);
            }
            let mut attempt = self.sum.clone();
            let reconciled = attempt.add(h)?;
            if !overflows(&attempt.map(|(v, _)| v), f64::INFINITY) {
                self.sum = attempt;
                self.count += 1.0;
                return Ok(reconciled);
            }
            self.incremental = true;
            self.scale(1.0 / self.count);
        }
        self.count += 1.0;
        let mut part = h.clone();
        divide(&mut part, self.count);
        let mut next = self.clone();
        next.scale((self.count - 1.0) / self.count);
        let outcome = next.sum.add(&part);
        match outcome {
            Ok(_) => *self = next,
            Err(_) => self.count -= 1.0,
        }
        outcome
    }

    fn scale(&mut self, by: f64) {
        let Sum { zero, count, sum, positive, negative, .. } = &mut self.sum;
        [zero, count, sum].into_iter().for_each(|(v, lost)| {
            *v *= by;
            *lost *= by;
        });
        for side in [positive, negative] {
            side.sums.iter_mut().chain(&mut side.lost).for_each(|v| *v *= by);
        }
    }

    /// The mean, compacted.
    pub fn value(&self) -> FloatHistogram {
        let n = self.count;
        if self.incremental { self.sum.value() } else { self.sum.map(|(v, lost)| v / n + lost / n) }
    }
}

/// Whether any count or the sum reaches `limit`.
fn overflows(h: &FloatHistogram, limit: f64) -> bool {
    let buckets = h.positive_buckets.iter().chain(&h.negative_buckets);
    [h.zero_count, h.count, h.sum].iter().chain(buckets).any(|v| v.abs() >= limit)
}

#[cfg(test)]
mod tests {
    use histogram::Span;

    use super::*;

    fn histogram(offset: i32, counts: &[f64]) -> FloatHistogram {
        FloatHistogram {
            count: counts.iter().sum(),
            sum: 1.0,
            positive_spans: vec![Span { offset, length: counts.len() as u32 }],
            positive_buckets: counts.to_vec(),
            ..FloatHistogram::default()
        }
    }

    #[test]
    fn sums_of_other_buckets_and_of_what_floats_lose() {
        let mut sum = Sum::new(&histogram(2, &[1e100, 1.0]));
        for h in [histogram(0, &[1.0, 0.0, 1.0]), histogram(2, &[-1e100]), histogram(9, &[4.0])] {
            assert_eq!(sum.add(&h), Ok(false));
        }
        let total = sum.value();
        assert_eq!(total.positive_buckets, [1.0, 1.0, 1.0, 4.0]);
        assert_eq!(total.positive_spans, [(0, 1), (1, 2), (5, 1)].map(|(offset, length)| Span { offset, length }));
        // The first one alone lost 1.
        assert_eq!((total.count, total.sum), (6.0, 4.0));
    }

    #[test]
    fn a_mean_does_not_overflow() {
        let mut mean = Mean::new(&histogram(0, &[1.5e308]));
        for _ in 0..3 {
            mean.add(&histogram(0, &[1.5e308])).unwrap();
        }
        let value = mean.value().positive_buckets[0];
        assert!((value / 1.5e308 - 1.0).abs() < 1e-12, "{value}");
        let mut small = Mean::new(&histogram(0, &[1.0]));
        small.add(&histogram(0, &[2.0])).unwrap();
        assert_eq!(small.value().positive_buckets, [1.5]);
    }

    #[test]
    fn custom_and_exponential_buckets_do_not_mix() {
        let custom = FloatHistogram { schema: histogram::CUSTOM_BUCKETS_SCHEMA, ..histogram(0, &[1.0]) };
        let mut sum = Sum::new(&custom);
        assert!(sum.add(&histogram(0, &[1.0])).is_err());
        let mut mean = Mean::new(&custom);
        assert!(mean.add(&histogram(0, &[1.0])).is_err());
        assert_eq!(mean.value().positive_buckets, [1.0]);
    }
}
