//! From plan to running operators. Opening starts all selects of the query, so that their waits overlap.

use labels::Labels;
use promql_syntax::AggregateOp;

use crate::aggregate::{Grouping, Param, Places};
use crate::binary::join::Join;
use crate::binary::set::SetOp;
use crate::binary::with_scalar::WithScalar;
use crate::eval::{Cx, Operator, Result, Stream, drop_name, subquery_grid};
use crate::functions::absent::Absent;
use crate::functions::buckets::{BucketsOp, Function};
use crate::functions::dates::DateOp;
use crate::functions::info::Info;
use crate::functions::labels::{Relabel, RelabelOp};
use crate::functions::math::MathOp;
use crate::functions::native::NativeOp;
use crate::functions::sort::SortOp;
use crate::merge::{Distinct, Merged, Ready};
use crate::plan::{AggregateParam, AggregatePlan, BucketsFn, Plan, RangeInput, RangePlan, ScalarPlan, SubqueryPlan};
use crate::range::RangeOp;
use crate::samples::Samples;
use crate::scalar::{Pair, ScalarOp};
use crate::select_plan::Shown;
use crate::series::{StepSeries, bits};
use crate::window::Windows;
use crate::{Grid, QueryError, StepColumn, aggregate, measured, selector, share};

/// Opens `plan` over the steps of `grid`.
pub(crate) fn open(plan: &Plan, grid: Grid, cx: &mut Cx) -> Result<Stream> {
    measured::open(plan, cx, |cx| open_plain(plan, grid, cx))
}

fn open_plain(plan: &Plan, grid: Grid, cx: &mut Cx) -> Result<Stream> {
    if grid.steps() == 0 {
        return Ok(Box::new(Empty));
    }
    // An operation that drops names may make two series one.
    let distinct = |stream: Stream, inner: &Plan, strict: bool, cx: &Cx| -> Stream {
        if cx.delayed() || inner.distinct_without_name() { stream } else { Box::new(Distinct::new(stream, strict)) }
    };
    Ok(match plan {
        Plan::Select(select) => selector::open(select.clone(), grid, Shown::Values, cx),
        Plan::SampleTime(select, _) if select.lookback_ms(cx.lookback_ms) == 0 => Box::new(Empty),
        Plan::SampleTime(select, shown) => {
            let times = selector::open(select.clone(), grid, *shown, cx);
            let named: Stream = Box::new(NameDropped(times));
            distinct(named, plan, false, cx)
        }
        Plan::Matrix(..) | Plan::Subquery(_) => {
            return Err(QueryError::Execution("a range has no value at a step: put a function around it".to_owned()));
        }
        Plan::Range(range) => {
            let stream: Stream = Box::new(open_range(range, grid, cx)?);
            if range.kernel.keeps_name { stream } else { distinct(stream, plan, true, cx) }
        }
        Plan::Absent(inner, labels) => {
            Box::new(Absent { inner: Some(open(inner, grid, cx)?), labels: labels.clone(), grid })
        }
        Plan::Math(function, inner, args) => {
            let args = args.iter().map(|a| scalar(a, grid, cx)).collect::<Result<_>>()?;
            let stream: Stream = Box::new(MathOp::new(function.kernel, open(inner, grid, cx)?, args));
            distinct(stream, inner, false, cx)
        }
        Plan::Date(function, inner) => {
            let stream: Stream = Box::new(DateOp { kernel: function.kernel, inner: open(inner, grid, cx)? });
            distinct(stream, inner, false, cx)
        }
        Plan::StepTime(inner) => {
            let stream: Stream = Box::new(StepTime { inner: open(inner, grid, cx)?, grid });
            distinct(stream, inner, false, cx)
        }
        Plan::Native(n) => {
            let stream: Stream = Box::new(NativeOp { kernel: n.function.kernel, inner: open(&n.inner, grid, cx)? });
            distinct(stream, &n.inner, false, cx)
        }
        Plan::Nothing(inner) => Box::new(Nothing(open(inner, grid, cx)?)),
        Plan::Negate(inner) => {
            let stream: Stream = Box::new(Negate(open(inner, grid, cx)?));
            distinct(stream, inner, false, cx)
        }
        Plan::Vector(value) => Box::new(FromScalar(Some(scalar(value, grid, cx)?))),
        Plan::Sort(sort) => {
            if grid.start_ms != grid.end_ms && !sort.is_pinned {
                cx.annotations.sort_in_range(sort.span);
            }
            Box::new(SortOp::new(open(&sort.inner, grid, cx)?, sort.order.clone(), grid))
        }
        Plan::LabelReplace(inner, replace) => {
            let stream: Stream = Box::new(RelabelOp::new(open(inner, grid, cx)?, Relabel::Replace(replace)));
            Box::new(Distinct::new(stream, false))
        }
        Plan::LabelJoin(inner, join) => {
            let stream: Stream = Box::new(RelabelOp::new(open(inner, grid, cx)?, Relabel::Join(join)));
            Box::new(Distinct::new(stream, false))
        }
        Plan::Buckets(b) => {
            let function = buckets(&b.function, grid, cx)?;
            // Equal quantiles make equal series.
            let several = matches!(function, Function::Quantiles(..));
            let inner = open(&b.inner, grid, cx)?;
            let stream: Stream = Box::new(BucketsOp { function, inner, grid, span: b.span, done: Ready::default() });
            if several { Box::new(Distinct::new(stream, false)) } else { distinct(stream, &b.inner, false, cx) }
        }
        Plan::Info(info) => Box::new(Info {
            inner: open(&info.inner, grid, cx)?,
            matchers: info.matchers.clone(),
            at_ms: info.at_ms,
            offset_ms: info.offset_ms,
            grid,
            done: Ready::default(),
        }),
        Plan::Aggregate(plan) => aggregation(plan, grid, cx)?,
        Plan::Binary(b) => {
            let (lhs, rhs) = (open(&b.lhs, grid, cx)?, open(&b.rhs, grid, cx)?);
            if b.op.is_set() {
                Box::new(SetOp::new(b.op, lhs, rhs, &b.matching, grid))
            } else {
                let join: Stream = Box::new(Join::new(b.op, lhs, rhs, &b.matching, b.return_bool, b.span, grid));
                // Copied labels may make series of different groups equal.
                if b.matching.include.is_empty() { join } else { Box::new(Distinct::new(join, false)) }
            }
        }
        Plan::WithScalar(w) => {
            let stream: Stream = Box::new(WithScalar {
                op: w.op,
                vector: open(&w.vector, grid, cx)?,
                scalar: scalar(&w.scalar, grid, cx)?,
                scalar_left: w.scalar_left,
                return_bool: w.return_bool,
                span: w.span,
                values: None,
            });
            if crate::binary::arith::changes_metric(w.op) || w.return_bool {
                distinct(stream, &w.vector, false, cx)
            } else {
                stream
            }
        }
        Plan::Invariant(inner) => {
            let once = Grid { end_ms: grid.start_ms, ..grid };
            Box::new(Repeat { inner: open(inner, once, cx)?, steps: grid.steps() })
        }
        Plan::Shared(shared) => share::open(shared, grid, cx)?,
    })
}

