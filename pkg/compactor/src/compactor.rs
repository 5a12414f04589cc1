//! The compactor without its listeners: what it holds, and how it looks at the bucket.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Instant;

use block::BlockId;
use bucket::{FetchOptions, MetaFetcher, SyncMetrics};
use model::Clock;
use objstore::{Bucket, ConditionalCreate};
use parking_lot::Mutex;
use service::Failpoints;
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::backlog::{self, Backlog};
use crate::commit::Committer;
use crate::engine::{Engine, NextId};
use crate::error::Error;
use crate::lease::{Lease, LeaseOptions, Leases};
use crate::metrics::CompactMetrics;
use crate::quarantine::Quarantine;
use crate::retention::{self, Action, Decision, Situation};
use crate::schedule::{Pass, Work};
use crate::settings::Settings;
use crate::snapshot::Snapshot;
use crate::status::Status;
use crate::task::Context;

/// No listing is older, ms.
const LISTING_AGE_MS: i64 = 24 * 3_600_000;

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

/// What comes from outside.
#[derive(Clone)]
pub struct Deps {
    /// The bucket with the blocks.
    pub bucket: Bucket,
    /// Whether it honours conditional creates.
    pub conditional: ConditionalCreate,
    /// Time of day.
    pub clock: Arc<dyn Clock>,
    /// The store's time of day; `None` = as its answers tell it.
    pub store_clock: Option<Arc<dyn Clock>>,
    /// Where metrics go.
    pub metrics: Metrics,
    /// Merges and verifies.
    pub engine: Arc<dyn Engine>,
    /// This process' name among compactors: unlike any other's, also of past runs.
    pub holder: String,
    /// Makes ids of new blocks.
    pub next_id: NextId,
    /// How metas are fetched.
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
pub struct Compactor {
    pub(crate) settings: Settings,
    pub(crate) bucket: Bucket,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store_clock: Option<Arc<dyn Clock>>,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) next_id: NextId,
    pub(crate) metrics: CompactMetrics,
    pub(crate) leases: Leases,
    pub(crate) committer: Committer,
    pub(crate) quarantine: Mutex<Quarantine>,
    pub(crate) status: Status,
    pub(crate) failpoints: Failpoints,
    /// How far this machine's clock was ahead of the store's when both were last known, ms.
    ahead_ms: AtomicI64,
    /// Blocks that were read and found sound, to replace others.
    pub(crate) verified: Mutex<HashSet<BlockId>>,
    /// The store does not tell of unfinished uploads, and that was logged.
    pub(crate) uploads_unknown: AtomicBool,
    fetcher: MetaFetcher,
    sync_metrics: SyncMetrics,
    latest: Mutex<Arc<Snapshot>>,
    syncing: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Compactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compactor").field("holder", &self.leases.holder()).finish_non_exhaustive()
    }
}

