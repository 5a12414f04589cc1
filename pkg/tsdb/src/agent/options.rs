//! How the store behaves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::Clock;

use crate::journal::JournalOptions;

/// How an [`super::AgentStore`] behaves.
#[derive(Clone)]
pub struct AgentOptions {
    /// How the log is written.
    pub journal: JournalOptions,
    /// Do without the lock: for file systems that have none.
    pub no_lockfile: bool,
    /// Series that had a sample in this time are not forgotten, and their samples are not deleted, ms
    /// (`--storage.agent.retention.min-time`).
    pub retention_min_ms: i64,
    /// Samples older than this are deleted though they are not sent, ms (`--storage.agent.retention.max-time`).
    pub retention_max_ms: i64,
    /// The oldest segments are deleted while the log is larger, sent or not; 0 = no limit, bytes
    /// (`--storage.agent.retention.size`).
    pub retention_bytes: u64,
    /// How often old segments are looked for.
    pub truncate_interval: Duration,
    /// How late a sample may be, ms.
    pub out_of_order_ms: i64,
    /// Series at most; 0 = no limit.
    pub series_max: usize,
    /// Start timestamps are logged.
    pub start_timestamps: bool,
    /// Metadata is logged.
    pub metadata_records: bool,
    /// A random number that writers do not know: the key of the digests of labels.
    pub seed: u64,
    /// Tells how old samples are.
    pub clock: Arc<dyn Clock>,
}

impl AgentOptions {
    /// Prometheus' defaults.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            journal: JournalOptions::default(),
            no_lockfile: false,
            retention_min_ms: 5 * 60 * 1000,
            retention_max_ms: 4 * 3600 * 1000,
            retention_bytes: 0,
            truncate_interval: Duration::from_secs(300),
            out_of_order_ms: 0,
            series_max: 0,
            start_timestamps: false,
            metadata_records: false,
            seed: 0,
            clock,
        }
    }
}

impl fmt::Debug for AgentOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentOptions").field("journal", &self.journal).finish_non_exhaustive()
    }
}
