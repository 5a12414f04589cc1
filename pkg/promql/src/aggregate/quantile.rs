//! `quantile`: a group's columns are held until all are there.

use promql_syntax::Span;

use super::Grouping;
use crate::eval::{Cx, Operator, Result, Stream};
use crate::functions::quantile::quantile;
use crate::merge::Ready;
use crate::scalar::ScalarOp;
use crate::series::StepSeries;
use crate::{Grid, StepColumn};

pub(crate) struct Quantile {
    inner: Stream,
    grouping: Grouping,
    param: ScalarOp,
    /// Places of the parameter and of what is aggregated.
    spans: (Span, Span),
    grid: Grid,
    done: Ready,
}

impl Quantile {
    pub fn new(inner: Stream, grouping: Grouping, param: ScalarOp, spans: (Span, Span), grid: Grid) -> Self {
        Self { inner, grouping, param, spans, grid, done: Ready::default() }
    }

    fn drain(&mut self, cx: &mut Cx) -> Result<Vec<StepSeries>> {
        let q = self.param.eval(cx)?;
        let mut groups: Vec<(Vec<StepColumn>, bool)> = Vec::new();
        while let Some(series) = cx.next(&mut self.inner)? {
            if !series.column.native_histograms.is_empty() {
                cx.annotations.histogram_ignored("quantile", self.spans.1);
                if series.column.present.iter().all(|w| *w == 0) {
                    continue;
                }
            }
            cx.hold(series.column.count(), series.column.size_bytes())?;
            let (at, new) = self.grouping.of(&series.labels, cx)?;
            if new {
                groups.push((Vec::new(), false));
            }
            groups[at].0.push(series.column);
            groups[at].1 |= series.drop_name;
        }
        if let Some(nan) = q.iter().find(|q| q.is_nan()) {
            cx.annotations.bad_quantile(*nan, self.spans.0);
        }
        let max = q.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let min = q.iter().copied().fold(f64::INFINITY, f64::min);
        if max > 1.0 {
            cx.annotations.bad_quantile(max, self.spans.0);
        }
        if min < 0.0 {
            cx.annotations.bad_quantile(min, self.spans.0);
        }
        let mut out = Vec::with_capacity(groups.len());
        let mut values = Vec::new();
        for ((columns, drop_name), labels) in groups.into_iter().zip(self.grouping.finish(cx)) {
            let mut column = cx.column(self.grid.steps());
            for (i, q) in q.iter().enumerate() {
                cx.work(columns.len())?;
                values.clear();
                values.extend(columns.iter().filter_map(|c| c.get(i)));
                if !values.is_empty() {
                    column.set(i, quantile(*q, &mut values));
                }
            }
            for c in columns {
                cx.release(c.count(), c.size_bytes());
            }
            if !column.is_empty() {
                let series = StepSeries { labels, drop_name, column };
                cx.hold_series(&series)?;
                out.push(series);
            }
        }
        Ok(out)
    }
}

impl Operator for Quantile {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        if !self.done.is_filled() {
            let all = self.drain(cx)?;
            self.done.fill(all);
        }
        Ok(self.done.next(cx))
    }
}
