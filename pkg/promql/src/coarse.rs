//! Functions of ranges over series that have downsampled samples, each of which stands for a window of raw ones.
//!
//! Where the resolution was given, a range holds the windows that end in it, as in Thanos. Where it was chosen for the
//! client, data may turn up that is too coarse for the range: windows longer than half of it. Then
//! * the range is moved back to where the newest window ends, since of what comes after nothing is known; also to the last
//!   finer sample before a window that has not ended yet;
//! * counts and sums take from a window that the range cuts the part inside the range, also where windows are not too long;
//! * functions that need two samples take them from before the range if they must, and what they count is scaled from
//!   the time between the samples to the range. Per second it is what it was.
//!
//! A remark tells of it.

use crate::eval::{Cx, Result};
use crate::functions::over_time::{self, RangeFn};
use crate::functions::{extended, kahan, quantile, rate, regression};
use crate::samples::{Cover, Samples};
use crate::window::{RangeOp, Window};
use crate::{QueryError, StepColumn};

/// What a function sees at a step.
#[derive(Clone, Copy)]
struct View<'a> {
    window: Window<'a>,
    covers: &'a [Cover],
    /// What is before this ms in the first window counts for nothing.
    cut_ms: i64,
    /// Averages belong to the middles of their windows, not to their ends: where windows of different length meet, or
    /// windows and raw samples, that tells. Not where the resolution was given, as in Thanos.
    centred: bool,
    /// The resolution that the range is too short for, ms.
    too_coarse_ms: Option<i64>,
}

/// Calculates all steps of one series into `column`.
pub(crate) fn run(op: &RangeOp, column: &mut StepColumn, scratch: &mut Vec<f64>, cx: &mut Cx) -> Result<()> {
    let mut looked_at = 0u64;
    let mut too_coarse_ms = None;
    let mut bad_quantile = None;
    for step in 0..op.grid.steps() {
        if step % 256 == 255 {
            cx.check()?;
        }
        let Some(view) = look(op, step, cx) else { continue };
        let seen = (view.window.high - view.window.low) as u64;
        looked_at += seen;
        if let Some(counts) = cx.step_counters(op.grid) {
            counts[step] += seen;
        }
        if let Some(v) = value(op, &view, scratch, &mut bad_quantile)? {
            too_coarse_ms = too_coarse_ms.max(view.too_coarse_ms);
            column.set(step, v);
        }
    }
    cx.stats.total_samples += looked_at;
    if let Some(q) = bad_quantile {
        cx.notes.bad_quantile(q, op.first_span);
    }
    if let Some(ms) = too_coarse_ms {
        cx.notes.too_coarse(op.range_ms, ms, op.span);
    }
    Ok(())
}

/// What the step looks at, if there is anything.
fn look<'a>(op: &'a RangeOp, step: usize, cx: &Cx) -> Option<View<'a>> {
    let times = &op.samples.column.times[..];
    let time_ms = op.grid.time(step);
    let end_ms = op.at_ms.unwrap_or(time_ms) - op.offset_ms;
    let start_ms = end_ms - op.range_ms;
    let (before, after) = op.reach(cx.lookback_ms);
    let low = times.partition_point(|t| *t <= start_ms - before);
    let high = times.partition_point(|t| *t <= end_ms + after);
    let window =
        Window { all_times: times, all_values: &op.samples.column.values, low, high, start_ms, end_ms, step, time_ms };
    let centred = cx.query.auto_resolution;
    let covers = &op.samples.covers;
    let plain = View { window, covers, cut_ms: i64::MIN, centred, too_coarse_ms: None };
    if cx.query.auto_resolution
        && (before, after) == (0, 0)
        && let Some(found) = look_back(op, &plain, &op.samples, cx.lookback_ms)
    {
        return found;
    }
    (low < high).then_some(plain)
}

