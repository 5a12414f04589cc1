//! `anchored` and `smoothed` windows: values at the window's edges are taken from before it or interpolated, nothing is
//! extrapolated.

use crate::window::Window;

fn interpolate(t1: i64, v1: f64, t2: i64, v2: f64, t: i64, is_counter: bool) -> f64 {
    let from = if is_counter && v2 < v1 { 0.0 } else { v1 };
    from + (v2 - from) * (t - t1) as f64 / (t2 - t1) as f64
}

/// First and last index to look at, and the values at the two edges.
struct Edges {
    first: usize,
    last: usize,
    left: f64,
    right: f64,
}

fn edges(w: &Window<'_>, start: i64, end: i64, smoothed: bool, is_counter: bool) -> Option<Edges> {
    let (times, values) = (w.times(), w.values());
    let mut last = times.len().checked_sub(1)?;
    let first = times[..last].partition_point(|t| *t <= start).saturating_sub(1);
    if smoothed {
        last = times[..last].partition_point(|t| *t < end);
    }
    if times[last] <= start || (smoothed && times[first] > end) {
        return None;
    }
    let left = if smoothed && times[first] < start && first + 1 < times.len() {
        interpolate(times[first], values[first], times[first + 1], values[first + 1], start, is_counter)
    } else {
        values[first]
    };
    let right = if smoothed && last > 0 && times[last] > end {
        interpolate(times[last - 1], values[last - 1], times[last], values[last], end, is_counter)
    } else {
        values[last]
    };
    Some(Edges { first, last, left, right })
}

/// `rate`, `increase` and `delta`; the window `w` reaches beyond `start..end` by the lookback.
pub(crate) fn rate(
    w: &Window<'_>,
    start: i64,
    end: i64,
    smoothed: bool,
    is_counter: bool,
    per_second: bool,
) -> Option<f64> {
    let Edges { mut first, last, left, right } = edges(w, start, end, smoothed, is_counter)?;
    let (times, values) = (w.times(), w.values());
    let mut result = right - left;
    if is_counter {
        if times[first] <= start {
            first += 1;
        }
        let past_last = if times[last] >= end { last } else { last + 1 };
        let mut correction = 0.0;
        let mut before = left;
        for v in values.get(first..past_last).unwrap_or_default() {
            if *v < before {
                correction += before;
            }
            before = *v;
        }
        if right < before {
            correction += before;
        }
        result += correction;
    }
    if per_second {
        result /= (end - start) as f64 / 1000.0;
    }
    Some(result)
}

/// The samples that `resets` and `changes` see in an anchored window: the last at or before `start`, and all after.
pub(crate) fn anchored<'a>(w: &'a Window<'_>, start: i64) -> Option<&'a [f64]> {
    let at_or_before = w.times().partition_point(|t| *t <= start);
    if at_or_before >= w.times().len() {
        return None;
    }
    Some(&w.values()[at_or_before.saturating_sub(1)..])
}

/// The samples of an extended range selector at the top of an instant query.
pub(crate) fn samples(w: &Window<'_>, start: i64, end: i64, smoothed: bool) -> chunkenc::Column {
    let mut out = chunkenc::Column::new();
    let Some(Edges { mut first, last, left, right }) = edges(w, start, end, smoothed, false) else { return out };
    let (times, values) = (w.times(), w.values());
    if times[first] <= start {
        first += 1;
    }
    let past_last = if times[last] >= end { last } else { last + 1 };
    out.push(start, left);
    for i in first..past_last.max(first) {
        out.push(times[i], values[i]);
    }
    out.push(end, right);
    out
}
