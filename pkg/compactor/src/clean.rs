//! Cleaning: marks blocks whose data other blocks hold and blocks past their retention; deletes blocks that were marked
//! long ago, partial uploads, and leases of groups that are gone.
//!
//! Ages are measured by two clocks, this machine's and the store's, and both must say that the time is over. A block that
//! was replaced is deleted only while its replacement is there and can be read.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use block::{BlockId, BlockMeta};
use bucket::Partial;
use bucket::marks::{self, DeletionMark, Marked};
use bucket::partial::{self, Cleanup};
use futures::future::FutureExt;
use futures::stream::{self, StreamExt};
use objstore::Created;

use crate::commit::CommitError;
use crate::compactor::{Compactor, Now};
use crate::decision::{OUTDATED, REWRITTEN, SOURCE_OF_COMPACTED};
use crate::engine::{Depth, EngineError};
use crate::error::Error;
use crate::lease::{CLOCK_SKEW_MS, Claim, Lease};
use crate::output;
use crate::policy::Verdict;
use crate::retention::Action;
use crate::snapshot::Snapshot;

/// Key of the lease for cleaning.
const CLEANING_LEASE: &str = "cleaning";
/// How long leases of groups without blocks are kept, ms.
const LEASE_AGE_MS: i64 = 30 * 24 * 3_600_000;

/// What a pass of cleaning did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleaned {
    pub marked: u64,
    pub deleted: u64,
    pub partial: u64,
    pub aborted: u64,
    pub failed: u64,
    /// Another compactor cleans.
    pub busy: bool,
}

/// What is to become of a block with a deletion mark.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Wait,
    /// To be deleted, if these are readable.
    Delete(BTreeSet<BlockId>),
    /// What should replace it is not there.
    Withhold,
    /// The block that replaced it lacks files: it is used again.
    Restore,
}

impl Compactor {
    /// One pass of cleaning, if no other compactor is at it.
    ///
    /// # Errors
    /// When the bucket cannot be read. Deletions that fail are logged and counted.
    pub(crate) async fn clean(&self) -> Result<Cleaned, Error> {
        let lease = match self.leases.claim(CLEANING_LEASE, None).await {
            Ok(Claim::Held(lease)) => lease,
            Ok(_) => return Ok(Cleaned { busy: true, ..Cleaned::default() }),
            Err(e) => {
                tracing::warn!(err = %e, "cleaning put off");
                return Ok(Cleaned { busy: true, ..Cleaned::default() });
            }
        };
        let outcome = lease.held_unless_lost(Box::pin(self.clean_under(&lease))).await;
        let outcome = outcome.unwrap_or(Ok(Cleaned { busy: true, ..Cleaned::default() }));
        if matches!(&outcome, Ok(cleaned) if !cleaned.busy) {
            self.metrics.cleanups.inc();
        }
        outcome
    }

    async fn clean_under(&self, lease: &Lease) -> Result<Cleaned, Error> {
        let mut snapshot = self.sync().await?;
        if self.recover_all(&snapshot).await > 0 {
            // The snapshot is from before the recovery.
            snapshot = self.sync().await?;
        }
        let now = self.now(lease);
        let mut cleaned = Cleaned::default();
        self.mark_duplicates(&snapshot, lease, now, &mut cleaned).await;
        self.apply_retention(&snapshot, lease, now, &mut cleaned).await;
        self.delete_marked(&snapshot, lease, now, &mut cleaned).await;
        self.delete_partial(&snapshot, lease, now, &mut cleaned).await;
        self.abort_unfinished(&snapshot, lease, now, &mut cleaned).await;
        self.finish_requests(&snapshot, now).await;
        self.forget_leases(&snapshot, now).await;
        Ok(cleaned)
    }

    fn now(&self, lease: &Lease) -> Now {
        let now = self.both_clocks(lease);
        let skew_ms = now.local_ms.saturating_sub(now.store_ms);
        if skew_ms.abs() > CLOCK_SKEW_MS {
            tracing::warn!(
                skew_seconds = skew_ms / 1000,
                "this machine's clock and the store's differ, ages are taken by the slower one"
            );
        }
        now
    }

