//! The buckets of a histogram in the order of the values they hold.

use histogram::{FloatHistogram, Span, indexed, upper_bound};

/// A bucket with its bounds, cut where the zero bucket covers it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket {
    pub lower: f64,
    pub upper: f64,
    pub count: f64,
}

impl Bucket {
    /// The share of the bucket's width at or below `v`, which lies within its finite bounds; on a logarithmic scale where
    /// the bucket is exponential.
    pub fn share_below(&self, v: f64, linear: bool) -> f64 {
        if linear {
            return (v - self.lower) / (self.upper - self.lower);
        }
        let log = |v: f64| v.abs().log2();
        let (lower, upper, v_log) = (log(self.lower), log(self.upper), log(v));
        if v > 0.0 { (v_log - lower) / (upper - lower) } else { 1.0 - (v_log - upper) / (lower - upper) }
    }
}

/// Which bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Negative(i32),
    Zero,
    Positive(i32),
}

/// All buckets and their counts, ascending; the zero bucket where it counts anything.
pub(crate) fn ascending(h: &FloatHistogram) -> impl Iterator<Item = (Place, f64)> + '_ {
    let negative = backwards(&h.negative_spans, &h.negative_buckets).map(|(i, c)| (Place::Negative(i), c));
    let positive = indexed(&h.positive_spans, &h.positive_buckets).map(|(i, c)| (Place::Positive(i), c));
    negative.chain(zero(h)).chain(positive)
}

/// The same, descending.
pub(crate) fn descending(h: &FloatHistogram) -> impl Iterator<Item = (Place, f64)> + '_ {
    let positive = backwards(&h.positive_spans, &h.positive_buckets).map(|(i, c)| (Place::Positive(i), c));
    let negative = indexed(&h.negative_spans, &h.negative_buckets).map(|(i, c)| (Place::Negative(i), c));
    positive.chain(zero(h)).chain(negative)
}

fn zero(h: &FloatHistogram) -> Option<(Place, f64)> {
    (h.zero_count > 0.0).then_some((Place::Zero, h.zero_count))
}

/// Index and count of each bucket, the last one first.
fn backwards<'a>(spans: &'a [Span], counts: &'a [f64]) -> impl Iterator<Item = (i32, f64)> + 'a {
    let width = |s: &Span| s.offset.wrapping_add(s.length as i32);
    let mut end = spans.iter().fold(0i32, |end, s| end.wrapping_add(width(s)));
    let indices = spans.iter().rev().flat_map(move |span| {
        let start = end.wrapping_sub(span.length as i32);
        end = start.wrapping_sub(span.offset);
        (0..span.length).rev().map(move |i| start.wrapping_add(i as i32))
    });
    indices.zip(counts.iter().rev().copied())
}

/// The bucket at `place` with its bounds.
pub(crate) fn bucket(h: &FloatHistogram, place: Place, count: f64) -> Bucket {
    let mut bucket = uncut(h, place, count);
    let threshold = h.zero_threshold;
    if bucket.upper < 0.0 && bucket.upper > -threshold {
        bucket.upper = -threshold;
    }
    if bucket.lower > 0.0 && bucket.lower < threshold {
        bucket.lower = threshold;
    }
    bucket
}

/// The bucket as its schema or its custom bounds have it.
pub(crate) fn uncut(h: &FloatHistogram, place: Place, count: f64) -> Bucket {
    let bound = |i: i32| {
        if !h.has_custom_buckets() {
            return upper_bound(i, h.schema);
        }
        match usize::try_from(i) {
            Ok(i) => h.custom_values.get(i).copied().unwrap_or(f64::INFINITY),
            Err(_) => f64::NEG_INFINITY,
        }
    };
    let (lower, upper) = match place {
        Place::Zero => (-h.zero_threshold, h.zero_threshold),
        Place::Positive(i) => (bound(i.wrapping_sub(1)), bound(i)),
        Place::Negative(i) => (-bound(i), -bound(i.wrapping_sub(1))),
    };
    Bucket { lower, upper, count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders() {
        let h = FloatHistogram {
            zero_threshold: 0.6,
            zero_count: 9.0,
            positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }],
            positive_buckets: vec![1.0, 2.0, 3.0],
            negative_spans: vec![Span { offset: 1, length: 1 }, Span { offset: 0, length: 1 }],
            negative_buckets: vec![4.0, 5.0],
            ..FloatHistogram::default()
        };
        let up: Vec<(Place, f64)> = ascending(&h).collect();
        assert_eq!(
            up,
            [
                (Place::Negative(2), 5.0),
                (Place::Negative(1), 4.0),
                (Place::Zero, 9.0),
                (Place::Positive(0), 1.0),
                (Place::Positive(1), 2.0),
                (Place::Positive(3), 3.0),
            ]
        );
        let mut down: Vec<(Place, f64)> = descending(&h).collect();
        down.reverse();
        assert_eq!(up, down);
        assert_eq!(bucket(&h, Place::Positive(0), 1.0), Bucket { lower: 0.6, upper: 1.0, count: 1.0 });
        assert_eq!(bucket(&h, Place::Negative(2), 5.0), Bucket { lower: -4.0, upper: -2.0, count: 5.0 });
    }
}
