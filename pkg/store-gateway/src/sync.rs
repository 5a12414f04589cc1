//! Keeping the set of blocks in step with the bucket.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use block::{BlockId, BlockMeta};
use bucket::deletions::Request;
use bucket::{Filters, MetaFetcher, SyncMetrics, View};
use futures::stream::{self, StreamExt};
use parking_lot::RwLock;
use transport::http::Probe;

use crate::block_set::RESOLUTIONS_MS;
use crate::bucket_block::BucketBlock;
use crate::gateway::{Loaded, StoreGateway};

/// What the last sync saw, for the blocks API.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// All blocks of the bucket.
    pub global: Vec<Arc<BlockMeta>>,
    /// Those that are served.
    pub loaded: Vec<Arc<BlockMeta>>,
    /// When, ms since the epoch; 0 = never.
    pub refreshed_ms: i64,
    /// Why the last sync failed, if it did.
    pub error: Option<String>,
}

/// Syncs the blocks of one gateway.
#[derive(Debug)]
pub struct Syncer {
    pub(crate) gateway: StoreGateway,
    pub(crate) fetcher: MetaFetcher,
    pub(crate) filters: Filters,
    pub(crate) metrics: SyncMetrics,
    /// Where headers are kept.
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) probe: Probe,
    pub(crate) seen: RwLock<Seen>,
    /// The last sync's requests to delete that are not carried out yet.
    pub(crate) deletions: RwLock<Arc<[Request]>>,
}

impl Syncer {
    /// What the last sync saw.
    pub fn seen(&self) -> Seen {
        self.seen.read().clone()
    }

    /// One sync. Blocks are dropped only if the view was complete.
    ///
    /// # Errors
    /// When the bucket could not be listed; the blocks stay as they were.
    pub async fn sync(&self) -> Result<(), bucket::Error> {
        let clock = &self.gateway.inner.shared.clock;
        let outcome = self.fetcher.fetch().await;
        let now_ms = clock.now_ms();
        let view = match outcome {
            Ok(view) => view,
            Err(e) => {
                let mut seen = self.seen.write();
                seen.refreshed_ms = now_ms;
                seen.error = Some(e.to_string());
                return Err(e);
            }
        };
        self.sync_deletions().await;
        let limits = self.gateway.inner.times.at(now_ms);
        let filters = Filters { time: Some((limits.min, limits.max)), ..self.filters.clone() };
        let filtered = filters.apply(&view, now_ms);
        self.metrics.show(&view, &filtered);
        let dropped = self.replace(&view, filtered.kept.values().cloned().collect(), now_ms);
        self.probe.ready();
        self.remove_files(&view, dropped).await;
        Ok(())
    }

    /// Takes note of what is to be deleted. What cannot be listed stays as it was.
    async fn sync_deletions(&self) {
        match bucket::deletions::list_pending(&self.gateway.inner.shared.bucket).await {
            Ok(listing) => {
                for (path, why) in &listing.unreadable {
                    tracing::error!(path, why, "a request to delete cannot be read, its series are still shown");
                }
                *self.deletions.write() = listing.pending().cloned().collect();
            }
            Err(e) => tracing::warn!(err = %e, "requests to delete were not listed, those known stay"),
        }
    }

