//! Work on blocks that are there: merging them, deleting series from them, cleaning deleted samples away.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use block::BlockId;
use labels::Matcher;
use model::TimeRange;
use tokio_util::sync::CancellationToken;

use super::blocks::{Blocks, Changing};
use super::compaction::Compactor;
use super::deletion::delete_from_block;
use super::error::{Error, Result};
use super::plan;
use super::view::OpenBlock;

/// A list of uploaded blocks larger than this is not read.
const LIST_BYTES_MAX: u64 = 64 << 20;

impl Blocks {
    /// Merges blocks until nothing is left to merge, or `is_wanted_elsewhere`. A block that cannot be read is left out from
    /// then on, and the others go on.
    pub(crate) async fn merge_all(
        &self,
        changing: &Changing<'_>,
        head_bytes: u64,
        cancel: &CancellationToken,
        is_wanted_elsewhere: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<()> {
        let rules = plan::Rules {
            ranges: plan::ranges(self.options.block_ms, self.longest_block_ms()),
            overlapping: self.options.overlapping_compaction,
        };
        loop {
            if is_wanted_elsewhere() {
                return Ok(());
            }
            let view = self.views.current();
            let uploaded = self.uploaded();
            let may_go = |id: BlockId| uploaded.as_ref().is_none_or(|listed| listed.contains(&id));
            let planned = plan::next(&view.metas(), &rules, &may_go);
            let inputs: Vec<Arc<OpenBlock>> = planned.iter().filter_map(|id| view.get(*id).cloned()).collect();
            drop(view);
            if inputs.is_empty() {
                return Ok(());
            }
            match self.replace(changing, &inputs, head_bytes, cancel).await {
                Err(error) if error.is_of_input() => self.note_failure(changing, &inputs, &error)?,
                other => other?,
            }
        }
    }

    fn longest_block_ms(&self) -> i64 {
        let retention = self.retention();
        super::options::TsdbOptions { retention, ..self.options.clone() }.longest_block_ms()
    }

    /// Merges `inputs` and puts the outcome in their place.
    async fn replace(
        &self,
        changing: &Changing<'_>,
        inputs: &[Arc<OpenBlock>],
        head_bytes: u64,
        cancel: &CancellationToken,
    ) -> Result<()> {
        let compactor = Compactor {
            dir: self.dir.clone(),
            deps: self.deps.clone(),
            segment_bytes: self.options.segment_bytes,
            memory_bytes: self.options.compaction_bytes,
        };
        let begin = tokio::time::Instant::now();
        self.metrics.populating_block.set(1.0);
        let merged = compactor.merge(inputs, cancel).await;
        self.metrics.populating_block.set(0.0);
        self.metrics.compactions.inc();
        self.metrics.compaction_seconds.observe(begin.elapsed().as_secs_f64());
        let ends = inputs.windows(2).any(|w| w[1].meta.min_time < w[0].meta.max_time);
        if ends {
            self.metrics.vertical_compactions.inc();
        }
        let ids: Vec<String> = inputs.iter().map(|b| b.meta.ulid.to_string()).collect();
        match merged? {
            Some(meta) => {
                tracing::info!(block = %meta.ulid, sources = ?ids, samples = meta.stats.num_samples, "merged blocks");
            }
            None => {
                tracing::info!(sources = ?ids, "all samples of these blocks are deleted");
                for input in inputs {
                    self.note(changing, input, |meta| meta.compaction.deletable = true)?;
                }
            }
        }
        self.reload(changing, head_bytes)
    }

    /// Leaves the block to blame, or all where that is not known, out of plans.
    fn note_failure(&self, changing: &Changing<'_>, inputs: &[Arc<OpenBlock>], error: &Error) -> Result<()> {
        self.metrics.compactions_failed.inc();
        let blamed = match error {
            Error::Merge(merge::Error::Input { block, .. }) => Some(*block),
            _ => None,
        };
        let is_known = inputs.iter().any(|b| Some(b.meta.ulid) == blamed);
        for input in inputs.iter().filter(|b| !is_known || Some(b.meta.ulid) == blamed) {
            tracing::warn!(block = %input.meta.ulid, %error, "block cannot be merged and is left as it is");
            self.note(changing, input, |meta| meta.compaction.failed = true)?;
        }
        Ok(())
    }

    /// The blocks that the file of uploaded blocks lists; `None` = all may be merged.
    fn uploaded(&self) -> Option<BTreeSet<BlockId>> {
        let path = self.options.delay_compact_file.as_deref()?;
        Some(read_uploaded(path).unwrap_or_else(|why| {
            tracing::warn!(why, "the list of uploaded blocks cannot be read, no block from the head is merged");
            BTreeSet::new()
        }))
    }

    /// Deletes samples of blocks. Blocks on the disk.
    pub(crate) fn delete(&self, changing: &Changing<'_>, selectors: &[Vec<Matcher>], range: TimeRange) -> Result<()> {
        let view = self.views.current();
        let mut changed = Vec::new();
        let mut outcome = Ok(());
        for block in view.blocks.iter().filter(|b| b.range().overlaps(range)) {
            match delete_from_block(&*self.deps.disk, block, selectors, range) {
                Ok(found) => changed.extend(found),
                Err(e) => {
                    outcome = Err(e);
                    break;
                }
            }
        }
        for bad in view.set_aside.iter().filter(|b| b.may_have(range)) {
            tracing::warn!(block = %bad.id, "nothing was deleted from a block that cannot be read; repeat it when it can");
        }
        if !changed.is_empty() {
            self.exchange(changing, changed);
        }
        outcome
    }

    /// Rewrites the blocks with deleted samples without them, one after the other.
    pub(crate) async fn clean_tombstones(
        &self,
        changing: &Changing<'_>,
        head_bytes: u64,
        cancel: &CancellationToken,
    ) -> Result<()> {
        let begin = tokio::time::Instant::now();
        let view = self.views.current();
        let with: Vec<Arc<OpenBlock>> =
            view.blocks.iter().filter(|b| !b.block.tombstones().is_empty()).cloned().collect();
        drop(view);
        for block in with {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            self.replace(changing, &[block], head_bytes, cancel).await?;
        }
        self.metrics.tombstone_cleanup_seconds.observe(begin.elapsed().as_secs_f64());
        Ok(())
    }
}

/// Reads `thanos.shipper.json`: `{"version": 1, "uploaded": ["01M7…", …]}`.
fn read_uploaded(path: &Path) -> std::result::Result<BTreeSet<BlockId>, String> {
    let text = |e: std::io::Error| format!("{}: {e}", path.display());
    let size = std::fs::metadata(path).map_err(text)?.len();
    if size > LIST_BYTES_MAX {
        return Err(format!("{}: {size} bytes are no list of blocks", path.display()));
    }
    let json = std::fs::read(path).map_err(text)?;
    let list: serde_json::Value = serde_json::from_slice(&json).map_err(|e| format!("{}: {e}", path.display()))?;
    if list.get("version").and_then(serde_json::Value::as_u64) != Some(1) {
        return Err(format!("{}: its version is not 1", path.display()));
    }
    let ids = list.get("uploaded").and_then(|ids| ids.as_array());
    Ok(ids.into_iter().flatten().filter_map(|id| BlockId::parse(id.as_str()?).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_uploaded_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("thanos.shipper.json");
        assert!(read_uploaded(&path).is_err());
        let id = "01M7XNEDBRHMVA77T71GPE1DE5";
        for (json, want) in [
            (format!(r#"{{"version":1,"uploaded":["{id}","x",7]}}"#), Ok(1)),
            (r#"{"version":1,"uploaded":null}"#.to_owned(), Ok(0)),
            (r#"{"version":1}"#.to_owned(), Ok(0)),
            (r#"{"version":2,"uploaded":[]}"#.to_owned(), Err(())),
            ("[".to_owned(), Err(())),
        ] {
            std::fs::write(&path, &json).unwrap();
            assert_eq!(read_uploaded(&path).map(|ids| ids.len()).map_err(drop), want, "{json}");
        }
    }
}
