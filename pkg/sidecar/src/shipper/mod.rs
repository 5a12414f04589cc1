//! Bringing the server's finished blocks into the bucket.
//!
//! A pass looks at every block in the data directory, oldest first. One that is not in the bucket is checked, linked
//! into `thanos/upload/<ULID>` (so that Prometheus may delete it meanwhile), uploaded with the external labels in its
//! `meta.json`, and noted in the list of shipped blocks at once. The process may end anywhere: what is complete is
//! never sent again, what is not is finished by the next pass. Neither links nor the list are needed: where the data
//! directory cannot be written, blocks are read in place, and the bucket tells what it has.
//!
//! Order matters to the compactor: while an older block cannot be uploaded, newer ones wait — for some passes, and not
//! for a block that is damaged, which waiting does not mend.

mod list;
mod local;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use block::{BlockId, BlockMeta, META_FILE, ThanosMeta};
use bucket::upload::{UploadOptions, Uploaded, upload_block};
use bucket::{FetchOptions, MetaFetcher, SyncMetrics};
use labels::Labels;
use model::Clock;
use objstore::{Bucket, ConditionalCreate};
use service::Failpoints;
use telemetry::{Counter, Gauge, Metrics};
use tracing::{error, info, warn};

use crate::Shipped;
use list::{Known, List};
pub use local::Verify;
use local::{Link, LocalError};

/// Where blocks are linked for upload, below the data directory.
const UPLOAD_DIR: &str = "thanos/upload";

/// How to ship.
#[derive(Debug, Clone)]
pub struct ShipperOptions {
    /// The server's data directory.
    pub dir: PathBuf,
    /// The list of shipped blocks, in `dir`.
    pub list_file: String,
    /// Blocks that the server has compacted too.
    pub upload_compacted: bool,
    /// Newer blocks never wait for older ones.
    pub allow_out_of_order: bool,
    /// For so many passes they do.
    pub hold_back_passes: u32,
    /// What is checked before an upload.
    pub verify: Verify,
    /// Note each file's SHA-256 in `meta.json`.
    pub hash: bool,
    /// `thanos.source` in `meta.json`.
    pub source: String,
    /// For the time of upload.
    pub clock: Arc<dyn Clock>,
    /// `shipper.after_link`, `shipper.before_list`, `shipper.before_list_rename`, `shipper.after_list`, and those of
    /// `bucket::upload`.
    pub failpoints: Failpoints,
}

impl ShipperOptions {
    /// The family's defaults for the data directory `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            list_file: "thanos.shipper.json".to_owned(),
            upload_compacted: false,
            allow_out_of_order: false,
            hold_back_passes: 20,
            verify: Verify::Index,
            hash: false,
            source: "sidecar".to_owned(),
            clock: Arc::new(model::SystemClock),
            failpoints: Failpoints::none(),
        }
    }
}

/// What a pass did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pass {
    /// Blocks brought into the bucket.
    pub uploaded: Vec<BlockId>,
    /// Blocks found there, that were not in the list.
    pub found: Vec<BlockId>,
    /// Directories that could not be shipped, with the reason.
    pub failed: Vec<(String, String)>,
    /// Blocks that wait for an older one.
    pub waiting: usize,
    /// Blocks that were not looked at, by reason.
    pub skipped: Skipped,
}

/// Blocks of the data directory that a pass has no need to upload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// They are in the bucket, as the list of shipped blocks says.
    pub listed: usize,
    /// The server has compacted them, and those are not asked for.
    pub compacted: usize,
    /// They hold no samples.
    pub empty: usize,
}

/// Uploads blocks. One pass at a time.
pub struct Shipper {
    bucket: Bucket,
    options: ShipperOptions,
    labels: Arc<dyn Fn() -> Labels + Send + Sync>,
    metrics: ShipperMetrics,
    fetcher: Option<MetaFetcher>,
    memory: tokio::sync::Mutex<Memory>,
}

