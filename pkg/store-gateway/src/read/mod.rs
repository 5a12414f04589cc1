//! Reading one block by ranges: postings, then series entries, then chunks. Each step is one round of requests that run
//! at the same time; what was longer than guessed, or arrived damaged, costs one more.

use crate::header::HeaderOptions;

mod chunks;
mod fetch;
mod gone;
mod names;
mod order;
mod postings;
mod series;
mod stream;

pub(crate) use fetch::{FetchOptions, JoinRule, get_clamped, replaced};
pub(crate) use names::{LabelsOf, Names};
pub(crate) use stream::{Wanted, stream};

/// How to read; the same for all blocks.
#[derive(Debug, Clone)]
pub(crate) struct ReadOptions {
    pub(crate) fetch: FetchOptions,
    pub(crate) header: HeaderOptions,
    /// Series of one block fetched at a time, at most.
    pub(crate) batch_series: usize,
    /// Guess for a series entry whose length is not known.
    pub(crate) series_bytes: u64,
    /// Guess for a chunk whose length is not known.
    pub(crate) chunk_bytes: u64,
    /// A longer series entry or chunk is taken for damaged.
    pub(crate) item_bytes_max: u64,
}
