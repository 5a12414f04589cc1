//! `h </ v` and `h >/ v`: a histogram without what lies above, or below, a value.

use histogram::{FloatHistogram, indexed};

use super::arithmetic::compact;
use super::buckets::{Bucket, Place, uncut};

/// Which observations stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Those below the value (`</`).
    Below,
    /// Those above it (`>/`).
    Above,
}

/// What stays of a bucket: the count, and the value that stands for it in the sum.
struct Rest {
    count: f64,
    middle: f64,
}

/// Takes away what lies on the other side of `at`. A bucket that holds `at` keeps its share. Where anything was taken away,
/// count and sum are estimated from the buckets that are left.
pub(crate) fn trim(h: &mut FloatHistogram, at: f64, kept: Kept) {
    let linear = h.has_custom_buckets();
    let (mut count, mut sum, mut changed) = (0.0, 0.0, false);
    let mut any = [false; 2];
    for (side, any) in any.iter_mut().enumerate() {
        let is_positive = side == 0;
        let (spans, counts) = match is_positive {
            true => (&h.positive_spans, &h.positive_buckets),
            false => (&h.negative_spans, &h.negative_buckets),
        };
        let mut left = counts.clone();
        for ((index, own), left) in indexed(spans, counts).zip(&mut left).filter(|((_, own), _)| *own != 0.0) {
            *any = true;
            let place = if is_positive { Place::Positive(index) } else { Place::Negative(index) };
            let rest = rest_of(&uncut(h, place, own), at, kept, is_positive, linear);
            changed |= rest.count != own;
            *left = rest.count;
            count += rest.count;
            sum += rest.middle * rest.count;
        }
        match is_positive {
            true => h.positive_buckets = left,
            false => h.negative_buckets = left,
        }
    }
    if h.zero_count > 0.0 {
        let [positive, negative] = any;
        let rest = rest_of_zero(h, at, kept, positive, negative);
        changed |= rest.count != h.zero_count;
        h.zero_count = rest.count;
        count += rest.count;
        sum += rest.middle * rest.count;
    }
    if changed {
        (h.count, h.sum) = (count, sum);
        compact(h);
    }
}

fn rest_of(b: &Bucket, at: f64, kept: Kept, is_positive: bool, linear: bool) -> Rest {
    let middle = |lower: f64, upper: f64| middle(lower, upper, is_positive, linear);
    let (whole, holds) = match kept {
        Kept::Below => (b.upper <= at, b.lower < at),
        Kept::Above => (b.lower >= at, b.upper > at),
    };
    if whole {
        return Rest { count: b.count, middle: middle(b.lower, b.upper) };
    }
    if !holds {
        return Rest { count: 0.0, middle: 0.0 };
    }
    if b.lower == f64::NEG_INFINITY {
        return rest_below_first_bound(b, at, kept);
    }
    if b.upper == f64::INFINITY {
        return rest_above_last_bound(b, at, kept);
    }
    let below = b.count * b.share_below(at, linear);
    match kept {
        Kept::Below => Rest { count: below, middle: middle(b.lower, at) },
        Kept::Above => Rest { count: b.count - below, middle: middle(at, b.upper) },
    }
}

/// The first custom bucket, which has no lower bound. Where its upper one is positive, it is taken to begin at 0.
fn rest_below_first_bound(b: &Bucket, at: f64, kept: Kept) -> Rest {
    let from_zero = b.upper > 0.0 && b.upper.is_finite();
    match kept {
        Kept::Below if at > 0.0 && from_zero => Rest { count: b.count * at / b.upper, middle: at / 2.0 },
        Kept::Below if b.upper <= 0.0 => Rest { count: b.count, middle: at },
        Kept::Above if at >= 0.0 && from_zero && at < b.upper => {
            Rest { count: b.count * (1.0 - at / b.upper), middle: (at + b.upper) / 2.0 }
        }
        // Nobody knows how observations lie in it.
        _ => Rest { count: 0.0, middle: 0.0 },
    }
}

/// The last custom bucket, which has no upper bound.
fn rest_above_last_bound(b: &Bucket, at: f64, kept: Kept) -> Rest {
    match kept {
        Kept::Above if at >= b.lower => Rest { count: b.count, middle: at },
        // Nobody knows how observations lie in it.
        _ => Rest { count: 0.0, middle: 0.0 },
    }
}

/// The zero bucket; of a histogram with observations on one side of it, its part on that side.
fn rest_of_zero(h: &FloatHistogram, at: f64, kept: Kept, positive: bool, negative: bool) -> Rest {
    let lower = if positive && !negative { 0.0 } else { -h.zero_threshold };
    let upper = if negative && !positive { 0.0 } else { h.zero_threshold };
    let whole = Rest { count: h.zero_count, middle: (lower + upper) / 2.0 };
    let nothing = Rest { count: 0.0, middle: 0.0 };
    let share = (at - lower) / (upper - lower);
    match kept {
        Kept::Below if at <= lower => nothing,
        Kept::Below if at >= upper => whole,
        Kept::Below => Rest { count: h.zero_count * share, middle: (lower + at) / 2.0 },
        Kept::Above if at <= lower => whole,
        Kept::Above if at >= upper => nothing,
        Kept::Above => Rest { count: h.zero_count * ((upper - at) / (upper - lower)), middle: (at + upper) / 2.0 },
    }
}

/// The value that stands for the observations between two bounds: the arithmetic mean in custom buckets, else the
/// geometric one.
fn middle(lower: f64, upper: f64, is_positive: bool, linear: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        _ if linear => (lower + upper) / 2.0,
        _ => {
            let mean = (lower * upper).abs().sqrt();
            if is_positive { mean } else { -mean }
        }
    }
}
