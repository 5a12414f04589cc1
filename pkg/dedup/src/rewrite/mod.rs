//! The chunks of one series from several blocks into one row of chunks that do not overlap.
//!
//! Where nothing overlaps, chunks pass as they are, undecoded. Where chunks overlap they are decoded, samples are
//! chosen, and what is not a whole chunk by itself is rewritten. With [`Method::Penalty`] all raw chunks of a series of
//! several replicas are decoded, since each choice depends on those before.

mod aggregates;
mod choose;
mod chunk;
mod decoded;
mod held;
mod merger;
mod windows;
mod windows_write;
mod write;

pub use chunk::{LaneChunk, MergeError, Merged};
pub use merger::SeriesMerger;
