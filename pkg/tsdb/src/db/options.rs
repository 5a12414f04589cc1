//! How a database behaves, and what it gets from outside.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use block::BlockId;
use model::Clock;
use service::Failpoints;
use storage::Budget;
use telemetry::Metrics;

use super::disk::{Disk, RealDisk};
use crate::head::HeadOptions;
use crate::journal::JournalOptions;

/// Two hours, which blocks of Prometheus have.
pub const DEFAULT_BLOCK_MS: i64 = 2 * 3_600_000;
/// Blocks are never longer than this where the option does not say it.
const BLOCK_MS_MAX: i64 = 31 * 24 * 3_600_000;

/// How long data is kept. Reloadable.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Retention {
    /// Blocks whose end lies this far behind the newest block's are deleted; 0 = kept, ms.
    pub time_ms: i64,
    /// The oldest blocks are deleted while all files together take more; 0 = no limit, bytes.
    pub size_bytes: u64,
    /// The same, in percent of the file system; prevails over `size_bytes`. 0 = no limit.
    pub percentage: f64,
}

/// How a database behaves.
#[derive(Debug, Clone)]
pub struct TsdbOptions {
    /// Length of the blocks that are cut from the head, ms.
    pub block_ms: i64,
    /// Longest block that compaction makes, ms; 0 = a tenth of the retention, at most 31 days.
    pub block_ms_max: i64,
    /// How long data is kept.
    pub retention: Retention,
    /// What the head takes and holds. Its chunks span [`Self::block_ms`].
    pub head: HeadOptions,
    /// How the log is written.
    pub journal: JournalOptions,
    /// Do without the lock: for file systems that have none.
    pub no_lockfile: bool,
    /// Whether blocks are merged into longer ones. Off where they are uploaded as they are.
    pub compaction: bool,
    /// Whether blocks that overlap are merged.
    pub overlapping_compaction: bool,
    /// Where the blocks that were uploaded are listed (`thanos.shipper.json`): those not listed are not merged yet.
    pub delay_compact_file: Option<PathBuf>,
    /// How often blocks are looked for in the directory.
    pub reload_interval: Duration,
    /// How often full chunks of the head are moved to files.
    pub map_interval: Duration,
    /// Open chunks are saved when the log got so much longer, bytes; where they are large, they wait for a multiple of them.
    pub unsaved_bytes: u64,
    /// Whether the head is written at the end, so that the next start need not replay the whole log.
    pub memory_snapshot: bool,
    /// Threads that decode the log at a start, and as many that fill the head.
    pub replay_threads: usize,
    /// Largest chunk segment of a block, bytes.
    pub segment_bytes: u64,
    /// Memory of a compaction's buffers, bytes.
    pub compaction_bytes: u64,
}

impl Default for TsdbOptions {
    /// Prometheus' defaults, with a retention of 15 days.
    fn default() -> Self {
        Self {
            block_ms: DEFAULT_BLOCK_MS,
            block_ms_max: 0,
            retention: Retention { time_ms: 15 * 24 * 3_600_000, ..Retention::default() },
            head: HeadOptions::default(),
            journal: JournalOptions::default(),
            no_lockfile: false,
            compaction: true,
            overlapping_compaction: true,
            delay_compact_file: None,
            reload_interval: Duration::from_secs(60),
            map_interval: Duration::from_secs(1),
            unsaved_bytes: 8 << 20,
            memory_snapshot: false,
            replay_threads: crate::replay::threads(),
            segment_bytes: block::MAX_SEGMENT_BYTES,
            compaction_bytes: 64 << 20,
        }
    }
}

impl TsdbOptions {
    /// The longest block that compaction may make, ms.
    pub fn longest_block_ms(&self) -> i64 {
        match (self.block_ms_max, self.retention.time_ms) {
            (max, _) if max > 0 => max,
            (_, time_ms) if time_ms > 0 => (time_ms / 10).clamp(self.block_ms, BLOCK_MS_MAX),
            _ => BLOCK_MS_MAX,
        }
    }
}

/// What a database gets from outside.
#[derive(Clone)]
pub struct TsdbDeps {
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Where metrics are registered.
    pub metrics: Metrics,
    /// Places where tests end the process.
    pub failpoints: Failpoints,
    /// Random numbers, for the ids of blocks.
    pub random: Arc<dyn Fn() -> u128 + Send + Sync>,
    /// Memory of background reads.
    pub budget: Arc<Budget>,
    /// Changes of files.
    pub disk: Arc<dyn Disk>,
}

impl std::fmt::Debug for TsdbDeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TsdbDeps").field("clock", &self.clock).field("disk", &self.disk).finish_non_exhaustive()
    }
}

impl TsdbDeps {
    /// With the machine's disk, without failpoints and limits.
    pub fn new(clock: Arc<dyn Clock>, metrics: Metrics, random: Arc<dyn Fn() -> u128 + Send + Sync>) -> Self {
        Self {
            clock,
            metrics,
            failpoints: Failpoints::none(),
            random,
            budget: Budget::unlimited(),
            disk: Arc::new(RealDisk),
        }
    }

    /// An id for a new block.
    pub(crate) fn block_id(&self) -> BlockId {
        BlockId::new(self.clock.now_ms().max(0) as u64, (self.random)())
    }
}
