//! The operators on two numbers.

use promql_syntax::BinaryOp;

/// Between scalars: comparisons give 0 or 1.
pub(crate) fn scalar_op(op: BinaryOp, l: f64, r: f64) -> f64 {
    match compare(op, l, r) {
        Some(kept) => f64::from(u8::from(kept)),
        None => arithmetic(op, l, r),
    }
}

/// What a comparison says; `None` for other operators.
#[inline]
pub(crate) fn compare(op: BinaryOp, l: f64, r: f64) -> Option<bool> {
    Some(match op {
        BinaryOp::Equal => l == r,
        BinaryOp::NotEqual => l != r,
        BinaryOp::Greater => l > r,
        BinaryOp::Less => l < r,
        BinaryOp::GreaterEqual => l >= r,
        BinaryOp::LessEqual => l <= r,
        _ => return None,
    })
}

/// What an arithmetic operator gives; NaN for operators that are none.
#[inline]
pub(crate) fn arithmetic(op: BinaryOp, l: f64, r: f64) -> f64 {
    match op {
        BinaryOp::Add => l + r,
        BinaryOp::Sub => l - r,
        BinaryOp::Mul => l * r,
        BinaryOp::Div => l / r,
        BinaryOp::Mod => l % r,
        BinaryOp::Pow => l.powf(r),
        BinaryOp::Atan2 => l.atan2(r),
        _ => f64::NAN,
    }
}

/// Whether the result is no longer the metric it came from.
pub(crate) fn changes_metric(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Pow | BinaryOp::Atan2
    )
}

/// Whether the operator is for histograms only.
pub(crate) fn is_trim(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower)
}
