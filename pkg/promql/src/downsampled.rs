//! Functions of ranges over series that have downsampled samples, each of which stands for a window of raw ones.
//!
//! A step looks at the windows that its range cuts or holds, whatever the mode, and a value lies between those of the
//! range shrunk and grown by a window at each end:
//! * counts and sums take from a window the part that is inside the range;
//! * rates and differences are read off the series' [`Curve`];
//! * what needs two samples takes the neighbour where the range holds one window;
//! * all others see the windows as if they were samples.
//!
//! A range that ends where a window ends gets whole windows, so counts, sums and rises of counters are exact there. Where
//! windows are longer than half the range, an info tells of it.

use std::ops::Range;

use crate::curve::Curve;
use crate::eval::{Cx, Result};
use crate::functions::over_time::{self, RangeFn};
use crate::functions::{extended, kahan, quantile, rate, regression};
use crate::marks::Marks;
use crate::samples::{Cover, Samples, aligned};
use crate::window::{RangeOp, Window};
use crate::{QueryError, StepColumn};

/// What a function sees at a step.
struct View<'a> {
    window: Window<'a>,
    samples: &'a Samples,
    marks: &'a Marks,
    /// No sample is a window.
    is_raw: bool,
}

/// Memory for one series at a time.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    marks: Marks,
    times: Vec<i64>,
    values: Vec<f64>,
}

/// Calculates all steps of one series into `column`.
pub(crate) fn run(op: &RangeOp, column: &mut StepColumn, buffers: &mut Buffers, cx: &mut Cx) -> Result<()> {
    let Buffers { marks, times, values } = buffers;
    marks.fill(&op.samples, cx.lookback_ms);
    let maybe_short = marks.window_max_ms.saturating_mul(2) > op.range_ms;
    let mut long_window_ms = 0;
    let mut bad_quantile = None;
    for step in 0..op.grid.steps() {
        if step % 256 == 255 {
            cx.check()?;
        }
        let view = look(op, marks, step, cx.lookback_ms);
        let seen = (view.window.high - view.window.low) as u64;
        cx.stats.total_samples += seen;
        if let Some(counts) = cx.step_counters(op.grid) {
            counts[step] += seen;
        }
        if let Some(v) = value(op, &view, (times, values), &mut bad_quantile)? {
            column.set(step, v);
            if maybe_short {
                long_window_ms = long_window_ms.max(view.window_max_ms());
            }
        }
    }
    if let Some(q) = bad_quantile {
        cx.annotations.bad_quantile(q, op.first_span);
    }
    if long_window_ms.saturating_mul(2) > op.range_ms {
        cx.annotations.long_windows(op.range_ms, long_window_ms, op.span);
    }
    Ok(())
}

/// What the step looks at.
fn look<'a>(op: &'a RangeOp, marks: &'a Marks, step: usize, lookback_ms: i64) -> View<'a> {
    let samples = &op.samples;
    let times = &samples.column.times[..];
    let time_ms = op.grid.time(step);
    let end_ms = op.at_ms.unwrap_or(time_ms) - op.offset_ms;
    let start_ms = end_ms - op.range_ms;
    let view = |inside: Range<usize>, start_ms: i64, end_ms: i64, is_raw: bool| {
        let Range { start: low, end: high } = inside;
        let all_values = &samples.column.values[..];
        let window = Window { all_times: times, all_values, low, high, start_ms, end_ms, step, time_ms };
        View { window, samples, marks, is_raw }
    };
    let early = end_ms - aligned(end_ms);
    let low = times.partition_point(|t| *t <= start_ms - early);
    let high = low + samples.covers[low..].partition_point(|c| c.since_ms <= end_ms - early);
    if marks.any_window(&(low..high)) {
        return view(low..high, start_ms - early, end_ms - early, false);
    }
    let (before, after) = op.reach(lookback_ms);
    let low = times.partition_point(|t| *t <= start_ms - before);
    let high = times.partition_point(|t| *t <= end_ms + after).max(low);
    view(low..high, start_ms, end_ms, !marks.any_window(&(low..high)))
}

impl<'a> View<'a> {
    fn indices(&self) -> Range<usize> {
        self.window.low..self.window.high
    }

    fn cover(&self, i: usize) -> Cover {
        self.samples.covers[i]
    }

    /// The longest window in view, ms.
    fn window_max_ms(&self) -> i64 {
        self.indices().map(|i| self.cover(i).resolution_ms).max().unwrap_or(0)
    }

    /// How much of sample `i` is inside the range.
    fn part(&self, i: usize) -> f64 {
        let Cover { since_ms, resolution_ms, .. } = self.cover(i);
        let Window { start_ms, end_ms, .. } = self.window;
        let time = self.window.all_times[i];
        if resolution_ms == 0 || (since_ms > start_ms && time <= end_ms) {
            return 1.0;
        }
        (time.min(end_ms) - since_ms.max(start_ms + 1) + 1) as f64 / (time - since_ms + 1) as f64
    }

