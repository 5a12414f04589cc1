//! From plan to running operators. Opening starts all selects of the query, so that their waits overlap.

use labels::Labels;

use crate::binary::join::Join;
use crate::binary::set::SetOp;
use crate::binary::with_scalar::WithScalar;
use crate::eval::{Cx, Operator, Result, Stream, drop_name};
use crate::functions::absent::Absent;
use crate::functions::buckets::{BucketsOp, Function};
use crate::functions::dates::DateOp;
use crate::functions::info::Info;
use crate::functions::labels::{Relabel, RelabelOp};
use crate::functions::math::MathOp;
use crate::functions::sort::SortOp;
use crate::merge::{Distinct, Ready};
use crate::plan::Plan;
use crate::scalar::ScalarOp;
use crate::selector::InstantSelector;
use crate::series::{StepSeries, bits};
use crate::window::RangeOp;
use crate::{Grid, QueryError, StepColumn, aggregate};

/// Opens `plan` over the steps of `grid`.
pub(crate) fn open(plan: &Plan, grid: Grid, cx: &mut Cx) -> Result<Stream> {
    if grid.steps() == 0 {
        return Ok(Box::new(Empty));
    }
    // An operation that drops names may make two series one.
    let distinct = |stream: Stream, inner: &Plan, strict: bool, cx: &Cx| -> Stream {
        if cx.delayed() || inner.distinct_without_name() { stream } else { Box::new(Distinct::new(stream, strict)) }
    };
    Ok(match plan {
        Plan::Select(select) => Box::new(InstantSelector::open(select.clone(), grid, false, cx)),
        Plan::SampleTime(select) => {
            let times = InstantSelector::open(select.clone(), grid, true, cx);
            let named: Stream = Box::new(NameDropped(Box::new(times)));
            distinct(named, plan, false, cx)
        }
        Plan::Matrix(..) | Plan::Subquery(_) => {
            return Err(QueryError::Execution("a range has no value at a step: put a function around it".to_owned()));
        }
        Plan::Range(range) => {
            let stream: Stream = Box::new(RangeOp::open(range, grid, cx)?);
            if range.function.keeps_name() { stream } else { distinct(stream, plan, true, cx) }
        }
        Plan::Absent(inner, labels) => {
            Box::new(Absent { inner: Some(open(inner, grid, cx)?), labels: labels.clone(), grid })
        }
        Plan::Math(function, inner, args) => {
            let args = args.iter().map(|a| ScalarOp::open(a, grid, cx)).collect::<Result<_>>()?;
            let stream: Stream = Box::new(MathOp::new(*function, open(inner, grid, cx)?, args));
            distinct(stream, inner, false, cx)
        }
        Plan::Date(function, inner) => {
            let stream: Stream = Box::new(DateOp { function: *function, inner: open(inner, grid, cx)? });
            distinct(stream, inner, false, cx)
        }
        Plan::StepTime(inner) => {
            let stream: Stream = Box::new(StepTime { inner: open(inner, grid, cx)?, grid });
            distinct(stream, inner, false, cx)
        }
        Plan::Nothing(inner) => Box::new(Nothing(open(inner, grid, cx)?)),
        Plan::Negate(inner) => {
            let stream: Stream = Box::new(Negate(open(inner, grid, cx)?));
            distinct(stream, inner, false, cx)
        }
        Plan::Vector(scalar) => Box::new(FromScalar(Some(ScalarOp::open(scalar, grid, cx)?))),
        Plan::Sort(order, inner, span) => {
            if grid.start_ms != grid.end_ms {
                cx.annotations.sort_in_range(*span);
            }
            Box::new(SortOp::new(open(inner, grid, cx)?, order.clone(), grid))
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
            let function = Function::open(&b.function, grid, cx)?;
            Box::new(BucketsOp {
                function,
                inner: open(&b.inner, grid, cx)?,
                grid,
                span: b.span,
                done: Ready::default(),
            })
        }
        Plan::Info(info) => Box::new(Info {
            inner: open(&info.inner, grid, cx)?,
            matchers: info.matchers.clone(),
            at_ms: info.at_ms,
            offset_ms: info.offset_ms,
            grid,
            done: Ready::default(),
        }),
        Plan::Aggregate(aggregate) => aggregate::open(aggregate, grid, cx)?,
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
                scalar: ScalarOp::open(&w.scalar, grid, cx)?,
                scalar_left: w.scalar_left,
                return_bool: w.return_bool,
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
    })
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
