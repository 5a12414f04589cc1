//! How blocks are read.

use super::fetch::FetchOptions;
use crate::header::HeaderOptions;

/// The same for all blocks.
#[derive(Debug, Clone)]
pub(crate) struct ReadOptions {
    pub(crate) fetch: FetchOptions,
    pub(crate) header: HeaderOptions,
    /// Series and postings of an index that take no more are read and kept whole.
    pub(crate) whole_index_bytes: u64,
    /// So many bytes of such indexes are kept on disk.
    pub(crate) index_disk_bytes: u64,
    /// Series of one block fetched at a time, at most.
    pub(crate) batch_series: usize,
    /// Guess for a series entry whose length is not known.
    pub(crate) series_bytes: u64,
    /// Guess for a chunk whose length is not known.
    pub(crate) chunk_bytes: u64,
    /// A longer series entry or chunk is taken for corrupt.
    pub(crate) item_bytes_max: u64,
}
