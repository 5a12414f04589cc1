//! Histograms scaled, compacted, compared.

use std::sync::Arc;

use histogram::{Combined, FloatHistogram, Incompatible, ResetHint, Span, collect, indexed, upper_bound};

/// Scales all counts and the sum. A negative factor makes a gauge.
pub(crate) fn multiply(h: &mut FloatHistogram, factor: f64) {
    scale(h, |v| v * factor);
    if factor < 0.0 {
        h.reset_hint = ResetHint::Gauge;
    }
}

/// Divides all counts and the sum. A division by zero leaves no buckets; a negative divisor makes a gauge.
pub(crate) fn divide(h: &mut FloatHistogram, divisor: f64) {
    if divisor == 0.0 {
        h.positive_spans.clear();
        h.positive_buckets.clear();
        h.negative_spans.clear();
        h.negative_buckets.clear();
    }
    scale(h, |v| v / divisor);
    if divisor < 0.0 {
        h.reset_hint = ResetHint::Gauge;
    }
}

fn scale(h: &mut FloatHistogram, f: impl Fn(f64) -> f64) {
    if !h.has_custom_buckets() {
        h.zero_count = f(h.zero_count);
    }
    h.count = f(h.count);
    h.sum = f(h.sum);
    // An empty bucket stays empty, by a factor of NaN or infinity too: it may be there only for other samples of its chunk.
    let buckets = h.positive_buckets.iter_mut().chain(&mut h.negative_buckets);
    buckets.for_each(|v| *v = if *v == 0.0 { 0.0 } else { f(*v) });
}

/// Drops empty buckets; the rest lies in as few spans as there can be.
pub fn compact(h: &mut FloatHistogram) {
    for (spans, counts) in
        [(&mut h.positive_spans, &mut h.positive_buckets), (&mut h.negative_spans, &mut h.negative_buckets)]
    {
        if is_tight(spans) && counts.iter().all(|c| *c != 0.0) {
            continue;
        }
        let (new_spans, new_counts) = collect(indexed(spans, counts).filter(|(_, c)| *c != 0.0));
        (*spans, *counts) = (new_spans, new_counts);
    }
}

/// Whether there are no fewer spans that cover the same buckets.
pub(super) fn is_tight(spans: &[Span]) -> bool {
    spans.iter().skip(1).all(|s| s.offset > 0) && spans.iter().all(|s| s.length > 0)
}

/// Whether two histograms count the same, bit for bit. Hints do not count, nor do empty buckets: a chunk gives each of its
/// histograms the buckets that any of them has, and where chunks end must not decide what is equal.
pub(crate) fn equal(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    a.schema == b.schema
        && same_bits(&[a.count, a.sum, a.zero_count], &[b.count, b.sum, b.zero_count])
        && a.zero_threshold == b.zero_threshold
        && (!a.has_custom_buckets() || a.has_same_bounds(b))
        && same_buckets((&a.positive_spans, &a.positive_buckets), (&b.positive_spans, &b.positive_buckets))
        && same_buckets((&a.negative_spans, &a.negative_buckets), (&b.negative_spans, &b.negative_buckets))
}

fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.to_bits() == y.to_bits())
}

fn same_buckets((a_spans, a): (&[Span], &[f64]), (b_spans, b): (&[Span], &[f64])) -> bool {
    if a_spans == b_spans {
        return same_bits(a, b);
    }
    let [a, b] = [(a_spans, a), (b_spans, b)]
        .map(|(spans, counts)| indexed(spans, counts).filter(|(_, c)| *c != 0.0).map(|(at, c)| (at, c.to_bits())));
    a.eq(b)
}

/// Whether no bucket lies within the zero bucket. Sums and differences pass over those that do, which no client sends.
pub(crate) fn is_clear_of_zero(h: &FloatHistogram) -> bool {
    let outside = |spans: &[Span]| spans.first().is_none_or(|s| upper_bound(s.offset, h.schema) > h.zero_threshold);
    h.zero_threshold == 0.0 || (outside(&h.positive_spans) && outside(&h.negative_spans))
}

/// Whether both have the same buckets, cut into the same spans, and all count.
fn same_layout(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    is_clear_of_zero(b)
        && a.schema == b.schema
        && a.zero_threshold == b.zero_threshold
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && a.custom_values == b.custom_values
}

/// `a` − `b`; hints are not looked at, and that of `a` stays. Not compacted.
///
/// # Errors
/// [`Incompatible`] when only one of them has custom buckets.
pub(crate) fn subtract(a: &FloatHistogram, b: &FloatHistogram) -> Result<(FloatHistogram, Combined), Incompatible> {
    if !same_layout(a, b) {
        let mut out = a.clone();
        let combined = out.sub(b)?;
        out.reset_hint = a.reset_hint;
        return Ok((out, combined));
    }
    // As most often: the chunk has one layout.
    let each = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x - y).collect();
    let out = FloatHistogram {
        reset_hint: a.reset_hint,
        schema: a.schema,
        zero_threshold: a.zero_threshold,
        zero_count: a.zero_count - b.zero_count,
        count: a.count - b.count,
        sum: a.sum - b.sum,
        positive_spans: a.positive_spans.clone(),
        positive_buckets: each(&a.positive_buckets, &b.positive_buckets),
        negative_spans: a.negative_spans.clone(),
        negative_buckets: each(&a.negative_buckets, &b.negative_buckets),
        custom_values: a.custom_values.clone(),
    };
    Ok((out, Combined::default()))
}