    /// Puts the blocks in place; gives those that went.
    fn replace(&self, view: &View, kept: Vec<Arc<BlockMeta>>, now_ms: i64) -> Vec<Arc<BucketBlock>> {
        let metrics = &self.gateway.inner.shared.metrics;
        let before = self.gateway.loaded().unwrap_or_default();
        let mut blocks = std::collections::BTreeMap::new();
        for meta in kept {
            let id = meta.ulid;
            if let Some(known) = before.blocks.get(&id).filter(|b| Arc::ptr_eq(&b.meta, &meta) || b.meta == meta) {
                blocks.insert(id, known.clone());
                continue;
            }
            metrics.block_loads.inc();
            if !RESOLUTIONS_MS.contains(&meta.resolution_ms()) {
                metrics.block_load_failures.inc();
                tracing::warn!(block = %id, resolution_ms = meta.resolution_ms(), "block of an unknown resolution is not served");
                continue;
            }
            if let Some(broken) = view.broken.get(&id) {
                tracing::warn!(block = %id, broken, "block lacks files that its meta.json names");
            }
            metrics.last_loaded.set(now_ms as f64 / 1000.0);
            blocks.insert(id, Arc::new(BucketBlock::new(meta, view.objects.get(&id), self.data_dir.as_ref())));
        }
        if !view.is_complete() {
            // What the store did not tell of may well be there.
            for (id, block) in &before.blocks {
                blocks.entry(*id).or_insert_with(|| block.clone());
            }
            tracing::warn!(blocks = view.failed.len(), "the store did not tell of all blocks, none is dropped");
        }
        let dropped: Vec<_> = before.blocks.values().filter(|b| !blocks.contains_key(&b.id)).cloned().collect();
        metrics.block_drops.inc_by(dropped.len() as u64);
        metrics.blocks_loaded.set(blocks.len() as f64);
        *self.seen.write() = Seen {
            global: view.metas.values().cloned().collect(),
            loaded: blocks.values().map(|b| b.meta.clone()).collect(),
            refreshed_ms: now_ms,
            error: None,
        };
        let (added, count) = (blocks.keys().filter(|id| !before.blocks.contains_key(id)).count(), blocks.len());
        if added > 0 || !dropped.is_empty() {
            tracing::info!(added, dropped = dropped.len(), blocks = count, "blocks synced");
        }
        self.gateway.replace(Loaded::new(blocks, &self.deletions.read().clone()));
        dropped
    }

    /// Removes what is kept on disk of blocks that are no longer served. Queries that still read them have them mapped.
    async fn remove_files(&self, view: &View, dropped: Vec<Arc<BucketBlock>>) {
        let Some(data_dir) = self.data_dir.clone() else { return };
        let served: BTreeSet<BlockId> = self.gateway.blocks().iter().map(|b| b.id).collect();
        let complete = view.is_complete();
        let failures = tokio::task::spawn_blocking(move || {
            let mut failures = 0;
            for block in &dropped {
                failures += usize::from(block.dir().is_some_and(|dir| !remove(dir)));
            }
            if complete {
                failures += others(&data_dir, &served).iter().filter(|dir| !remove(dir)).count();
            }
            failures
        })
        .await;
        let metrics = &self.gateway.inner.shared.metrics;
        metrics.block_drop_failures.inc_by(failures.unwrap_or(1) as u64);
    }

    /// Gets all index-headers ready, `concurrency` at a time.
    pub async fn prepare_headers(&self, concurrency: usize) {
        let shared = &self.gateway.inner.shared;
        let missing: Vec<_> = self.gateway.blocks().into_iter().filter(|b| !b.is_open() && !b.is_on_disk()).collect();
        stream::iter(missing)
            .for_each_concurrent(concurrency.max(1), |block| async move {
                if let Err(e) = shared.header(&block).await {
                    shared.metrics.block_load_failures.inc();
                    tracing::warn!(block = %block.id, err = ?e, "index-header not ready, will be tried again when a query needs it");
                }
            })
            .await;
    }
}

fn remove(dir: &Path) -> bool {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(dir = %dir.display(), err = %e, "cannot remove files of a block");
            false
        }
        _ => true,
    }
}

/// Directories named as blocks that are not served: left by an earlier run.
fn others(data_dir: &Path, served: &BTreeSet<BlockId>) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(data_dir) else { return Vec::new() };
    entries
        .flatten()
        .filter(|e| {
            let id = e.file_name().to_str().and_then(|n| BlockId::parse(n).ok());
            id.is_some_and(|id| !served.contains(&id))
        })
        .map(|e| e.path())
        .collect()
}
