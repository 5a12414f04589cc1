//! A vector with a scalar.

use promql_syntax::{BinaryOp, Span};

use super::arith::{arithmetic, changes_metric, compare, is_trim};
use super::native::{Operand, Outcome, Told, calculate};
use crate::StepColumn;
use crate::eval::{Cx, Operator, Result, Stream, drop_name};
use crate::scalar::ScalarOp;
use crate::series::{StepSeries, bits};

pub(crate) struct WithScalar {
    pub op: BinaryOp,
    pub vector: Stream,
    pub scalar: ScalarOp,
    pub scalar_left: bool,
    pub return_bool: bool,
    pub span: Span,
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
            if !column.native_histograms.is_empty() || is_trim(self.op) {
                let mut told = Told::default();
                native(self.op, column, scalars, self.scalar_left, &mut told);
                cx.work(column.steps() + 64 * column.native_histograms.len())?;
                told.annotate(self.op, self.span, cx);
            }
            if is_trim(self.op) {
                // Floats were dropped.
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

/// Computes the steps with native histograms, and drops floats that the operator is not for.
fn native(op: BinaryOp, column: &mut StepColumn, scalars: &[f64], scalar_left: bool, told: &mut Told) {
    fn ordered<T>(v: T, s: T, scalar_left: bool) -> (T, T) {
        if scalar_left { (s, v) } else { (v, s) }
    }
    for (i, h) in std::mem::take(&mut column.native_histograms) {
        let (l, r) = ordered(Operand::Histogram(&h), Operand::Float(scalars[i as usize]), scalar_left);
        if let Outcome::Value(h) = calculate(op, l, r, told) {
            column.native_histograms.push((i, h));
        }
    }
    if is_trim(op) {
        for i in bits(&column.present) {
            let (l, r) = ordered(Operand::Float(column.values[i]), Operand::Float(scalars[i]), scalar_left);
            calculate(op, l, r, told);
        }
        column.present.fill(0);
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
