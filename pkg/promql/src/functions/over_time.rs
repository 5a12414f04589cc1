//! Functions of all samples of a range: sums, means, extremes, counts of what happens.

use std::sync::Arc;

use super::{extended, kahan, quantile, regression};
use crate::eval::{Cx, Result};
use crate::mixed::{MixedWindow, PointValue, Sample};
use crate::native::{Mean, Sum, divide, equal};
use crate::notes::{Note, Notes};
use crate::window::{Scratch, Windows};
use crate::{QueryError, StepColumn};

/// A kernel that needs no more than each window by itself.
macro_rules! sliding {
    ($($(#[$doc:meta])* $name:ident = $f:expr;)*) => {
        $(
            $(#[$doc])*
            pub(crate) fn $name(w: &Windows, _: &mut Scratch, column: &mut StepColumn, cx: &mut Cx) -> Result<()> {
                w.slide(column, cx, $f)
            }
        )*
    };
}

sliding! {
    sum = |w| Some(kahan::sum(w.values()));
    avg = |w| Some(kahan::mean(w.values()));
    count = |w| Some((w.high - w.low) as f64);
    present = |_| Some(1.0);
    first = |w| w.values().first().copied();
    last = |w| w.values().last().copied();
    time_of_first = |w| w.times().first().map(|t| seconds(*t));
    time_of_last = |w| w.times().last().map(|t| seconds(*t));
    time_of_max = |w| Some(seconds(w.times()[pick(w.values(), |v, best| v >= best)]));
    time_of_min = |w| Some(seconds(w.times()[pick(w.values(), |v, best| v <= best)]));
    stdvar = |w| Some(variance(w.values()));
    stddev = |w| Some(variance(w.values()).sqrt());
    deriv = |w| (w.high - w.low >= 2).then(|| regression::linear(w.times(), w.values(), w.times()[0]).0);
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

pub(crate) fn max(w: &Windows, _: &mut Scratch, column: &mut StepColumn, cx: &mut Cx) -> Result<()> {
    let mut extreme = Extreme::default();
    w.slide(column, cx, |w| Some(extreme.of(w.all_values, w.low, w.high, |v, best| v > best)))
}

pub(crate) fn min(w: &Windows, _: &mut Scratch, column: &mut StepColumn, cx: &mut Cx) -> Result<()> {
    let mut extreme = Extreme::default();
    w.slide(column, cx, |w| Some(extreme.of(w.all_values, w.low, w.high, |v, best| v < best)))
}

pub(crate) fn mad(w: &Windows, scratch: &mut Scratch, column: &mut StepColumn, cx: &mut Cx) -> Result<()> {
    w.slide(column, cx, |w| Some(median_absolute_deviation(w.values(), &mut scratch.values)))
}

pub(crate) fn quantile_over_time(
    windows: &Windows,
    scratch: &mut Scratch,
    column: &mut StepColumn,
    cx: &mut Cx,
) -> Result<()> {
    let mut bad: Option<f64> = None;
    windows.slide(column, cx, |w| {
        let q = windows.argument(0, w.step);
        if !(0.0..=1.0).contains(&q) {
            bad = Some(q);
        }
        scratch.values.clear();
        scratch.values.extend_from_slice(w.values());
        Some(quantile::quantile(q, &mut scratch.values))
    })?;
    if let Some(q) = bad {
        cx.annotations.bad_quantile(q, windows.first_span);
    }
    Ok(())
}

pub(crate) fn predict_linear(windows: &Windows, _: &mut Scratch, column: &mut StepColumn, cx: &mut Cx) -> Result<()> {
    windows.slide(column, cx, |w| {
        (w.high - w.low >= 2).then(|| {
            let (slope, intercept) = regression::linear(w.times(), w.values(), w.time_ms);
            slope * windows.argument(0, w.step) + intercept
        })
    })
}

pub(crate) fn double_exponential_smoothing(
    windows: &Windows,
    _: &mut Scratch,
    column: &mut StepColumn,
    cx: &mut Cx,
) -> Result<()> {
    let mut wrong: Result<()> = Ok(());
    windows.slide(column, cx, |w| {
        let (smoothing, trend) = (windows.argument(0, w.step), windows.argument(1, w.step));
        if wrong.is_ok() {
            wrong = check_factors(smoothing, trend);
        }
        (w.high - w.low >= 2).then(|| regression::smooth(w.values(), smoothing, trend))
    })?;
    wrong
}

/// Both factors of `double_exponential_smoothing` must lie between 0 and 1.
pub(crate) fn check_factors(smoothing: f64, trend: f64) -> Result<()> {
    let factors =
        [(smoothing, "smoothing factor. Expected: 0 < sf < 1"), (trend, "trend factor. Expected: 0 < tf < 1")];
    match factors.iter().find(|(factor, _)| *factor <= 0.0 || *factor >= 1.0) {
        Some((factor, what)) => Err(QueryError::Execution(format!("invalid {what}, got: {factor:.6}"))),
        None => Ok(()),
    }
}

pub(crate) fn changes(w: &Windows, scratch: &mut Scratch, column: &mut StepColumn, cx: &mut Cx) -> Result<()> {
    events(w, scratch, column, cx, differ)
}

pub(crate) fn resets(w: &Windows, scratch: &mut Scratch, column: &mut StepColumn, cx: &mut Cx) -> Result<()> {
    events(w, scratch, column, cx, |before, now| now < before)
}

/// How often something happens from one sample to the next.
fn events(
    windows: &Windows,
    scratch: &mut Scratch,
    column: &mut StepColumn,
    cx: &mut Cx,
    happens: fn(f64, f64) -> bool,
) -> Result<()> {
    if windows.anchored {
        return windows.slide(column, cx, |w| Some(count_events(extended::anchored(w, w.start_ms)?, happens)));
    }
    let counts = &mut scratch.counts;
    running_counts(&windows.samples.column.values, counts, happens);
    windows.slide(column, cx, |w| Some(f64::from(counts[w.high - 1] - counts[w.low])))
}

// Of windows with native histograms.

pub(crate) fn sum_mixed(w: &MixedWindow<'_>, notes: &mut Notes) -> Option<Sample> {
    if w.is_mixed(notes) {
        return None;
    }
    let Some((first, rest)) = w.histograms.values.split_first() else {
        return Some(Sample::Float(kahan::sum(w.floats.values())));
    };
    let mut sum = Sum::new(first);
    for h in rest {
        match sum.add(h) {
            Ok(reconciled) => notes.add_if(reconciled, Note::ReconciledAggregation),
            Err(_) => return incompatible(notes),
        }
    }
    note_collision(w, notes);
    Some(Sample::new(sum.value()))
}

pub(crate) fn avg_mixed(w: &MixedWindow<'_>, notes: &mut Notes) -> Option<Sample> {
    if w.is_mixed(notes) {
        return None;
    }
    if !w.histograms.covers.is_empty() {
        // Each stands for the sum of as many raw ones as its cover counts.
        let count: f64 = w.histograms.covers.iter().map(|c| c.count).sum();
        let Some(Sample::Histogram(mut sum)) = sum_mixed(w, notes) else { return None };
        divide(Arc::make_mut(&mut sum), count);
        return Some(Sample::Histogram(sum));
    }
    let Some((first, rest)) = w.histograms.values.split_first() else {
        return Some(Sample::Float(kahan::mean(w.floats.values())));
    };
    let mut mean = Mean::new(first);
    for h in rest {
        match mean.add(h) {
            Ok(reconciled) => notes.add_if(reconciled, Note::ReconciledAggregation),
            Err(_) => return incompatible(notes),
        }
    }
    note_collision(w, notes);
    Some(Sample::new(mean.value()))
}

fn incompatible(notes: &mut Notes) -> Option<Sample> {
    notes.add(Note::MixedSchemas);
    None
}

fn note_collision(w: &MixedWindow<'_>, notes: &mut Notes) {
    let any = |hint| w.histograms.values.iter().any(|h| h.reset_hint == hint);
    let colliding = any(histogram::ResetHint::Reset) && any(histogram::ResetHint::NotReset);
    notes.add_if(colliding, Note::CollidingAggregation);
}

pub(crate) fn count_mixed(w: &MixedWindow<'_>, _: &mut Notes) -> Option<Sample> {
    Some(Sample::Float((w.floats.times().len() + w.histograms.times.len()) as f64))
}

pub(crate) fn present_mixed(_: &MixedWindow<'_>, _: &mut Notes) -> Option<Sample> {
    Some(Sample::Float(1.0))
}

pub(crate) fn first_mixed(w: &MixedWindow<'_>, _: &mut Notes) -> Option<Sample> {
    let float = w.floats.times().first().zip(w.floats.values().first());
    let histogram = w.histograms.times.first().zip(w.histograms.values.first());
    Some(match (float, histogram) {
        (Some((t, v)), Some((u, _))) if t < u => Sample::Float(*v),
        (Some((_, v)), None) => Sample::Float(*v),
        (_, h) => Sample::Histogram(h?.1.clone()),
    })
}

pub(crate) fn last_mixed(w: &MixedWindow<'_>, _: &mut Notes) -> Option<Sample> {
    let float = w.floats.times().last().zip(w.floats.values().last());
    let histogram = w.histograms.times.last().zip(w.histograms.values.last());
    Some(match (float, histogram) {
        (Some((t, v)), Some((u, _))) if u < t => Sample::Float(*v),
        (Some((_, v)), None) => Sample::Float(*v),
        (_, h) => Sample::Histogram(h?.1.clone()),
    })
}

pub(crate) fn time_of_first_mixed(w: &MixedWindow<'_>, _: &mut Notes) -> Option<Sample> {
    let times = [w.floats.times().first(), w.histograms.times.first()];
    times.into_iter().flatten().min().map(|t| Sample::Float(seconds(*t)))
}

pub(crate) fn time_of_last_mixed(w: &MixedWindow<'_>, _: &mut Notes) -> Option<Sample> {
    let times = [w.floats.times().last(), w.histograms.times.last()];
    times.into_iter().flatten().max().map(|t| Sample::Float(seconds(*t)))
}

pub(crate) fn resets_mixed(w: &MixedWindow<'_>, _: &mut Notes) -> Option<Sample> {
    events_mixed(w, |before, now| match (before.value, now.value) {
        (PointValue::Float(a), PointValue::Float(b)) => {
            b < a || crate::mixed::start_resets((before.start, before.time), (now.start, now.time))
        }
        // No float lies between them: it is the histogram before.
        (PointValue::Histogram(..), PointValue::Histogram(_, reset)) => reset,
        _ => true,
    })
}

pub(crate) fn changes_mixed(w: &MixedWindow<'_>, _: &mut Notes) -> Option<Sample> {
    events_mixed(w, |before, now| match (before.value, now.value) {
        (PointValue::Float(a), PointValue::Float(b)) => differ(a, b),
        (PointValue::Histogram(a, _), PointValue::Histogram(b, _)) => !equal(a, b),
        _ => true,
    })
}

fn events_mixed(
    w: &MixedWindow<'_>,
    happens: impl Fn(&crate::mixed::Point<'_>, &crate::mixed::Point<'_>) -> bool,
) -> Option<Sample> {
    let all = w.in_order();
    let mut seen = &all[..];
    if w.anchored {
        let until = all.partition_point(|p| p.time <= w.start_ms());
        if until == all.len() {
            return None;
        }
        seen = &all[until.saturating_sub(1)..];
    }
    Some(Sample::Float(seen.windows(2).filter(|pair| happens(&pair[0], &pair[1])).count() as f64))
}

/// The population variance, by Welford's method with compensation.
pub(crate) fn variance(values: &[f64]) -> f64 {
    let (mut count, mut mean, mut c_mean, mut aux, mut c_aux) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for v in values {
        count += 1.0;
        let delta = v - (mean + c_mean);
        (mean, c_mean) = super::kahan::add(delta / count, mean, c_mean);
        (aux, c_aux) = super::kahan::add(delta * (v - (mean + c_mean)), aux, c_aux);
    }
    (aux + c_aux) / count
}

/// The median distance from the median; NaN if any value is.
pub(crate) fn median_absolute_deviation(values: &[f64], scratch: &mut Vec<f64>) -> f64 {
    if values.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    scratch.clear();
    scratch.extend_from_slice(values);
    let median = super::quantile::quantile(0.5, scratch);
    for v in scratch.iter_mut() {
        *v = (*v - median).abs();
    }
    super::quantile::quantile(0.5, scratch)
}

/// The index of the value that `better(candidate, best)` prefers, the first value to begin with.
#[inline]
pub(crate) fn pick(values: &[f64], better: impl Fn(f64, f64) -> bool) -> usize {
    let mut best = 0;
    for (i, v) in values.iter().enumerate() {
        if better(*v, values[best]) || values[best].is_nan() {
            best = i;
        }
    }
    best
}

/// The best value of a window that moves on, in constant time per sample: a queue of candidates, each better than those
/// after it. NaN is best only where there is nothing else.
#[derive(Debug, Default)]
pub(crate) struct Extreme {
    candidates: std::collections::VecDeque<usize>,
    /// Samples before this index were offered.
    seen: usize,
}

impl Extreme {
    /// The best of `values[low..high]`, which is not empty; neither bound may go back from call to call.
    #[inline]
    pub fn of(&mut self, values: &[f64], low: usize, high: usize, better: impl Fn(f64, f64) -> bool) -> f64 {
        while self.candidates.front().is_some_and(|i| *i < low) {
            self.candidates.pop_front();
        }
        for i in self.seen.max(low)..high {
            let v = values[i];
            if v.is_nan() {
                continue;
            }
            while self.candidates.back().is_some_and(|c| better(v, values[*c])) {
                self.candidates.pop_back();
            }
            self.candidates.push_back(i);
        }
        self.seen = high;
        self.candidates.front().map_or(f64::NAN, |i| values[*i])
    }
}

/// `counts[i]`: at how many samples up to `i` `happens(before, now)`; what lies between two samples is a difference.
pub(crate) fn running_counts(values: &[f64], counts: &mut Vec<u32>, happens: impl Fn(f64, f64) -> bool) {
    counts.clear();
    let mut count = 0;
    for i in 0..values.len() {
        count += u32::from(i > 0 && happens(values[i - 1], values[i]));
        counts.push(count);
    }
}

/// Whether two neighbours differ; NaN equals NaN.
#[inline]
pub(crate) fn differ(before: f64, now: f64) -> bool {
    before != now && !(before.is_nan() && now.is_nan())
}

/// How often it happens from one value to the next.
pub(crate) fn count_events(values: &[f64], happens: impl Fn(f64, f64) -> bool) -> f64 {
    values.windows(2).filter(|w| happens(w[0], w[1])).count() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_of_moving_windows() {
        let nan = f64::NAN;
        let values = [3.0, nan, 1.0, 1.0, 5.0, nan, nan, nan, -2.0, 0.0];
        for width in 1..=values.len() {
            let mut extreme = Extreme::default();
            for high in 1..=values.len() {
                let low = high.saturating_sub(width);
                let got = extreme.of(&values, low, high, |v, best| v > best);
                let want = values[low..high].iter().copied().fold(nan, f64::max);
                assert!(got == want || (got.is_nan() && want.is_nan()), "{low}..{high}: {got} {want}");
            }
        }
    }
}
