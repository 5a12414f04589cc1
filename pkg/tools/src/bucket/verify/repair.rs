//! Mending what `verify` found: a block is rewritten without its faults, a duplicate goes. Whatever goes is in the
//! backup bucket first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use ::block::{BlockId, BlockMeta};
use ::bucket::delete::delete_block;
use ::bucket::listing::list_block;
use ::bucket::marks;
use objstore::Bucket;
use service::Failpoints;
use service::tool::Deps;

use super::super::copy::{CopyOptions, copy_block};
use super::super::publish::Workshop;
use super::finding::{Finding, Issue, Severity};
use crate::Error;

/// `thanos.source` of mended blocks.
const SOURCE: &str = "bucket.repair";
/// `details` of deletion marks.
const DETAILS: &str = "manual verify-repair";

pub(super) struct Repair {
    pub(super) bucket: Bucket,
    pub(super) backup: Bucket,
    /// Delete what was replaced, or only mark it.
    pub(super) delete_at_once: bool,
    pub(super) tmp_dir: PathBuf,
}

impl Repair {
    /// Mends what can be mended. False when something is left that cannot.
    pub(super) async fn run(
        &self,
        findings: &[Finding],
        duplicates: &[(BlockId, BlockId)],
        metas: &BTreeMap<BlockId, Arc<BlockMeta>>,
        deps: &mut Deps<'_>,
    ) -> Result<bool, Error> {
        tracing::warn!("no compactor should be running on this bucket meanwhile");
        let workshop = Workshop::new(&self.bucket, &self.tmp_dir, true, deps);
        let mut all_mended = true;
        for (id, kept) in duplicates {
            let outcome = self.retire(*id, deps).await;
            all_mended &= outcome.is_ok();
            let text = match outcome {
                Ok(how) => format!("{id}: {how}, {kept} has the same\n"),
                Err(e) => format!("{id}: not removed: {e}\n"),
            };
            deps.print(&text)?;
        }
        let gone: BTreeSet<BlockId> = duplicates.iter().map(|(id, _)| *id).collect();
        let faulty = findings.iter().filter(|f| f.issue == Issue::Index && f.severity != Severity::Note);
        let faulty: BTreeSet<BlockId> = faulty.map(|f| f.block).filter(|id| !gone.contains(id)).collect();
        for id in faulty {
            let outcome = match metas.get(&id) {
                Some(meta) => self.mend(meta, &workshop, deps).await,
                None => Err(Error::Failed("its meta.json cannot be read: restore it from a backup".to_owned())),
            };
            all_mended &= outcome.is_ok();
            let text = match outcome {
                Ok(new) => format!("{id}: repaired, the new block is {new}\n"),
                Err(e) => format!("{id}: not repaired: {e}\n"),
            };
            deps.print(&text)?;
        }
        Ok(all_mended)
    }

    /// Writes a block anew; its id.
    async fn mend(&self, old: &Arc<BlockMeta>, workshop: &Workshop, deps: &Deps<'_>) -> Result<BlockId, Error> {
        if old.resolution_ms() != 0 {
            return Err(Error::Failed("it is downsampled: delete it, and have it downsampled again".to_owned()));
        }
        let Some(thanos) = old.thanos.clone() else {
            return Err(Error::Failed("it has no thanos section in its meta.json".to_owned()));
        };
        let mut meta = BlockMeta { ulid: workshop.next_id(), ..(**old).clone() };
        meta.thanos = Some(::block::ThanosMeta { source: SOURCE.to_owned(), ..thanos });
        let finished = workshop.run(&Workshop::job(old, meta)).await?;
        tracing::info!(block = %old.ulid, repairs = ?finished.repairs, "block rewritten");
        let [output] = &finished.outputs[..] else {
            for output in &finished.outputs {
                workshop.discard(output.meta.ulid).await?;
            }
            return Err(Error::Failed(format!("it would become {} blocks", finished.outputs.len())));
        };
        let new = output.meta.ulid;
        self.back_up(old.ulid, deps).await?;
        workshop.publish(output.meta.clone()).await?;
        self.remove(old.ulid, deps).await?;
        Ok(new)
    }

    async fn retire(&self, id: BlockId, deps: &Deps<'_>) -> Result<&'static str, Error> {
        self.back_up(id, deps).await?;
        self.remove(id, deps).await
    }

    /// Copies a block as it is, faults and all.
    async fn back_up(&self, id: BlockId, deps: &Deps<'_>) -> Result<(), Error> {
        self.backup.prepare().await?;
        if !list_block(&self.backup, id).await?.objects.is_empty() {
            return Err(Error::Failed(format!(
                "something of block {id} is in the backup bucket: look at it and remove it there first"
            )));
        }
        let options = CopyOptions { tmp_dir: self.tmp_dir.clone(), check: false, clock: deps.clock.clone() };
        copy_block(&self.bucket, &self.backup, id, &options).await.map(drop)
    }

    async fn remove(&self, id: BlockId, deps: &Deps<'_>) -> Result<&'static str, Error> {
        if self.delete_at_once {
            delete_block(&self.bucket, id, &Failpoints::none()).await?;
            return Ok("deleted");
        }
        marks::mark_for_deletion(&self.bucket, id, DETAILS, &*deps.clock).await?;
        Ok("marked for deletion")
    }
}