/// Opens a scalar; the vectors inside start their selects.
pub(crate) fn scalar(plan: &ScalarPlan, grid: Grid, cx: &mut Cx) -> Result<ScalarOp> {
    let both = |pair, a: &ScalarPlan, b: &ScalarPlan, cx: &mut Cx| -> Result<ScalarOp> {
        Ok(ScalarOp::Pair(pair, Box::new(scalar(a, grid, cx)?), Box::new(scalar(b, grid, cx)?)))
    };
    Ok(match plan {
        ScalarPlan::Const(v) => ScalarOp::Const(*v, grid.steps()),
        ScalarPlan::Time => ScalarOp::Time(grid),
        ScalarPlan::Date(function) => ScalarOp::Date(function.kernel, grid),
        ScalarPlan::Negate(inner) => ScalarOp::Negate(Box::new(scalar(inner, grid, cx)?)),
        ScalarPlan::Binary(op, a, b) => both(Pair::Op(*op), a, b, cx)?,
        ScalarPlan::MinOf(a, b) => both(Pair::Min, a, b, cx)?,
        ScalarPlan::MaxOf(a, b) => both(Pair::Max, a, b, cx)?,
        ScalarPlan::FromVector(inner) => ScalarOp::FromVector(open(inner, grid, cx)?, grid.steps()),
    })
}

/// Opens a subquery for the windows of `grid`.
pub(crate) fn subquery(sub: &SubqueryPlan, grid: Grid, cx: &mut Cx) -> Result<(Stream, Grid)> {
    let inner = subquery_grid(grid, sub.at_ms, sub.offset_ms, sub.range_ms, sub.step_ms);
    cx.check_size(inner.steps(), "steps of a subquery")?;
    // A column on its way, and its samples with their times.
    cx.hold_grid(inner, 32)?;
    let stream = open(&sub.inner, inner, cx)?;
    // A window needs whole series.
    let stream = if sub.inner.may_split(cx.delayed()) { Box::new(Merged::new(stream)) } else { stream };
    Ok((stream, inner))
}

fn open_range(plan: &RangePlan, grid: Grid, cx: &mut Cx) -> Result<RangeOp> {
    let kernel = plan.kernel;
    let mut windows = Windows {
        grid,
        range_ms: 0,
        offset_ms: 0,
        at_ms: None,
        anchored: false,
        smoothed: false,
        args: Vec::new(),
        span: plan.span,
        first_span: plan.first_span,
        samples: Samples::default(),
    };
    match &plan.input {
        RangeInput::Select(select, range_ms) => {
            windows.range_ms = *range_ms;
            (windows.offset_ms, windows.at_ms) = (select.offset_ms, select.at_ms);
            (windows.anchored, windows.smoothed) = (select.anchored, select.smoothed);
            let opened = RangeOp::of_select(select, kernel, windows, cx);
            Ok(opened.with_args(arguments(plan, grid, cx)?))
        }
        RangeInput::Subquery(sub) => {
            windows.range_ms = sub.range_ms;
            (windows.offset_ms, windows.at_ms) = (sub.offset_ms, sub.at_ms);
            let (stream, inner) = subquery(sub, grid, cx)?;
            let opened = RangeOp::of_subquery(stream, inner, kernel, windows);
            Ok(opened.with_args(arguments(plan, grid, cx)?))
        }
    }
}