    /// The raw samples in the range.
    fn count(&self) -> f64 {
        self.indices().map(|i| self.cover(i).count * self.part(i)).sum()
    }

    /// The sum of values, each with its part and divided by `by`.
    fn sum(&self, by: f64, scratch: &mut Vec<f64>) -> f64 {
        scratch.clear();
        scratch.extend(self.indices().map(|i| self.window.all_values[i] / by * self.part(i)));
        kahan::sum(scratch)
    }

    /// The mean of all raw samples, of which the values are sums.
    fn mean(&self, scratch: &mut Vec<f64>) -> f64 {
        let (sum, count) = (self.sum(1.0, scratch), self.count());
        // Else the sum is too large for a float, or some value is infinite.
        if sum.is_finite() { sum / count } else { self.sum(count, scratch) }
    }

    /// The samples in view; the neighbour that goes on from a single one too.
    fn two(&self) -> Range<usize> {
        let Range { start: low, end: high } = self.indices();
        match high - low {
            1 if !self.is_raw && self.marks.linked(low) => low - 1..high,
            1 if !self.is_raw && self.marks.linked(high) => low..high + 1,
            _ => low..high,
        }
    }

    /// Whether a single window is in view, of samples that cannot be told apart.
    fn unknown(&self) -> bool {
        let Range { start: low, end: high } = self.indices();
        high - low == 1 && self.cover(low).count > 1.0
    }

    /// The newest sample in view: the last one that ended, or else the window that holds the step.
    fn newest(&self) -> usize {
        let Window { all_times, low, high, end_ms, .. } = self.window;
        let ended = all_times[low..high].partition_point(|t| *t <= end_ms);
        low + ended.saturating_sub(1)
    }

    /// The samples in view where windows hold one sample at most and some lie apart: those are as raw samples are.
    fn as_samples<'b>(&self, (times, values): (&'b mut Vec<i64>, &'b mut Vec<f64>)) -> Option<Window<'b>> {
        let single = |i: usize| self.cover(i).count <= 1.0;
        if !self.marks.any_hole(&self.indices()) || !self.indices().all(single) {
            return None;
        }
        times.clear();
        values.clear();
        // A counter's first sample stands before its window once more.
        for i in self.indices().filter(|i| self.cover(*i).count > 0.0) {
            times.push(self.samples.middle(i));
            values.push(self.window.all_values[i]);
        }
        let Window { start_ms, end_ms, step, time_ms, .. } = self.window;
        Some(Window {
            all_times: times,
            all_values: values,
            low: 0,
            high: times.len(),
            start_ms,
            end_ms,
            step,
            time_ms,
        })
    }

    /// `rate`, `increase`, `delta`, `irate`.
    fn change(&self, op: &RangeOp, buffers: (&mut Vec<i64>, &mut Vec<f64>)) -> Option<f64> {
        let is_counter = op.function != RangeFn::Delta;
        let per_second = op.function == RangeFn::Rate;
        let extends = op.anchored || op.smoothed;
        let Window { start_ms, end_ms, .. } = self.window;
        // The values of counters are running totals: they never fall.
        let of_samples = |w: &Window<'_>| match op.function {
            RangeFn::Irate => rate::instant(w, true),
            _ => rate::extrapolated(w, is_counter, per_second),
        };
        if self.is_raw && extends {
            return extended::rate(&self.window, start_ms, end_ms, op.smoothed, is_counter, per_second);
        }
        if self.is_raw {
            return of_samples(&self.window);
        }
        let seconds = if per_second { op.range_ms as f64 / 1000.0 } else { 1.0 };
        if let Some(window) = self.as_samples(buffers) {
            return match window.values() {
                [first, .., last] if extends => Some((last - first) / seconds),
                _ => of_samples(&window),
            };
        }
        let curve = Curve { samples: self.samples, marks: self.marks, is_counter, anchored: op.anchored };
        match op.function {
            RangeFn::Irate => self.last_two_raw().or_else(|| curve.slope_until(start_ms, end_ms)),
            _ => curve.change(start_ms, end_ms).map(|change| change / seconds),
        }
    }

    /// The rise per second between the last two samples, where both are raw.
    fn last_two_raw(&self) -> Option<f64> {
        let last_two = self.window.high.checked_sub(2).filter(|low| *low >= self.window.low)?;
        let among = last_two..self.window.high;
        if self.marks.any_window(&among) { None } else { rate::instant(&Window { low: last_two, ..self.window }, true) }
    }

    /// `idelta`: between the newest window and its neighbour.
    fn last_difference(&self) -> Option<f64> {
        if self.is_raw {
            return rate::instant(&self.window, false);
        }
        let Window { all_values: values, low, high, .. } = self.window;
        let newest = self.newest().max(low + 1).min(high - 1);
        if newest > self.window.low || self.marks.linked(newest) {
            Some(values[newest] - values[newest - 1])
        } else if self.marks.linked(newest + 1) {
            Some(values[newest + 1] - values[newest])
        } else {
            self.unknown().then_some(0.0)
        }
    }

    /// Slope and value at the step, by regression; averages belong to the middles of their windows.
    fn line(&self, at_ms: Option<i64>, times: &mut Vec<i64>) -> Option<(f64, f64)> {
        let among = self.two();
        times.clear();
        times.extend(among.clone().map(|i| self.samples.middle(i)));
        let values = &self.window.all_values[among];
        let first = *times.first()?;
        match times.len() {
            1 => self.unknown().then(|| (0.0, values[0])),
            _ => Some(regression::linear(times, values, at_ms.unwrap_or(first))),
        }
    }

    /// What `count` counts from sample to sample.
    fn events(&self, op: &RangeOp, count: impl Fn(&[f64]) -> f64) -> Option<f64> {
        let w = &self.window;
        if op.anchored && self.is_raw {
            return extended::anchored(w, w.start_ms).map(count);
        }
        // Where the range begins in the middle of the series, the sample before is the one to compare with.
        let low = if op.anchored && self.marks.linked(w.low) { w.low - 1 } else { w.low };
        (w.low < w.high).then(|| count(&w.all_values[low..w.high]))
    }
}

