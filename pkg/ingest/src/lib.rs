//! What receivers of samples have in common: protobuf messages read where they lie, and series that are found by a digest
//! of the bytes that name them, so that a request without new series parses no label.

mod series;
pub mod wire;

pub use series::{Hasher, Known, SeriesCache};
