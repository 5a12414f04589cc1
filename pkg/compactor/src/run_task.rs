//! One task, from claim to commit.

use std::sync::Arc;

use block::{BlockId, BlockMeta, META_FILE};
use bucket::marks::{self, DeletionMark, MARK_VERSION, Marked, NO_DOWNSAMPLE_MARK, NoDownsampleMark};
use merge::{Finished, Progress};
use parking_lot::Mutex;
use service::Failpoints;
use tokio_util::sync::CancellationToken;

use crate::commit::{CommitError, Recovered};
use crate::compactor::Compactor;
use crate::decision::{Commit, Kind};
use crate::engine::{EngineError, RunOptions};
use crate::lease::{Claim, Lease, LeaseError};
use crate::metrics::resolution;
use crate::output;
use crate::policy::Verdict;
use crate::quarantine::STALE_MAX;
use crate::snapshot::Snapshot;
use crate::task::Task;

/// Details of the mark on inputs of which no samples are left.
const NOTHING_LEFT: &str = "no samples left";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The bucket has changed.
    Progress,
    /// Another compactor works there.
    Busy,
    /// The bucket has changed since the task was planned: it is to be read again.
    Stale,
    /// It failed, which is logged, and its group or block is left alone for a while.
    Failed,
    /// The compactor stops.
    Cancelled,
}

/// What a failed task's operator may do.
const HINT_BLOCK: &str =
    "the block is corrupt and is left out; verify it, restore it from a copy, or mark it for deletion";
const HINT_DISK: &str = "check the space and the permissions of --data-dir";
const HINT_BUCKET: &str = "check that the bucket can be reached and written to";
const HINT_OTHER: &str = "see the reason; if it stays, mark the blocks as not to be compacted and report it";

impl Compactor {
    /// Runs a task that was made from `snapshot`.
    pub(crate) async fn run_task(&self, task: &Task, snapshot: &Snapshot, cancel: &CancellationToken) -> Outcome {
        let known = snapshot.lease_number(&task.lease);
        let lease = match self.leases.claim(&task.lease, Some(known)).await {
            Ok(Claim::Held(lease)) => lease,
            Ok(Claim::Busy { holder }) => {
                tracing::debug!(lease = task.lease, holder, "another compactor works there");
                return Outcome::Busy;
            }
            Ok(Claim::Moved) => return Outcome::Stale,
            Err(e) => {
                self.fail(task, &e.into());
                return Outcome::Failed;
            }
        };
        let progress = Arc::new(Progress::default());
        let number = self.status.begin(task, progress.clone(), self.deps.clock.now_ms());
        self.metrics.running.with(&[task.kind.name()]).inc();
        let began = std::time::Instant::now();
        let stop = cancel.child_token();
        let is_killed = |outcome: &Result<Outcome, CommitError>| {
            matches!(outcome, Err(CommitError::Failpoint(_) | CommitError::Engine(EngineError::Failpoint(_))))
        };
        let outcome = lease.held_for(self.work(task, &lease, &progress, &stop), &stop, is_killed).await;
        self.metrics.running.with(&[task.kind.name()]).dec();
        let now_ms = self.deps.clock.now_ms();
        let (outcome, text) = match outcome {
            Ok(Outcome::Stale) => (self.stale(task, now_ms), "stale".to_owned()),
            Ok(outcome) => {
                if outcome == Outcome::Progress {
                    self.quarantine.lock().clear_group(&task.lease);
                }
                (outcome, format!("{outcome:?}").to_lowercase())
            }
            Err(_) if cancel.is_cancelled() => (Outcome::Cancelled, "cancelled".to_owned()),
            Err(CommitError::Engine(EngineError::Vanished(block))) => {
                tracing::info!(%block, "block was deleted meanwhile, planning again");
                (self.stale(task, now_ms), "a block was deleted meanwhile".to_owned())
            }
            Err(CommitError::Lease(e @ LeaseError::Lost { .. })) => {
                self.metrics.leases_lost.inc();
                tracing::warn!(err = %e, group = task.selector, "work stopped");
                (Outcome::Stale, e.to_string())
            }
            Err(CommitError::Engine(EngineError::Cancelled)) => {
                self.metrics.leases_lost.inc();
                (Outcome::Stale, "lease lost".to_owned())
            }
            Err(e) => {
                self.fail(task, &e);
                (Outcome::Failed, e.to_string())
            }
        };
        if outcome == Outcome::Progress && task.kind == Kind::Downsampling {
            let seconds = &self.metrics.downsample_seconds;
            seconds.with(&[&resolution(task.resolution_ms)]).observe(began.elapsed().as_secs_f64());
        }
        self.status.end(number, text, outcome == Outcome::Progress, now_ms);
        outcome
    }