/// The function's value over the view. Values are what the function wants of each window, see [`crate::wanted`].
fn value(
    op: &RangeOp,
    view: &View<'_>,
    (times, scratch): (&mut Vec<i64>, &mut Vec<f64>),
    bad_quantile: &mut Option<f64>,
) -> Result<Option<f64>> {
    let w = &view.window;
    if w.low == w.high {
        return Ok(None);
    }
    let values = w.values();
    let arg = |at: usize| op.argument(at, w.step);
    // A window that holds the step ends after it.
    let seconds = |t: i64| t.min(w.end_ms) as f64 / 1000.0;
    let greater = |v: f64, best: f64| v > best;
    let less = |v: f64, best: f64| v < best;
    Ok(match op.function {
        RangeFn::Rate | RangeFn::Increase | RangeFn::Delta | RangeFn::Irate => view.change(op, (times, scratch)),
        RangeFn::Idelta => view.last_difference(),
        RangeFn::CountOverTime => Some(view.count()),
        RangeFn::SumOverTime => Some(view.sum(1.0, scratch)),
        RangeFn::AvgOverTime => Some(view.mean(scratch)),
        RangeFn::PresentOverTime | RangeFn::AbsentOverTime => Some(1.0),
        RangeFn::FirstOverTime => values.first().copied(),
        RangeFn::LastOverTime => Some(w.all_values[view.newest()]),
        RangeFn::TsOfFirstOverTime => w.times().first().copied().map(seconds),
        RangeFn::TsOfLastOverTime => w.times().last().copied().map(seconds),
        RangeFn::MaxOverTime => Some(values[over_time::pick(values, greater)]),
        RangeFn::MinOverTime => Some(values[over_time::pick(values, less)]),
        RangeFn::TsOfMaxOverTime => Some(seconds(w.times()[over_time::pick(values, |v, best| v >= best)])),
        RangeFn::TsOfMinOverTime => Some(seconds(w.times()[over_time::pick(values, |v, best| v <= best)])),
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
        RangeFn::Changes => view.events(op, over_time::changes),
        RangeFn::Resets => view.events(op, over_time::resets),
        RangeFn::Deriv => view.line(None, times).map(|(slope, _)| slope),
        RangeFn::PredictLinear => {
            view.line(Some(w.time_ms), times).map(|(slope, intercept)| slope * arg(0) + intercept)
        }
        RangeFn::DoubleExponentialSmoothing => smooth(view, arg(0), arg(1))?,
    })
}

fn smooth(view: &View<'_>, smoothing: f64, trend: f64) -> Result<Option<f64>> {
    let factors =
        [(smoothing, "smoothing factor. Expected: 0 < sf < 1"), (trend, "trend factor. Expected: 0 < tf < 1")];
    for (factor, what) in factors {
        if factor <= 0.0 || factor >= 1.0 {
            return Err(QueryError::Execution(format!("invalid {what}, got: {factor:.6}")));
        }
    }
    let values = &view.window.all_values[view.two()];
    Ok(match values {
        [only] => view.unknown().then_some(*only),
        _ => Some(regression::smooth(values, smoothing, trend)),
    })
}
