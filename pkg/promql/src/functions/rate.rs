//! `rate`, `increase`, `delta`: differences over a window, extrapolated to its edges.

use crate::window::Window;

/// Indices `i` where `values[i] < values[i - 1]`: a counter fell.
pub(crate) fn falls(values: &[f64], out: &mut Vec<u32>) {
    out.clear();
    for (i, pair) in values.windows(2).enumerate() {
        if pair[1] < pair[0] {
            out.push(i as u32 + 1);
        }
    }
}

/// The part of `falls` strictly inside a window: both samples of the fall are in it. `from` moves along with the window.
#[inline(always)]
pub(crate) fn falls_inside<'a>(falls: &'a [u32], window: &Window<'_>, from: &mut usize) -> &'a [u32] {
    if *from > 0 && falls.get(*from - 1).is_some_and(|f| *f as usize > window.low) {
        *from = 0;
    }
    while *from < falls.len() && falls[*from] as usize <= window.low {
        *from += 1;
    }
    let mut to = *from;
    while to < falls.len() && (falls[to] as usize) < window.high {
        to += 1;
    }
    &falls[*from..to]
}

/// The extrapolated difference. `falls` is empty for gauges.
#[inline(always)]
pub(crate) fn extrapolated(window: &Window<'_>, falls: &[u32], is_counter: bool, per_second: bool) -> Option<f64> {
    let (times, values) = (window.times(), window.values());
    let last = times.len().checked_sub(1).filter(|n| *n > 0)?;
    let mut result = values[last] - values[0];
    for fall in falls {
        result += window.all_values[*fall as usize - 1];
    }

    let mut to_start = (times[0] - window.start_ms) as f64 / 1000.0;
    let mut to_end = (window.end_ms - times[last]) as f64 / 1000.0;
    let sampled = (times[last] - times[0]) as f64 / 1000.0;
    let spacing = sampled / last as f64;
    // Within 10 % of the usual spacing the series is taken to reach the edge; otherwise half a spacing further.
    let threshold = spacing * 1.1;
    if to_start >= threshold {
        to_start = spacing / 2.0;
    }
    if is_counter {
        // A counter was never negative: do not extrapolate past its zero.
        let mut to_zero = to_start;
        if result > 0.0 && values[0] >= 0.0 {
            to_zero = sampled * (values[0] / result);
        }
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= threshold {
        to_end = spacing / 2.0;
    }
    let mut factor = 1.0;
    if sampled != 0.0 {
        factor = (sampled + to_start + to_end) / sampled;
    }
    if per_second {
        factor /= (window.end_ms - window.start_ms) as f64 / 1000.0;
    }
    Some(result * factor)
}

/// `irate` (per second, resets counted) and `idelta`: the last two samples.
#[inline]
pub(crate) fn instant(window: &Window<'_>, is_rate: bool) -> Option<f64> {
    let (times, values) = (window.times(), window.values());
    let n = times.len();
    if n < 2 {
        return None;
    }
    let (before, now) = (values[n - 2], values[n - 1]);
    let elapsed = times[n - 1] - times[n - 2];
    if elapsed == 0 {
        return None;
    }
    let mut result = if is_rate && now < before { now } else { now - before };
    if is_rate {
        result /= elapsed as f64 / 1000.0;
    }
    Some(result)
}
