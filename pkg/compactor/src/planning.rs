//! From a snapshot of the bucket to tasks and the backlog.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use block::BlockId;
use bucket::marks::{self, MARK_VERSION, Marked, NO_COMPACT_MARK, NoCompactMark};

use crate::backlog::{self, Backlog};
use crate::compactor::Compactor;
use crate::error::Error;
use crate::retention::{self, Action, Decision, Situation};
use crate::snapshot::Snapshot;
use crate::task::{Context, Next, Task};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Deletion of series, retention of series, merging.
    Compaction,
    Downsampling,
}

impl Compactor {
    /// All tasks, at most one for each lease. Blocks whose index would become too large are marked as not to be compacted.
    pub(crate) async fn tasks(&self, work: Work, snapshot: &Snapshot) -> Result<Vec<Task>, Error> {
        let (tasks, too_large) = self.planned(work, snapshot);
        for id in too_large {
            let mark = NoCompactMark {
                id,
                version: MARK_VERSION,
                details: format!(
                    "the index of a merged block could exceed {} bytes with this block",
                    self.settings.index_bytes_max
                ),
                no_compact_time: self.deps.clock.now_ms().div_euclid(1000),
                reason: "index-size-exceeding".to_owned(),
            };
            if marks::write(&self.deps.bucket, &mark).await? == Marked::Now {
                self.metrics.marked.with(&[NO_COMPACT_MARK, &mark.reason]).inc();
                tracing::warn!(block = %id, "block marked as not to be compacted, its index is too large");
            }
        }
        Ok(tasks)
    }

    /// All tasks, and the blocks to be marked as not to be compacted.
    pub(crate) fn planned(&self, work: Work, snapshot: &Snapshot) -> (Vec<Task>, Vec<BlockId>) {
        let now_ms = self.deps.clock.now_ms();
        let mut too_large = Vec::new();
        let mut tasks = self.with_context(snapshot, |context| match work {
            Work::Downsampling => context.downsamplings(),
            Work::Compaction => {
                let nexts = snapshot.groups.values().filter_map(|group| context.next(group));
                let mut tasks = Vec::new();
                for next in nexts {
                    match next {
                        Next::Task(task) => tasks.push(*task),
                        Next::TooLarge(blocks) => too_large.extend(blocks),
                    }
                }
                tasks
            }
        });
        let quarantine = self.quarantine.lock();
        let mut seen = BTreeSet::new();
        tasks.retain(|t| !quarantine.has_group(&t.lease, now_ms) && seen.insert(t.lease.clone()));
        (tasks, too_large)
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

    /// Calls `f` with the context that tasks are made from.
    pub(crate) fn with_context<T>(&self, snapshot: &Snapshot, f: impl FnOnce(&Context) -> T) -> T {
        let now_ms = self.deps.clock.now_ms();
        // A clock that is ahead must not delete anything early.
        let decisions = self.decisions(snapshot, now_ms.saturating_sub(self.known.ahead_ms.load(Ordering::Relaxed)));
        let quarantine = self.quarantine.lock();
        f(&Context { snapshot, settings: &self.settings, quarantine: &quarantine, decisions: &decisions, now_ms })
    }

    /// The merges that are foreseen, by group.
    pub(crate) fn backlog(&self, snapshot: &Snapshot) -> BTreeMap<String, Backlog> {
        let bytes = |id: BlockId| snapshot.bytes(id);
        let of = |group| backlog::of_group(group, &self.settings.ranges_ms, &snapshot.no_compact, &bytes);
        snapshot.groups.iter().map(|(key, group)| (key.clone(), of(group))).collect()
    }

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
