//! What a source tells of its own work beside its answer, for those who ask (StoreAPI response hints).

use std::time::Duration;

use parking_lot::Mutex;

/// Filled by the source while it answers, read by the asker when the answer has ended. Shared by clones of a
/// [`crate::Ctx`]; sources that have nothing to tell leave it empty.
#[derive(Debug, Default)]
pub struct Report(Mutex<Told>);

/// What was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Ids of the blocks that were asked, each once.
    pub blocks: Vec<String>,
    /// Counts, where the source counts.
    pub work: Work,
}

/// Counts of one request's work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Postings lists.
    pub postings: DataWork,
    /// Series entries.
    pub series: DataWork,
    /// Chunks.
    pub chunks: DataWork,
    /// Bytes fetched from the bucket.
    pub downloaded_bytes: u64,
    /// Series in the answer.
    pub merged_series: u64,
    /// Chunks in the answer.
    pub merged_chunks: u64,
    /// Until the first series was ready.
    pub get_all: Duration,
    /// From then to the end.
    pub merge: Duration,
}

/// Counts of one kind of data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DataWork {
    /// Items looked at, from the bucket or a cache.
    pub touched: u64,
    /// Their bytes.
    pub touched_bytes: u64,
    /// Items fetched from the bucket.
    pub fetched: u64,
    /// Their bytes.
    pub fetched_bytes: u64,
    /// Rounds of fetching.
    pub fetches: u64,
}

impl Report {
    /// Notes blocks that are asked.
    pub fn blocks(&self, ids: impl IntoIterator<Item = String>) {
        self.0.lock().blocks.extend(ids);
    }

    /// Notes the counts.
    pub fn work(&self, work: Work) {
        self.0.lock().work = work;
    }

    /// What was told so far.
    pub fn told(&self) -> Told {
        self.0.lock().clone()
    }
}
