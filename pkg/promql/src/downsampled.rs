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
//! windows are longer than half the range, an info tells of it. The kernels of the functions are in
//! [`crate::functions::downsampled`].

use std::ops::Range;

use crate::StepColumn;
use crate::curve::Curve;
use crate::eval::{Cx, Result};
use crate::functions::{extended, kahan, rate, regression};
use crate::marks::Marks;
use crate::samples::{Cover, Samples, aligned};
use crate::window::{Cursor, Window, Windows};

/// What a function sees at a step.
pub(crate) struct View<'a> {
    pub op: &'a Windows,
    pub window: Window<'a>,
    samples: &'a Samples,
    marks: &'a Marks,
    /// No sample is a window.
    is_raw: bool,
}

/// The value of a view that has samples.
pub(crate) type DownsampledKernel = fn(&View<'_>, &mut Work) -> Result<Option<f64>>;

/// Memory for one series at a time.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    marks: Marks,
    work: Work,
}

/// Where the last step looked.
#[derive(Default)]
struct Places {
    low: Cursor,
    high: Cursor,
    raw_low: Cursor,
    raw_high: Cursor,
}

/// What kernels work with.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub times: Vec<i64>,
    pub values: Vec<f64>,
    /// A quantile that is none.
    pub bad_quantile: Option<f64>,
}

/// Calculates all steps of one series into `column`.
pub(crate) fn run(
    kernel: DownsampledKernel,
    op: &Windows,
    column: &mut StepColumn,
    buffers: &mut Buffers,
    cx: &mut Cx,
) -> Result<()> {
    let Buffers { marks, work } = buffers;
    work.bad_quantile = None;
    marks.fill(&op.samples, cx.lookback_ms);
    let maybe_short = marks.window_max_ms.saturating_mul(2) > op.range_ms;
    let mut long_window_ms = 0;
    let mut places = Places::default();
    for step in 0..op.grid.steps() {
        if step % 256 == 255 {
            cx.check()?;
        }
        let view = look(op, marks, &mut places, step, cx.lookback_ms);
        let seen = (view.window.high - view.window.low) as u64;
        cx.stats.total_samples += seen;
        if let Some(counts) = cx.step_counters(op.grid) {
            counts[step] += seen;
        }
        if seen == 0 {
            continue;
        }
        if let Some(v) = kernel(&view, work)? {
            column.set(step, v);
            if maybe_short {
                long_window_ms = long_window_ms.max(view.window_max_ms());
            }
        }
    }
    if let Some(q) = work.bad_quantile {
        cx.annotations.bad_quantile(q, op.first_span);
    }
    if long_window_ms.saturating_mul(2) > op.range_ms {
        cx.annotations.long_windows(op.range_ms, long_window_ms, op.span);
    }
    Ok(())
}

