//! Functions of each native histogram that give a float; floats are left out.

use histogram::FloatHistogram;

use crate::eval::{Cx, Operator, Result, Stream, drop_name};
use crate::series::StepSeries;

/// What the function makes of a histogram.
pub(crate) type NativeKernel = fn(&FloatHistogram) -> f64;

pub(crate) struct NativeOp {
    pub kernel: NativeKernel,
    pub inner: Stream,
}

impl Operator for NativeOp {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        while let Some(mut series) = cx.next(&mut self.inner)? {
            let column = &mut series.column;
            column.present.fill(0);
            let mut histograms = std::mem::take(&mut column.native_histograms);
            for (step, h) in histograms.drain(..) {
                column.set(step as usize, (self.kernel)(&h));
                cx.histograms.give(h);
            }
            column.native_histograms = histograms;
            if column.is_empty() {
                cx.recycle(series.column);
                continue;
            }
            return Ok(Some(drop_name(series, cx)));
        }
        Ok(None)
    }
}
