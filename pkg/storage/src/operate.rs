//! What a server tells and does for its operator beside queries: its local TSDB ([`TsdbAdmin`], [`TsdbView`]) and its
//! scrapes ([`ScrapeView`]). The HTTP API asks these; a TSDB and a scrape manager answer. Views must answer in bounded time
//! from what is in memory, and never wait for a scrape, a compaction or a commit.

use std::collections::BTreeMap;
use std::fmt;

use futures::future::BoxFuture;
use labels::{Labels, Matcher};
use model::{MetricMetadata, TimeRange};

use crate::{Ctx, Result};

/// Deletes from a local TSDB and copies it. One call runs at a time; others wait or fail with
/// [`crate::Error::Unavailable`]. Dropping the future stops the work at a place where nothing is left half done.
pub trait TsdbAdmin: fmt::Debug + Send + Sync {
    /// Deletes the samples in `range` of the series that match any of `selectors`. They are hidden from every reader that
    /// begins later, and stay hidden after a restart; their disk space comes back with compaction or
    /// [`TsdbAdmin::clean_tombstones`].
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`] while the TSDB is not open; I/O. Part of the deletion may be in force then: repeat it.
    fn delete_series(
        &self,
        ctx: &Ctx,
        selectors: Vec<Vec<Matcher>>,
        range: TimeRange,
    ) -> BoxFuture<'static, Result<()>>;

    /// Rewrites the blocks with deleted samples without them, one at a time.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`] while the TSDB is not open; I/O. Every block is whole then, rewritten or as before.
    fn clean_tombstones(&self, ctx: &Ctx) -> BoxFuture<'static, Result<()>>;

    /// Makes a copy of all blocks (hard links) and, unless `skip_head`, of the head as one more block. Its answer is the
    /// directory's name below `snapshots/` in the data directory.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`] while the TSDB is not open; I/O. Nothing is left of a snapshot that failed.
    fn snapshot(&self, ctx: &Ctx, skip_head: bool) -> BoxFuture<'static, Result<String>>;
}

/// What a local TSDB tells of itself.
pub trait TsdbView: fmt::Debug + Send + Sync {
    /// The blocks that are served, by time: the JSON of each one's `meta.json`.
    fn blocks(&self) -> Vec<String>;

    /// How far the replay of the write-ahead log is.
    fn replay(&self) -> ReplayProgress;

    /// Corrupt parts of the write-ahead log that were found since the start; `prometheus_tsdb_wal_corruptions_total`.
    fn corruptions(&self) -> u64;
}

/// A place in the replay of a write-ahead log, by the numbers of its segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplayProgress {
    /// The first segment to be read.
    pub min: u64,
    /// The last segment to be read.
    pub max: u64,
    /// The segment that is read now; `max` when all are read.
    pub current: u64,
    /// Whether the replay is over, so that every answer is complete.
    pub done: bool,
}

/// What a scrape manager tells beside [`crate::TargetsSource`].
pub trait ScrapeView: fmt::Debug + Send + Sync {
    /// Names of all configured pools (`job_name`), sorted, those without targets too.
    fn pools(&self) -> Vec<String>;

    /// The effective configuration of a pool as YAML, secrets blotted out; `None` if there is no such pool.
    fn pool_config(&self, pool: &str) -> Option<String>;

    /// What each relabel rule of a pool, in turn, makes of the labels of a discovered target. Every rule has a step; those
    /// after one that dropped the target have an empty output and are not kept. `None` if there is no such pool.
    fn relabel_steps(&self, pool: &str, discovered: &Labels) -> Option<Vec<RelabelStep>>;

    /// Targets that relabelling dropped, by pool: all of them, though `keep_dropped_targets` may bound how many are kept.
    /// Pools with none count 0.
    fn dropped_counts(&self) -> BTreeMap<String, u64>;

    /// Type, help and unit of metrics as active targets exposed them last.
    fn target_metadata(&self, want: &TargetMetadataQuery) -> Vec<TargetMetadata>;
}

/// A relabel rule and its outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct RelabelStep {
    /// The rule.
    pub rule: RelabelRule,
    /// The labels after it; empty if the target is dropped.
    pub output: Labels,
    /// False if it, or a rule before it, dropped the target.
    pub keep: bool,
}

/// A relabel rule as the HTTP API shows it, its defaults filled in.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(missing_docs, reason = "the configuration's own names")]
pub struct RelabelRule {
    pub source_labels: Vec<String>,
    pub separator: String,
    pub regex: String,
    pub modulus: u64,
    pub target_label: String,
    pub replacement: String,
    pub action: String,
}

/// Which targets' metadata is wanted.
#[derive(Debug, Clone, Default)]
pub struct TargetMetadataQuery {
    /// All of them match the labels of a target; empty = every target.
    pub matchers: Vec<Matcher>,
    /// One metric, or all when empty.
    pub metric: String,
    /// With so many entries no further target is looked at; 0 = all of them are.
    pub limit: usize,
}

/// What one target says of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetMetadata {
    /// The target's labels.
    pub target: Labels,
    /// The metric family.
    pub metric: String,
    /// Its type, help and unit.
    pub metadata: MetricMetadata,
}
