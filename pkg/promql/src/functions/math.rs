//! Functions of single values.

use crate::eval::{Cx, Operator, Result, Stream, drop_name};
use crate::go_float::{go_max, go_min};
use crate::scalar::ScalarOp;
use crate::series::{StepSeries, bits};

/// How a function of each float is calculated; native histograms are left out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum MathKernel {
    /// A whole column at a time; steps without a value too, which is cheaper than to look which those are.
    Column(fn(&mut [f64])),
    /// A value, with the function's scalar arguments at its step. `None`: there is no value then.
    With(fn(f64, &[f64]) -> Option<f64>),
}

pub(crate) struct MathOp {
    kernel: MathKernel,
    inner: Stream,
    args: Vec<ScalarOp>,
    values: Option<Vec<Vec<f64>>>,
}

impl MathOp {
    pub fn new(kernel: MathKernel, inner: Stream, args: Vec<ScalarOp>) -> Self {
        Self { kernel, inner, args, values: None }
    }
}

impl Operator for MathOp {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        if self.values.is_none() {
            self.values = Some(self.args.iter_mut().map(|a| a.eval(cx)).collect::<Result<_>>()?);
        }
        while let Some(mut series) = cx.next(&mut self.inner)? {
            series.column.native_histograms.clear();
            apply(self.kernel, self.values.as_deref().unwrap_or_default(), &mut series);
            if series.column.is_empty() {
                cx.recycle(series.column);
                continue;
            }
            return Ok(Some(drop_name(series, cx)));
        }
        Ok(None)
    }
}

fn apply(kernel: MathKernel, args: &[Vec<f64>], series: &mut StepSeries) {
    let column = &mut series.column;
    match kernel {
        MathKernel::Column(f) => f(&mut column.values),
        MathKernel::With(f) => {
            let steps: Vec<usize> = bits(&column.present).collect();
            let mut given = Vec::with_capacity(args.len());
            for i in steps {
                given.clear();
                given.extend(args.iter().map(|a| a[i]));
                match f(column.values[i], &given) {
                    Some(v) => column.values[i] = v,
                    None => column.unset(i),
                }
            }
        }
    }
}

pub(crate) fn sgn(v: f64) -> f64 {
    if v < 0.0 {
        -1.0
    } else if v > 0.0 {
        1.0
    } else {
        v
    }
}

pub(crate) fn round(v: f64, args: &[f64]) -> Option<f64> {
    // The inverse errs less, as `round(x, 0.1)` shows.
    let inverse = 1.0 / args.first().copied().unwrap_or(1.0);
    Some((v * inverse + 0.5).floor() / inverse)
}

pub(crate) fn clamp(v: f64, args: &[f64]) -> Option<f64> {
    let [low, high] = *args else { return None };
    within(v, low, high)
}

pub(crate) fn clamp_min(v: f64, args: &[f64]) -> Option<f64> {
    within(v, *args.first()?, f64::INFINITY)
}

pub(crate) fn clamp_max(v: f64, args: &[f64]) -> Option<f64> {
    within(v, f64::NEG_INFINITY, *args.first()?)
}

fn within(v: f64, low: f64, high: f64) -> Option<f64> {
    if high < low { None } else { Some(go_max(low, go_min(high, v))) }
}

// The standard library's formulas for these two lose the last digits that Go's (FreeBSD's) keep.

pub(crate) fn asinh(x: f64) -> f64 {
    if x.is_nan() || x.is_infinite() {
        return x;
    }
    let a = x.abs();
    let r = if a > (1u64 << 28) as f64 {
        a.ln() + std::f64::consts::LN_2
    } else if a > 2.0 {
        (2.0 * a + 1.0 / ((a * a + 1.0).sqrt() + a)).ln()
    } else if a < 1.0 / (1u64 << 28) as f64 {
        a
    } else {
        (a + a * a / (1.0 + (1.0 + a * a).sqrt())).ln_1p()
    };
    r.copysign(x)
}

pub(crate) fn acosh(x: f64) -> f64 {
    if x < 1.0 || x.is_nan() {
        f64::NAN
    } else if x == 1.0 {
        0.0
    } else if x >= (1u64 << 28) as f64 {
        x.ln() + std::f64::consts::LN_2
    } else if x > 2.0 {
        (2.0 * x - 1.0 / (x + (x * x - 1.0).sqrt())).ln()
    } else {
        let t = x - 1.0;
        (t + (2.0 * t + t * t).sqrt()).ln_1p()
    }
}
