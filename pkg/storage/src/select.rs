//! What a reader may ask for.

use std::sync::Arc;

use labels::{LabelHasher, Labels, Matcher};
use model::TimeRange;

use crate::Aggregates;

/// Which series, over which time, and how much of them.
#[derive(Debug, Clone)]
pub struct Select {
    /// Samples from `min` to `max`, inclusive; chunks may reach further.
    pub range: TimeRange,
    /// All must match. External labels count as the series' own.
    pub matchers: Arc<[Matcher]>,
    /// Leave the chunks out: only labels are wanted.
    pub skip_chunks: bool,
    /// At most this many series; 0 = all.
    pub limit: usize,
    /// The coarsest resolution that will do, in ms; 0 = raw only.
    pub max_resolution_ms: i64,
    /// Where nothing of the allowed resolution is, coarser will do; and downsampled data is wanted from three of its
    /// windows before `range` to one after it.
    pub coarser: bool,
    /// With `coarser`: no coarser than this, in ms.
    pub coarsest_ms: i64,
    /// Which aggregates to send where a chunk is downsampled.
    pub aggregates: Aggregates,
    /// Labels to leave out of the answer; the order is by what is left (StoreAPI `without_replica_labels`).
    pub without_replica_labels: Arc<[String]>,
    /// Only series of this shard.
    pub shard: Option<Shard>,
    /// What to do when a part of the source fails.
    pub partial_response: PartialResponse,
    /// The step of the range query that asks, 0 for an instant query; a hint.
    pub step_ms: i64,
    /// The PromQL function around the selector; a hint.
    pub function: Option<Arc<str>>,
    /// The names of the labels that the reader looks at, sorted; `None` = all. A source may leave the others out, see
    /// [`crate::Projection`].
    pub labels: Option<Arc<[String]>>,
    /// External-label and `__block_id` matchers a client restricts blocks with (StoreAPI hints); mostly empty.
    pub block_matchers: Arc<[Matcher]>,
}

impl Select {
    /// Everything about the series that match.
    pub fn new(range: TimeRange, matchers: impl Into<Arc<[Matcher]>>) -> Self {
        Self {
            range,
            matchers: matchers.into(),
            skip_chunks: false,
            limit: 0,
            max_resolution_ms: 0,
            coarser: false,
            coarsest_ms: i64::MAX,
            aggregates: Aggregates::NONE,
            without_replica_labels: Arc::from([]),
            shard: None,
            partial_response: PartialResponse::Warn,
            step_ms: 0,
            function: None,
            labels: None,
            block_matchers: Arc::from([]),
        }
    }
}

/// Which label names or values.
#[derive(Debug, Clone)]
pub struct LabelQuery {
    /// Of series with samples here.
    pub range: TimeRange,
    /// Of series that match; empty = all.
    pub matchers: Arc<[Matcher]>,
    /// At most this many; 0 = all.
    pub limit: usize,
    /// Labels that must not show.
    pub without_replica_labels: Arc<[String]>,
    /// What to do when a part of the source fails.
    pub partial_response: PartialResponse,
    /// As in [`Select`].
    pub block_matchers: Arc<[Matcher]>,
}

impl LabelQuery {
    /// Over `range`, of the series that match.
    pub fn new(range: TimeRange, matchers: impl Into<Arc<[Matcher]>>) -> Self {
        Self {
            range,
            matchers: matchers.into(),
            limit: 0,
            without_replica_labels: Arc::from([]),
            partial_response: PartialResponse::Warn,
            block_matchers: Arc::from([]),
        }
    }
}

/// What to do when some of the data cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PartialResponse {
    /// Answer with what there is, and a warning.
    #[default]
    Warn,
    /// The whole answer is an error.
    Abort,
}

/// One of `total` disjoint parts of the series, by a hash of some labels (StoreAPI `ShardInfo`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Which part, from 0.
    pub index: u64,
    /// How many parts there are; below 2 there is no sharding.
    pub total: u64,
    /// Hash the labels in `labels` (true), or all others (false).
    pub by: bool,
    /// Label names that are hashed, or that are left out of the hash.
    pub labels: Vec<String>,
}

impl Shard {
    /// Whether the shard has this series.
    pub fn matches(&self, series: &Labels) -> bool {
        if self.total < 2 {
            return true;
        }
        let mut hasher = LabelHasher::new();
        for (name, value) in series.iter() {
            if self.labels.iter().any(|l| l == name) == self.by {
                hasher.add(name, value);
            }
        }
        hasher.finish() % self.total == self.index
    }
}