/// What is kept from one pass to the next.
#[derive(Debug, Default)]
struct Memory {
    /// Passes in which a block failed.
    failures: HashMap<BlockId, u32>,
    known: Known,
}

impl std::fmt::Debug for Shipper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shipper").field("options", &self.options).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct ShipperMetrics {
    dir_syncs: Counter,
    dir_sync_failures: Counter,
    uploads: Counter,
    upload_failures: Counter,
    corrupted_blocks: Counter,
    list_failures: Counter,
    upload_compacted_done: Gauge,
}

impl ShipperMetrics {
    fn new(m: &Metrics) -> Self {
        Self {
            dir_syncs: m.counter("thanos_shipper_dir_syncs_total", "Total number of dir syncs."),
            dir_sync_failures: m.counter("thanos_shipper_dir_sync_failures_total", "Total number of failed dir syncs."),
            uploads: m.counter("thanos_shipper_uploads_total", "Total number of uploaded blocks."),
            upload_failures: m
                .counter("thanos_shipper_upload_failures_total", "Total number of block upload failures."),
            corrupted_blocks: m.counter("thanos_shipper_corrupted_blocks_total", "Total number of corrupted blocks."),
            list_failures: m.counter(
                "aion_shipper_list_failures_total",
                "Total number of dir syncs after which the list of shipped blocks could not be written.",
            ),
            upload_compacted_done: m.gauge(
                "thanos_shipper_upload_compacted_done",
                "If 1 it means shipper uploaded all compacted blocks from the filesystem.",
            ),
        }
    }
}

/// Why one block was not shipped.
enum Failure {
    /// The block itself: newer ones need not wait.
    Block(String),
    /// The way to the bucket: newer ones wait, for a while.
    Bucket(String),
    /// Prometheus deleted it meanwhile.
    Gone,
    /// A test ends the pass.
    Failpoint(String),
}

impl From<LocalError> for Failure {
    fn from(e: LocalError) -> Self {
        match e {
            LocalError::Gone => Self::Gone,
            LocalError::Bad(text) => Self::Block(text),
        }
    }
}

impl From<service::Failpoint> for Failure {
    fn from(failpoint: service::Failpoint) -> Self {
        Self::Failpoint(failpoint.0)
    }
}

impl From<bucket::Error> for Failure {
    fn from(e: bucket::Error) -> Self {
        match e {
            bucket::Error::Failpoint(failpoint) => failpoint.into(),
            bucket::Error::Bucket(e) => Self::Bucket(e.to_string()),
            e => Self::Block(e.to_string()),
        }
    }
}

impl From<objstore::Error> for Failure {
    fn from(e: objstore::Error) -> Self {
        Self::Bucket(e.to_string())
    }
}

impl Shipper {
    /// A shipper to `bucket`; `labels` gives the external labels at each pass.
    pub fn new(
        bucket: Bucket,
        options: ShipperOptions,
        labels: impl Fn() -> Labels + Send + Sync + 'static,
        metrics: &Metrics,
    ) -> Self {
        let fetcher = (options.upload_compacted && !options.allow_out_of_order)
            .then(|| MetaFetcher::new(bucket.clone(), FetchOptions::default(), SyncMetrics::new(metrics)));
        Self {
            bucket,
            options,
            labels: Arc::new(labels),
            metrics: ShipperMetrics::new(metrics),
            fetcher,
            memory: tokio::sync::Mutex::default(),
        }
    }

    /// Where the list of shipped blocks lies.
    pub fn list_path(&self) -> PathBuf {
        self.options.dir.join(&self.options.list_file)
    }