    /// Marks blocks whose data another block holds in full.
    async fn mark_duplicates(&self, snapshot: &Snapshot, lease: &Lease, now: Now, cleaned: &mut Cleaned) {
        let began = Instant::now();
        self.metrics.garbage.inc();
        // A compactor that stood still wrote meta.json after its block was replaced and deleted. A block that lacks files
        // for a short time only is not such a remnant.
        let is_remnant = |id: &&BlockId| {
            let newest_ms = snapshot.view.objects.get(id).and_then(bucket::BlockObjects::newest_ms);
            let is_old =
                newest_ms.is_some_and(|at| now.earlier_ms().saturating_sub(at) >= self.settings.partial_age_ms);
            is_old && !snapshot.view.deletion_marks.contains_key(id)
        };
        for id in snapshot.duplicates.iter().chain(snapshot.view.broken.keys().filter(is_remnant)) {
            let is_held = snapshot.view.metas.get(id).is_some_and(|m| snapshot.coverage.replacement(m).is_some());
            if !is_held {
                continue;
            }
            match self.mark(*id, OUTDATED, lease).await {
                Ok(Marked::Now) => {
                    cleaned.marked += 1;
                    self.metrics.garbage_blocks.inc();
                }
                Ok(_) => {}
                Err(e) => {
                    self.metrics.garbage_failures.inc();
                    tracing::warn!(block = %id, err = %e, "outdated block not marked");
                }
            }
        }
        self.metrics.garbage_seconds.observe(began.elapsed().as_secs_f64());
    }

    async fn mark(&self, id: BlockId, details: &str, lease: &Lease) -> Result<Marked, CommitError> {
        lease.check().await?;
        Ok(self.committer.mark_for_deletion(id, details).await?)
    }

    /// Marks whole blocks that are past their retention.
    async fn apply_retention(&self, snapshot: &Snapshot, lease: &Lease, now: Now, cleaned: &mut Cleaned) {
        let mut withheld = 0;
        for decision in self.decisions(snapshot, now.earlier_ms()).values() {
            let id = decision.block.ulid;
            match &decision.action {
                Action::Withhold { missing_ms } => {
                    withheld += 1;
                    tracing::info!(block = %id, missing_ms, "block is past its retention and kept until it is downsampled");
                }
                Action::Mark(details) => {
                    if !self.are_readable(snapshot, &decision.relies_on).await {
                        withheld += 1;
                        continue;
                    }
                    match self.mark(id, details, lease).await {
                        Ok(Marked::Now) => cleaned.marked += 1,
                        Ok(_) => {}
                        Err(e) => tracing::warn!(block = %id, err = %e, "block past its retention not marked"),
                    }
                }
                Action::Rewrite(_) => {}
            }
        }
        self.metrics.withheld.with(&["not downsampled"]).set(f64::from(withheld));
    }

    /// Whether blocks can be relied on: all files are there, and their content was read once as far as `--compact.verify`
    /// says.
    async fn are_readable(&self, snapshot: &Snapshot, ids: &BTreeSet<BlockId>) -> bool {
        for id in ids {
            let Some(meta) = snapshot.view.metas.get(id) else { return false };
            if snapshot.view.broken.contains_key(id) {
                return false;
            }
            if self.settings.verify == Depth::Sizes || self.known.verified.lock().contains(id) {
                continue;
            }
            match self.deps.engine.verify(meta, self.settings.verify).await {
                Ok(()) => {
                    self.known.verified.lock().insert(*id);
                }
                Err(e @ EngineError::Corrupt { .. }) => {
                    let hint = "blocks that it replaces are kept; verify it and restore it, or mark it for deletion";
                    tracing::error!(block = %id, err = %e, hint, "block is corrupt, nothing is deleted that it should replace");
                    self.quarantine.lock().add_block(*id, &e.to_string(), hint, self.deps.clock.now_ms());
                    return false;
                }
                Err(e) => {
                    tracing::warn!(block = %id, err = %e, "block not verified, nothing is deleted that it should replace");
                    return false;
                }
            }
        }
        true
    }

