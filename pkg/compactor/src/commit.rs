//! Making new blocks visible and marking the old ones, so that other compactors can finish it if this one dies.
//!
//! The decision is written into the lease ([`Lease::commit`]) before any of it is visible. From then on every holder of the
//! lease may repeat each step: `meta.json` is created with exactly the bytes that were decided, and a mark is written
//! unless it is there.

use std::sync::Arc;

use block::{BlockId, BlockMeta, META_FILE};
use bucket::BlockObjects;
use bucket::listing::list_block;
use bucket::marks::{self, MARK_VERSION, Marked, NO_COMPACT_MARK, NoCompactMark};
use model::Clock;
use objstore::{Bucket, ConditionalCreate, Created};
use service::Failpoints;

use crate::decision::Commit;
use crate::engine::{Depth, Engine, EngineError};
use crate::lease::{Lease, LeaseError};
use crate::metrics::CompactMetrics;

/// Details of the mark on a part of a merge that was given up.
const UNFINISHED: &str = "part of a merge that could not be finished";

/// Why a commit was not carried out to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommitError {
    #[error(transparent)]
    Lease(#[from] LeaseError),
    #[error(transparent)]
    Bucket(#[from] bucket::Error),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Failpoint(#[from] service::Failpoint),
}

impl From<objstore::Error> for CommitError {
    fn from(e: objstore::Error) -> Self {
        Self::Bucket(e.into())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recovered {
    /// There was no commit.
    Nothing,
    /// A commit was carried out.
    Finished,
    /// A commit could not be carried out and was given up; its inputs stay as they were.
    GivenUp,
}

#[derive(Debug, Clone)]
pub(crate) struct Committer {
    pub(crate) bucket: Bucket,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) depth: Depth,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: CompactMetrics,
    pub(crate) failpoints: Failpoints,
}

impl Committer {
    /// Checks that all files of a block are there and sound. The block need not be visible.
    pub(crate) async fn verify(&self, meta: &BlockMeta, depth: Depth) -> Result<(), EngineError> {
        let there = list_block(&self.bucket, meta.ulid).await.map_err(|e| EngineError::Transient(e.to_string()))?;
        if let Some(what) = missing(meta, &there) {
            return Err(EngineError::Corrupt { block: meta.ulid, what });
        }
        if depth > Depth::Sizes { self.engine.verify(meta, depth).await } else { Ok(()) }
    }

    /// Carries out the decision that an earlier holder left in `lease`, or gives it up if files of its blocks are missing or
    /// corrupt.
    pub(crate) async fn recover(&self, lease: &Lease) -> Result<Recovered, CommitError> {
        let Some(commit) = lease.pending().await else { return Ok(Recovered::Nothing) };
        let mut visible = Vec::new();
        let mut corrupt = None;
        for meta in &commit.outputs {
            if self.bucket.exists(&format!("{}/{META_FILE}", meta.ulid)).await? {
                visible.push(meta.ulid);
                continue;
            }
            match self.verify(meta, self.depth).await {
                Ok(()) => {}
                Err(e @ (EngineError::Corrupt { .. } | EngineError::Vanished(_))) => corrupt = Some(e),
                Err(e) => return Err(e.into()),
            }
        }
        let Some(why) = corrupt else {
            tracing::info!(kind = commit.kind.name(), outputs = ?ids(&commit), "finishing what was decided before");
            self.carry_out(lease, &commit).await?;
            return Ok(Recovered::Finished);
        };
        tracing::warn!(kind = commit.kind.name(), outputs = ?ids(&commit), err = %why, "what was decided before cannot be finished, its inputs stay");
        // The decision stays in the lease until this is done: a later holder comes to the same end.
        for meta in &commit.outputs {
            // The process that decided it may have made it visible since the check above.
            let is_visible =
                visible.contains(&meta.ulid) || list_block(&self.bucket, meta.ulid).await?.meta().is_some();
            lease.check().await?;
            if is_visible {
                self.mark_for_deletion(meta.ulid, UNFINISHED).await?;
            } else {
                bucket::delete::delete_block(&self.bucket, meta.ulid, &Failpoints::none()).await?;
            }
        }
        lease.done().await?;
        Ok(Recovered::GivenUp)
    }

    /// Writes the decision into the lease and returns it as it will be carried out. After [`LeaseError::Lost`] nothing is
    /// decided.
    pub(crate) async fn decide(&self, lease: &Lease, mut commit: Commit) -> Result<Commit, CommitError> {
        let now_ms = self.clock.now_ms();
        for meta in &mut commit.outputs {
            if let Some(thanos) = &mut meta.thanos {
                thanos.set_upload_time_ms(now_ms);
            }
        }
        self.failpoints.hit("compact.before_commit")?;
        lease.commit(commit.clone()).await?;
        self.failpoints.hit("compact.after_commit")?;
        Ok(commit)
    }

    /// Carries out a decision. Every holder of the lease may repeat this.
    pub(crate) async fn carry_out(&self, lease: &Lease, commit: &Commit) -> Result<(), CommitError> {
        for meta in &commit.outputs {
            lease.check().await?;
            if commit.no_compact {
                self.mark_unseen_no_compact(meta.ulid).await?;
            }
            self.make_visible(meta).await?;
            self.failpoints.hit("compact.after_meta")?;
        }
        for block in &commit.replaced {
            lease.check().await?;
            self.mark_for_deletion(*block, &commit.details).await?;
            self.failpoints.hit("compact.after_mark")?;
        }
        self.failpoints.hit("compact.before_done")?;
        Ok(lease.done().await?)
    }

    async fn make_visible(&self, meta: &BlockMeta) -> Result<(), CommitError> {
        // Without conditional creates this writes the same bytes again, or overwrites what a tool has changed since.
        let put = bucket::upload::put_meta(&self.bucket, meta, ConditionalCreate::Honoured).await?;
        if put == Created::AlreadyExists {
            tracing::warn!(block = %meta.ulid, "meta.json is there already and differs, it stays as it is");
        }
        Ok(())
    }

    /// Marks a block that is about to become visible as not to be compacted.
    async fn mark_unseen_no_compact(&self, id: BlockId) -> Result<(), CommitError> {
        let mark = NoCompactMark {
            id,
            version: MARK_VERSION,
            details: "part of a merge that was split because of its size".to_owned(),
            no_compact_time: self.clock.now_ms().div_euclid(1000),
            reason: "index-size-exceeding".to_owned(),
        };
        let json = serde_json::to_vec(&mark).map_err(|e| bucket::Error::Corrupt { block: id, what: e.to_string() })?;
        if self.bucket.put_if_absent(&marks::path::<NoCompactMark>(id), json).await? == Created::Created {
            self.metrics.marked.with(&[NO_COMPACT_MARK, &mark.reason]).inc();
        }
        Ok(())
    }

    /// Marks a block, once.
    pub(crate) async fn mark_for_deletion(&self, block: BlockId, details: &str) -> Result<Marked, bucket::Error> {
        let marked = marks::mark_for_deletion(&self.bucket, block, details, &*self.clock).await?;
        if marked == Marked::Now {
            self.metrics.marked.with(&[marks::DELETION_MARK, ""]).inc();
        }
        Ok(marked)
    }
}

/// The first file named in `meta` that is missing or has another size.
fn missing(meta: &BlockMeta, there: &BlockObjects) -> Option<String> {
    let files = meta.thanos.as_ref().map(|t| t.files.as_slice()).unwrap_or_default();
    let mut data = 0;
    for file in files.iter().filter(|f| f.rel_path != META_FILE) {
        data += 1;
        match there.objects.get(&file.rel_path) {
            None => return Some(format!("{} is missing", file.rel_path)),
            Some(o) if o.size != file.size_bytes => {
                return Some(format!("{} has {} bytes of {}", file.rel_path, o.size, file.size_bytes));
            }
            Some(_) => {}
        }
    }
    (data == 0).then(|| "meta.json names no files".to_owned())
}

fn ids(commit: &Commit) -> Vec<String> {
    commit.outputs.iter().map(|m| m.ulid.to_string()).collect()
}
