//! The quantile of a set of values, interpolated; NaN sorts below everything.

use std::cmp::Ordering;

pub(crate) fn nan_first(a: &f64, b: &f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
    }
}

/// The `q` quantile; reorders `values`.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let n = values.len() as f64;
    let rank = q * (n - 1.0);
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(n - 1.0);
    let weight = rank - rank.floor();
    // Two order statistics do; no need to sort all.
    let (_, low, above) = values.select_nth_unstable_by(lower as usize, nan_first);
    let low = *low;
    let high = if upper > lower { above.iter().copied().min_by(nan_first).unwrap_or(low) } else { low };
    low * (1.0 - weight) + high * weight
}
