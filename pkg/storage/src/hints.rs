//! Hints: what a source says of an answer's cost beside the answer, for those who ask (StoreAPI response hints).

use std::time::Duration;

use parking_lot::Mutex;

use crate::origin::{self, Origin};

/// Filled by the source while it answers, read by the asker when the answer has ended. Shared by clones of a
/// [`crate::Ctx`]; sources without hints leave it empty.
#[derive(Debug, Default)]
pub struct HintSink(Mutex<Hints>);

/// The hints of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// Ids of the blocks that were queried, each once.
    pub blocks: Vec<String>,
    /// Zero where the source does not count.
    pub stats: ReadStats,
    /// What sources sent, each with each resolution once.
    pub origins: Vec<Origin>,
}

/// What one request read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadStats {
    /// Postings lists that were read.
    pub postings: ItemStats,
    /// Series entries that were read.
    pub series: ItemStats,
    /// Chunks that were read.
    pub chunks: ItemStats,
    /// Bytes fetched from the bucket.
    pub downloaded_bytes: u64,
    /// Series in the answer.
    pub merged_series: u64,
    /// Chunks in the answer.
    pub merged_chunks: u64,
    /// Time until the first series was ready.
    pub get_all: Duration,
    /// Time from the first series to the end.
    pub merge: Duration,
}

/// Counts of one kind of item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ItemStats {
    /// Items read from the bucket or a cache.
    pub touched: u64,
    /// Bytes of the items touched.
    pub touched_bytes: u64,
    /// Items fetched from the bucket.
    pub fetched: u64,
    /// Bytes of the items fetched.
    pub fetched_bytes: u64,
    /// Rounds of requests to the bucket.
    pub fetches: u64,
}

impl ReadStats {
    /// Both counts together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let items = |a: ItemStats, b: ItemStats| ItemStats {
            touched: a.touched.saturating_add(b.touched),
            touched_bytes: a.touched_bytes.saturating_add(b.touched_bytes),
            fetched: a.fetched.saturating_add(b.fetched),
            fetched_bytes: a.fetched_bytes.saturating_add(b.fetched_bytes),
            fetches: a.fetches.saturating_add(b.fetches),
        };
        Self {
            postings: items(self.postings, other.postings),
            series: items(self.series, other.series),
            chunks: items(self.chunks, other.chunks),
            downloaded_bytes: self.downloaded_bytes.saturating_add(other.downloaded_bytes),
            merged_series: self.merged_series.saturating_add(other.merged_series),
            merged_chunks: self.merged_chunks.saturating_add(other.merged_chunks),
            get_all: self.get_all.saturating_add(other.get_all),
            merge: self.merge.saturating_add(other.merge),
        }
    }
}

impl HintSink {
    /// Adds blocks that are queried.
    pub fn add_blocks(&self, ids: impl IntoIterator<Item = String>) {
        self.0.lock().blocks.extend(ids);
    }

    /// Adds what a source sent.
    pub fn add_origin(&self, origin: Origin) {
        origin::add(&mut self.0.lock().origins, origin);
    }

    /// Adds what one of several sources told.
    pub fn add(&self, told: Hints) {
        let mut own = self.0.lock();
        own.blocks.extend(told.blocks);
        own.blocks.sort_unstable();
        own.blocks.dedup();
        own.stats = own.stats.plus(told.stats);
        told.origins.into_iter().for_each(|origin| origin::add(&mut own.origins, origin));
    }

    /// Replaces the counts by those at the end.
    pub fn set_stats(&self, stats: ReadStats) {
        self.0.lock().stats = stats;
    }

    /// The hints so far.
    pub fn hints(&self) -> Hints {
        self.0.lock().clone()
    }
}
