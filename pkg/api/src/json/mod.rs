//! JSON as Prometheus writes it, straight into bytes: floats, times, label sets, histograms, and whole results piece by
//! piece. Handlers elsewhere that show the same values write them with this.

mod float;
mod histogram;
mod lists;
mod matrix;
mod objects;
mod points;
mod produce;
mod text;
mod vector;

pub use float::{write_float, write_plain_float, write_timestamp};
pub use lists::{LabelSets, Names};
pub use matrix::MatrixJson;
pub use objects::{LabelObject, Number, Time};
#[cfg(test)]
pub(crate) use produce::whole;
pub use produce::{Counted, Once, Produce};
pub use text::{write_labels, write_string};
pub use vector::VectorJson;
