//! What one source sent of an answer.

use std::sync::Arc;

use model::TimeRange;

use crate::{Hints, ItemStats};

/// What one source sent at one resolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `head`, `block`, `store`, `sidecar`, …
    pub kind: Arc<str>,
    /// Its address; empty where there is only one.
    pub name: Arc<str>,
    /// The length of a window, ms; 0 = raw samples. Chunks do not say it: it is told by where windows end.
    pub resolution_ms: i64,
    /// From its first sample to its last; `None` = it sent none.
    pub range: Option<TimeRange>,
    /// Requests to it.
    pub requests: u64,
    /// Series in its answers, one in several answers counted in each.
    pub series: u64,
    /// Chunks in its answers.
    pub chunks: u64,
    /// Bytes of these chunks.
    pub bytes: u64,
    /// What it read to answer, where it says so.
    pub read: Option<SourceRead>,
    /// Why its answer is not whole.
    pub error: Option<String>,
}

/// What a source read of its blocks, from the bucket and from its caches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceRead {
    /// Blocks that were asked.
    pub blocks: u64,
    /// Bytes of postings, series and chunks.
    pub bytes: u64,
    /// Bytes that came from the bucket for that, with those between what was wanted; the rest was in a cache.
    pub bucket_bytes: u64,
    /// Rounds of requests to the bucket.
    pub bucket_requests: u64,
}

impl SourceRead {
    /// `None` from a source that does not count.
    pub(crate) fn of(hints: &Hints) -> Option<Self> {
        let Hints { blocks, stats, .. } = hints;
        let kinds = [stats.postings, stats.series, stats.chunks];
        let sum = |pick: fn(&ItemStats) -> u64| kinds.iter().map(pick).fold(0, u64::saturating_add);
        let read = Self {
            blocks: blocks.len() as u64,
            bytes: sum(|kind| kind.touched_bytes),
            bucket_bytes: stats.downloaded_bytes,
            bucket_requests: sum(|kind| kind.fetches),
        };
        (read != Self::default()).then_some(read)
    }

    fn add(self, other: Self) -> Self {
        Self {
            // Requests of one query for several selectors ask the same blocks.
            blocks: self.blocks.max(other.blocks),
            bytes: self.bytes.saturating_add(other.bytes),
            bucket_bytes: self.bucket_bytes.saturating_add(other.bucket_bytes),
            bucket_requests: self.bucket_requests.saturating_add(other.bucket_requests),
        }
    }
}

impl Origin {
    pub(crate) fn new(kind: Arc<str>, name: Arc<str>, resolution_ms: i64) -> Self {
        let (range, read, error) = (None, None, None);
        Self { kind, name, resolution_ms, range, requests: 0, series: 0, chunks: 0, bytes: 0, read, error }
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.kind, &self.name, self.resolution_ms) == (&other.kind, &other.name, other.resolution_ms)
    }

    /// Adds what the same source sent for another request.
    pub(crate) fn add(&mut self, other: Self) {
        self.range = joined(self.range, other.range);
        self.requests += other.requests;
        self.series += other.series;
        self.chunks += other.chunks;
        self.bytes += other.bytes;
        self.read = match (self.read, other.read) {
            (Some(a), Some(b)) => Some(a.add(b)),
            (a, b) => a.or(b),
        };
        self.error = self.error.take().or(other.error);
    }
}

/// Adds `origin` to those of the same source and resolution.
pub(crate) fn add(all: &mut Vec<Origin>, origin: Origin) {
    match all.iter_mut().find(|one| one.is_same(&origin)) {
        Some(one) => one.add(origin),
        None => all.push(origin),
    }
}

fn joined(a: Option<TimeRange>, b: Option<TimeRange>) -> Option<TimeRange> {
    match (a, b) {
        (Some(a), Some(b)) => Some(TimeRange::new(a.min.min(b.min), a.max.max(b.max))),
        (a, b) => a.or(b),
    }
}
