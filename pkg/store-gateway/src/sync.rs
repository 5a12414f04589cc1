//! Keeping the set of blocks in step with the bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use block::{BlockId, BlockMeta};
use bucket::deletions::Request;
use bucket::{Filters, MetaFetcher, SyncMetrics, View};
use futures::stream::{self, StreamExt};
use parking_lot::RwLock;
use transport::http::Probe;

use crate::bucket_block::BucketBlock;
use crate::error::BlockResult;
use crate::gateway::StoreGateway;
use crate::index_body;
use crate::loaded::{Lack, Loaded};
use crate::read::{get_clamped, replaced};
use crate::shared::Shared;
use crate::unread::{self, Unread};

/// Each is held in memory until it is written.
const BODIES_AT_A_TIME: usize = 4;

/// What the last sync saw, for the blocks API.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// All blocks of the bucket.
    pub global: Vec<Arc<BlockMeta>>,
    pub loaded: Vec<Arc<BlockMeta>>,
    /// When, ms since the epoch; 0 = never.
    pub refreshed_ms: i64,
    /// Why the last sync failed, if it did.
    pub error: Option<String>,
    /// Blocks whose `meta.json` cannot be used.
    pub unread: BTreeMap<BlockId, Unread>,
    /// Marks that mean nothing as they are, by block.
    pub odd_marks: BTreeMap<BlockId, Vec<String>>,
    /// The store did not answer for all blocks: the next sync may know more.
    pub is_incomplete: bool,
}

/// Syncs the blocks of one gateway.
#[derive(Debug)]
pub struct Syncer {
    pub(crate) gateway: StoreGateway,
    pub(crate) fetcher: MetaFetcher,
    pub(crate) filters: Filters,
    pub(crate) metrics: SyncMetrics,
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

    /// One sync. What cannot be read of a block known before does not change it.
    ///
    /// # Errors
    /// When the bucket could not be listed; the blocks stay as they were.
    pub async fn sync(&self) -> Result<(), bucket::Error> {
        let clock = &self.gateway.inner.shared.clock;
        let outcome = self.fetcher.fetch().await;
        let now_ms = clock.now_ms();
        let mut view = match outcome {
            Ok(view) => view,
            Err(e) => {
                let mut seen = self.seen.write();
                seen.refreshed_ms = now_ms;
                seen.error = Some(e.to_string());
                self.gateway.synced(Some(format!(
                    "the bucket could not be listed: {e}: blocks that came since are missing (as of {})",
                    model::format_rfc3339_ms(now_ms)
                )));
                return Err(e);
            }
        };
        self.sync_deletions().await;
        let before = self.seen.read().clone();
        let known = before.global.iter().map(|meta| (meta.ulid, meta.clone())).collect();
        let unread = unread::recall(&mut view, &known);
        unread::tell(&unread, &before.unread);
        let limits = self.gateway.inner.times.at(now_ms);
        let filters = Filters { time: Some((limits.min, limits.max)), ..self.filters.clone() };
        let mut filtered = filters.apply(&view, now_ms);
        let lacks = unread::lacks(&unread, &view, &mut filtered, |id| filters.hides_deleted(&view, id, now_ms));
        self.metrics.show(&view, &filtered);
        let kept = filtered.kept.values().cloned().collect();
        let seen = Seen {
            global: view.metas.values().cloned().collect(),
            refreshed_ms: now_ms,
            odd_marks: view.odd_marks.clone(),
            is_incomplete: !view.is_complete(),
            unread,
            ..Seen::default()
        };
        let dropped = self.replace(&view, kept, lacks, seen);
        self.gateway.synced(None);
        self.probe.ready();
        self.remove_files(&view, dropped).await;
        Ok(())
    }

    /// Takes note of what is to be deleted. What cannot be listed stays as it was.
    async fn sync_deletions(&self) {
        match bucket::deletions::list_pending(&self.gateway.inner.shared.bucket).await {
            Ok(listing) => {
                for (path, why) in &listing.corrupt {
                    tracing::error!(path, why, "a request to delete cannot be read, its series are still shown");
                }
                *self.deletions.write() = listing.pending().cloned().collect();
            }
            Err(e) => tracing::warn!(err = %e, "requests to delete were not listed, those known stay"),
        }
    }

    /// Puts the blocks in place; gives those that went.
    fn replace(&self, view: &View, kept: Vec<Arc<BlockMeta>>, lacks: Vec<Lack>, seen: Seen) -> Vec<Arc<BucketBlock>> {
        let metrics = &self.gateway.inner.shared.metrics;
        let before = self.gateway.loaded().unwrap_or_default();
        let mut blocks = BTreeMap::new();
        for meta in kept {
            let (id, objects) = (meta.ulid, view.objects.get(&meta.ulid));
            if let Some(known) = before.blocks.get(&id).filter(|b| b.is_of(&meta, objects)) {
                blocks.insert(id, known.clone());
                continue;
            }
            metrics.block_loads.inc();
            if before.blocks.contains_key(&id) {
                tracing::info!(block = %id, "block was replaced under its name, it is loaded again");
            }
            if let Some(broken) = view.broken.get(&id) {
                tracing::warn!(block = %id, broken, "block lacks files that its meta.json names");
            }
            metrics.last_loaded.set(seen.refreshed_ms as f64 / 1000.0);
            let block = BucketBlock::new(meta, objects, self.data_dir.as_ref());
            block.recall();
            tell_contradiction(&block);
            blocks.insert(id, Arc::new(block));
        }
        // those that cannot be served would be attempts again and again
        let loads_failed = seen.unread.keys().filter(|id| !self.seen.read().unread.contains_key(id)).count();
        metrics.block_loads.inc_by(loads_failed as u64);
        metrics.block_load_failures.inc_by(loads_failed as u64);
        let dropped: Vec<_> = before.blocks.values().filter(|b| !blocks.contains_key(&b.id)).cloned().collect();
        metrics.block_drops.inc_by(dropped.len() as u64);
        metrics.blocks_loaded.set(blocks.len() as f64);
        metrics.index_disk_bytes.set(self.choose_bodies(&blocks) as f64);
        *self.seen.write() = Seen { loaded: blocks.values().map(|b| b.meta.clone()).collect(), ..seen };
        let (added, count) = (blocks.keys().filter(|id| !before.blocks.contains_key(id)).count(), blocks.len());
        if added > 0 || !dropped.is_empty() {
            tracing::info!(added, dropped = dropped.len(), blocks = count, "blocks synced");
        }
        self.gateway.replace(Loaded::new(blocks, &self.deletions.read().clone(), lacks));
        dropped
    }