impl Compactor {
    /// A compactor that has not looked at the bucket yet.
    pub fn new(settings: Settings, deps: Deps) -> Self {
        let metrics = CompactMetrics::new(&deps.metrics, settings.delete_delay_ms);
        let sync_metrics = SyncMetrics::new(&deps.metrics);
        let options = LeaseOptions {
            ttl: settings.lease_ttl,
            // without conditional creates nothing keeps two apart, so leases are only notes
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
        Self {
            quarantine: Mutex::new(Quarantine::new(settings.backoff_min_ms, settings.backoff_max_ms)),
            leases: Leases::new(deps.bucket.clone(), deps.clock.clone(), deps.holder, options),
            fetcher: MetaFetcher::new(deps.bucket.clone(), deps.fetch, sync_metrics.clone()),
            settings,
            bucket: deps.bucket,
            clock: deps.clock,
            store_clock: deps.store_clock,
            engine: deps.engine,
            next_id: deps.next_id,
            metrics,
            committer,
            status: Status::default(),
            failpoints: deps.failpoints,
            ahead_ms: AtomicI64::new(0),
            verified: Mutex::default(),
            uploads_unknown: AtomicBool::new(false),
            sync_metrics,
            latest: Mutex::default(),
            syncing: tokio::sync::Mutex::new(()),
        }
    }

    /// Makes coarser all that is to be, as one of any number of compactors.
    ///
    /// # Errors
    /// When the bucket cannot be looked at; tasks under way are waited for.
    pub async fn downsample(&self, cancel: &CancellationToken) -> Result<Pass, Error> {
        self.pass(Work::Downsampling, cancel).await
    }

    /// What the last look at the bucket showed.
    pub(crate) fn latest(&self) -> Arc<Snapshot> {
        self.latest.lock().clone()
    }

    /// Looks at the bucket: leases, then blocks, then requests.
    pub(crate) async fn sync(&self) -> Result<Arc<Snapshot>, Error> {
        let _one_at_a_time = self.syncing.lock().await;
        // boxed as others of the long ones: nested in one another they fill a thread's stack without optimization
        let outcome = Box::pin(self.look()).await;
        let denied = matches!(&outcome, Err(e) if e.is_denied());
        self.metrics.halted.set(if denied { 1.0 } else { 0.0 });
        let snapshot = Arc::new(outcome?);
        self.sync_metrics.show(&snapshot.view, &snapshot.filtered);
        self.quarantine.lock().retain_blocks(|id| snapshot.view.metas.contains_key(&id));
        self.verified.lock().retain(|id| snapshot.view.metas.contains_key(id));
        *self.latest.lock() = snapshot.clone();
        Ok(snapshot)
    }

    async fn look(&self) -> Result<Snapshot, Error> {
        let began = Instant::now();
        // in this order: what a holder has done since is then seen by its lease
        let leases = self.leases.list().await?;
        let view = self.fetcher.fetch().await?;
        let mut requests = bucket::deletions::list(&self.bucket).await?;
        let metas = view.metas.values().map(|m| &**m);
        bucket::deletions::complete(&self.bucket, &mut requests, metas, self.clock.now_ms() - LISTING_AGE_MS).await?;
        // told once, not with each look
        let before = self.latest();
        for (path, why) in
            requests.unreadable.iter().filter(|(p, why)| before.requests.unreadable.get(*p) != Some(*why))
        {
            tracing::warn!(path, why, "deletion request not readable, nothing is deleted for it");
        }
        for (id, why) in view.failed.iter().filter(|(id, why)| before.view.failed.get(*id) != Some(*why)) {
            tracing::warn!(block = %id, why, "block not readable, others go on without it");
        }
        tracing::debug!(blocks = view.metas.len(), took = ?began.elapsed(), "bucket looked at");
        Ok(Snapshot::new(view, leases, requests, &self.settings, self.clock.now_ms()))
    }

    /// Now by this machine's clock and by the store's, as the lease tells it.
    pub(crate) fn both_clocks(&self, lease: &Lease) -> Now {
        let local_ms = self.clock.now_ms();
        let store_ms = self.store_clock.as_ref().map_or_else(|| lease.store_now_ms(), |c| c.now_ms());
        let skew_ms = local_ms.saturating_sub(store_ms);
        self.metrics.skew_seconds.set(skew_ms as f64 / 1000.0);
        self.ahead_ms.store(skew_ms.max(0), Ordering::Relaxed);
        Now { local_ms, store_ms }
    }

    /// Retention's decisions by block, at `now_ms`.
    pub(crate) fn decisions(&self, snapshot: &Snapshot, now_ms: i64) -> BTreeMap<BlockId, Decision> {
        if self.settings.policy.keeps_all() {
            return BTreeMap::new();
        }
        let situation = Situation {
            policy: &self.settings.policy,
            coverage: &snapshot.coverage,
            no_downsample: &snapshot.no_downsample,
            downsampling_disabled: !self.settings.downsampling,
            now_ms,
        };
        let decisions = retention::decide(snapshot.filtered.kept.values(), &situation);
        decisions.into_iter().map(|d| (d.block.ulid, d)).collect()
    }

    /// Calls `f` with what tasks are made from.
    pub(crate) fn with_context<T>(&self, snapshot: &Snapshot, f: impl FnOnce(&Context) -> T) -> T {
        let now_ms = self.clock.now_ms();
        // a clock that is ahead takes nothing away before its time
        let decisions = self.decisions(snapshot, now_ms.saturating_sub(self.ahead_ms.load(Ordering::Relaxed)));
        let quarantine = self.quarantine.lock();
        f(&Context { snapshot, settings: &self.settings, quarantine: &quarantine, decisions: &decisions, now_ms })
    }

    /// What is foreseen, by group.
    pub(crate) fn backlog(&self, snapshot: &Snapshot) -> BTreeMap<String, Backlog> {
        let bytes = |id: BlockId| snapshot.bytes(id);
        let of = |group| backlog::of_group(group, &self.settings.ranges_ms, &snapshot.no_compact, &bytes);
        snapshot.groups.iter().map(|(key, group)| (key.clone(), of(group))).collect()
    }

    /// Brings the gauges of what is to be done up to date.
    pub(crate) fn show_backlog(&self, snapshot: &Snapshot) {
        let backlog = self.backlog(snapshot);
        let m = &self.metrics;
        m.todo_compactions.set(backlog.values().map(|b| b.compactions).sum::<u64>() as f64);
        m.todo_compaction_blocks.set(backlog.values().map(|b| b.blocks).sum::<u64>() as f64);
        let (downsamplings, due) = self.with_context(snapshot, |context| {
            let due = context.decisions.values().filter(|d| matches!(d.action, Action::Mark(_)));
            (context.downsamplings().len(), due.count())
        });
        m.todo_downsample.set(downsamplings as f64);
        m.todo_deletion.set(due as f64);
        m.requests_pending.set(snapshot.requests.pending().count() as f64);
        let quarantine = self.quarantine.lock();
        m.quarantined.with(&["group"]).set(quarantine.groups().len() as f64);
        m.quarantined.with(&["block"]).set(quarantine.blocks().len() as f64);
    }
}
