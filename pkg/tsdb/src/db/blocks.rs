//! The blocks of a data directory: found, served, deleted when something replaces them or retention says so.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use block::{BlockId, BlockMeta};
use parking_lot::RwLock;
use tokio::sync::{Mutex, MutexGuard};

use super::disk::dir_bytes;
use super::error::Result;
use super::files::{delete_block, write_meta};
use super::metrics::DbMetrics;
use super::options::{Retention, TsdbDeps, TsdbOptions};
use super::retention::{Beyond, Kept, Sizes, beyond};
use super::view::{Found, OpenBlock, Views, replaced, scan};

/// All blocks, and the rules for them.
#[derive(Debug)]
pub(crate) struct Blocks {
    pub(crate) dir: Arc<Path>,
    pub(crate) deps: TsdbDeps,
    pub(crate) options: TsdbOptions,
    pub(crate) views: Views,
    pub(crate) metrics: DbMetrics,
    retention: RwLock<Retention>,
    /// Held by whoever changes blocks.
    changes: Mutex<()>,
}

/// Proof that nobody else changes blocks.
pub(crate) type Changing<'a> = MutexGuard<'a, ()>;

impl Blocks {
    /// Loads the blocks in `dir`; this blocks on the disk.
    pub(crate) fn open(dir: &Path, options: TsdbOptions, deps: TsdbDeps) -> Result<Self> {
        let metrics = DbMetrics::new(&deps.metrics);
        metrics.set_limits(&options.retention);
        let found = scan(dir, &[])?;
        for bad in &found.set_aside {
            tracing::warn!(block = %bad.id, why = bad.why, "block is set aside, answers name it; repair it or move it away");
        }
        let blocks = Self {
            dir: dir.into(),
            retention: RwLock::new(options.retention),
            views: Views::new(Found::default()),
            changes: Mutex::default(),
            deps,
            options,
            metrics,
        };
        blocks.serve(found);
        Ok(blocks)
    }

    /// Waits until nobody else changes blocks.
    pub(crate) async fn changing(&self) -> Changing<'_> {
        self.changes.lock().await
    }

    /// How long data is kept from now on.
    pub(crate) fn set_retention(&self, retention: Retention) {
        self.metrics.set_limits(&retention);
        *self.retention.write() = retention;
    }

    pub(crate) fn retention(&self) -> Retention {
        *self.retention.read()
    }

    /// Looks at the directory again, and deletes what was replaced or is too old. `head_bytes` are those of log and head
    /// chunks, which the limit of size counts. Blocks on the disk.
    pub(crate) fn reload(&self, _: &Changing<'_>, head_bytes: u64) -> Result<()> {
        self.metrics.reloads.inc();
        let outcome = self.try_reload(head_bytes);
        if outcome.is_err() {
            self.metrics.reload_failures.inc();
        }
        outcome
    }

    fn try_reload(&self, head_bytes: u64) -> Result<()> {
        let current = self.views.current();
        let mut found = scan(&self.dir, &current.blocks)?;
        for bad in found.set_aside.iter().filter(|bad| !current.set_aside.contains(bad)) {
            tracing::warn!(block = %bad.id, why = bad.why, "block is set aside, answers name it; repair it or move it away");
        }
        let delete = self.deletable(&found, head_bytes);
        found.blocks.retain(|b| !delete.contains(&b.meta.ulid));
        found.set_aside.retain(|b| !delete.contains(&b.id));
        self.serve(found);
        for id in delete {
            if !self.dir.join(id.to_string()).exists() {
                continue;
            }
            delete_block(&*self.deps.disk, &self.deps.failpoints, &self.dir, id)?;
            tracing::info!(block = %id, "deleted block");
        }
        Ok(())
    }

    fn deletable(&self, found: &Found, head_bytes: u64) -> BTreeSet<BlockId> {
        let mut delete: BTreeSet<BlockId> = replaced(found).into_iter().collect();
        delete.extend(found.blocks.iter().filter(|b| b.meta.compaction.deletable).map(|b| b.meta.ulid));
        let retention = self.retention();
        let kept: Vec<Kept<'_>> = found
            .blocks
            .iter()
            .filter(|b| !delete.contains(&b.meta.ulid))
            .map(|b| Kept { meta: &b.meta, bytes: b.bytes })
            .collect();
        let set_aside = found.set_aside.iter().filter(|b| !delete.contains(&b.id));
        let unread: u64 = set_aside.map(|b| dir_bytes(&self.dir.join(b.id.to_string()))).sum();
        let disk_bytes = (retention.percentage > 0.0).then(|| self.deps.disk.space(&self.dir));
        let disk_bytes = disk_bytes.and_then(|space| match space {
            Ok(space) => Some(space.total_bytes),
            Err(error) => {
                tracing::warn!(%error, "the size of the file system is not known, its percentage is not applied");
                None
            }
        });
        let sizes = Sizes { head_bytes: head_bytes.saturating_add(unread), disk_bytes };
        let Beyond { time, size } = beyond(&kept, &retention, sizes);
        if !time.is_empty() {
            self.metrics.time_retentions.inc();
        }
        if !size.is_empty() {
            self.metrics.size_retentions.inc();
        }
        delete.extend(time);
        delete.extend(size);
        delete
    }

    /// Replaces blocks in the view by themselves, changed.
    pub(crate) fn exchange(&self, _: &Changing<'_>, changed: Vec<OpenBlock>) {
        let current = self.views.current();
        let mut found = Found { blocks: current.blocks.clone(), set_aside: current.set_aside.clone() };
        for new in changed {
            if let Some(slot) = found.blocks.iter_mut().find(|b| b.meta.ulid == new.meta.ulid) {
                *slot = Arc::new(new);
            }
        }
        self.serve(found);
    }

    /// Changes the meta of a block, on the disk and in the view.
    pub(crate) fn note(
        &self,
        changing: &Changing<'_>,
        block: &OpenBlock,
        change: impl FnOnce(&mut BlockMeta),
    ) -> Result<()> {
        let mut changed = block.clone();
        change(&mut changed.meta);
        write_meta(&*self.deps.disk, &block.dir, &changed.meta)?;
        self.exchange(changing, vec![changed]);
        Ok(())
    }

    fn serve(&self, found: Found) {
        let bytes: u64 = found.blocks.iter().map(|b| b.bytes).sum();
        self.metrics.blocks_bytes.set(bytes as f64);
        self.metrics.blocks_loaded.set(found.blocks.len() as f64);
        self.metrics.blocks_set_aside.set(found.set_aside.len() as f64);
        self.views.replace(found);
    }
}
