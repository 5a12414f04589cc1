//! The head's full chunks on disk, in Prometheus' `chunks_head` files.
//!
//! A chunk is written once, behind the others of its file, and read through a mapping of the file. Nothing is written
//! through a mapping, so that a full disk is an error of a write and never a bus error.
//!
//! At start all chunks are walked through and their checksums compared. That costs little: a chunk is far shorter than a
//! page of memory, so that walking from head to head reads all pages anyway, and checksums run at the speed of memory. They
//! are read, not mapped, as long as they hold together, so that they do not count as memory.
//! What it gives: a corrupt chunk is known before the log is replayed, which still has its samples.
//!
//! Format: <https://github.com/prometheus/prometheus/blob/main/tsdb/docs/format/head_chunks.md>.

mod files;
mod format;
mod holes;
mod scan;
mod store;
#[cfg(test)]
mod tests;

pub use format::MappedChunk;
pub use holes::without_holes;
pub use store::{Loaded, MappedChunks, MappedOptions};
