//! The operator of functions of ranges: reads series after series and hands each to the function's kernel.

use std::sync::Arc;

use histogram::ResetHint;
use labels::Labels;
use model::is_stale;
use promql_syntax::Span;
use storage::Series;

use crate::decode::Decoder;
use crate::each::{Each, OverSeries};
use crate::eval::{Cx, Operator, Result, Stream, drop_name};
use crate::fetch::Fetch;
use crate::functions::extended;
use crate::kernel::{OfHistograms, RangeKernel};
use crate::looks::Looks;
use crate::merge::ENTRY_BYTES;
use crate::native::with_hint;
use crate::result::RangeSamples;
use crate::samples::Samples;
use crate::scalar::ScalarOp;
use crate::select_plan::SelectPlan;
use crate::series::StepSeries;
use crate::window::{Scratch, Window, Windows, reach};
use crate::{Grid, QueryError, StepColumn, downsampled, edges, mixed, reads};

/// Where the series come from.
enum Input {
    Select(Box<OverSeries<OfSelect>>),
    Subquery { stream: Stream, grid: Grid, kernel: Box<Running> },
}

pub(crate) struct RangeOp {
    input: Input,
    args: Vec<ScalarOp>,
    opened: bool,
}

impl RangeOp {
    /// Of the samples of a selector, whose select is started. `windows` has no samples and no arguments yet.
    pub fn of_select(plan: &Arc<SelectPlan>, kernel: &'static RangeKernel, windows: Windows, cx: &mut Cx) -> Self {
        let decoder = Decoder::new(reads::of_range(plan.hint.as_deref()), cx)
            .with_starts(kernel.reads_starts && cx.options.use_start_timestamps)
            .edges_only(kernel.edges.is_some() && !plan.anchored && !plan.smoothed)
            .stats_only(plan.stats_only);
        let fetch = start_range(plan, windows.range_ms, windows.grid, cx);
        let each = OfSelect { plan: plan.clone(), decoder, kernel: Running::new(kernel, windows) };
        Self { input: Input::Select(Box::new(OverSeries::new(fetch, each))), args: Vec::new(), opened: false }
    }

    /// Of the values of a subquery over the steps of `grid`. `windows` as above.
    pub fn of_subquery(stream: Stream, grid: Grid, kernel: &'static RangeKernel, windows: Windows) -> Self {
        let kernel = Box::new(Running::new(kernel, windows));
        Self { input: Input::Subquery { stream, grid, kernel }, args: Vec::new(), opened: false }
    }

    /// The same with the function's scalar arguments.
    pub fn with_args(self, args: Vec<ScalarOp>) -> Self {
        Self { args, ..self }
    }

    /// The same whose series keep the names that they are to lose, with the mark that they are.
    pub fn only_marking(mut self) -> Self {
        self.kernel().only_marks = true;
        self
    }

    /// The same whose native histograms may have empty buckets, where `loose`.
    pub fn loosely(mut self, loose: bool) -> Self {
        self.kernel().loose = loose;
        self
    }

    fn kernel(&mut self) -> &mut Running {
        match &mut self.input {
            Input::Select(over) => &mut over.each().kernel,
            Input::Subquery { kernel, .. } => kernel,
        }
    }
}

/// What the windows of `range_ms` before each step look at.
fn range_looks(plan: &SelectPlan, range_ms: i64, grid: Grid, lookback_ms: i64) -> Looks {
    let (before, after) = reach(plan.anchored, plan.smoothed, lookback_ms);
    plan.looks(grid, range_ms.saturating_add(before), after)
}

/// Starts the select for the windows of `range_ms` before each step.
fn start_range(plan: &SelectPlan, range_ms: i64, grid: Grid, cx: &mut Cx) -> Fetch {
    let range = range_looks(plan, range_ms, grid, cx.lookback_ms).range();
    let select = cx.select(range, plan, reads::of_range(plan.hint.as_deref()), Some(range_ms));
    Fetch::start(cx, plan, select)
}

impl Operator for RangeOp {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        if !self.opened {
            self.kernel().windows.args = self.args.iter_mut().map(|a| a.eval(cx)).collect::<Result<_>>()?;
            self.opened = true;
        }
        match &mut self.input {
            Input::Select(over) => over.next(cx),
            Input::Subquery { stream, grid, kernel } => loop {
                let Some(series) = cx.next(stream)? else { return Ok(None) };
                kernel.load(&series, *grid);
                cx.recycle(series.column);
                if let Some(made) = kernel.make(series.labels, series.drop_name, cx)? {
                    return Ok(Some(made));
                }
            },
        }
    }
}

/// A function of ranges over the samples of a selector.
struct OfSelect {
    plan: Arc<SelectPlan>,
    decoder: Decoder,
    kernel: Running,
}

impl Each for OfSelect {
    fn make(&mut self, series: Series, cx: &mut Cx) -> Result<Option<StepSeries>> {
        let Self { plan, decoder, kernel } = self;
        let windows = &mut kernel.windows;
        let looks = range_looks(plan, windows.range_ms, windows.grid, cx.lookback_ms);
        decoder.series(&series, looks, &mut windows.samples, cx)?;
        if decoder.saw_histograms {
            cx.annotations.histograms_unread(series.labels.metric_name(), windows.span);
        }
        windows.samples.drop_stale();
        kernel.make(series.labels, false, cx)
    }

    fn fork(&self, cx: &Cx) -> Self {
        Self { plan: self.plan.clone(), decoder: self.decoder.fork(cx), kernel: self.kernel.fork() }
    }

    fn steps(&self) -> usize {
        self.kernel.windows.grid.steps()
    }
}

