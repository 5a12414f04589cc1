//! A vector with a scalar.

use promql_syntax::BinaryOp;

use super::arith::{arithmetic, changes_metric, compare, is_trim};
use crate::eval::{Cx, Operator, Result, Stream, drop_name};
use crate::scalar::ScalarOp;
use crate::series::{StepSeries, bits};

pub(crate) struct WithScalar {
    pub op: BinaryOp,
    pub vector: Stream,
    pub scalar: ScalarOp,
    pub scalar_left: bool,
    pub return_bool: bool,
    pub values: Option<Vec<f64>>,
}

impl Operator for WithScalar {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        if self.values.is_none() {
            self.values = Some(self.scalar.eval(cx)?);
        }
        let scalars = self.values.as_deref().unwrap_or_default();
        while let Some(mut series) = cx.next(&mut self.vector)? {
            let column = &mut series.column;
            column.native_histograms.clear();
            if is_trim(self.op) {
                // Operators on histograms drop floats; no annotation beside a scalar, as in Prometheus.
                column.present.fill(0);
            } else if self.op.is_comparison() {
                let steps: Vec<usize> = bits(&column.present).collect();
                for i in steps {
                    let (v, s) = (column.values[i], scalars[i]);
                    let (l, r) = if self.scalar_left { (s, v) } else { (v, s) };
                    let kept = compare(self.op, l, r).unwrap_or(false);
                    if self.return_bool {
                        column.values[i] = f64::from(u8::from(kept));
                    } else if !kept {
                        column.unset(i);
                    }
                }
            } else {
                apply(self.op, &mut column.values, scalars, self.scalar_left);
            }
            if column.is_empty() {
                cx.recycle(series.column);
                continue;
            }
            return Ok(Some(if changes_metric(self.op) || self.return_bool { drop_name(series, cx) } else { series }));
        }
        Ok(None)
    }
}

/// Computes absent steps too: cheaper than to look which are there.
fn apply(op: BinaryOp, values: &mut [f64], scalars: &[f64], scalar_left: bool) {
    let mut each = |f: fn(f64, f64) -> f64| {
        for (v, s) in values.iter_mut().zip(scalars) {
            *v = if scalar_left { f(*s, *v) } else { f(*v, *s) };
        }
    };
    match op {
        BinaryOp::Add => each(|l, r| l + r),
        BinaryOp::Sub => each(|l, r| l - r),
        BinaryOp::Mul => each(|l, r| l * r),
        BinaryOp::Div => each(|l, r| l / r),
        BinaryOp::Mod => each(|l, r| l % r),
        BinaryOp::Pow => each(|l, r| arithmetic(BinaryOp::Pow, l, r)),
        _ => each(|l, r| arithmetic(BinaryOp::Atan2, l, r)),
    }
}