    /// A task found the bucket changed. If that happens to the same plan again and again, its group is left alone.
    fn stale(&self, task: &Task, now_ms: i64) -> Outcome {
        let mut quarantine = self.quarantine.lock();
        if !quarantine.is_stuck(&task.lease, &task.inputs()) {
            return Outcome::Stale;
        }
        let reason =
            format!("listings show blocks that are gone or replaced when they are read, {STALE_MAX} times in a row");
        quarantine.add_group(&task.lease, &reason, HINT_BUCKET, now_ms);
        drop(quarantine);
        self.metrics.retries.inc();
        tracing::error!(
            group = task.selector,
            kind = task.kind.name(),
            reason,
            hint = HINT_BUCKET,
            "task given up for now"
        );
        Outcome::Failed
    }

    /// Records a failure in the log and the metrics, and leaves the block or the group alone for a while.
    fn fail(&self, task: &Task, error: &CommitError) {
        let now_ms = self.deps.clock.now_ms();
        let text = error.to_string();
        let by = &resolution(task.resolution_ms);
        let failures =
            if task.kind == Kind::Downsampling { &self.metrics.downsample_failures } else { &self.metrics.failures };
        failures.with(&[by]).inc();
        let is_transient = match error {
            CommitError::Lease(e) => e.is_transient(),
            CommitError::Bucket(e) => e.is_transient(),
            CommitError::Engine(e) => matches!(e, EngineError::Transient(_)),
            CommitError::Failpoint(_) => true,
        };
        if is_transient {
            self.metrics.retries.inc();
        }
        let mut quarantine = self.quarantine.lock();
        let corrupt = match error {
            CommitError::Engine(EngineError::Corrupt { block, .. }) => Some(*block),
            CommitError::Bucket(bucket::Error::Corrupt { block, .. }) => Some(*block),
            _ => None,
        };
        if let Some(block) = corrupt.filter(|block| task.inputs().contains(block)) {
            quarantine.add_block(block, &text, HINT_BLOCK, now_ms);
            drop(quarantine);
            tracing::error!(%block, group = task.selector, err = text, hint = HINT_BLOCK, "block is corrupt, others go on without it");
            return;
        }
        let hint = match error {
            CommitError::Engine(EngineError::Local(_)) => HINT_DISK,
            _ if is_transient => HINT_BUCKET,
            _ => HINT_OTHER,
        };
        quarantine.add_group(&task.lease, &text, hint, now_ms);
        let case = quarantine.groups().get(&task.lease).cloned();
        drop(quarantine);
        let again = case.map(|c| model::format_rfc3339_ms(c.until_ms)).unwrap_or_default();
        tracing::error!(
            group = task.selector,
            kind = task.kind.name(),
            err = text,
            hint,
            again,
            "task failed, the group is left alone until then, others go on"
        );
    }

    async fn work(
        &self,
        task: &Task,
        lease: &Arc<Lease>,
        progress: &Arc<Progress>,
        stop: &CancellationToken,
    ) -> Result<Outcome, CommitError> {
        match self.committer.recover(lease).await? {
            Recovered::Nothing => {}
            recovered => {
                let outcome = if recovered == Recovered::Finished { "finished" } else { "given up" };
                self.metrics.recovered.with(&[outcome]).inc();
                return Ok(Outcome::Progress);
            }
        }
        if !self.inputs_stand(task).await? || !self.is_due(task, lease) {
            return Ok(Outcome::Stale);
        }
        let by = resolution(task.resolution_ms);
        self.begin_count(task, &by);
        let made = Arc::new(Mutex::new(Vec::new()));
        let first = (self.deps.next_id)();
        made.lock().push(first);
        lease.renew(Some(vec![first])).await?;
        let mut job = task.job.clone();
        job.meta.ulid = first;
        let (next_id, noted) = (self.deps.next_id.clone(), made.clone());
        let options = RunOptions {
            dir: self.settings.dir.join("compact").join(&task.lease),
            next_id: Arc::new(move || {
                let id = next_id();
                noted.lock().push(id);
                id
            }),
        };
        let began = std::time::Instant::now();
        tracing::info!(task = task.text(), "task begins");
        let finished = self.deps.engine.run(&job, &options, progress, stop).await?;
        self.count(task, &finished);
        let mut outputs: Vec<BlockMeta> = finished.outputs.into_iter().map(|o| o.meta).collect();
        if outputs.len() > 1 {
            output::split(&mut outputs);
        }
        let ids: Vec<BlockId> = outputs.iter().map(|m| m.ulid).collect();
        if ids != [first] {
            lease.renew(Some(ids.clone())).await?;
        }
        if outputs.is_empty() && (task.kind == Kind::Downsampling || !task.may_be_empty) {
            return self.nothing_left(task).await;
        }
        for meta in &outputs {
            if let Err(e) = self.committer.verify(meta, self.settings.verify).await {
                self.discard(&ids).await;
                return Err(e.into());
            }
        }
        if !self.inputs_stand(task).await? {
            self.discard(&ids).await;
            return Ok(Outcome::Stale);
        }
        let is_empty = outputs.is_empty();
        let details = task.replaces.clone().unwrap_or_default();
        let commit = Commit {
            kind: task.kind,
            inputs: task.inputs(),
            no_compact: outputs.len() > 1 || task.no_compact,
            outputs,
            replaced: if task.replaces.is_some() { task.inputs() } else { Vec::new() },
            details: if is_empty { format!("{NOTHING_LEFT}: {details}") } else { details },
        };
        let commit = match self.committer.decide(lease, commit).await {
            Ok(commit) => commit,
            Err(e @ CommitError::Lease(LeaseError::Lost { .. })) => {
                // Another compactor works on the group now, and these outputs will never be visible.
                self.discard(&ids).await;
                return Err(e);
            }
            Err(e) => return Err(e),
        };
        self.committer.carry_out(lease, &commit).await?;
        self.end_count(task, &by, is_empty);
        let names: Vec<String> = ids.iter().map(BlockId::to_string).collect();
        tracing::info!(task = task.text(), blocks = names.join(", "), took = ?began.elapsed(), "task done");
        Ok(Outcome::Progress)
    }

