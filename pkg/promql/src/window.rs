//! Functions of ranges: each series is decoded once, then a window slides over it with two indices.

use std::sync::Arc;

use chunkenc::Column;
use model::is_stale;
use promql_syntax::Span;

use crate::decode::{Decoder, Looks};
use crate::eval::{Cx, Operator, Result, Stream, drop_name, subquery_grid};
use crate::fetch::Fetch;
use crate::functions::over_time::{self, Extreme, RangeFn};
use crate::functions::{extended, kahan, quantile, rate, regression};
use crate::merge::{ENTRY_BYTES, Merged};
use crate::plan::{RangeInput, RangePlan, SelectPlan, SubqueryPlan};
use crate::samples::Samples;
use crate::scalar::ScalarOp;
use crate::series::StepSeries;
use crate::wanted::Wanted;
use crate::{Grid, QueryError, StepColumn, downsampled, open};

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

enum Input {
    Select { plan: Arc<SelectPlan>, fetch: Fetch, decoder: Box<Decoder> },
    Subquery { stream: Stream, grid: Grid },
}

pub(crate) struct RangeOp {
    pub function: RangeFn,
    input: Input,
    /// Whether input series already ask for their name to go.
    pub grid: Grid,
    pub range_ms: i64,
    pub offset_ms: i64,
    pub at_ms: Option<i64>,
    pub anchored: bool,
    pub smoothed: bool,
    args: Vec<ScalarOp>,
    values: Option<Vec<Vec<f64>>>,
    pub span: Span,
    pub first_span: Span,
    pub samples: Samples,
    falls: Vec<u32>,
    scratch: Vec<f64>,
    downsampled: downsampled::Buffers,
}

impl RangeOp {
    pub fn open(plan: &RangePlan, grid: Grid, cx: &mut Cx) -> Result<Self> {
        let (input, range_ms, offset_ms, at_ms, anchored, smoothed) = match &plan.input {
            RangeInput::Select(select, range_ms) => (
                Input::Select {
                    fetch: start_range(select, *range_ms, grid, cx),
                    decoder: Box::new(Decoder::new(Wanted::range(select.hint.as_deref()), cx)),
                    plan: select.clone(),
                },
                *range_ms,
                select.offset_ms,
                select.at_ms,
                select.anchored,
                select.smoothed,
            ),
            RangeInput::Subquery(sub) => {
                let (stream, inner) = open_subquery(sub, grid, cx)?;
                (Input::Subquery { stream, grid: inner }, sub.range_ms, sub.offset_ms, sub.at_ms, false, false)
            }
        };
        Ok(Self {
            function: plan.function,
            input,
            grid,
            range_ms,
            offset_ms,
            at_ms,
            anchored,
            smoothed,
            args: plan.args.iter().map(|a| ScalarOp::open(a, grid, cx)).collect::<Result<_>>()?,
            values: None,
            span: plan.span,
            first_span: plan.first_span,
            samples: Samples::default(),
            falls: Vec::new(),
            scratch: Vec::new(),
            downsampled: downsampled::Buffers::default(),
        })
    }
}

/// Opens a subquery for the windows of `grid`.
pub(crate) fn open_subquery(sub: &SubqueryPlan, grid: Grid, cx: &mut Cx) -> Result<(Stream, Grid)> {
    let inner = subquery_grid(grid, sub.at_ms, sub.offset_ms, sub.range_ms, sub.step_ms);
    cx.check_size(inner.steps(), "steps of a subquery")?;
    // A column on its way, and its samples with their times.
    cx.hold_grid(inner, 32)?;
    let stream = open::open(&sub.inner, inner, cx)?;
    // A window needs whole series.
    let stream = if sub.inner.may_split(cx.delayed()) { Box::new(Merged::new(stream)) } else { stream };
    Ok((stream, inner))
}

/// How far before and after its plain bounds an extended window looks.
fn reach(anchored: bool, smoothed: bool, lookback_ms: i64) -> (i64, i64) {
    match (anchored, smoothed) {
        (true, _) => (lookback_ms, 0),
        (_, true) => (lookback_ms, lookback_ms),
        _ => (0, 0),
    }
}

/// What the windows of `range_ms` before each step look at.
fn range_looks(plan: &SelectPlan, range_ms: i64, grid: Grid, lookback_ms: i64) -> Looks {
    let (before, after) = reach(plan.anchored, plan.smoothed, lookback_ms);
    plan.looks(grid, range_ms.saturating_add(before), after)
}

/// Starts the select for the windows of `range_ms` before each step.
fn start_range(plan: &SelectPlan, range_ms: i64, grid: Grid, cx: &Cx) -> Fetch {
    let range = range_looks(plan, range_ms, grid, cx.lookback_ms).range();
    let wanted = Wanted::range(plan.hint.as_deref());
    let select = cx.select(range, plan, wanted, Some(range_ms));
    Fetch::start(cx, select)
}