    /// Of which blocks series and postings are kept on disk: those of the newest for which there is room. Gives the bytes of
    /// their indexes.
    fn choose_bodies(&self, blocks: &BTreeMap<BlockId, Arc<BucketBlock>>) -> u64 {
        let read = &self.gateway.inner.shared.read;
        let mut newest_first: Vec<_> = blocks.values().collect();
        newest_first.sort_by_key(|block| std::cmp::Reverse(block.range()));
        let mut kept_bytes = 0_u64;
        for block in newest_first {
            let bytes = block.index_bytes().filter(|bytes| *bytes <= read.whole_index_bytes);
            let with_it =
                bytes.map(|bytes| kept_bytes.saturating_add(bytes)).filter(|sum| *sum <= read.index_disk_bytes);
            block.body.want(with_it.is_some());
            kept_bytes = with_it.unwrap_or(kept_bytes);
        }
        kept_bytes
    }

    /// Removes what is kept on disk of blocks that are no longer served, and series and postings for which there is no room.
    /// Queries that still read them have them mapped.
    async fn remove_files(&self, view: &View, dropped: Vec<Arc<BucketBlock>>) {
        let Some(data_dir) = self.data_dir.clone() else { return };
        let unread: Vec<BlockId> = self.seen.read().unread.keys().copied().collect();
        let served: BTreeSet<BlockId> = self.gateway.blocks().iter().map(|b| b.id).chain(unread).collect();
        let complete = view.is_complete();
        let blocks = self.gateway.blocks();
        let failures = tokio::task::spawn_blocking(move || {
            let mut failures = 0;
            for block in &dropped {
                failures += usize::from(block.dir().is_some_and(|dir| !remove(dir)));
            }
            failures += blocks.iter().filter(|b| !b.body.is_wanted() && !b.body.remove()).count();
            if complete {
                failures += others(&data_dir, &served).iter().filter(|dir| !remove(dir)).count();
            }
            failures
        })
        .await;
        let metrics = &self.gateway.inner.shared.metrics;
        metrics.block_drop_failures.inc_by(failures.unwrap_or(1) as u64);
    }

    /// Gets all index-headers ready, `concurrency` at a time, then series and postings of small indexes.
    pub async fn prepare(&self, concurrency: usize) {
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
        self.settle_contradictions();
        let wanted = self.gateway.blocks().into_iter().filter(|b| b.body.is_wanted());
        let disk_refuses = &AtomicBool::new(false);
        stream::iter(wanted)
            .for_each_concurrent(concurrency.clamp(1, BODIES_AT_A_TIME), |block| async move {
                if disk_refuses.load(Ordering::Relaxed) {
                    return;
                }
                match keep_body(shared, &block).await {
                    Ok(kept) => _ = disk_refuses.fetch_or(!kept, Ordering::Relaxed),
                    Err(e) => {
                        tracing::warn!(block = %block.id, err = ?e, "series and postings were not read, queries that need them will");
                    }
                }
            })
            .await;
    }

    /// Has blocks whose data contradict their `meta.json` asked for the time of these data too.
    fn settle_contradictions(&self) {
        let Some(loaded) = self.gateway.loaded() else { return };
        let found = loaded.blocks.values().filter(|block| tell_contradiction(block)).count();
        if found > 0 {
            self.gateway.replace(loaded.again(&self.deletions.read().clone()));
        }
    }
}

/// Keeps series and postings of the block on disk, if they do not lie there. False if the disk refuses.
async fn keep_body(shared: &Shared, block: &BucketBlock) -> BlockResult<bool> {
    if block.body.is_kept().await {
        return Ok(true);
    }
    let range = index_body::range(shared.header(block).await?.source_toc());
    let _one = block.reading_whole().await;
    if block.body.is_kept().await {
        return Ok(true);
    }
    // The semaphore is never closed.
    let _permit = shared.read.fetch.permits.acquire().await;
    let (bytes, now) = get_clamped(&shared.bucket, block.index_path(), range.clone()).await?;
    match block.index_bytes() {
        Some(listed) if listed != now => Err(replaced("index", range.start, now, listed)),
        // Too short is told by the query that needs it.
        _ if bytes.len() as u64 != range.end - range.start => Ok(true),
        _ => Ok(block.body.keep(bytes).await),
    }
}

/// Whether data of the block contradict its `meta.json`, which was not known before.
fn tell_contradiction(block: &BucketBlock) -> bool {
    let is_new = block.contradicts();
    if let Some(found) = block.contradiction().filter(|_| is_new) {
        tracing::warn!(block = %block.id, why = found.text, "meta.json of a block is contradicted by its data");
    }
    is_new
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