    /// Looks at every block once and uploads those that are not in the bucket.
    ///
    /// # Errors
    /// When the directory cannot be read or no external labels are known; failures of single blocks are part of
    /// [`Pass`].
    pub async fn pass(&self) -> Result<Pass, String> {
        let outcome = self.try_pass().await;
        match &outcome {
            Ok(pass) if pass.failed.is_empty() => {
                self.metrics.dir_syncs.inc();
                self.metrics.upload_compacted_done.set(if self.options.upload_compacted { 1.0 } else { 0.0 });
            }
            Ok(pass) => {
                self.metrics.dir_sync_failures.inc();
                self.metrics.upload_failures.inc_by(pass.failed.len() as u64);
                self.metrics.upload_compacted_done.set(0.0);
            }
            Err(_) => {
                self.metrics.dir_sync_failures.inc();
            }
        }
        outcome
    }

    async fn try_pass(&self) -> Result<Pass, String> {
        let mut memory = self.memory.lock().await;
        let Memory { failures, known } = &mut *memory;
        let external = (self.labels)();
        if external.is_empty() {
            return Err("no external labels are known: nothing can be uploaded".to_owned());
        }
        let dir = self.options.dir.clone();
        let found = blocking(move || local::blocks(&dir)).await??;
        let updir = self.options.dir.join(UPLOAD_DIR);
        let mut unlinked = blocking(move || local::remove_dir(&updir)).await?.err();

        let mut pass = Pass::default();
        let failpoint = |e: service::Failpoint| e.to_string();
        let mut list =
            List::open(self.list_path(), self.options.failpoints.clone(), known, &found.names).map_err(failpoint)?;
        failures.retain(|id, _| found.names.contains(id));
        for (name, why) in found.bad {
            error!(block = name, err = why, "block in the data directory cannot be shipped");
            self.metrics.corrupted_blocks.inc();
            pass.failed.push((name, why));
        }
        let mut metas = found.metas;
        metas.retain(|m| self.is_wanted(m, &list, &mut pass.skipped));
        let total = metas.len();
        for (n, meta) in metas.into_iter().enumerate() {
            let id = meta.ulid;
            match self.ship(meta, &external, &mut unlinked).await {
                Ok(outcome) => {
                    if outcome == Uploaded::Already {
                        info!(block = %id, "block is in the bucket already");
                        pass.found.push(id);
                    } else {
                        self.metrics.uploads.inc();
                        pass.uploaded.push(id);
                    }
                    failures.remove(&id);
                    self.hit("shipper.before_list")?;
                    list.add(id).map_err(failpoint)?;
                    self.hit("shipper.after_list")?;
                }
                Err(Failure::Failpoint(name)) => return Err(format!("failpoint {name}")),
                Err(Failure::Gone) => {
                    warn!(block = %id, "prometheus deleted this block before it was uploaded");
                }
                Err(Failure::Block(why)) => {
                    error!(block = %id, err = why, "block cannot be uploaded, trying again with the next pass");
                    self.metrics.corrupted_blocks.inc();
                    pass.failed.push((id.to_string(), why));
                }
                Err(Failure::Bucket(why)) => {
                    error!(block = %id, err = why, "upload failed, trying again with the next pass");
                    pass.failed.push((id.to_string(), why));
                    let times = failures.entry(id).or_default();
                    *times += 1;
                    if !self.options.allow_out_of_order && *times <= self.options.hold_back_passes {
                        pass.waiting = total - n - 1;
                        break;
                    }
                }
            }
        }
        if let Some(err) = unlinked {
            info!(err, "blocks are read in place: {UPLOAD_DIR} in the data directory cannot be written");
        }
        *known = list.close();
        if known.is_unlisted() {
            self.metrics.list_failures.inc();
        }
        Ok(pass)
    }

    /// Whether a block is to be shipped at all; otherwise counted in `skipped`.
    fn is_wanted(&self, meta: &BlockMeta, list: &List, skipped: &mut Skipped) -> bool {
        let count = if list.contains(meta.ulid) {
            &mut skipped.listed
        } else if meta.stats.num_samples == 0 {
            &mut skipped.empty
        } else if meta.compaction.level > 1 && !self.options.upload_compacted {
            &mut skipped.compacted
        } else {
            return true;
        };
        *count += 1;
        false
    }