    /// Whether all inputs are still there and not marked for deletion.
    async fn inputs_stand(&self, task: &Task) -> Result<bool, CommitError> {
        for id in task.inputs() {
            if !self.deps.bucket.exists(&format!("{id}/{META_FILE}")).await?
                || marks::read::<DeletionMark>(&self.deps.bucket, id).await?.is_some()
            {
                tracing::info!(block = %id, "block is gone or marked for deletion since it was chosen");
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the series that retention deletes are due by the store's clock too.
    fn is_due(&self, task: &Task, lease: &Lease) -> bool {
        let now_ms = self.both_clocks(lease).earlier_ms();
        if task.kind != Kind::Retention {
            return true;
        }
        let is_due = task.job.inputs.iter().all(|input| match self.settings.policy.verdict(&input.meta, now_ms) {
            Verdict::Keep => false,
            Verdict::Whole { .. } => true,
            Verdict::Partly(due) => {
                let rewrites = task.job.meta.thanos.iter().flat_map(|t| &t.rewrites).next_back();
                let taken = rewrites.iter().flat_map(|r| &r.deletions_applied);
                taken.into_iter().all(|d| due.iter().any(|due| due.id == d.request_id))
            }
        });
        if !is_due {
            tracing::warn!(
                group = task.selector,
                "series are past their retention by this machine's clock and not by the store's, they are kept"
            );
        }
        is_due
    }

    /// A downsampling that left nothing is not tried again; a merge that should have left something has failed.
    async fn nothing_left(&self, task: &Task) -> Result<Outcome, CommitError> {
        if task.kind != Kind::Downsampling {
            let text = "the merge left no samples of blocks that have some".to_owned();
            return Err(EngineError::Refused(text).into());
        }
        for id in task.inputs() {
            let mark = NoDownsampleMark {
                id,
                version: MARK_VERSION,
                details: "there is nothing to downsample".to_owned(),
                no_downsample_time: self.deps.clock.now_ms().div_euclid(1000),
                reason: "manual".to_owned(),
            };
            if marks::write(&self.deps.bucket, &mark).await? == Marked::Now {
                self.metrics.marked.with(&[NO_DOWNSAMPLE_MARK, &mark.reason]).inc();
            }
        }
        Ok(Outcome::Progress)
    }

    /// Removes outputs that no decision names. What cannot be removed is cleaned up later as a partial upload.
    async fn discard(&self, ids: &[BlockId]) {
        for id in ids {
            if let Err(e) = bucket::delete::delete_block(&self.deps.bucket, *id, &Failpoints::none()).await {
                tracing::debug!(block = %id, err = %e, "unused block not removed");
            }
        }
    }

    fn begin_count(&self, task: &Task, by: &str) {
        if task.kind == Kind::Compaction {
            self.metrics.runs_started.with(&[by]).inc();
        }
    }

    fn end_count(&self, task: &Task, by: &str, is_empty: bool) {
        let m = &self.metrics;
        match task.kind {
            Kind::Compaction => {
                m.runs_completed.with(&[by]).inc();
                if !is_empty {
                    m.compactions.with(&[by]).inc();
                    if task.overlapping {
                        m.vertical.with(&[by]).inc();
                    }
                }
            }
            Kind::Downsampling => {
                m.downsamples.with(&[by]).inc();
            }
            Kind::Deletion | Kind::Retention => {
                m.rewrites.with(&[task.kind.name()]).inc();
            }
        }
        if task.replaces.is_some() {
            m.garbage_blocks.inc_by(task.inputs().len() as u64);
        }
    }

    fn count(&self, task: &Task, finished: &Finished) {
        let m = &self.metrics;
        m.bytes.with(&["read"]).inc_by(finished.counts.bytes_read);
        m.bytes.with(&["written"]).inc_by(finished.counts.bytes_written);
        let r = &finished.repairs;
        let repairs = [
            ("labels out of order", r.labels_out_of_order),
            ("series twice", r.series_twice),
            ("chunks out of order", r.chunks_out_of_order),
            ("chunks twice", r.chunks_twice),
            ("samples out of order", r.samples_out_of_order),
            ("samples outside of the block", r.samples_outside),
        ];
        for (what, count) in repairs {
            if count > 0 {
                m.repairs.with(&[what]).inc_by(count);
                tracing::warn!(group = task.selector, what, count, "input put right while it was merged");
            }
        }
    }
}