    fn fate(&self, snapshot: &Snapshot, id: BlockId, mark: &DeletionMark, now: Now) -> Fate {
        let delay_ms = self.settings.delete_delay_ms;
        let marked_ms = mark.deletion_time.saturating_mul(1000);
        let written_ms =
            snapshot.view.objects.get(&id).and_then(|o| o.deletion_mark()).map_or(i64::MAX, |o| o.last_modified_ms);
        let meta = snapshot.view.metas.get(&id);
        let details = mark.details.as_str();
        let needs_replacement = [SOURCE_OF_COMPACTED, OUTDATED].contains(&details) || details.starts_with(REWRITTEN);
        let replacement = meta.filter(|_| needs_replacement).map(|m| snapshot.coverage.replacement(m));
        if let (Some(None), Some(meta)) = (&replacement, meta)
            && self.is_replaced_by_incomplete(snapshot, meta)
        {
            return Fate::Restore;
        }
        // By both clocks, so that a wrong one deletes nothing.
        if now.local_ms.saturating_sub(marked_ms) <= delay_ms || now.store_ms.saturating_sub(written_ms) <= delay_ms {
            return Fate::Wait;
        }
        match (replacement, meta) {
            (Some(Some(replacement)), _) => Fate::Delete(replacement),
            (Some(None), Some(meta)) => {
                // Retention may have deleted the replacement before.
                let verdict = self.settings.policy.verdict(meta, now.earlier_ms());
                if matches!(verdict, Verdict::Whole { .. }) { Fate::Delete(BTreeSet::new()) } else { Fate::Withhold }
            }
            _ => Fate::Delete(BTreeSet::new()),
        }
    }

    /// Whether the only blocks that hold all data of `meta` lack files.
    fn is_replaced_by_incomplete(&self, snapshot: &Snapshot, meta: &BlockMeta) -> bool {
        let wanted = output::sources(meta);
        snapshot.view.broken.keys().filter(|id| **id != meta.ulid).any(|id| {
            let other = snapshot.view.metas.get(id);
            other.is_some_and(|o| o.resolution_ms() == meta.resolution_ms() && wanted.is_subset(&output::sources(o)))
        })
    }

    /// Deletes blocks that were marked long enough ago.
    async fn delete_marked(&self, snapshot: &Snapshot, lease: &Lease, now: Now, cleaned: &mut Cleaned) {
        let mut withheld = 0;
        let mut doomed = Vec::new();
        for (id, mark) in &snapshot.view.deletion_marks {
            match self.fate(snapshot, *id, mark, now) {
                Fate::Wait => {}
                Fate::Withhold => {
                    withheld += 1;
                    tracing::warn!(block = %id, details = mark.details, "marked block kept: no block is there that replaces it; remove the mark to use it again, or mark it again to delete it");
                }
                Fate::Restore => {
                    tracing::warn!(block = %id, "the block that replaced this one is corrupt: the mark is removed and this block is used again");
                    if lease.check().await.is_ok()
                        && let Err(e) = marks::remove::<DeletionMark>(&self.deps.bucket, *id).await
                    {
                        tracing::warn!(block = %id, err = %e, "mark not removed");
                    }
                }
                Fate::Delete(replacement) => {
                    if self.are_readable(snapshot, &replacement).await {
                        doomed.push(*id);
                    } else {
                        withheld += 1;
                    }
                }
            }
        }
        self.metrics.withheld.with(&["not replaced"]).set(f64::from(withheld));
        let deletions = doomed.into_iter().map(|id| async move { (id, self.delete(id, lease).await) });
        let mut deletions =
            stream::iter(deletions.collect::<Vec<_>>()).buffer_unordered(self.settings.deletion_concurrency.max(1));
        while let Some((id, outcome)) = deletions.next().await {
            if self.count_deletion(id, outcome) {
                cleaned.deleted += 1;
            } else {
                cleaned.failed += 1;
            }
        }
    }