/// The view where the data at the step needs more than the samples in the range; the outer `None` when it does not.
#[expect(clippy::option_option, reason = "not too coarse, and too coarse but nothing there, are different")]
fn look_back<'a>(op: &RangeOp, plain: &View<'a>, samples: &Samples, lookback_ms: i64) -> Option<Option<View<'a>>> {
    let Window { all_times: times, low, high, end_ms, .. } = plain.window;
    let newest = high.checked_sub(1)?;
    let coarse = |i: usize| Some(plain.covers[i].resolution_ms).filter(|r| r.saturating_mul(2) > op.range_ms);
    let own = coarse(newest);
    let two = needs_two(op.function);
    // The next window holds the step, and ends later.
    let adjoins = samples.next_adjoins(newest, lookback_ms);
    let bridged = adjoins && plain.covers[high].resolution_ms > plain.covers[newest].resolution_ms;
    // Behind finer data that ended just before the range there is but one window yet.
    let first_window = two && high - low == 1 && plain.covers[newest].resolution_ms > 0;
    let moved = own.is_none() && (bridged || first_window);
    let view = if moved { plain.ending_at(newest, op.range_ms) } else { *plain };
    // Windows in the range; where it holds but one finer sample, also the one before.
    let first = view.window.low.min(newest);
    let first = if two && high - view.window.low < 2 { first.saturating_sub(1) } else { first };
    let Some(resolution_ms) = own.or_else(|| (first..newest).rev().find_map(coarse)) else {
        return fit(op, &view).or(moved.then_some(view)).map(Some);
    };
    if own.is_some() && !adjoins && end_ms > samples.newest_until(newest) && low == high {
        return Some(None);
    }
    let mut view = match plain.covers[newest].resolution_ms {
        0 => view,
        // Of what comes after a window nothing is known.
        _ => plain.ending_at(newest, op.range_ms),
    };
    let start_ms = view.window.start_ms;
    let mut from = times[..high].partition_point(|t| *t <= start_ms).min(newest);
    if two {
        let least = op.range_ms.min(resolution_ms);
        let back = plain.covers[newest].window_end(times[newest]).saturating_sub(2 * resolution_ms);
        let near = |i: usize| plain.covers[i].window_end(times[i]) >= back;
        let enough = |from: usize| from < newest && times[newest] - times[from] >= least;
        while !enough(from) && from > 0 && near(from - 1) {
            from -= 1;
        }
        if own.is_none() && !enough(from) {
            // A window and finer samples right behind it: too near to tell a rate from.
            return moved.then_some(Some(view));
        }
        if from == newest {
            // One sample, and none near: what there is before the range does not help.
            view.window.low = from;
            return Some((low < high).then_some(view));
        }
        view.window.start_ms = times[from];
        view.window.end_ms = times[newest];
        view.too_coarse_ms = Some(resolution_ms);
    } else {
        let cover = plain.covers[from];
        if cover.resolution_ms > 0 && cover.since_ms <= start_ms {
            view.cut_ms = start_ms.saturating_add(1);
            view.too_coarse_ms = Some(resolution_ms);
        } else if own.is_none() && !moved {
            return None;
        }
    }
    view.window.low = from;
    Some(Some(view))
}

/// The view where no window is too coarse for the range, but counts and sums of whole windows would be of more or less
/// time than the range.
fn fit<'a>(op: &RangeOp, plain: &View<'a>) -> Option<View<'a>> {
    let weighs = matches!(op.function, RangeFn::CountOverTime | RangeFn::SumOverTime | RangeFn::AvgOverTime);
    let Window { low, high, .. } = plain.window;
    if !weighs || low == high {
        return None;
    }
    let newest = high - 1;
    let mut view = if plain.covers[newest].resolution_ms > 0 { plain.ending_at(newest, op.range_ms) } else { *plain };
    view.cut_ms = view.window.start_ms.saturating_add(1);
    Some(view)
}

/// Functions of differences between samples.
fn needs_two(function: RangeFn) -> bool {
    matches!(
        function,
        RangeFn::Rate
            | RangeFn::Increase
            | RangeFn::Delta
            | RangeFn::Irate
            | RangeFn::Idelta
            | RangeFn::Deriv
            | RangeFn::PredictLinear
            | RangeFn::DoubleExponentialSmoothing
            | RangeFn::Changes
            | RangeFn::Resets
    )
}

