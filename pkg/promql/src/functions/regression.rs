//! Trends over a window: linear regression and double exponential smoothing.

use super::kahan;

/// Least squares; slope per second and the value at `at_ms`. At least one sample.
pub(crate) fn linear(times: &[i64], values: &[f64], at_ms: i64) -> (f64, f64) {
    let (mut n, mut sum_x, mut c_x, mut sum_y, mut c_y) = (0.0, 0.0, 0.0, 0.0, 0.0);
    let (mut sum_xy, mut c_xy, mut sum_x2, mut c_x2) = (0.0, 0.0, 0.0, 0.0);
    let first = values[0];
    let mut constant = true;
    for (i, (t, y)) in times.iter().zip(values).enumerate() {
        if constant && i > 0 && *y != first {
            constant = false;
        }
        n += 1.0;
        let x = (t - at_ms) as f64 / 1e3;
        (sum_x, c_x) = kahan::add(x, sum_x, c_x);
        (sum_y, c_y) = kahan::add(*y, sum_y, c_y);
        (sum_xy, c_xy) = kahan::add(x * y, sum_xy, c_xy);
        (sum_x2, c_x2) = kahan::add(x * x, sum_x2, c_x2);
    }
    if constant {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    sum_x += c_x;
    sum_y += c_y;
    sum_xy += c_xy;
    sum_x2 += c_x2;
    let cov_xy = sum_xy - sum_x * sum_y / n;
    let var_x = sum_x2 - sum_x * sum_x / n;
    let slope = cov_xy / var_x;
    (slope, sum_y / n - slope * sum_x / n)
}

/// Holt's double exponential smoothing of at least two values.
pub(crate) fn smooth(values: &[f64], smoothing: f64, trend: f64) -> f64 {
    let (mut before, mut level) = (0.0, values[0]);
    let mut slope = values[1] - values[0];
    for (i, v) in values[1..].iter().enumerate() {
        let x = smoothing * v;
        if i > 0 {
            slope = trend * (level - before) + (1.0 - trend) * slope;
        }
        let y = (1.0 - smoothing) * (level + slope);
        (before, level) = (level, x + y);
    }
    level
}
