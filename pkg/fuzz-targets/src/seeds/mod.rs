//! Well-formed inputs, small, made by our own writers.

mod blocks;
mod chunks;
mod texts;
mod wire;

pub(crate) use blocks::*;
pub(crate) use chunks::*;
pub(crate) use texts::*;
pub(crate) use wire::*;

const T0: i64 = 1_700_000_000_000;
