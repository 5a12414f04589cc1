//! Passes over all groups: a fair share for each tenant, several tasks at a time. A group that fails does not stop others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio_util::sync::CancellationToken;

use crate::compactor::Compactor;
use crate::error::Error;
use crate::planning::Work;
use crate::run_task::Outcome;
use crate::snapshot::Snapshot;
use crate::task::Task;

/// How often in a pass a task may find the bucket changed before its lease is given up.
const STALE_MAX: u32 = 3;

/// The outcome of a pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pass {
    /// Tasks that changed the bucket.
    pub done: u64,
    pub failed: u64,
    /// Groups that another compactor works on.
    pub busy: u64,
}

/// What a pass waits for.
enum Event {
    Done(Box<Task>, Outcome),
    Synced(Result<(Arc<Snapshot>, Vec<Task>), Error>),
}

/// Tasks by tenant, for a fair share.
#[derive(Debug, Default)]
struct Fairness {
    running: BTreeMap<String, u64>,
    /// Tasks begun in this pass.
    served: BTreeMap<String, u64>,
}

impl Fairness {
    /// A task of the tenant with the fewest running tasks, then with the fewest tasks in this pass.
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

/// Bookkeeping of a pass: which tasks may begin, and how tasks ended.
#[derive(Debug, Default)]
struct Ledger {
    pass: Pass,
    running: usize,
    /// Leases of running tasks.
    busy: BTreeSet<String>,
    /// Leases for which nothing more is tried in this pass.
    given_up: BTreeSet<String>,
    /// How often tasks of a lease found the bucket changed.
    stale: BTreeMap<String, u32>,
    fairness: Fairness,
}

impl Ledger {
    /// Takes the next task out of `tasks`, with all others of its lease.
    fn begin(&mut self, tasks: &mut Vec<Task>) -> Option<Task> {
        tasks.retain(|t| !self.busy.contains(&t.lease) && !self.given_up.contains(&t.lease));
        let task = tasks.remove(self.fairness.choose(tasks)?);
        tasks.retain(|t| t.lease != task.lease);
        self.busy.insert(task.lease.clone());
        self.fairness.begin(&task.tenant);
        self.running += 1;
        Some(task)
    }

    /// Records how a task ended. True if the bucket is to be read again before another task begins.
    fn end(&mut self, task: &Task, outcome: Outcome, is_quarantined: impl FnOnce() -> bool) -> bool {
        self.running -= 1;
        self.busy.remove(&task.lease);
        self.fairness.end(&task.tenant);
        let gives_up = match outcome {
            Outcome::Progress => {
                self.pass.done += 1;
                false
            }
            Outcome::Stale => {
                let times = self.stale.entry(task.lease.clone()).or_default();
                *times += 1;
                *times >= STALE_MAX
            }
            Outcome::Busy => {
                self.pass.busy += 1;
                true
            }
            Outcome::Failed => {
                self.pass.failed += 1;
                // If only a block was quarantined, the rest of its group goes on.
                is_quarantined()
            }
            Outcome::Cancelled => false,
        };
        if gives_up {
            self.given_up.insert(task.lease.clone());
        }
        !matches!(outcome, Outcome::Busy | Outcome::Cancelled)
    }
}

impl Compactor {
    /// Downsamples all that is due, as one of any number of compactors.
    ///
    /// # Errors
    /// When the bucket cannot be read; tasks under way are waited for.
    pub async fn downsample(&self, cancel: &CancellationToken) -> Result<Pass, Error> {
        self.pass(Work::Downsampling, cancel).await
    }

    /// Works until nothing is left that this compactor can do now.
    ///
    /// # Errors
    /// When the bucket cannot be read; tasks under way are waited for.
    pub(crate) async fn pass(&self, work: Work, cancel: &CancellationToken) -> Result<Pass, Error> {
        let concurrency = match work {
            Work::Compaction => self.settings.compaction_concurrency,
            Work::Downsampling => self.settings.downsample_concurrency,
        };
        let mut ledger = Ledger::default();
        let mut failure = None;
        // Tasks and syncs are polled together: a task that is not polled renews no lease and may hold what a sync waits
        // for.
        let mut running = FuturesUnordered::new();
        let sync = || async { Event::Synced(self.sync_and_plan(work).await) }.boxed();
        running.push(sync());
        // Whether the sync under way began before the last change.
        let mut outdated = false;
        let mut seen: Option<(Arc<Snapshot>, Vec<Task>)> = None;
        loop {
            if let Some((snapshot, tasks)) = &mut seen {
                while ledger.running < concurrency.max(1) && !cancel.is_cancelled() && failure.is_none() {
                    let Some(task) = ledger.begin(tasks) else { break };
                    let snapshot = snapshot.clone();
                    let run = async move {
                        let outcome = self.run_task(&task, &snapshot, cancel).await;
                        Event::Done(Box::new(task), outcome)
                    };
                    running.push(run.boxed());
                }
            }
            match running.next().await {
                None => break,
                Some(Event::Synced(_)) if outdated => {
                    outdated = false;
                    running.push(sync());
                }
                Some(Event::Synced(Ok(found))) => seen = Some(found),
                Some(Event::Synced(Err(e))) => failure = Some(e),
                Some(Event::Done(task, outcome)) => {
                    let now_ms = self.deps.clock.now_ms();
                    let is_quarantined = || self.quarantine.lock().has_group(&task.lease, now_ms);
                    if ledger.end(&task, outcome, is_quarantined) {
                        match seen.take() {
                            Some(_) => running.push(sync()),
                            None => outdated = true,
                        }
                    }
                }
            }
        }
        if let Some(e) = failure {
            return Err(e);
        }
        if work == Work::Compaction && !cancel.is_cancelled() {
            self.metrics.iterations.inc();
        }
        Ok(ledger.pass)
    }

    async fn sync_and_plan(&self, work: Work) -> Result<(Arc<Snapshot>, Vec<Task>), Error> {
        let snapshot = self.sync().await?;
        let tasks = self.tasks(work, &snapshot).await?;
        Ok((snapshot, tasks))
    }
}
