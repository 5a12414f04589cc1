//! Counter resets between two histograms.

use crate::buckets::{coarser, indexed};
use crate::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, ResetHint, Span, upper_bound};

impl FloatHistogram {
    /// Whether the buckets have bounds of their own instead of a schema's.
    pub fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// Whether the custom bounds are the same, bit for bit.
    pub fn has_same_bounds(&self, other: &Self) -> bool {
        self.custom_values.iter().map(|v| v.to_bits()).eq(other.custom_values.iter().map(|v| v.to_bits()))
    }

    /// Whether a counter was reset between `previous` and this. The hint decides, where it says anything; else whatever
    /// counts less, has a finer schema or a narrower zero bucket was reset.
    pub fn is_reset_since(&self, previous: &Self) -> bool {
        match self.reset_hint {
            ResetHint::Reset => return true,
            ResetHint::NotReset => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.has_custom_buckets() {
            if !previous.has_custom_buckets() {
                return true;
            }
            if !self.has_same_bounds(previous) {
                return self.falls_in_common_bounds(previous);
            }
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let (zero_count, threshold) = previous.zero_count_up_to(self.zero_threshold);
        // A bucket of the previous one lies across the new threshold.
        if threshold != self.zero_threshold || self.zero_count < zero_count {
            return true;
        }
        let halvings = (previous.schema - self.schema).max(0) as u32;
        let beyond = |spans: &[Span], counts: &[f64], halvings: u32| -> Vec<(i32, f64)> {
            let mut out: Vec<(i32, f64)> = Vec::with_capacity(counts.len());
            for (index, count) in indexed(spans, counts) {
                let index = if halvings > 0 { coarser(index, halvings) } else { index };
                match out.last_mut() {
                    Some((last, sum)) if *last == index => *sum += count,
                    _ => out.push((index, count)),
                }
            }
            if !self.has_custom_buckets() {
                out.retain(|(index, _)| upper_bound(*index, self.schema) > self.zero_threshold);
            }
            out
        };
        let positive = falls(
            &beyond(&self.positive_spans, &self.positive_buckets, 0),
            &beyond(&previous.positive_spans, &previous.positive_buckets, halvings),
        );
        positive
            || falls(
                &beyond(&self.negative_spans, &self.negative_buckets, 0),
                &beyond(&previous.negative_spans, &previous.negative_buckets, halvings),
            )
    }

    /// Whether one of the custom buckets that both have, smaller ones added to it, counts less.
    fn falls_in_common_bounds(&self, previous: &Self) -> bool {
        let common: Vec<f64> =
            self.custom_values.iter().copied().filter(|b| previous.custom_values.contains(b)).collect();
        let counts = |histogram: &Self| {
            let mut counts = vec![0.0; common.len() + 1];
            for (index, count) in indexed(&histogram.positive_spans, &histogram.positive_buckets) {
                let bound = usize::try_from(index).ok().and_then(|i| histogram.custom_values.get(i));
                counts[bound.map_or(common.len(), |bound| common.partition_point(|c| c < bound))] += count;
            }
            counts
        };
        counts(self).iter().zip(counts(previous)).any(|(now, before)| *now < before)
    }
}

/// Whether a bucket of `before` is missing or counts less in `now`; both ascend.
fn falls(now: &[(i32, f64)], before: &[(i32, f64)]) -> bool {
    let mut now = now.iter().peekable();
    before.iter().any(|(index, count)| {
        while now.next_if(|(i, _)| i < index).is_some() {}
        match now.peek() {
            Some((i, current)) if i == index => current < count,
            _ => *count != 0.0,
        }
    })
}
