//! The windows of a function of ranges: a series is decoded once, then a window slides over it with two indices.

use promql_syntax::Span;

use crate::eval::{Cx, Result};
use crate::samples::Samples;
use crate::{Grid, StepColumn};

/// The samples after `start_ms` up to `end_ms`: `all_values[low..high]`. Never empty when a function sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window<'a> {
    pub all_times: &'a [i64],
    pub all_values: &'a [f64],
    pub low: usize,
    pub high: usize,
    pub start_ms: i64,
    pub end_ms: i64,
    /// The step, and its time.
    pub step: usize,
    pub time_ms: i64,
}

impl<'a> Window<'a> {
    #[inline]
    pub fn times(&self) -> &'a [i64] {
        &self.all_times[self.low..self.high]
    }

    #[inline]
    pub fn values(&self) -> &'a [f64] {
        &self.all_values[self.low..self.high]
    }
}

/// One series after the other as functions of ranges see it, with the steps that they look at it from.
pub(crate) struct Windows {
    pub grid: Grid,
    pub range_ms: i64,
    pub offset_ms: i64,
    pub at_ms: Option<i64>,
    pub anchored: bool,
    pub smoothed: bool,
    /// The scalar arguments, each one value a step.
    pub args: Vec<Vec<f64>>,
    /// Place of the range argument.
    pub span: Span,
    /// Place of the first argument.
    pub first_span: Span,
    pub samples: Samples,
}

impl Windows {
    /// The same without samples.
    pub fn fork(&self) -> Self {
        Self { args: self.args.clone(), samples: Samples::default(), ..*self }
    }
}

/// Samples of windows looked at before they are counted as work.
const WORK: usize = 4096;

/// Memory that functions use for one series at a time.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub counts: Vec<u32>,
    pub values: Vec<f64>,
}

/// How far before and after its plain bounds an extended window looks.
pub(crate) fn reach(anchored: bool, smoothed: bool, lookback_ms: i64) -> (i64, i64) {
    match (anchored, smoothed) {
        (true, _) => (lookback_ms, 0),
        (_, true) => (lookback_ms, lookback_ms),
        _ => (0, 0),
    }
}

impl Windows {
    /// How far before and after its plain bounds a window looks.
    pub fn reach(&self, lookback_ms: i64) -> (i64, i64) {
        reach(self.anchored, self.smoothed, lookback_ms)
    }

    /// The scalar argument `at` at a step.
    pub fn argument(&self, at: usize, step: usize) -> f64 {
        self.args.get(at).map_or(f64::NAN, |values| values[step])
    }

    /// The plain bounds of a step's window, ms: after the first, up to the second.
    pub fn bounds(&self, step: usize) -> (i64, i64) {
        let end_ms = self.at_ms.unwrap_or_else(|| self.grid.time(step)) - self.offset_ms;
        (end_ms - self.range_ms, end_ms)
    }

    /// Sets each step whose window has floats to what `f` makes of them.
    pub fn slide(
        &self,
        column: &mut StepColumn,
        cx: &mut Cx,
        mut f: impl FnMut(&Window<'_>) -> Option<f64>,
    ) -> Result<()> {
        self.windows(cx, |w| {
            if let Some(v) = f(w) {
                column.set(w.step, v);
            }
        })
    }

    /// Calls `f` on each step's window that has floats.
    #[inline(always)]
    pub fn windows(&self, cx: &mut Cx, mut f: impl FnMut(&Window<'_>)) -> Result<()> {
        let (times, values) = (&self.samples.column.times[..], &self.samples.column.values[..]);
        let steps = self.grid.steps();
        let (places, distance) = self.places(times, cx.lookback_ms);
        let (lows, highs) = (places.iter().take(steps), places.iter().skip(distance));
        let (mut looked_at, mut worked) = (0, steps);
        let counts = cx.step_counters(self.grid).is_some();
        for (step, (low, high)) in lows.zip(highs).enumerate() {
            let (low, high) = (*low as usize, *high as usize);
            if low >= high {
                continue;
            }
            looked_at += high - low;
            worked += high - low;
            if worked > WORK {
                cx.work(std::mem::take(&mut worked))?;
            }
            if counts && let Some(counts) = cx.step_counters(self.grid) {
                counts[step] += (high - low) as u64;
            }
            let time_ms = self.grid.time(step);
            let end_ms = self.at_ms.unwrap_or(time_ms) - self.offset_ms;
            let start_ms = end_ms - self.range_ms;
            f(&Window { all_times: times, all_values: values, low, high, start_ms, end_ms, step, time_ms });
        }
        cx.stats.total_samples += looked_at as u64;
        cx.work(worked)
    }

    /// Where among `times` the windows of all steps begin; so many places behind it is where a window ends.
    pub fn places(&self, times: &[i64], lookback_ms: i64) -> (Vec<u32>, usize) {
        let steps = self.grid.steps();
        let (before, after) = self.reach(lookback_ms);
        let reach = self.range_ms + before + after;
        let begin = self.bounds(0).0 - before;
        let step_ms = if self.at_ms.is_some() { 0 } else { self.grid.step_ms };
        let mut places = Vec::new();
        // As most often: where a window ends, another one begins.
        if step_ms > 0 && reach % step_ms == 0 && reach / step_ms <= steps as i64 {
            let distance = (reach / step_ms) as usize;
            seek(times, begin, step_ms, steps + distance, &mut places);
            return (places, distance);
        }
        places.reserve(2 * steps);
        seek(times, begin, step_ms, steps, &mut places);
        seek(times, begin + reach, step_ms, steps, &mut places);
        (places, steps)
    }
}

/// For each of `count` bounds, how many times are not after it.
fn seek(times: &[i64], first: i64, step_ms: i64, count: usize, places: &mut Vec<u32>) {
    let mut at = times.partition_point(|t| *t <= first);
    let (mut bound, mut by) = (first, 0);
    places.reserve(count);
    for _ in 0..count {
        at = advance(times, |t| *t, at, bound, &mut by);
        places.push(at as u32);
        // Behind the last one it may not be a time any more.
        bound = bound.wrapping_add(step_ms);
    }
}

/// A place among items that moves along with bounds that never fall.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Cursor {
    at: usize,
    by: usize,
}

impl Cursor {
    /// The first index whose time lies after `bound`.
    #[inline]
    pub fn to<T>(&mut self, items: &[T], time: impl Fn(&T) -> i64, bound: i64) -> usize {
        self.at = advance(items, time, self.at, bound, &mut self.by);
        self.at
    }
}

/// The first index at or after `at` whose time lies after `bound`. Samples come evenly, so the distance is most often
/// that of the step before, `by`.
#[inline(always)]
fn advance<T>(items: &[T], time: impl Fn(&T) -> i64, at: usize, bound: i64, by: &mut usize) -> usize {
    let guess = at + *by;
    if guess > 0
        && let Some([before, after]) = items.get(guess - 1..=guess)
        && (time(before) <= bound || *by == 0)
        && time(after) > bound
    {
        return guess;
    }
    let mut to = at;
    while to < items.len() && time(&items[to]) <= bound {
        to += 1;
    }
    *by = to - at;
    to
}