impl Operator for RangeOp {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        if self.values.is_none() {
            let values: Vec<Vec<f64>> = self.args.iter_mut().map(|a| a.eval(cx)).collect::<Result<_>>()?;
            self.values = Some(values);
        }
        loop {
            cx.check()?;
            let Some((labels, already_dropped)) = self.load(cx)? else { return Ok(None) };
            if self.samples.is_empty() {
                continue;
            }
            let mut column = cx.column(self.grid.steps());
            self.run(&mut column, cx)?;
            if column.is_empty() {
                cx.recycle(column);
                continue;
            }
            if matches!(self.function, RangeFn::Rate | RangeFn::Increase) {
                self.annotate_counter(&labels, cx);
            }
            let series = StepSeries { labels, drop_name: already_dropped, column };
            return Ok(Some(if self.function.keeps_name() { series } else { drop_name(series, cx) }));
        }
    }
}

impl RangeOp {
    /// Reads the next series into `self.samples`, stale markers left out.
    fn load(&mut self, cx: &mut Cx) -> Result<Option<(labels::Labels, bool)>> {
        match &mut self.input {
            Input::Select { plan, fetch, decoder } => {
                let Some(series) = fetch.next(cx)? else { return Ok(None) };
                let looks = range_looks(plan, self.range_ms, self.grid, cx.lookback_ms);
                decoder.series(&series, looks, &mut self.samples, cx)?;
                if decoder.saw_histograms {
                    cx.annotations.histograms_unread(series.labels.metric_name(), self.span);
                }
                self.samples.drop_stale();
                Ok(Some((series.labels, false)))
            }
            Input::Subquery { stream, grid } => {
                let Some(series) = cx.next(stream)? else { return Ok(None) };
                self.samples.clear();
                for (i, v) in series.column.floats().filter(|(_, v)| !is_stale(*v)) {
                    self.samples.column.push(grid.time(i), v);
                }
                cx.recycle(series.column);
                Ok(Some((series.labels, series.drop_name)))
            }
        }
    }

    fn annotate_counter(&self, labels: &labels::Labels, cx: &mut Cx) {
        let name = labels.metric_name();
        if name.is_empty() {
            return;
        }
        if cx.options.type_and_unit_labels {
            let of_type = labels.value("__type__");
            if of_type != "counter" && of_type != "histogram" {
                cx.annotations.maybe_no_counter_type(name, of_type, self.first_span);
            }
        } else if !["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix)) {
            cx.annotations.maybe_no_counter(name, self.first_span);
        }
    }

    /// How far before and after its plain bounds a window looks.
    pub fn reach(&self, lookback_ms: i64) -> (i64, i64) {
        reach(self.anchored, self.smoothed, lookback_ms)
    }

    /// The scalar argument `at` at a step.
    pub fn argument(&self, at: usize, step: usize) -> f64 {
        self.values.as_ref().map_or(f64::NAN, |v| v[at][step])
    }