    async fn delete(&self, id: BlockId, lease: &Lease) -> Result<(), CommitError> {
        lease.check().await?;
        Ok(bucket::delete::delete_block(&self.deps.bucket, id, &self.deps.failpoints).await?)
    }

    fn count_deletion(&self, id: BlockId, outcome: Result<(), CommitError>) -> bool {
        match outcome {
            Ok(()) => {
                self.metrics.cleaned.inc();
                true
            }
            Err(e) => {
                self.metrics.clean_failures.inc();
                tracing::warn!(block = %id, err = %e, "block not deleted, tried again next time");
                false
            }
        }
    }

    /// Deletes abandoned partial uploads. A block with a corrupt `meta.json` is none.
    async fn delete_partial(&self, snapshot: &Snapshot, lease: &Lease, now: Now, cleaned: &mut Cleaned) {
        let used = self.used(snapshot);
        for (id, why) in &snapshot.view.partial {
            if let Partial::CorruptMeta(what) = why {
                tracing::warn!(block = %id, what, "meta.json is corrupt: the block is kept and not used; restore the file or delete the block");
            }
        }
        let abandoned = snapshot.view.abandoned(now.earlier_ms(), self.settings.partial_age_ms);
        let abandoned = abandoned.into_iter().filter(|id| snapshot.view.partial.get(id) == Some(&Partial::NoMeta));
        for id in partial::to_visit(&snapshot.view.objects, abandoned) {
            if used.contains(&id) {
                continue;
            }
            let options = partial::Options {
                now_ms: now.earlier_ms(),
                age_ms: self.settings.partial_age_ms,
                failpoints: &self.deps.failpoints,
            };
            let check = || async { Ok(lease.check().await?) }.boxed();
            let outcome = match partial::clean_up::<CommitError>(&self.deps.bucket, id, &options, &check).await {
                Ok(Cleanup::Removed) => Ok(()),
                Ok(Cleanup::Marked | Cleanup::Waiting | Cleanup::Kept) => continue,
                Err(e) => Err(e),
            };
            self.metrics.partial_deletions.inc();
            if self.count_deletion(id, outcome) {
                cleaned.partial += 1;
            } else {
                cleaned.failed += 1;
            }
        }
    }

    /// Marks requests to delete series as done that reach no block any more.
    async fn finish_requests(&self, snapshot: &Snapshot, now: Now) {
        for request in snapshot.requests.pending() {
            let (reached, unknown) = snapshot.reached_by(request);
            if reached > 0 || unknown {
                continue;
            }
            match bucket::deletions::mark_done(&self.deps.bucket, request.id, now.local_ms).await {
                Ok(Created::Created) => {
                    tracing::info!(request = %request.id, "deletion request done: no block is left that holds the series")
                }
                Ok(Created::AlreadyExists) => {}
                Err(e) => tracing::warn!(request = %request.id, err = %e, "deletion request not noted as done"),
            }
        }
    }

    /// Removes leases of groups that have had no blocks for a long time.
    async fn forget_leases(&self, snapshot: &Snapshot, now: Now) {
        let live: BTreeSet<String> = snapshot.view.metas.values().map(lease_prefix).collect();
        let stripped: BTreeSet<String> = snapshot.groups.values().map(crate::group::Group::lease_key).collect();
        for (key, listed) in &snapshot.leases {
            let group: String = key.splitn(3, '-').take(2).collect::<Vec<_>>().join("-");
            let is_old = now.earlier_ms().saturating_sub(listed.written_ms) > LEASE_AGE_MS;
            let is_pending = listed.entry.as_ref().is_none_or(|e| e.commit.is_some());
            if key == CLEANING_LEASE || !is_old || is_pending || live.contains(&group) || stripped.contains(&group) {
                continue;
            }
            if let Err(e) = self.leases.remove(key).await {
                tracing::debug!(lease = key, err = %e, "old lease not removed");
            }
        }
    }
}

fn lease_prefix(meta: &Arc<BlockMeta>) -> String {
    meta.group_key().replace('@', "-")
}
