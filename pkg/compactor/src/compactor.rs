//! The compactor without its listeners: what it is made from and what it holds.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use block::BlockId;
use bucket::{FetchOptions, MetaFetcher, SyncMetrics};
use model::Clock;
use objstore::{Bucket, ConditionalCreate};
use parking_lot::Mutex;
use service::Failpoints;
use telemetry::Metrics;

use crate::commit::Committer;
use crate::engine::{Engine, NextId};
use crate::lease::{Lease, LeaseOptions, Leases};
use crate::metrics::CompactMetrics;
use crate::quarantine::Quarantine;
use crate::settings::Settings;
use crate::snapshot::Snapshot;
use crate::status::Status;

/// Now, by two clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) local_ms: i64,
    pub(crate) store_ms: i64,
}

impl Now {
    pub(crate) fn earlier_ms(self) -> i64 {
        self.local_ms.min(self.store_ms)
    }
}

#[derive(Clone)]
pub struct Deps {
    /// The bucket with the blocks.
    pub bucket: Bucket,
    /// Whether it honours conditional creates.
    pub conditional: ConditionalCreate,
    pub clock: Arc<dyn Clock>,
    /// The store's time of day; `None` = taken from the store's answers.
    pub store_clock: Option<Arc<dyn Clock>>,
    pub metrics: Metrics,
    pub engine: Arc<dyn Engine>,
    /// This process' name among compactors. No other process, past or present, may have it.
    pub holder: String,
    /// Makes ids of new blocks.
    pub next_id: NextId,
    pub fetch: FetchOptions,
    /// `compact.before_commit`, `compact.after_commit`, `compact.after_meta`, `compact.after_mark`,
    /// `compact.before_done`, and those of deletions.
    pub failpoints: Failpoints,
}

impl std::fmt::Debug for Deps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deps").field("bucket", &self.bucket).field("holder", &self.holder).finish_non_exhaustive()
    }
}

/// One compactor over one bucket.
///
/// Its work is in other files, in the order of the data: [`crate::sync`] reads the bucket, [`crate::planning`] finds tasks,
/// [`crate::pass`] runs several at a time, [`crate::run_task`] runs one, [`crate::recovery`] carries out what dead
/// compactors had decided, [`crate::clean`] and [`crate::unfinished`] delete.
pub struct Compactor {
    pub(crate) settings: Settings,
    pub(crate) deps: Deps,
    pub(crate) metrics: CompactMetrics,
    pub(crate) leases: Leases,
    pub(crate) committer: Committer,
    pub(crate) view: BucketView,
    /// Tasks under way and ended ones.
    pub(crate) status: Status,
    /// What failed and is left alone for a while.
    pub(crate) quarantine: Mutex<Quarantine>,
    pub(crate) known: Known,
}

/// The bucket as this process last read it.
pub(crate) struct BucketView {
    pub(crate) fetcher: MetaFetcher,
    pub(crate) metrics: SyncMetrics,
    pub(crate) latest: Mutex<Arc<Snapshot>>,
    /// Held while the bucket is read.
    pub(crate) syncing: tokio::sync::Mutex<()>,
}

/// What this process has learnt besides.
#[derive(Default)]
pub(crate) struct Known {
    /// By how much this machine's clock was ahead of the store's when both were last known, ms.
    pub(crate) ahead_ms: AtomicI64,
    /// Blocks that were read and found sound, to replace others.
    pub(crate) verified: Mutex<HashSet<BlockId>>,
    /// The store does not list unfinished uploads, and that was logged.
    pub(crate) uploads_unknown: AtomicBool,
}

impl std::fmt::Debug for Compactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compactor").field("holder", &self.leases.holder()).finish_non_exhaustive()
    }
}

impl Compactor {
    /// A compactor that has not read the bucket yet.
    pub fn new(settings: Settings, deps: Deps) -> Self {
        let metrics = CompactMetrics::new(&deps.metrics, settings.delete_delay_ms);
        let sync_metrics = SyncMetrics::new(&deps.metrics);
        let options = LeaseOptions {
            ttl: settings.lease_ttl,
            // Without conditional creates a lease cannot keep two compactors apart.
            single_instance: settings.single_instance || deps.conditional == ConditionalCreate::Ignored,
            conditional: deps.conditional,
        };
        let committer = Committer {
            bucket: deps.bucket.clone(),
            engine: deps.engine.clone(),
            depth: settings.verify,
            clock: deps.clock.clone(),
            metrics: metrics.clone(),
            failpoints: deps.failpoints.clone(),
        };
        let view = BucketView {
            fetcher: MetaFetcher::new(deps.bucket.clone(), deps.fetch.clone(), sync_metrics.clone()),
            metrics: sync_metrics,
            latest: Mutex::default(),
            syncing: tokio::sync::Mutex::new(()),
        };
        Self {
            quarantine: Mutex::new(Quarantine::new(settings.backoff_min_ms, settings.backoff_max_ms)),
            leases: Leases::new(deps.bucket.clone(), deps.clock.clone(), deps.holder.clone(), options),
            settings,
            deps,
            metrics,
            committer,
            view,
            status: Status::default(),
            known: Known::default(),
        }
    }

    /// Now by this machine's clock, and by the store's clock as of the last version of `lease`.
    pub(crate) fn both_clocks(&self, lease: &Lease) -> Now {
        let local_ms = self.deps.clock.now_ms();
        let store_ms = self.deps.store_clock.as_ref().map_or_else(|| lease.store_now_ms(), |c| c.now_ms());
        let skew_ms = local_ms.saturating_sub(store_ms);
        self.metrics.skew_seconds.set(skew_ms as f64 / 1000.0);
        self.known.ahead_ms.store(skew_ms.max(0), Ordering::Relaxed);
        Now { local_ms, store_ms }
    }
}