/// The same histogram with another hint; shared where it has that hint already.
pub(crate) fn with_hint(h: &Arc<FloatHistogram>, hint: ResetHint) -> Arc<FloatHistogram> {
    if h.reset_hint == hint { h.clone() } else { Arc::new(FloatHistogram { reset_hint: hint, ..(**h).clone() }) }
}

/// `a` + `b`, compacted.
///
/// # Errors
/// [`Incompatible`] when only one of them has custom buckets.
pub fn total(a: &FloatHistogram, b: &FloatHistogram) -> Result<(FloatHistogram, Combined), Incompatible> {
    let mut out = a.clone();
    let combined = out.add(b)?;
    compact(&mut out);
    Ok((out, combined))
}

/// `a` − `b`, compacted.
///
/// # Errors
/// [`Incompatible`] when only one of them has custom buckets.
pub fn difference(a: &FloatHistogram, b: &FloatHistogram) -> Result<(FloatHistogram, Combined), Incompatible> {
    let mut out = a.clone();
    let combined = out.sub(b)?;
    compact(&mut out);
    Ok((out, combined))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(spans: &[(i32, u32)], counts: &[f64]) -> FloatHistogram {
        FloatHistogram {
            positive_spans: spans.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect(),
            positive_buckets: counts.to_vec(),
            ..FloatHistogram::default()
        }
    }

    #[test]
    fn compacts() {
        for (spans, counts, want_spans, want_counts) in [
            (&[(0, 3)][..], &[0.0, 1.0, 0.0][..], &[(1, 1)][..], &[1.0][..]),
            (&[(2, 1), (0, 2)], &[1.0, 2.0, 3.0], &[(2, 3)], &[1.0, 2.0, 3.0]),
            (&[(-3, 2), (1, 0), (1, 1)], &[1.0, 2.0, 3.0], &[(-3, 2), (2, 1)], &[1.0, 2.0, 3.0]),
            (&[(0, 2), (3, 1)], &[0.0, 0.0, 0.0], &[], &[]),
        ] {
            let mut h = histogram(spans, counts);
            compact(&mut h);
            assert_eq!(h, histogram(want_spans, want_counts), "{spans:?}");
        }
    }

    #[test]
    fn equality_is_of_buckets_and_bits() {
        let a = histogram(&[(0, 2)], &[1.0, 2.0]);
        assert!(equal(&a, &histogram(&[(0, 1), (0, 1)], &[1.0, 2.0])));
        assert!(equal(&a, &FloatHistogram { reset_hint: ResetHint::Gauge, ..a.clone() }));
        assert!(equal(&a, &histogram(&[(-2, 1), (1, 3), (4, 1)], &[0.0, 1.0, 2.0, 0.0, 0.0])));
        assert!(!equal(&a, &histogram(&[(0, 3)], &[1.0, 2.0, 1.0])));
        assert!(!equal(&a, &histogram(&[(0, 2)], &[1.0, 3.0])));
        assert!(!equal(&a, &histogram(&[(1, 2)], &[1.0, 2.0])));
        assert!(!equal(&a, &FloatHistogram { sum: -0.0, ..a.clone() }));
    }

    #[test]
    fn one_layout_is_subtracted_as_others_are() {
        let a = FloatHistogram { count: 9.0, zero_count: 2.0, ..histogram(&[(0, 2), (3, 1)], &[4.0, 1.0, 2.0]) };
        let b = FloatHistogram { count: 4.0, zero_count: 1.0, ..histogram(&[(0, 2), (3, 1)], &[1.0, 1.0, 1.0]) };
        let mut want = a.clone();
        want.sub(&b).unwrap();
        assert_eq!(subtract(&a, &b), Ok((want, Combined::default())));
        let other = histogram(&[(1, 1)], &[1.0]);
        let mut want = a.clone();
        want.sub(&other).unwrap();
        assert_eq!(subtract(&a, &other).unwrap().0, want);
    }

    #[test]
    fn empty_buckets_stay_empty() {
        for factor in [f64::NAN, f64::INFINITY] {
            let mut h = histogram(&[(0, 3)], &[0.0, 2.0, 0.0]);
            multiply(&mut h, factor);
            compact(&mut h);
            assert_eq!((&h.positive_spans[..], h.positive_buckets.len()), (&[Span { offset: 1, length: 1 }][..], 1));
        }
    }

    #[test]
    fn divided_by_zero_no_bucket_is_left() {
        let mut h = FloatHistogram { count: 3.0, sum: 1.0, ..histogram(&[(0, 2)], &[1.0, 2.0]) };
        divide(&mut h, 0.0);
        assert_eq!((h.count, h.sum), (f64::INFINITY, f64::INFINITY));
        assert!(h.positive_buckets.is_empty() && h.positive_spans.is_empty());
        let mut custom = FloatHistogram { schema: histogram::CUSTOM_BUCKETS_SCHEMA, ..FloatHistogram::default() };
        divide(&mut custom, 0.0);
        assert_eq!(custom.zero_count, 0.0);
    }
}
