//! Sums and differences of histograms, as Prometheus has them.

use std::num::Wrapping;

use crate::buckets::{add, collect, indexed, reduce};
use crate::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, ResetHint, Span, upper_bound};

/// Two histograms of which one has custom buckets and the other exponential ones: they cannot be put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incompatible;

impl std::fmt::Display for Incompatible {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("custom and exponential buckets cannot be put together")
    }
}

impl std::error::Error for Incompatible {}

/// What was not plain in a sum or a difference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Combined {
    /// One side says that a reset lies before it, the other that none does.
    pub hints_collide: bool,
    /// Custom bounds differed; those that both have were kept.
    pub bounds_reconciled: bool,
}

impl Histogram {
    /// Reduces the resolution to a coarser schema. Anything else leaves the histogram as it is.
    pub fn reduce_to(&mut self, schema: i32) {
        if self.schema == CUSTOM_BUCKETS_SCHEMA || schema >= self.schema || !(-9..=8).contains(&schema) {
            return;
        }
        let halvings = (self.schema - schema) as u32;
        for (spans, deltas) in [
            (&mut self.positive_spans, &mut self.positive_deltas),
            (&mut self.negative_spans, &mut self.negative_deltas),
        ] {
            let mut count = Wrapping(0i64);
            let counts: Vec<_> = deltas
                .iter()
                .map(|delta| {
                    count += delta;
                    count
                })
                .collect();
            let (new_spans, counts) = reduce(spans, &counts, halvings);
            let mut before = Wrapping(0);
            *deltas = counts.into_iter().map(|count| (count - std::mem::replace(&mut before, count)).0).collect();
            *spans = new_spans;
        }
        self.schema = schema;
    }
}

impl FloatHistogram {
    /// Adds `other`. The result has the coarser schema, the wider zero bucket, the common custom bounds.
    ///
    /// # Errors
    /// [`Incompatible`]; `self` is as before.
    pub fn add(&mut self, other: &Self) -> Result<Combined, Incompatible> {
        self.combine(other, 1.0)
    }

    /// Subtracts `other`, as [`Self::add`] adds.
    ///
    /// # Errors
    /// [`Incompatible`]; `self` is as before.
    pub fn sub(&mut self, other: &Self) -> Result<Combined, Incompatible> {
        self.combine(other, -1.0)
    }

    /// Reduces the resolution to a coarser schema. Anything else leaves the histogram as it is.
    pub fn reduce_to(&mut self, schema: i32) {
        if self.has_custom_buckets() || schema >= self.schema || !(-9..=8).contains(&schema) {
            return;
        }
        let halvings = (self.schema - schema) as u32;
        let (spans, counts) = reduce(&self.positive_spans, &self.positive_buckets, halvings);
        (self.positive_spans, self.positive_buckets) = (spans, counts);
        let (spans, counts) = reduce(&self.negative_spans, &self.negative_buckets, halvings);
        (self.negative_spans, self.negative_buckets) = (spans, counts);
        self.schema = schema;
    }

    fn combine(&mut self, other: &Self, sign: f64) -> Result<Combined, Incompatible> {
        if self.has_custom_buckets() != other.has_custom_buckets() {
            return Err(Incompatible);
        }
        let mut combined = Combined { hints_collide: self.combine_hints(other), bounds_reconciled: false };
        if self.has_custom_buckets() {
            self.count += sign * other.count;
            self.sum += sign * other.sum;
            combined.bounds_reconciled = !self.has_same_bounds(other);
            if combined.bounds_reconciled {
                self.combine_custom(other, sign);
            } else {
                let more = indexed(&other.positive_spans, &other.positive_buckets).map(|(i, c)| (i, sign * c));
                let (spans, counts) = add((&self.positive_spans, &self.positive_buckets), more);
                (self.positive_spans, self.positive_buckets) = (spans, counts);
            }
            return Ok(combined);
        }
        let other_zero_count = self.reconcile_zero_buckets(other);
        self.zero_count += sign * other_zero_count;
        self.count += sign * other.count;
        self.sum += sign * other.sum;
        self.reduce_to(other.schema);
        let halvings = (other.schema - self.schema).max(0) as u32;
        let (schema, threshold) = (self.schema, self.zero_threshold);
        let sides = [
            (&mut self.positive_spans, &mut self.positive_buckets, &other.positive_spans, &other.positive_buckets),
            (&mut self.negative_spans, &mut self.negative_buckets, &other.negative_spans, &other.negative_buckets),
        ];
        for (spans, counts, other_spans, other_counts) in sides {
            let reduced = (halvings > 0).then(|| reduce(other_spans, other_counts, halvings));
            let (other_spans, other_counts) = match &reduced {
                Some((spans, counts)) => (spans, counts),
                None => (other_spans, other_counts),
            };
            // What lies in the zero bucket has been counted there.
            let more = indexed(other_spans, other_counts)
                .skip_while(|(i, _)| upper_bound(*i, schema) <= threshold)
                .map(|(i, c)| (i, sign * c));
            let (new_spans, new_counts) = add((spans, counts), more);
            (*spans, *counts) = (new_spans, new_counts);
        }
        Ok(combined)
    }