    /// Sets each step whose window has samples to what `f` makes of them.
    fn slide(&self, column: &mut StepColumn, cx: &mut Cx, mut f: impl FnMut(&Window<'_>) -> Option<f64>) -> Result<()> {
        self.windows(cx, |w| {
            if let Some(v) = f(w) {
                column.set(w.step, v);
            }
        })
    }

    /// Calls `f` on each step's window that has samples.
    #[inline(always)]
    fn windows(&self, cx: &mut Cx, mut f: impl FnMut(&Window<'_>)) -> Result<()> {
        let (times, values) = (&self.samples.column.times[..], &self.samples.column.values[..]);
        let (before, after) = self.reach(cx.lookback_ms);
        let (mut low, mut high) = (0, 0);
        let (mut low_by, mut high_by) = (0, 0);
        let mut looked_at = 0u64;
        for step in 0..self.grid.steps() {
            let time_ms = self.grid.time(step);
            let end_ms = self.at_ms.unwrap_or(time_ms) - self.offset_ms;
            let start_ms = end_ms - self.range_ms;
            let (from, to) = (start_ms - before, end_ms + after);
            cx.work(high - low + 1)?;
            if step == 0 {
                high = times.partition_point(|t| *t <= to);
                low = times[..high].partition_point(|t| *t <= from);
            } else {
                high = advance(times, high, to, &mut high_by);
                low = advance(times, low, from, &mut low_by);
            }
            if low == high {
                continue;
            }
            looked_at += (high - low) as u64;
            if let Some(counts) = cx.step_counters(self.grid) {
                counts[step] += (high - low) as u64;
            }
            f(&Window { all_times: times, all_values: values, low, high, start_ms, end_ms, step, time_ms });
        }
        cx.stats.total_samples += looked_at;
        Ok(())
    }

    fn run(&mut self, column: &mut StepColumn, cx: &mut Cx) -> Result<()> {
        if self.samples.aggregated() {
            let mut buffers = std::mem::take(&mut self.downsampled);
            let result = downsampled::run(self, column, &mut buffers, cx);
            self.downsampled = buffers;
            return result;
        }
        let mut falls = std::mem::take(&mut self.falls);
        let mut scratch = std::mem::take(&mut self.scratch);
        let result = self.run_with(column, &mut falls, &mut scratch, cx);
        (self.falls, self.scratch) = (falls, scratch);
        result
    }

    fn run_with(
        &self,
        column: &mut StepColumn,
        falls: &mut Vec<u32>,
        scratch: &mut Vec<f64>,
        cx: &mut Cx,
    ) -> Result<()> {
        let arg = |at: usize, step: usize| self.argument(at, step);
        match self.function {
            RangeFn::Rate | RangeFn::Increase | RangeFn::Delta => {
                let is_counter = self.function != RangeFn::Delta;
                let per_second = self.function == RangeFn::Rate;
                if self.anchored || self.smoothed {
                    let smoothed = self.smoothed;
                    return self.slide(column, cx, |w| {
                        extended::rate(w, w.start_ms, w.end_ms, smoothed, is_counter, per_second)
                    });
                }
                if is_counter {
                    rate::falls(&self.samples.column.values, falls);
                }
                let mut from = 0;
                let mut block = rate::Block::new(is_counter, per_second, self.range_ms);
                self.windows(cx, |w| {
                    let inside = rate::falls_inside(falls, w, &mut from);
                    block.push(w, inside, column);
                })?;
                block.flush(column);
                Ok(())
            }
            RangeFn::Irate => self.slide(column, cx, |w| rate::instant(w, true)),
            RangeFn::Idelta => self.slide(column, cx, |w| rate::instant(w, false)),
            RangeFn::SumOverTime => self.slide(column, cx, |w| Some(kahan::sum(w.values()))),
            RangeFn::AvgOverTime => self.slide(column, cx, |w| Some(kahan::mean(w.values()))),
            RangeFn::CountOverTime => self.slide(column, cx, |w| Some((w.high - w.low) as f64)),
            RangeFn::PresentOverTime | RangeFn::AbsentOverTime => self.slide(column, cx, |_| Some(1.0)),
            RangeFn::FirstOverTime => self.slide(column, cx, |w| w.values().first().copied()),
            RangeFn::LastOverTime => self.slide(column, cx, |w| w.values().last().copied()),
            RangeFn::TsOfFirstOverTime => self.slide(column, cx, |w| w.times().first().map(|t| *t as f64 / 1000.0)),
            RangeFn::TsOfLastOverTime => self.slide(column, cx, |w| w.times().last().map(|t| *t as f64 / 1000.0)),
            RangeFn::MaxOverTime => {
                let mut extreme = Extreme::default();
                self.slide(column, cx, |w| Some(extreme.of(w.all_values, w.low, w.high, |v, best| v > best)))
            }
            RangeFn::MinOverTime => {
                let mut extreme = Extreme::default();
                self.slide(column, cx, |w| Some(extreme.of(w.all_values, w.low, w.high, |v, best| v < best)))
            }
            RangeFn::TsOfMaxOverTime => self.slide(column, cx, |w| {
                Some(w.times()[over_time::pick(w.values(), |v, best| v >= best)] as f64 / 1000.0)
            }),
            RangeFn::TsOfMinOverTime => self.slide(column, cx, |w| {
                Some(w.times()[over_time::pick(w.values(), |v, best| v <= best)] as f64 / 1000.0)
            }),
            RangeFn::StdvarOverTime => self.slide(column, cx, |w| Some(over_time::variance(w.values()))),
            RangeFn::StddevOverTime => self.slide(column, cx, |w| Some(over_time::variance(w.values()).sqrt())),
            RangeFn::MadOverTime => {
                self.slide(column, cx, |w| Some(over_time::median_absolute_deviation(w.values(), scratch)))
            }
            RangeFn::QuantileOverTime => {
                let mut bad: Option<f64> = None;
                self.slide(column, cx, |w| {
                    let q = arg(0, w.step);
                    if !(0.0..=1.0).contains(&q) {
                        bad = Some(q);
                    }
                    scratch.clear();
                    scratch.extend_from_slice(w.values());
                    Some(quantile::quantile(q, scratch))
                })?;
                if let Some(q) = bad {
                    cx.annotations.bad_quantile(q, self.first_span);
                }
                Ok(())
            }
            RangeFn::Changes | RangeFn::Resets if self.anchored => {
                let count = if self.function == RangeFn::Changes { over_time::changes } else { over_time::resets };
                self.slide(column, cx, |w| Some(count(extended::anchored(w, w.start_ms)?)))
            }
            RangeFn::Changes | RangeFn::Resets => {
                if self.function == RangeFn::Changes {
                    over_time::running_counts(&self.samples.column.values, falls, over_time::differ);
                } else {
                    over_time::running_counts(&self.samples.column.values, falls, |before, now| now < before);
                }
                self.slide(column, cx, |w| Some(f64::from(falls[w.high - 1] - falls[w.low])))
            }
            RangeFn::Deriv => self.slide(column, cx, |w| {
                (w.high - w.low >= 2).then(|| regression::linear(w.times(), w.values(), w.times()[0]).0)
            }),
            RangeFn::PredictLinear => self.slide(column, cx, |w| {
                (w.high - w.low >= 2).then(|| {
                    let (slope, intercept) = regression::linear(w.times(), w.values(), w.time_ms);
                    slope * arg(0, w.step) + intercept
                })
            }),
            RangeFn::DoubleExponentialSmoothing => {
                let mut wrong: Option<(&str, f64)> = None;
                self.slide(column, cx, |w| {
                    let (smoothing, trend) = (arg(0, w.step), arg(1, w.step));
                    if smoothing <= 0.0 || smoothing >= 1.0 {
                        wrong = wrong.or(Some(("smoothing factor. Expected: 0 < sf < 1", smoothing)));
                    } else if trend <= 0.0 || trend >= 1.0 {
                        wrong = wrong.or(Some(("trend factor. Expected: 0 < tf < 1", trend)));
                    }
                    (w.high - w.low >= 2).then(|| regression::smooth(w.values(), smoothing, trend))
                })?;
                match wrong {
                    Some((what, got)) => Err(QueryError::Execution(format!("invalid {what}, got: {got:.6}"))),
                    None => Ok(()),
                }
            }
        }
    }
}

/// The first index at or after `at` whose time lies after `bound`. Samples come evenly, so the distance is most often
/// that of the step before, `by`.
#[inline(always)]
fn advance(times: &[i64], at: usize, bound: i64, by: &mut usize) -> usize {
    let guess = at + *by;
    if guess > 0
        && let Some([before, after]) = times.get(guess - 1..=guess)
        && (*before <= bound || *by == 0)
        && *after > bound
    {
        return guess;
    }
    let mut to = at;
    while to < times.len() && times[to] <= bound {
        to += 1;
    }
    *by = to - at;
    to
}

/// The samples of a range selector at the top of an instant query.
pub(crate) fn top_matrix(
    plan: &Arc<SelectPlan>,
    range_ms: i64,
    grid: Grid,
    cx: &mut Cx,
) -> Result<Vec<(labels::Labels, Column)>> {
    let mut fetch = start_range(plan, range_ms, grid, cx);
    let mut decoder = Decoder::new(Wanted::range(plan.hint.as_deref()), cx);
    let (_, end_ms) = plan.bounds(grid);
    let start_ms = end_ms - range_ms;
    let (before, after) = reach(plan.anchored, plan.smoothed, cx.lookback_ms);
    let mut out = Vec::new();
    while let Some(series) = fetch.next(cx)? {
        let mut samples = Samples::default();
        let looks = range_looks(plan, range_ms, grid, cx.lookback_ms);
        decoder.series(&series, looks, &mut samples, cx)?;
        if decoder.saw_histograms {
            cx.annotations.histograms_unread(series.labels.metric_name(), plan.span);
        }
        samples.drop_stale();
        let samples = samples.column;
        let low = samples.times.partition_point(|t| *t <= start_ms - before);
        let high = samples.times.partition_point(|t| *t <= end_ms + after);
        if low >= high {
            continue;
        }
        let w = Window {
            all_times: &samples.times,
            all_values: &samples.values,
            low,
            high,
            start_ms,
            end_ms,
            step: 0,
            time_ms: grid.start_ms,
        };
        let kept = if plan.anchored || plan.smoothed {
            extended::samples(&w, start_ms, end_ms, plan.smoothed)
        } else {
            Column { times: w.times().to_vec(), values: w.values().to_vec() }
        };
        if kept.is_empty() {
            continue;
        }
        cx.stats.total_samples += kept.len() as u64;
        cx.hold(kept.len(), kept.times.capacity() * 16 + series.labels.size_bytes() + ENTRY_BYTES)?;
        out.push((series.labels, kept));
    }
    Ok(out)
}
