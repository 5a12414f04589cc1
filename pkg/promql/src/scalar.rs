//! Scalars: one number at every step.

use promql_syntax::BinaryOp;

use crate::Grid;
use crate::binary::arith::scalar_op;
use crate::eval::{Cx, Result, Stream};
use crate::functions::dates::{self, DateKernel};
use crate::go_float::{go_max, go_min};

/// A scalar expression that is being evaluated.
pub(crate) enum ScalarOp {
    Const(f64, usize),
    Time(Grid),
    Date(DateKernel, Grid),
    Negate(Box<ScalarOp>),
    Pair(Pair, Box<ScalarOp>, Box<ScalarOp>),
    FromVector(Stream, usize),
}

pub(crate) enum Pair {
    Op(BinaryOp),
    Min,
    Max,
}

impl ScalarOp {
    /// The value at each step. The values count as held for the rest of the query; [`drop_values`] takes that back.
    pub fn eval(&mut self, cx: &mut Cx) -> Result<Vec<f64>> {
        let steps = self.steps();
        cx.work(steps)?;
        cx.hold(0, steps * 8)?;
        Ok(match self {
            Self::Const(v, steps) => vec![*v; *steps],
            Self::Time(grid) => (0..grid.steps()).map(|i| grid.time(i) as f64 / 1000.0).collect(),
            Self::Date(f, grid) => (0..grid.steps()).map(|i| dates::of(*f, (grid.time(i) / 1000) as f64)).collect(),
            Self::Negate(inner) => {
                let mut values = inner.eval(cx)?;
                cx.release(0, steps * 8);
                values.iter_mut().for_each(|v| *v = -*v);
                values
            }
            Self::Pair(pair, a, b) => {
                let (mut left, right) = (a.eval(cx)?, b.eval(cx)?);
                for (l, r) in left.iter_mut().zip(&right) {
                    *l = match pair {
                        Pair::Op(op) => scalar_op(*op, *l, *r),
                        Pair::Min => go_min(*l, *r),
                        Pair::Max => go_max(*l, *r),
                    };
                }
                drop_values(right, cx);
                cx.release(0, steps * 8);
                left
            }
            Self::FromVector(stream, steps) => {
                let mut values = vec![f64::NAN; *steps];
                let mut seen = vec![0u8; *steps];
                while let Some(series) = cx.next(stream)? {
                    for (i, v) in series.column.floats() {
                        seen[i] = seen[i].saturating_add(1);
                        values[i] = if seen[i] == 1 { v } else { f64::NAN };
                    }
                    cx.recycle(series.column);
                }
                values
            }
        })
    }

    fn steps(&self) -> usize {
        match self {
            Self::Const(_, steps) | Self::FromVector(_, steps) => *steps,
            Self::Time(grid) | Self::Date(_, grid) => grid.steps(),
            Self::Negate(inner) | Self::Pair(_, inner, _) => inner.steps(),
        }
    }
}

/// Lets values go that [`ScalarOp::eval`] gave.
pub(crate) fn drop_values(values: Vec<f64>, cx: &mut Cx) {
    cx.release(0, values.len() * 8);
}