    /// True when the hints contradict one another.
    fn combine_hints(&mut self, other: &Self) -> bool {
        use ResetHint::{Gauge, NotReset, Reset, Unknown};
        let (hint, collide) = match (self.reset_hint, other.reset_hint) {
            (a, b) if a == b => (a, false),
            (Gauge, _) | (_, Gauge) => (Gauge, false),
            (Unknown, _) | (_, Unknown) => (Unknown, false),
            (Reset | NotReset, _) => (Unknown, true),
        };
        self.reset_hint = hint;
        collide
    }

    /// Counts both in the custom bounds that both have.
    fn combine_custom(&mut self, other: &Self, sign: f64) {
        let common: Vec<f64> = self.custom_values.iter().copied().filter(|b| other.custom_values.contains(b)).collect();
        let mut counts = vec![0.0; common.len() + 1];
        for (histogram, sign) in [(&*self, 1.0), (other, sign)] {
            for (index, count) in indexed(&histogram.positive_spans, &histogram.positive_buckets) {
                let bound = usize::try_from(index).ok().and_then(|i| histogram.custom_values.get(i));
                let target = bound.map_or(common.len(), |bound| common.partition_point(|c| c < bound));
                counts[target] += sign * count;
            }
        }
        let used = (0i32..).zip(counts).filter(|(_, count)| *count != 0.0);
        (self.positive_spans, self.positive_buckets) = collect(used);
        self.custom_values = common;
    }

    /// Widens the own zero bucket until it ends, in both histograms, at the bound of a bucket or in an empty one. Returns
    /// what the other's zero bucket of that width counts.
    fn reconcile_zero_buckets(&mut self, other: &Self) -> f64 {
        let (mut count, mut threshold) = (other.zero_count, other.zero_threshold);
        while threshold != self.zero_threshold {
            if self.zero_threshold > threshold {
                (count, threshold) = other.zero_count_up_to(self.zero_threshold);
            }
            if threshold > self.zero_threshold {
                (self.zero_count, self.zero_threshold) = self.zero_count_up_to(threshold);
                self.trim_zero_bucket();
            } else if threshold != self.zero_threshold {
                // One is NaN: nothing can be reconciled.
                break;
            }
        }
        count
    }

    /// What a zero bucket of a larger `threshold` would count. Where that ends within a bucket that is not empty, the
    /// threshold moves to that bucket's end. Returns count and threshold.
    pub(crate) fn zero_count_up_to(&self, mut threshold: f64) -> (f64, f64) {
        if threshold == self.zero_threshold {
            return (self.zero_count, threshold);
        }
        'again: loop {
            let mut total = self.zero_count;
            let sides =
                [(&self.positive_spans, &self.positive_buckets), (&self.negative_spans, &self.negative_buckets)];
            for (side, (spans, counts)) in sides.into_iter().enumerate() {
                for (index, count) in indexed(spans, counts) {
                    let (lower, upper) =
                        (upper_bound(index.wrapping_sub(1), self.schema), upper_bound(index, self.schema));
                    if lower >= threshold {
                        break;
                    }
                    total += count;
                    if upper > threshold {
                        if count != 0.0 {
                            threshold = upper;
                            if side == 1 {
                                // The positive side was counted for the threshold before.
                                continue 'again;
                            }
                        }
                        break;
                    }
                }
            }
            return (total, threshold);
        }
    }

    /// Drops the buckets that the zero bucket covers, and all empty ones.
    fn trim_zero_bucket(&mut self) {
        let (schema, threshold) = (self.schema, self.zero_threshold);
        let trim = |spans: &[Span], counts: &[f64]| {
            let covered = |index: i32| upper_bound(index.wrapping_sub(1), schema) < threshold;
            collect(indexed(spans, counts).skip_while(|(i, _)| covered(*i)).filter(|(_, count)| *count != 0.0))
        };
        (self.positive_spans, self.positive_buckets) = trim(&self.positive_spans, &self.positive_buckets);
        (self.negative_spans, self.negative_buckets) = trim(&self.negative_spans, &self.negative_buckets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_reduced_as_floats_are() {
        let mut fine = Histogram {
            schema: 10,
            count: 15,
            positive_spans: vec![Span { offset: -3, length: 4 }, Span { offset: 9, length: 1 }],
            positive_deltas: vec![1, 1, 1, 1, 1],
            ..Histogram::default()
        };
        let mut float = fine.to_float();
        fine.reduce_to(8);
        float.reduce_to(8);
        assert_eq!(fine.to_float(), float);
        assert_eq!((fine.schema, fine.validate()), (8, Ok(())));
        let custom = Histogram { schema: CUSTOM_BUCKETS_SCHEMA, ..fine.clone() };
        let mut same = custom.clone();
        same.reduce_to(2);
        assert_eq!(same, custom);
    }
}