impl View<'_> {
    /// The same range moved back so that it ends at sample `newest`, the last in view.
    fn ending_at(&self, newest: usize, range_ms: i64) -> Self {
        let mut view = *self;
        let times = self.window.all_times;
        view.window.end_ms = times[newest];
        view.window.start_ms = times[newest] - range_ms;
        view.window.low = times[..=newest].partition_point(|t| *t <= view.window.start_ms);
        view
    }

    /// The middle of sample `i`'s window, ms.
    fn middle(&self, i: usize) -> i64 {
        let time = self.window.all_times[i];
        time - (time - self.covers[i].since_ms) / 2
    }

    /// The times that the averages in view belong to.
    fn middles(&self) -> Vec<i64> {
        match self.centred {
            true => self.indices().map(|i| self.middle(i)).collect(),
            false => self.window.times().to_vec(),
        }
    }

    /// The change over `range_ms`, from that between the first and the last sample in view: of totals, which belong to
    /// the ends of windows, for counters, else of averages, which belong to their middles. As far as that is extrapolated,
    /// what counts is how long the longest window is: where windows and raw samples meet, their mean spacing says nothing.
    fn change(&self, range_ms: i64, is_counter: bool) -> Option<f64> {
        let Window { all_times: times, all_values: values, low, high, start_ms, end_ms, .. } = self.window;
        let (first, last) = (low, high.checked_sub(1)?);
        let of = |i: usize| if is_counter { times[i] } else { self.middle(i) };
        let sampled = of(last) - of(first);
        if sampled <= 0 {
            return None;
        }
        let change = values[last] - values[first];
        let mut over = range_ms;
        if self.too_coarse_ms.is_none() {
            let spacing = self.indices().map(|i| self.covers[i].resolution_ms).max().unwrap_or(0);
            let far = spacing + spacing / 10;
            // A middle lies half a window before the end that it is known by.
            let far_end = if is_counter { far } else { far + spacing / 2 };
            let reach = |gap: i64, far: i64| if gap > far { spacing / 2 } else { gap };
            let mut to_start = reach(of(first) - start_ms, far);
            if is_counter && change > 0.0 && values[first] >= 0.0 {
                // Not past the counter's zero.
                to_start = to_start.min((sampled as f64 * (values[first] / change)) as i64);
            }
            over = sampled + to_start + reach(end_ms - of(last), far_end);
        }
        Some(change * over as f64 / sampled as f64)
    }

    /// Whether windows of different lengths are in view, or windows and raw samples.
    fn mixed(&self) -> bool {
        let of = |i: usize| self.covers[i].resolution_ms;
        self.indices().any(|i| of(i) != of(self.window.low))
    }

    /// How much of sample `i` is inside the range.
    fn part(&self, i: usize) -> f64 {
        let Cover { since_ms, .. } = self.covers[i];
        let time = self.window.all_times[i];
        if since_ms >= self.cut_ms { 1.0 } else { (time - self.cut_ms + 1) as f64 / (time - since_ms + 1) as f64 }
    }

    fn indices(&self) -> std::ops::Range<usize> {
        self.window.low..self.window.high
    }

    /// The raw samples in the range.
    fn count(&self) -> f64 {
        self.indices().map(|i| self.covers[i].count * self.part(i)).sum()
    }

    /// The sum of values, each with its part.
    fn sum(&self, scratch: &mut Vec<f64>) -> f64 {
        if self.cut_ms == i64::MIN {
            return kahan::sum(self.window.values());
        }
        scratch.clear();
        scratch.extend(self.indices().map(|i| self.window.all_values[i] * self.part(i)));
        kahan::sum(scratch)
    }

    /// The mean of all raw samples, of which the values are sums.
    fn mean(&self, scratch: &mut Vec<f64>) -> f64 {
        let sum = self.sum(scratch);
        if sum.is_finite() {
            return sum / self.count();
        }
        // The sum is too large for a float, or some value is infinite.
        let count = self.count();
        scratch.clear();
        scratch.extend(self.indices().map(|i| self.window.all_values[i] / count * self.part(i)));
        kahan::sum(scratch)
    }
}