    /// Brings a block into the bucket, unless it is there. Why it could not be linked is left in `unlinked`.
    async fn ship(
        &self,
        meta: BlockMeta,
        external: &Labels,
        unlinked: &mut Option<String>,
    ) -> Result<Uploaded, Failure> {
        let id = meta.ulid;
        self.bucket.prepare().await?;
        if self.bucket.exists(&format!("{id}/{META_FILE}")).await? {
            return Ok(Uploaded::Already);
        }
        if meta.compaction.level > 1 && !self.options.allow_out_of_order {
            self.check_overlap(&meta, external).await?;
        }
        let from = self.options.dir.join(id.to_string());
        let link = Link { from, to: self.options.dir.join(UPLOAD_DIR).join(id.to_string()) };
        let made = link.clone();
        match blocking(move || made.make()).await.map_err(Failure::Block)? {
            Ok(()) => {
                let outcome = self.send(&link.to, meta, external).await;
                let removed = blocking(move || local::remove_dir(&link.to)).await.map_err(Failure::Block)?;
                *unlinked = removed.err().or(unlinked.take());
                outcome
            }
            Err(_) if link.is_gone() => Err(Failure::Gone),
            Err(why) => {
                *unlinked = Some(why);
                match self.send(&link.from, meta, external).await {
                    Err(Failure::Block(_) | Failure::Bucket(_)) if link.is_gone() => Err(Failure::Gone),
                    outcome => outcome,
                }
            }
        }
    }

    /// Checks the block in `dir` and uploads it.
    async fn send(&self, dir: &Path, mut meta: BlockMeta, external: &Labels) -> Result<Uploaded, Failure> {
        let (checked, verify, here) = (meta.clone(), self.options.verify, dir.to_owned());
        blocking(move || local::verify(&here, &checked, verify)).await.map_err(Failure::Block)??;
        self.options.failpoints.hit("shipper.after_link")?;

        let thanos = meta.thanos.get_or_insert_with(ThanosMeta::default);
        thanos.version = 1;
        thanos.labels.extend(external.iter().map(|(n, v)| (n.to_owned(), v.to_owned())));
        thanos.source.clone_from(&self.options.source);
        let options = UploadOptions {
            hash: self.options.hash,
            conditional: ConditionalCreate::Ignored,
            allow_no_labels: false,
            clock: self.options.clock.clone(),
            failpoints: self.options.failpoints.clone(),
        };
        Ok(upload_block(&self.bucket, dir, meta, &options).await?)
    }

    /// A compacted block that overlaps one in the bucket would stop the compactor.
    async fn check_overlap(&self, meta: &BlockMeta, external: &Labels) -> Result<(), Failure> {
        let Some(fetcher) = &self.fetcher else { return Ok(()) };
        let view = fetcher.fetch().await?;
        if !view.is_complete() {
            return Err(Failure::Bucket("the blocks in the bucket could not all be read".to_owned()));
        }
        let overlaps = |other: &&Arc<BlockMeta>| {
            let labels = other.thanos.as_ref().map(|t| Labels::from_pairs(&t.labels)).unwrap_or_default();
            labels == *external
                && other.resolution_ms() == meta.resolution_ms()
                && other.min_time < meta.max_time
                && meta.min_time < other.max_time
        };
        match view.metas.values().find(overlaps) {
            None => Ok(()),
            Some(other) => Err(Failure::Block(format!(
                "compacted block {} [{}, {}) overlaps block {} [{}, {}) in the bucket",
                meta.ulid, meta.min_time, meta.max_time, other.ulid, other.min_time, other.max_time
            ))),
        }
    }

    fn hit(&self, name: &str) -> Result<(), String> {
        self.options.failpoints.hit(name).map_err(|e| e.to_string())
    }
}

/// Runs file work off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|e| format!("file work ended: {e}"))
}

/// How many blocks of the data directory the list at `path` says are in the bucket.
pub(crate) fn shipped_count(path: &Path) -> usize {
    Shipped::read(path).map_or(0, |list| list.0.len())
}
