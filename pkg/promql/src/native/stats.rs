//! The spread of a histogram's observations.

use histogram::FloatHistogram;

use super::buckets::{Place, ascending, bucket};
use crate::functions::kahan;

/// The population variance, each observation taken to lie at the middle of its bucket: the geometric mean of the bounds,
/// of custom buckets the arithmetic one, zero in the zero bucket.
pub(crate) fn variance(h: &FloatHistogram) -> f64 {
    let mean = h.sum / h.count;
    let (mut sum, mut lost) = (0.0, 0.0);
    for (place, count) in ascending(h).filter(|(_, count)| *count != 0.0) {
        let b = bucket(h, place, count);
        let middle = if h.has_custom_buckets() {
            (b.upper + b.lower) / 2.0
        } else if place == Place::Zero || (b.lower <= 0.0 && b.upper >= 0.0) {
            0.0
        } else {
            (b.upper * b.lower).sqrt().copysign(b.upper)
        };
        let delta = middle - mean;
        (sum, lost) = kahan::add(count * delta * delta, sum, lost);
    }
    (sum + lost) / h.count
}
