//! Quantiles and fractions of the buckets of one classic histogram.

/// Counts up to an upper bound, inclusive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket {
    pub upper: f64,
    pub count: f64,
}

/// Relative differences between buckets below this are rounding, not data.
const ROUNDING: f64 = 1e-12;

/// Buckets with one bound become one; `buckets` is ascending.
fn coalesce(buckets: &mut Vec<Bucket>) {
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
}

/// The `q` quantile, linear within a bucket; and when counts fell from one bucket to the next: lowest and highest bound
/// and largest fall. `buckets` is ascending and not empty; it is changed.
pub(crate) fn bucket_quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<(f64, f64, f64)>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if buckets.last().is_none_or(|b| b.upper != f64::INFINITY) {
        return (f64::NAN, None);
    }
    coalesce(buckets);
    let forced = make_monotonic(buckets);
    let n = buckets.len();
    if n < 2 {
        return (f64::NAN, forced);
    }
    let observations = buckets[n - 1].count;
    if observations == 0.0 {
        return (f64::NAN, forced);
    }
    let mut rank = q * observations;
    let b = buckets[..n - 1].partition_point(|b| b.count.partial_cmp(&rank).is_none_or(std::cmp::Ordering::is_lt));
    if b == n - 1 {
        return (buckets[n - 2].upper, forced);
    }
    if b == 0 && buckets[0].upper <= 0.0 {
        return (buckets[0].upper, forced);
    }
    let (mut start, end, mut count) = (0.0, buckets[b].upper, buckets[b].count);
    if b > 0 {
        start = buckets[b - 1].upper;
        count -= buckets[b - 1].count;
        rank -= buckets[b - 1].count;
    }
    (start + (end - start) * (rank / count), forced)
}

fn make_monotonic(buckets: &mut [Bucket]) -> Option<(f64, f64, f64)> {
    let (mut min, mut max, mut diff, mut forced) = (f64::INFINITY, f64::NEG_INFINITY, 0.0f64, false);
    let mut before = buckets[0].count;
    for b in &mut buckets[1..] {
        if b.count == before {
            continue;
        }
        if almost_equal(before, b.count, ROUNDING) {
            b.count = before;
            continue;
        }
        if b.count < before {
            forced = true;
            min = min.min(b.upper);
            max = max.max(b.upper);
            diff = diff.max(before - b.count);
            b.count = before;
            continue;
        }
        before = b.count;
    }
    forced.then_some((min, max, diff))
}

/// Whether two numbers differ by less than `epsilon` times their sum; NaN equals NaN, the stale marker only itself.
pub(crate) fn almost_equal(a: f64, b: f64, epsilon: f64) -> bool {
    if model::is_stale(a) || model::is_stale(b) {
        return model::is_stale(a) && model::is_stale(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let sum = a.abs() + b.abs();
    let diff = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return diff < epsilon * f64::MIN_POSITIVE;
    }
    diff / sum.min(f64::MAX) < epsilon
}

/// The share of observations between `lower` and `upper`. `buckets` is ascending and not empty; it is changed.
pub(crate) fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if buckets.last().is_none_or(|b| b.upper != f64::INFINITY) {
        return f64::NAN;
    }
    coalesce(buckets);
    let total = buckets[buckets.len() - 1].count;
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    // Below the first bound lie the positive numbers, or all of them when it is not positive itself.
    let mut low_bound = if buckets[0].upper <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let mut rank = 0.0;
    let (mut lower_rank, mut upper_rank) = (None, None);
    for b in buckets.iter() {
        let within = |v: f64| {
            if low_bound == f64::NEG_INFINITY {
                b.count
            } else {
                rank + (b.count - rank) * (v - low_bound) / (b.upper - low_bound)
            }
        };
        let place = |v: f64| {
            if low_bound >= v {
                Some(rank)
            } else if b.upper > v {
                Some(within(v))
            } else {
                None
            }
        };
        lower_rank = lower_rank.or_else(|| place(lower));
        upper_rank = upper_rank.or_else(|| place(upper));
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank = b.count;
        low_bound = b.upper;
    }
    let cap = |r: Option<f64>| r.map_or(total, |r| if r > total { total } else { r });
    (cap(upper_rank) - cap(lower_rank)) / total
}