/// A function with the series that it is at.
struct Running {
    kernel: &'static RangeKernel,
    /// Names to be dropped are only marked, as who gets the series does not look at them.
    only_marks: bool,
    /// Native histograms may have empty buckets, as who gets them drops those.
    loose: bool,
    windows: Windows,
    scratch: Scratch,
    downsampled: downsampled::Buffers,
}

impl Running {
    fn new(kernel: &'static RangeKernel, windows: Windows) -> Self {
        let (scratch, downsampled) = (Scratch::default(), downsampled::Buffers::default());
        Self { kernel, only_marks: false, loose: false, windows, scratch, downsampled }
    }

    fn fork(&self) -> Self {
        Self { only_marks: self.only_marks, loose: self.loose, ..Self::new(self.kernel, self.windows.fork()) }
    }

    /// Takes the values of a subquery's series as samples, stale markers left out.
    fn load(&mut self, series: &StepSeries, grid: Grid) {
        let samples = &mut self.windows.samples;
        samples.clear();
        for (i, v) in series.column.floats().filter(|(_, v)| !is_stale(*v)) {
            samples.column.push(grid.time(i), v);
        }
        for (i, h) in &series.column.native_histograms {
            let hint = match h.reset_hint {
                ResetHint::Gauge => ResetHint::Gauge,
                // The sample before may be another one here.
                _ => ResetHint::Unknown,
            };
            samples.histograms.push(grid.time(*i as usize), with_hint(h, hint));
        }
    }

    /// What the function makes of the samples that are loaded, which are those of `labels`.
    fn make(&mut self, labels: Labels, already_dropped: bool, cx: &mut Cx) -> Result<Option<StepSeries>> {
        if self.windows.samples.is_empty() {
            return Ok(None);
        }
        let mut column = cx.column(self.windows.grid.steps());
        self.run(&labels, &mut column, cx)?;
        if column.is_empty() {
            cx.recycle(column);
            return Ok(None);
        }
        if self.kernel.names_counter && column.present.iter().any(|w| *w != 0) {
            annotate_counter(&labels, self.windows.first_span, cx);
        }
        let mut series = StepSeries { labels, drop_name: already_dropped, column };
        match (self.kernel.keeps_name, self.only_marks) {
            (true, _) => {}
            (false, true) => series.drop_name = true,
            (false, false) => series = drop_name(series, cx),
        }
        Ok(Some(series))
    }

    fn run(&mut self, labels: &Labels, column: &mut StepColumn, cx: &mut Cx) -> Result<()> {
        let Self { kernel, windows, scratch, downsampled, loose, .. } = self;
        if windows.samples.aggregated() {
            return downsampled::run(kernel.downsampled, windows, column, downsampled, cx);
        }
        if windows.samples.is_plain() {
            return (kernel.floats)(windows, scratch, column, cx);
        }
        match kernel.histograms {
            OfHistograms::Each(each) => match kernel.edges {
                Some(of_edges) if !windows.samples.edges.times.is_empty() => {
                    edges::run(windows, of_edges, each, *loose, labels.metric_name(), column, cx)
                }
                _ => mixed::each(windows, each, kernel.resets, labels.metric_name(), column, cx),
            },
            OfHistograms::Ignored => {
                (kernel.floats)(windows, scratch, column, cx)?;
                mixed::ignored(windows, kernel.check_factors, labels.metric_name(), cx)
            }
        }
    }
}

fn annotate_counter(labels: &labels::Labels, span: Span, cx: &mut Cx) {
    let name = labels.metric_name();
    if name.is_empty() {
        return;
    }
    if cx.options.type_and_unit_labels {
        let of_type = labels.value("__type__");
        if of_type != "counter" && of_type != "histogram" {
            cx.annotations.maybe_no_counter_type(name, of_type, span);
        }
    } else if !["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| name.ends_with(suffix)) {
        cx.annotations.maybe_no_counter(name, span);
    }
}

/// The samples of a range selector at the top of an instant query.
pub(crate) fn top_matrix(
    plan: &Arc<SelectPlan>,
    range_ms: i64,
    grid: Grid,
    cx: &mut Cx,
) -> Result<Vec<(labels::Labels, RangeSamples)>> {
    let mut fetch = start_range(plan, range_ms, grid, cx);
    let mut decoder = Decoder::new(reads::of_range(plan.hint.as_deref()), cx);
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
        let Samples { column, histograms, .. } = samples;
        let low = column.times.partition_point(|t| *t <= start_ms - before);
        let high = column.times.partition_point(|t| *t <= end_ms + after).max(low);
        let w = Window {
            all_times: &column.times,
            all_values: &column.values,
            low,
            high,
            start_ms,
            end_ms,
            step: 0,
            time_ms: grid.start_ms,
        };
        let extends = plan.anchored || plan.smoothed;
        let floats = if extends && low < high {
            extended::samples(&w, start_ms, end_ms, plan.smoothed)
        } else {
            chunkenc::Column { times: w.times().to_vec(), values: w.values().to_vec() }
        };
        let looked_at = |t: &i64| *t > start_ms - before && *t <= end_ms + after;
        if extends && histograms.times.iter().any(looked_at) {
            let modifier = if plan.anchored { "anchored" } else { "smoothed" };
            return Err(QueryError::Execution(format!("{modifier} modifier is not supported with histograms")));
        }
        let inside = histograms.times.iter().zip(histograms.values).filter(|(t, _)| **t > start_ms && **t <= end_ms);
        let kept = RangeSamples { floats, histograms: inside.map(|(t, h)| (*t, h)).collect() };
        if kept.is_empty() {
            continue;
        }
        cx.stats.total_samples += kept.len() as u64;
        cx.hold(kept.len(), kept.size_bytes() + series.labels.size_bytes() + ENTRY_BYTES)?;
        out.push((series.labels, kept));
    }
    Ok(out)
}
