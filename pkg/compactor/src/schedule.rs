//! Passes over all groups: a fair share for each tenant, several tasks at a time, one bad group no matter to the others.

use std::collections::{BTreeMap, BTreeSet};

use block::BlockId;
use bucket::marks::{self, MARK_VERSION, Marked, NO_COMPACT_MARK, NoCompactMark};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio_util::sync::CancellationToken;

use crate::compactor::Compactor;
use crate::error::Error;
use crate::run::Outcome;
use crate::snapshot::Snapshot;
use crate::task::{Next, Task};

/// A task that finds the bucket changed is made anew so often within a pass.
const STALE_MAX: u32 = 3;

/// Which tasks a pass is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Deletion of series, retention of series, merging.
    Compaction,
    /// Making coarser.
    Downsampling,
}

/// How a pass went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pass {
    /// Tasks that changed the bucket.
    pub done: u64,
    /// Tasks that failed.
    pub failed: u64,
    /// Groups that another compactor works on.
    pub busy: u64,
}

#[derive(Debug, Default)]
struct Fairness {
    running: BTreeMap<String, u64>,
    served: BTreeMap<String, u64>,
}

impl Fairness {
    /// The task of whom least was done for: of running tasks first, then of all in this pass.
    fn choose(&self, tasks: &[Task]) -> Option<usize> {
        let of = |map: &BTreeMap<String, u64>, tenant: &str| map.get(tenant).copied().unwrap_or_default();
        (0..tasks.len()).min_by_key(|at| {
            let tenant = &tasks[*at].tenant;
            (of(&self.running, tenant), of(&self.served, tenant), *at)
        })
    }

    fn begin(&mut self, tenant: &str) {
        *self.running.entry(tenant.to_owned()).or_default() += 1;
        *self.served.entry(tenant.to_owned()).or_default() += 1;
    }

    fn end(&mut self, tenant: &str) {
        if let Some(running) = self.running.get_mut(tenant) {
            *running = running.saturating_sub(1);
        }
    }
}

impl Compactor {
    /// Works until nothing is left that this compactor can do now.
    ///
    /// # Errors
    /// When the bucket cannot be looked at; tasks under way are waited for.
    pub(crate) async fn pass(&self, work: Work, cancel: &CancellationToken) -> Result<Pass, Error> {
        let concurrency = match work {
            Work::Compaction => self.settings.compaction_concurrency,
            Work::Downsampling => self.settings.downsample_concurrency,
        };
        let mut pass = Pass::default();
        let mut running = FuturesUnordered::new();
        let mut busy: BTreeSet<String> = BTreeSet::new();
        let mut given_up: BTreeSet<String> = BTreeSet::new();
        let mut stale: BTreeMap<String, u32> = BTreeMap::new();
        let mut fairness = Fairness::default();
        let mut failure = None;
        let mut snapshot = self.sync().await?;
        let mut tasks = self.tasks(work, &snapshot).await?;
        loop {
            tasks.retain(|t| !busy.contains(&t.lease) && !given_up.contains(&t.lease));
            while running.len() < concurrency.max(1) && !cancel.is_cancelled() && failure.is_none() {
                let Some(at) = fairness.choose(&tasks) else { break };
                let task = tasks.remove(at);
                tasks.retain(|t| t.lease != task.lease);
                busy.insert(task.lease.clone());
                fairness.begin(&task.tenant);
                let snapshot = snapshot.clone();
                running.push(async move {
                    let outcome = self.run_task(&task, &snapshot, cancel).await;
                    (task, outcome)
                });
            }
            let Some((task, outcome)) = running.next().await else { break };
            busy.remove(&task.lease);
            fairness.end(&task.tenant);
            match outcome {
                Outcome::Progress => pass.done += 1,
                Outcome::Stale => {
                    let times = stale.entry(task.lease.clone()).or_default();
                    *times += 1;
                    if *times >= STALE_MAX {
                        given_up.insert(task.lease.clone());
                    }
                }
                Outcome::Busy => {
                    pass.busy += 1;
                    given_up.insert(task.lease.clone());
                    continue;
                }
                Outcome::Failed => {
                    pass.failed += 1;
                    // a block may have been left out: the rest of the group goes on
                    if self.quarantine.lock().has_group(&task.lease, self.clock.now_ms()) {
                        given_up.insert(task.lease.clone());
                    }
                }
                Outcome::Cancelled => continue,
            }
            match self.look_again(work).await {
                Ok(found) => (snapshot, tasks) = found,
                Err(e) => failure = Some(e),
            }
        }
        match failure {
            Some(e) => Err(e),
            None => {
                if work == Work::Compaction && !cancel.is_cancelled() {
                    self.metrics.iterations.inc();
                }
                Ok(pass)
            }
        }
    }

    async fn look_again(&self, work: Work) -> Result<(std::sync::Arc<Snapshot>, Vec<Task>), Error> {
        let snapshot = self.sync().await?;
        let tasks = self.tasks(work, &snapshot).await?;
        Ok((snapshot, tasks))
    }

    /// All tasks there are, at most one for each lease. Blocks that planning finds too large are marked on the way.
    async fn tasks(&self, work: Work, snapshot: &Snapshot) -> Result<Vec<Task>, Error> {
        let (tasks, too_large) = self.planned(work, snapshot);
        for id in too_large {
            let mark = NoCompactMark {
                id,
                version: MARK_VERSION,
                details: format!(
                    "the index of a merged block could exceed {} bytes with this block",
                    self.settings.index_bytes_max
                ),
                no_compact_time: self.clock.now_ms().div_euclid(1000),
                reason: "index-size-exceeding".to_owned(),
            };
            if marks::write(&self.bucket, &mark).await? == Marked::Now {
                self.metrics.marked.with(&[NO_COMPACT_MARK, &mark.reason]).inc();
                tracing::warn!(block = %id, "block marked as not to be compacted, its index is too large");
            }
        }
        Ok(tasks)
    }

    /// Tasks, and blocks to be marked as not to be compacted.
    pub(crate) fn planned(&self, work: Work, snapshot: &Snapshot) -> (Vec<Task>, Vec<BlockId>) {
        let now_ms = self.clock.now_ms();
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

    /// Finishes commits of compactors that died, also of groups for which nothing is planned.
    pub(crate) async fn recover_all(&self, snapshot: &Snapshot) -> u64 {
        let mut finished = 0;
        for (key, listed) in &snapshot.leases {
            let Some(entry) = &listed.entry else { continue };
            if entry.commit.is_none() || !self.leases.is_free(key, listed.number, listed.written_ms, entry) {
                continue;
            }
            match self.recover_one(key).await {
                Ok(true) => finished += 1,
                Ok(false) => {}
                Err(e) => {
                    tracing::warn!(lease = key, err = %e, "what another compactor had decided is not finished yet")
                }
            }
        }
        finished
    }

    async fn recover_one(&self, key: &str) -> Result<bool, crate::commit::CommitError> {
        use crate::commit::Recovered;
        use crate::lease::Claim;
        let Claim::Held(lease) = self.leases.claim(key, None).await? else { return Ok(false) };
        let outcome = tokio::select! {
            biased;
            outcome = self.committer.recover(&lease) => outcome,
            () = lease.keep() => Ok(Recovered::Nothing),
        };
        if !lease.lost().is_cancelled() {
            lease.release().await?;
        }
        let recovered = outcome?;
        if recovered != Recovered::Nothing {
            let label = if recovered == Recovered::Finished { "finished" } else { "given up" };
            self.metrics.recovered.with(&[label]).inc();
        }
        Ok(recovered != Recovered::Nothing)
    }
}
