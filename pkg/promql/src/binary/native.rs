//! Operators where a native histogram is on a side, or on both.

use std::sync::Arc;

use histogram::{FloatHistogram, ResetHint};
use promql_syntax::{BinaryOp, Span};

use super::arith::is_trim;
use crate::eval::Cx;
use crate::native::{Kept, compact, divide, equal, multiply, trim};
use crate::notes::{Note, Notes};

/// One side of an operator at a step.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operand<'a> {
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

/// What an operator gives.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// A new value.
    Value(Arc<FloatHistogram>),
    /// Of a comparison: whether the left side is kept.
    Compared(bool),
    /// The operator is not for these sides: the pair counts as not matched.
    None,
}

/// What is to be told of the operators of one pair of series.
#[derive(Debug, Default)]
pub(crate) struct Told {
    notes: Notes,
    /// Kinds that do not fit: float with float, float with histogram, histogram with float, two histograms.
    kinds: [bool; 4],
    /// Custom and exponential buckets.
    layouts: bool,
}

impl Told {
    /// The sides have kinds that the operator is not for.
    fn refuse(&mut self, l: Operand<'_>, r: Operand<'_>) -> Outcome {
        let bit = |side| usize::from(matches!(side, Operand::Histogram(_)));
        self.kinds[2 * bit(l) + bit(r)] = true;
        Outcome::None
    }

    /// Turns everything into annotations.
    pub fn annotate(self, op: BinaryOp, span: Span, cx: &mut Cx) {
        let names = ["float", "histogram"];
        for (i, _) in self.kinds.iter().enumerate().filter(|(_, told)| **told) {
            cx.annotations.incompatible_types(names[i / 2], op.as_str(), names[i % 2], span);
        }
        if self.layouts {
            cx.annotations.incompatible_buckets(op.as_str(), span);
        }
        cx.annotations.notes(self.notes, "", span);
    }
}

/// Calculates one step where there is a histogram, or the operator is for histograms only.
pub(crate) fn calculate(op: BinaryOp, l: Operand<'_>, r: Operand<'_>, told: &mut Told) -> Outcome {
    use Operand::{Float, Histogram};
    match (l, r) {
        (Float(factor), Histogram(h)) | (Histogram(h), Float(factor)) if op == BinaryOp::Mul => {
            changed(h, |h| multiply(h, factor))
        }
        (Histogram(h), Float(divisor)) if op == BinaryOp::Div => changed(h, |h| divide(h, divisor)),
        (Histogram(h), Float(at)) if is_trim(op) => {
            let kept = if op == BinaryOp::TrimUpper { Kept::Below } else { Kept::Above };
            let mut out = (**h).clone();
            trim(&mut out, at, kept);
            Outcome::Value(Arc::new(out))
        }
        (Histogram(a), Histogram(b)) => match op {
            BinaryOp::Add | BinaryOp::Sub => sum(op, a, b, told),
            BinaryOp::Equal => Outcome::Compared(equal(a, b)),
            BinaryOp::NotEqual => Outcome::Compared(!equal(a, b)),
            _ => told.refuse(l, r),
        },
        _ => told.refuse(l, r),
    }
}

fn changed(h: &FloatHistogram, f: impl FnOnce(&mut FloatHistogram)) -> Outcome {
    let mut out = h.clone();
    f(&mut out);
    compact(&mut out);
    Outcome::Value(Arc::new(out))
}

fn sum(op: BinaryOp, a: &FloatHistogram, b: &FloatHistogram, told: &mut Told) -> Outcome {
    let mut out = a.clone();
    let is_sum = op == BinaryOp::Add;
    let combined = match if is_sum { out.add(b) } else { out.sub(b) } {
        Ok(combined) => combined,
        Err(_) => {
            told.layouts = true;
            return Outcome::None;
        }
    };
    let (colliding, reconciled) = match is_sum {
        true => (Note::CollidingAddition, Note::ReconciledAddition),
        false => (Note::CollidingSubtraction, Note::ReconciledSubtraction),
    };
    if combined.hints_collide {
        told.notes.add(colliding);
        return Outcome::None;
    }
    told.notes.add_if(combined.bounds_reconciled, reconciled);
    if !is_sum {
        out.reset_hint = ResetHint::Gauge;
    }
    compact(&mut out);
    Outcome::Value(Arc::new(out))
}