/// What the step looks at.
fn look<'a>(op: &'a Windows, marks: &'a Marks, places: &mut Places, step: usize, lookback_ms: i64) -> View<'a> {
    let samples = &op.samples;
    let times = &samples.column.times[..];
    let time_ms = op.grid.time(step);
    let (start_ms, end_ms) = op.bounds(step);
    let view = |inside: Range<usize>, start_ms: i64, end_ms: i64, is_raw: bool| {
        let Range { start: low, end: high } = inside;
        let all_values = &samples.column.values[..];
        let window = Window { all_times: times, all_values, low, high, start_ms, end_ms, step, time_ms };
        View { op, window, samples, marks, is_raw }
    };
    let early = end_ms - aligned(end_ms);
    let low = places.low.to(times, |t| *t, start_ms - early);
    let high = places.high.to(&samples.covers, |c| c.since_ms, end_ms - early).max(low);
    if marks.any_window(&(low..high)) {
        return view(low..high, start_ms - early, end_ms - early, false);
    }
    let (before, after) = op.reach(lookback_ms);
    let low = places.raw_low.to(times, |t| *t, start_ms - before);
    let high = places.raw_high.to(times, |t| *t, end_ms + after).max(low);
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
    pub fn count(&self) -> f64 {
        self.indices().map(|i| self.cover(i).count * self.part(i)).sum()
    }

    /// The sum of values, each with its part and divided by `by`.
    pub fn sum(&self, by: f64, scratch: &mut Vec<f64>) -> f64 {
        scratch.clear();
        scratch.extend(self.indices().map(|i| self.window.all_values[i] / by * self.part(i)));
        kahan::sum(scratch)
    }

    /// The mean of all raw samples, of which the values are sums.
    pub fn mean(&self, scratch: &mut Vec<f64>) -> f64 {
        let (sum, count) = (self.sum(1.0, scratch), self.count());
        // Else the sum is too large for a float, or some value is infinite.
        if sum.is_finite() { sum / count } else { self.sum(count, scratch) }
    }

    /// The samples in view; the neighbour that goes on from a single one too.
    pub fn two(&self) -> Range<usize> {
        let Range { start: low, end: high } = self.indices();
        match high - low {
            1 if !self.is_raw && self.marks.linked(low) => low - 1..high,
            1 if !self.is_raw && self.marks.linked(high) => low..high + 1,
            _ => low..high,
        }
    }

    /// Whether a single window is in view, of samples that cannot be told apart.
    pub fn unknown(&self) -> bool {
        let Range { start: low, end: high } = self.indices();
        high - low == 1 && self.cover(low).count > 1.0
    }

    /// The newest sample in view: the last one that ended, or else the window that holds the step.
    pub fn newest(&self) -> usize {
        let Window { all_times, low, high, end_ms, .. } = self.window;
        let ended = all_times[low..high].partition_point(|t| *t <= end_ms);
        low + ended.saturating_sub(1)
    }

    /// The samples in view where windows hold one sample at most and some lie apart: those are as raw samples are.
    fn as_samples<'b>(&self, Work { times, values, .. }: &'b mut Work) -> Option<Window<'b>> {
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
    pub fn change(&self, kind: Change, work: &mut Work) -> Option<f64> {
        let Windows { anchored, smoothed, range_ms, .. } = *self.op;
        let is_counter = kind != Change::Delta;
        let per_second = kind == Change::Rate;
        let extends = anchored || smoothed;
        let Window { start_ms, end_ms, .. } = self.window;
        // The values of counters are running totals: they never fall.
        let of_samples = |w: &Window<'_>| match kind {
            Change::Irate => rate::instant(w, true),
            _ => rate::extrapolated(w, is_counter, per_second),
        };
        if self.is_raw && extends {
            return extended::rate(&self.window, start_ms, end_ms, smoothed, is_counter, per_second);
        }
        if self.is_raw {
            return of_samples(&self.window);
        }
        let seconds = if per_second { range_ms as f64 / 1000.0 } else { 1.0 };
        if let Some(window) = self.as_samples(work) {
            return match window.values() {
                [first, .., last] if extends => Some((last - first) / seconds),
                _ => of_samples(&window),
            };
        }
        let Window { low, high, .. } = self.window;
        let curve = Curve { samples: self.samples, marks: self.marks, is_counter, anchored, near: [low, high] };
        match kind {
            Change::Irate => self.last_two_raw().or_else(|| curve.slope_until(start_ms, end_ms)),
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
    pub fn last_difference(&self) -> Option<f64> {
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
    pub fn line(&self, at_ms: Option<i64>, times: &mut Vec<i64>) -> Option<(f64, f64)> {
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

    /// How often `happens` from sample to sample.
    pub fn events(&self, happens: fn(f64, f64) -> bool) -> Option<f64> {
        let w = &self.window;
        let count = |values: &[f64]| values.windows(2).filter(|pair| happens(pair[0], pair[1])).count() as f64;
        if self.op.anchored && self.is_raw {
            return extended::anchored(w, w.start_ms).map(count);
        }
        // Where the range begins in the middle of the series, the sample before is the one to compare with.
        let low = if self.op.anchored && self.marks.linked(w.low) { w.low - 1 } else { w.low };
        Some(count(&w.all_values[low..w.high]))
    }
}

/// The functions that read differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Rate,
    Increase,
    Delta,
    Irate,
}
