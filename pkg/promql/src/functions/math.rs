//! Functions of single values.

use crate::eval::{Cx, Operator, Result, Stream, drop_name};
use crate::go_float::{go_max, go_min};
use crate::scalar::ScalarOp;
use crate::series::{StepSeries, bits};

/// A function of each value, by its PromQL name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in PromQL")]
pub(crate) enum MathFn {
    Abs,
    Acos,
    Acosh,
    Asin,
    Asinh,
    Atan,
    Atanh,
    Ceil,
    Clamp,
    ClampMax,
    ClampMin,
    Cos,
    Cosh,
    Deg,
    Exp,
    Floor,
    Ln,
    Log10,
    Log2,
    Rad,
    Round,
    Sgn,
    Sin,
    Sinh,
    Sqrt,
    Tan,
    Tanh,
}

impl MathFn {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "abs" => Self::Abs,
            "acos" => Self::Acos,
            "acosh" => Self::Acosh,
            "asin" => Self::Asin,
            "asinh" => Self::Asinh,
            "atan" => Self::Atan,
            "atanh" => Self::Atanh,
            "ceil" => Self::Ceil,
            "clamp" => Self::Clamp,
            "clamp_max" => Self::ClampMax,
            "clamp_min" => Self::ClampMin,
            "cos" => Self::Cos,
            "cosh" => Self::Cosh,
            "deg" => Self::Deg,
            "exp" => Self::Exp,
            "floor" => Self::Floor,
            "ln" => Self::Ln,
            "log10" => Self::Log10,
            "log2" => Self::Log2,
            "rad" => Self::Rad,
            "round" => Self::Round,
            "sgn" => Self::Sgn,
            "sin" => Self::Sin,
            "sinh" => Self::Sinh,
            "sqrt" => Self::Sqrt,
            "tan" => Self::Tan,
            "tanh" => Self::Tanh,
            _ => return None,
        })
    }
}

pub(crate) struct MathOp {
    function: MathFn,
    inner: Stream,
    args: Vec<ScalarOp>,
    values: Option<Vec<Vec<f64>>>,
}

impl MathOp {
    pub fn new(function: MathFn, inner: Stream, args: Vec<ScalarOp>) -> Self {
        Self { function, inner, args, values: None }
    }
}

impl Operator for MathOp {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        if self.values.is_none() {
            self.values = Some(self.args.iter_mut().map(|a| a.eval(cx)).collect::<Result<_>>()?);
        }
        while let Some(mut series) = cx.next(&mut self.inner)? {
            series.column.native_histograms.clear();
            apply(self.function, self.values.as_deref().unwrap_or_default(), &mut series);
            if series.column.is_empty() {
                cx.recycle(series.column);
                continue;
            }
            return Ok(Some(drop_name(series, cx)));
        }
        Ok(None)
    }
}

fn apply(function: MathFn, args: &[Vec<f64>], series: &mut StepSeries) {
    let column = &mut series.column;
    let mut each = |f: fn(f64) -> f64| column.values.iter_mut().for_each(|v| *v = f(*v));
    match function {
        MathFn::Abs => each(f64::abs),
        MathFn::Acos => each(f64::acos),
        MathFn::Acosh => each(acosh),
        MathFn::Asin => each(f64::asin),
        MathFn::Asinh => each(asinh),
        MathFn::Atan => each(f64::atan),
        MathFn::Atanh => each(f64::atanh),
        MathFn::Ceil => each(f64::ceil),
        MathFn::Cos => each(f64::cos),
        MathFn::Cosh => each(f64::cosh),
        MathFn::Deg => each(|v| v * 180.0 / std::f64::consts::PI),
        MathFn::Exp => each(f64::exp),
        MathFn::Floor => each(f64::floor),
        MathFn::Ln => each(f64::ln),
        MathFn::Log10 => each(f64::log10),
        MathFn::Log2 => each(f64::log2),
        MathFn::Rad => each(|v| v * std::f64::consts::PI / 180.0),
        MathFn::Sgn => each(|v| {
            if v < 0.0 {
                -1.0
            } else if v > 0.0 {
                1.0
            } else {
                v
            }
        }),
        MathFn::Sin => each(f64::sin),
        MathFn::Sinh => each(f64::sinh),
        MathFn::Sqrt => each(f64::sqrt),
        MathFn::Tan => each(f64::tan),
        MathFn::Tanh => each(f64::tanh),
        MathFn::Round => {
            for i in steps(&column.present) {
                // The inverse errs less, as `round(x, 0.1)` shows.
                let inverse = 1.0 / args.first().map_or(1.0, |a| a[i]);
                column.values[i] = (column.values[i] * inverse + 0.5).floor() / inverse;
            }
        }
        MathFn::Clamp | MathFn::ClampMin | MathFn::ClampMax => {
            for i in steps(&column.present) {
                let given = |at: usize| args.get(at).map_or(f64::NAN, |a: &Vec<f64>| a[i]);
                let (low, high) = match function {
                    MathFn::Clamp => (given(0), given(1)),
                    MathFn::ClampMin => (given(0), f64::INFINITY),
                    _ => (f64::NEG_INFINITY, given(0)),
                };
                if high < low {
                    column.unset(i);
                } else {
                    column.values[i] = go_max(low, go_min(high, column.values[i]));
                }
            }
        }
    }
}

fn steps(present: &[u64]) -> Vec<usize> {
    bits(present).collect()
}

// The standard library's formulas for these two lose the last digits that Go's (FreeBSD's) keep.

fn asinh(x: f64) -> f64 {
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

fn acosh(x: f64) -> f64 {
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
