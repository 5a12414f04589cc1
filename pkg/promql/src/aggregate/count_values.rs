//! `count_values`: a series per distinct value.

use hashbrown::HashMap;
use labels::Builder;

use super::Grouping;
use crate::eval::{Cx, Operator, Result, Stream};
use crate::go_float::format_f;
use crate::merge::Ready;
use crate::series::StepSeries;
use crate::{Grid, StepColumn};

/// Of a column and what finds values in it.
const STEP_BYTES: usize = 9;
/// The longest value as text: the largest float has 309 digits.
const VALUE_BYTES: usize = 400;

pub(crate) struct CountValues {
    inner: Stream,
    grouping: Grouping,
    label: String,
    grid: Grid,
    done: Ready,
}

impl CountValues {
    pub fn new(inner: Stream, mut grouping: Grouping, label: String, grid: Grid) -> Self {
        grouping.also_by(&label);
        Self { inner, grouping, label, grid, done: Ready::default() }
    }

    fn drain(&mut self, cx: &mut Cx) -> Result<Vec<StepSeries>> {
        let steps = self.grid.steps();
        let mut columns: Vec<StepColumn> = Vec::new();
        let mut builder = Builder::new();
        // Values repeat from step to step: find each one's group once.
        let mut groups: HashMap<u64, usize> = HashMap::new();
        while let Some(series) = cx.next(&mut self.inner)? {
            groups.clear();
            for (i, v) in series.column.floats() {
                let at = match groups.get(&v.to_bits()) {
                    Some(at) => *at,
                    None => {
                        let with_value = cx.make_labels(series.labels.size_bytes() + VALUE_BYTES, || {
                            builder.reset(&series.labels).set(&self.label, &format_f(v)).build()
                        })?;
                        let (at, new) = self.grouping.of(&with_value, cx)?;
                        if new {
                            cx.hold(steps, steps * STEP_BYTES)?;
                            columns.push(StepColumn::absent(steps));
                        }
                        groups.insert(v.to_bits(), at);
                        at
                    }
                };
                let count = columns[at].get(i).unwrap_or(0.0);
                columns[at].set(i, count + 1.0);
            }
            for (i, h) in &series.column.native_histograms {
                let i = *i as usize;
                let value = crate::native::text(h);
                let bytes = series.labels.size_bytes() + value.len();
                cx.check_label(value.len(), &self.label)?;
                let with_value =
                    cx.make_labels(bytes, || builder.reset(&series.labels).set(&self.label, &value).build())?;
                let (at, new) = self.grouping.of(&with_value, cx)?;
                if new {
                    cx.hold(steps, steps * STEP_BYTES)?;
                    columns.push(StepColumn::absent(steps));
                }
                let count = columns[at].get(i).unwrap_or(0.0);
                columns[at].set(i, count + 1.0);
            }
            cx.recycle(series.column);
        }
        let mut out = Vec::with_capacity(columns.len());
        for (labels, column) in self.grouping.finish(cx).into_iter().zip(columns) {
            cx.release(steps, steps * STEP_BYTES);
            let series = StepSeries { labels, drop_name: false, column };
            cx.hold_series(&series)?;
            out.push(series);
        }
        Ok(out)
    }
}

impl Operator for CountValues {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        if !self.done.is_filled() {
            let all = self.drain(cx)?;
            self.done.fill(all);
        }
        Ok(self.done.next(cx))
    }
}
