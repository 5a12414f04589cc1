//! `count_values`: a series per distinct value.

use hashbrown::HashMap;
use labels::{Builder, Labels};

use super::Grouping;
use crate::eval::{Cx, Operator, Result, Stream};
use crate::go_float::format_f;
use crate::series::StepSeries;
use crate::{Grid, StepColumn};

pub(crate) struct CountValues {
    inner: Stream,
    grouping: Grouping,
    label: String,
    grid: Grid,
    done: Option<std::vec::IntoIter<StepSeries>>,
}

impl CountValues {
    pub fn new(inner: Stream, mut grouping: Grouping, label: String, grid: Grid) -> Self {
        grouping.also_by(&label);
        Self { inner, grouping, label, grid, done: None }
    }

    fn drain(&mut self, cx: &mut Cx) -> Result<Vec<StepSeries>> {
        let steps = self.grid.steps();
        let mut columns: Vec<StepColumn> = Vec::new();
        let mut builder = Builder::new();
        while let Some(series) = self.inner.next(cx)? {
            // Values repeat from step to step: find each one's group once.
            let mut groups: HashMap<u64, usize> = HashMap::new();
            for (i, v) in series.column.floats() {
                let at = match groups.get(&v.to_bits()) {
                    Some(at) => *at,
                    None => {
                        let with_value: Labels = builder.reset(&series.labels).set(&self.label, &format_f(v)).build();
                        let (at, new) = self.grouping.of(&with_value);
                        if new {
                            cx.hold(steps, steps * 8 + with_value.size_bytes())?;
                            columns.push(StepColumn::absent(steps));
                        }
                        groups.insert(v.to_bits(), at);
                        at
                    }
                };
                let count = columns[at].get(i).unwrap_or(0.0);
                columns[at].set(i, count + 1.0);
            }
            cx.recycle(series.column);
        }
        let labels = self.grouping.labels.iter().cloned();
        Ok(labels.zip(columns).map(|(labels, column)| StepSeries { labels, drop_name: false, column }).collect())
    }
}

impl Operator for CountValues {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        if self.done.is_none() {
            self.done = Some(self.drain(cx)?.into_iter());
        }
        Ok(self.done.as_mut().and_then(Iterator::next))
    }
}
