//! Quantiles and shares of native histograms.

use histogram::FloatHistogram;

use super::buckets::{Bucket, Place, ascending, bucket, descending};

/// What observations of NaN, which are in no bucket, did to a quantile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nans {
    /// Nothing: there are none, as far as can be seen.
    None,
    /// The quantile lies among them.
    Reached,
    /// They count as larger than all others, which moves the quantile up.
    Skewed,
}

/// The `q` quantile. Within an exponential bucket observations are taken to lie as on a logarithmic scale, within a custom
/// one and the zero bucket evenly.
pub(crate) fn quantile(q: f64, h: &FloatHistogram) -> (f64, Nans) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, Nans::None);
    }
    if q > 1.0 {
        return (f64::INFINITY, Nans::None);
    }
    if h.count == 0.0 || q.is_nan() {
        return (f64::NAN, Nans::None);
    }
    // Where NaN was observed, only counting from below finds what the buckets lack.
    let with_nans = h.sum.is_nan();
    let from_below = with_nans || q < 0.5;
    let mut rank = if from_below { q * h.count } else { (1.0 - q) * h.count };
    let (found, mut count) = if from_below { reach(ascending(h), rank) } else { reach(descending(h), rank) };
    let mut b = match found {
        Some((place, count)) => bucket(h, place, count),
        None => Bucket { lower: 0.0, upper: 0.0, count: 0.0 },
    };
    if h.has_custom_buckets() {
        if b.lower == f64::NEG_INFINITY {
            if b.upper <= 0.0 {
                return (b.upper, Nans::None);
            }
            b.lower = 0.0;
        } else if b.upper == f64::INFINITY {
            return (b.lower, Nans::None);
        }
    } else if b.lower < 0.0 && b.upper > 0.0 {
        one_sided(h, &mut b);
    }
    // Rounding may have made the buckets count more than all.
    count = count.min(h.count);
    if count < rank {
        return if with_nans { (f64::NAN, Nans::Reached) } else { (b.upper, Nans::None) };
    }
    rank = if from_below { rank - (count - b.count) } else { count - rank };
    let mut nans = Nans::None;
    if with_nans && ascending(h).map(|(_, c)| c).sum::<f64>() < h.count {
        nans = Nans::Skewed;
    }
    let share = rank / b.count;
    if h.has_custom_buckets() || (b.lower <= 0.0 && b.upper >= 0.0) {
        return (b.lower + (b.upper - b.lower) * share, nans);
    }
    let (lower, upper) = (b.lower.abs().log2(), b.upper.abs().log2());
    if b.lower > 0.0 {
        ((lower + (upper - lower) * share).exp2(), nans)
    } else {
        (-(upper + (lower - upper) * (1.0 - share)).exp2(), nans)
    }
}

/// The bucket in which `rank` is reached, or else the last one that is not empty; and the count up to its end.
fn reach(buckets: impl Iterator<Item = (Place, f64)>, rank: f64) -> (Option<(Place, f64)>, f64) {
    let (mut last, mut count) = (None, 0.0);
    for (place, here) in buckets {
        last = Some((place, here));
        if here == 0.0 {
            continue;
        }
        count += here;
        if count >= rank {
            break;
        }
    }
    (last, count)
}

/// The zero bucket of a histogram with buckets on one side only holds nothing of the other.
fn one_sided(h: &FloatHistogram, b: &mut Bucket) {
    let (negative, positive) = (!h.negative_buckets.is_empty(), !h.positive_buckets.is_empty());
    if !negative && positive {
        b.lower = 0.0;
    } else if negative && !positive {
        b.upper = 0.0;
    }
}

/// The share of observations between `lower` and `upper`; true when some are NaN, which are in no share.
pub(crate) fn fraction(lower: f64, upper: f64, h: &FloatHistogram) -> (f64, bool) {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, false);
    }
    if lower >= upper {
        return (0.0, false);
    }
    let (mut rank, mut lower_rank, mut upper_rank) = (0.0, None, None);
    for (place, count) in ascending(h) {
        let mut b = bucket(h, place, count);
        let holds_zero = b.lower <= 0.0 && b.upper >= 0.0;
        if holds_zero {
            one_sided(h, &mut b);
        }
        let linear = h.has_custom_buckets() || holds_zero;
        let rank_at = |v: f64| {
            if b.lower >= v {
                return Some(rank);
            }
            if b.upper <= v {
                return None;
            }
            if linear && b.lower == f64::NEG_INFINITY {
                return Some(b.count);
            }
            Some(rank + b.count * b.share_below(v, linear))
        };
        lower_rank = lower_rank.or_else(|| rank_at(lower));
        upper_rank = upper_rank.or_else(|| rank_at(upper));
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank += b.count;
    }
    let counted = if h.sum.is_nan() { ascending(h).map(|(_, c)| c).sum() } else { h.count };
    let cap = |rank: Option<f64>| rank.map_or(counted, |r| if r > counted { counted } else { r });
    ((cap(upper_rank) - cap(lower_rank)) / h.count, h.sum.is_nan() && counted < h.count)
}

#[cfg(test)]
mod tests {
    use histogram::Span;

    use super::*;

    #[test]
    fn a_fraction_is_the_inverse_of_a_quantile() {
        let h = FloatHistogram {
            count: 24.0,
            sum: 100.0,
            zero_count: 4.0,
            zero_threshold: 0.001,
            positive_spans: vec![Span { offset: 0, length: 3 }],
            positive_buckets: vec![2.0, 3.0, 5.0],
            negative_spans: vec![Span { offset: 0, length: 2 }],
            negative_buckets: vec![4.0, 6.0],
            ..FloatHistogram::default()
        };
        for q in [0.0, 0.1, 0.3, 0.45, 0.5, 0.55, 0.7, 0.9, 0.99] {
            let (v, _) = quantile(q, &h);
            let (back, _) = fraction(f64::NEG_INFINITY, v, &h);
            assert!((back - q).abs() < 1e-9, "{q}: {v} {back}");
        }
        assert_eq!(fraction(f64::NEG_INFINITY, f64::INFINITY, &h), (1.0, false));
    }
}
