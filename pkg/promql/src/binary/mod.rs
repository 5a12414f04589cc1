//! Binary operators.

pub(crate) mod arith;
pub(crate) mod join;
pub(crate) mod matching;
pub(crate) mod native;
mod one_side;
pub(crate) mod set;
pub(crate) mod with_scalar;