/// The function's value over the view. Values are what the function wants of each window, see [`crate::wanted`].
fn value(op: &RangeOp, view: &View<'_>, scratch: &mut Vec<f64>, bad_quantile: &mut Option<f64>) -> Result<Option<f64>> {
    let w = &view.window;
    let (times, values) = (w.times(), w.values());
    let two = times.len() >= 2;
    let arg = |at: usize| op.argument(at, w.step);
    let seconds = |t: i64| t as f64 / 1000.0;
    Ok(match op.function {
        RangeFn::Rate | RangeFn::Increase | RangeFn::Delta => {
            let is_counter = op.function != RangeFn::Delta;
            let per_second = op.function == RangeFn::Rate;
            if op.anchored || op.smoothed {
                extended::rate(w, w.start_ms, w.end_ms, op.smoothed, is_counter, per_second)
            } else if view.centred && (view.too_coarse_ms.is_some() || view.mixed()) {
                let seconds = if per_second { op.range_ms as f64 / 1000.0 } else { 1.0 };
                view.change(op.range_ms, is_counter).map(|v| v / seconds)
            } else {
                // The values of counters are running totals: they never fall.
                rate::extrapolated(w, &[], is_counter, per_second)
            }
        }
        // The last two samples may be a window's end and the next one's begin.
        RangeFn::Irate if view.too_coarse_ms.is_some() => rate::extrapolated(w, &[], true, true),
        RangeFn::Irate => rate::instant(w, true),
        RangeFn::Idelta => rate::instant(w, false),
        RangeFn::CountOverTime => Some(view.count()),
        RangeFn::SumOverTime => Some(view.sum(scratch)),
        RangeFn::AvgOverTime => Some(view.mean(scratch)),
        RangeFn::PresentOverTime | RangeFn::AbsentOverTime => Some(1.0),
        RangeFn::FirstOverTime => values.first().copied(),
        RangeFn::LastOverTime => values.last().copied(),
        RangeFn::TsOfFirstOverTime => times.first().copied().map(seconds),
        RangeFn::TsOfLastOverTime => times.last().copied().map(seconds),
        RangeFn::MaxOverTime => Some(values[over_time::pick(values, |v, best| v > best)]),
        RangeFn::MinOverTime => Some(values[over_time::pick(values, |v, best| v < best)]),
        RangeFn::TsOfMaxOverTime => Some(seconds(times[over_time::pick(values, |v, best| v >= best)])),
        RangeFn::TsOfMinOverTime => Some(seconds(times[over_time::pick(values, |v, best| v <= best)])),
        RangeFn::StdvarOverTime => Some(over_time::variance(values)),
        RangeFn::StddevOverTime => Some(over_time::variance(values).sqrt()),
        RangeFn::MadOverTime => Some(over_time::median_absolute_deviation(values, scratch)),
        RangeFn::QuantileOverTime => {
            let q = arg(0);
            if !(0.0..=1.0).contains(&q) {
                *bad_quantile = Some(q);
            }
            scratch.clear();
            scratch.extend_from_slice(values);
            Some(quantile::quantile(q, scratch))
        }
        RangeFn::Changes | RangeFn::Resets => {
            let count = if op.function == RangeFn::Changes { over_time::changes } else { over_time::resets };
            if op.anchored { extended::anchored(w, w.start_ms).map(count) } else { Some(count(values)) }
        }
        RangeFn::Deriv => two.then(|| {
            let times = view.middles();
            regression::linear(&times, values, times[0]).0
        }),
        RangeFn::PredictLinear => two.then(|| {
            let (slope, intercept) = regression::linear(&view.middles(), values, w.time_ms);
            slope * arg(0) + intercept
        }),
        RangeFn::DoubleExponentialSmoothing => {
            let (smoothing, trend) = (arg(0), arg(1));
            for (factor, what) in
                [(smoothing, "smoothing factor. Expected: 0 < sf < 1"), (trend, "trend factor. Expected: 0 < tf < 1")]
            {
                if factor <= 0.0 || factor >= 1.0 {
                    return Err(QueryError::Execution(format!("invalid {what}, got: {factor:.6}")));
                }
            }
            two.then(|| regression::smooth(values, smoothing, trend))
        }
    })
}