fn arguments(plan: &RangePlan, grid: Grid, cx: &mut Cx) -> Result<Vec<ScalarOp>> {
    plan.args.iter().map(|a| scalar(a, grid, cx)).collect()
}

fn buckets(plan: &BucketsFn, grid: Grid, cx: &mut Cx) -> Result<Function> {
    Ok(match plan {
        BucketsFn::Quantile(q, span) => Function::Quantile(scalar(q, grid, cx)?, *span),
        BucketsFn::Fraction(a, b) => Function::Fraction(scalar(a, grid, cx)?, scalar(b, grid, cx)?),
        BucketsFn::Quantiles(label, list) => {
            let open = list.iter().map(|(q, span)| Ok((scalar(q, grid, cx)?, *span)));
            Function::Quantiles(label.clone(), open.collect::<Result<_>>()?)
        }
    })
}

fn aggregation(plan: &AggregatePlan, grid: Grid, cx: &mut Cx) -> Result<Stream> {
    let param = match &plan.param {
        AggregateParam::None => Param::None,
        AggregateParam::Scalar(s, span) => Param::Scalar(scalar(s, grid, cx)?, *span),
        AggregateParam::Label(label) => Param::Label(label.clone()),
    };
    let inner = match &plan.inner {
        // Taking the name off each series would only make more label sets.
        Plan::Range(range) if plan.ignores_names() && !cx.delayed() => {
            let adds_up = matches!(plan.op, AggregateOp::Sum | AggregateOp::Avg);
            let open = |cx: &mut Cx| open_range(range, grid, cx).map(|op| op.only_marking().loosely(adds_up));
            measured::open(&plan.inner, cx, |cx| Ok(Box::new(open(cx)?)))?
        }
        inner => open(inner, grid, cx)?,
    };
    let grouping = Grouping::new(plan.grouping.clone(), plan.without);
    let places = Places { whole: plan.span, inner: plan.inner_span };
    aggregate::operator(plan.op, param, inner, grouping, places, grid)
}

struct Empty;

impl Operator for Empty {
    fn next(&mut self, _: &mut Cx) -> Result<Option<StepSeries>> {
        Ok(None)
    }
}

/// The same value at all steps.
struct Repeat {
    inner: Stream,
    steps: usize,
}

impl Operator for Repeat {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        let Some(mut series) = cx.next(&mut self.inner)? else { return Ok(None) };
        if self.steps > 1 {
            series.column = match series.column.native_histograms.first() {
                Some((_, h)) => {
                    let mut column = StepColumn::absent(self.steps);
                    column.native_histograms = (0..self.steps as u32).map(|i| (i, h.clone())).collect();
                    column
                }
                None => StepColumn::constant(self.steps, series.column.values[0]),
            };
        }
        Ok(Some(series))
    }
}

struct NameDropped(Stream);

impl Operator for NameDropped {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        Ok(cx.next(&mut self.0)?.map(|series| drop_name(series, cx)))
    }
}

struct Negate(Stream);

impl Operator for Negate {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        let Some(mut series) = cx.next(&mut self.0)? else { return Ok(None) };
        series.column.values.iter_mut().for_each(|v| *v = -*v);
        for (_, h) in &mut series.column.native_histograms {
            crate::native::multiply(std::sync::Arc::make_mut(h), -1.0);
        }
        Ok(Some(drop_name(series, cx)))
    }
}

struct StepTime {
    inner: Stream,
    grid: Grid,
}

impl Operator for StepTime {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        let Some(mut series) = cx.next(&mut self.inner)? else { return Ok(None) };
        for (i, _) in std::mem::take(&mut series.column.native_histograms) {
            series.column.set(i as usize, 0.0);
        }
        let steps: Vec<usize> = bits(&series.column.present).collect();
        for i in steps {
            series.column.values[i] = self.grid.time(i) as f64 / 1000.0;
        }
        Ok(Some(drop_name(series, cx)))
    }
}

struct Nothing(Stream);

impl Operator for Nothing {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        while let Some(series) = cx.next(&mut self.0)? {
            cx.recycle(series.column);
        }
        Ok(None)
    }
}

struct FromScalar(Option<ScalarOp>);

impl Operator for FromScalar {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        let Some(mut scalar) = self.0.take() else { return Ok(None) };
        let column = StepColumn::full(scalar.eval(cx)?);
        cx.release(0, column.steps() * 8);
        Ok(Some(StepSeries { labels: Labels::empty(), drop_name: false, column }))
    }
}
