//! Passes over all groups: a fair share for each tenant, several tasks at a time, one bad group no matter to the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use block::BlockId;
use bucket::marks::{self, MARK_VERSION, Marked, NO_COMPACT_MARK, NoCompactMark};
use futures::FutureExt;
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

/// What a pass waits for.
enum Event {
    Done(Box<Task>, Outcome),
    Looked(Result<(Arc<Snapshot>, Vec<Task>), Error>),
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
        // tasks and looks at the bucket together: a task that nobody polls would neither renew its lease nor give back
        // what the look may be waiting for
        let mut running = FuturesUnordered::new();
        let mut count = 0;
        let mut busy: BTreeSet<String> = BTreeSet::new();
        let mut given_up: BTreeSet<String> = BTreeSet::new();
        let mut stale: BTreeMap<String, u32> = BTreeMap::new();
        let mut fairness = Fairness::default();
        let mut failure = None;
        let look = || async { Event::Looked(self.look_again(work).await) }.boxed();
        running.push(look());
        // whether what the look under way shows is old already
        let mut outdated = false;
        let mut seen: Option<(Arc<Snapshot>, Vec<Task>)> = None;
        loop {
            if let Some((snapshot, tasks)) = &mut seen {
                tasks.retain(|t| !busy.contains(&t.lease) && !given_up.contains(&t.lease));
                while count < concurrency.max(1) && !cancel.is_cancelled() && failure.is_none() {
                    let Some(at) = fairness.choose(tasks) else { break };
                    let task = tasks.remove(at);
                    tasks.retain(|t| t.lease != task.lease);
                    busy.insert(task.lease.clone());
                    fairness.begin(&task.tenant);
                    count += 1;
                    let snapshot = snapshot.clone();
                    let run = async move {
                        let outcome = self.run_task(&task, &snapshot, cancel).await;
                        Event::Done(Box::new(task), outcome)
                    };
                    running.push(run.boxed());
                }
            }
            let (task, outcome) = match running.next().await {
                None => break,
                Some(Event::Looked(_)) if outdated => {
                    outdated = false;
                    running.push(look());
                    continue;
                }
                Some(Event::Looked(found)) => {
                    match found {
                        Ok(found) => seen = Some(found),
                        Err(e) => failure = Some(e),
                    }
                    continue;
                }
                Some(Event::Done(task, outcome)) => (task, outcome),
            };
            count -= 1;
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
            // nothing is begun from what was seen before this
            match seen.take() {
                Some(_) => running.push(look()),
                None => outdated = true,
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

    async fn look_again(&self, work: Work) -> Result<(Arc<Snapshot>, Vec<Task>), Error> {
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
        let outcome = lease.held_unless_lost(self.committer.recover(&lease)).await;
        let recovered = outcome.transpose()?.unwrap_or(Recovered::Nothing);
        if recovered != Recovered::Nothing {
            let label = if recovered == Recovered::Finished { "finished" } else { "given up" };
            self.metrics.recovered.with(&[label]).inc();
        }
        Ok(recovered != Recovered::Nothing)
    }
}
