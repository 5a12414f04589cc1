//! `absent` and `absent_over_time`: 1 where the argument has nothing.

use labels::Labels;

use crate::Grid;
use crate::eval::{Cx, Operator, Result, Stream};
use crate::series::StepSeries;

pub(crate) struct Absent {
    pub inner: Option<Stream>,
    pub labels: Labels,
    pub grid: Grid,
}

impl Operator for Absent {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        let Some(mut inner) = self.inner.take() else { return Ok(None) };
        let steps = self.grid.steps();
        let mut column = crate::StepColumn::constant(steps, 1.0);
        while let Some(series) = cx.next(&mut inner)? {
            column.present.iter_mut().zip(&series.column.present).for_each(|(mine, theirs)| *mine &= !theirs);
            for (i, _) in &series.column.native_histograms {
                column.unset(*i as usize);
            }
            cx.recycle(series.column);
        }
        if column.is_empty() {
            return Ok(None);
        }
        Ok(Some(StepSeries { labels: self.labels.clone(), drop_name: true, column }))
    }
}
