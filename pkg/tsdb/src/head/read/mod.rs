//! Reading the head.

mod chunks;
mod labels;
mod matching;
mod select;

pub(crate) use chunks::in_order;
pub(crate) use select::select;
