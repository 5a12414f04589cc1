//! Bringing a server's finished blocks into the bucket.
//!
//! A pass goes over every block in the data directory, oldest first. One that is not in the bucket is checked, linked
//! into `thanos/upload/<ULID>` (so that Prometheus may delete it meanwhile), uploaded with the external labels in its
//! `meta.json`, and added to the list of shipped blocks at once. The process may end anywhere: what is complete is
//! never sent again, what is not is finished by the next pass. Neither links nor the list are needed: where the data
//! directory cannot be written, blocks are read in place, and the bucket says which blocks it has.
//!
//! Order matters to the compactor: while an older block cannot be uploaded, newer ones wait. They wait for some passes
//! only, and never for a corrupt block, which waiting does not repair.

mod check;
mod list;
mod local;
mod metrics;
mod one;
mod options;
mod pass;
mod shipped;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use block::{BlockId, BlockMeta};
use futures::future::BoxFuture;
use labels::Labels;
use objstore::Bucket;
use service::Failpoint;
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub use check::Verify;
pub use options::ShipperOptions;
pub use pass::{Pass, Skipped};
pub use shipped::{Shipped, WriteError};

use crate::fetch::{FetchOptions, MetaFetcher};
use crate::metrics::SyncMetrics;
use crate::upload::Uploaded;
use list::{Known, List};
use metrics::ShipperMetrics;
use one::{Failure, Sender, UPLOAD_DIR};

/// How often [`Shipper::run`] asks for external labels until there are some.
const LABELS_POLL: Duration = Duration::from_millis(200);

/// When [`Shipper::run`] makes its passes.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// From the end of one pass to the start of the next.
    pub interval: Duration,
    /// How long the pass under way and the last one may take after the shutdown.
    pub last_pass_timeout: Duration,
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
    /// In how many passes each block failed.
    failures: HashMap<BlockId, u32>,
    known: Known,
}

impl std::fmt::Debug for Shipper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shipper").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Shipper {
    /// A shipper to `bucket`. `labels` gives the external labels at each pass; while they are empty nothing is uploaded.
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

    /// Path of the list of shipped blocks.
    pub fn list_path(&self) -> PathBuf {
        self.options.dir.join(&self.options.list_file)
    }

    /// Makes passes until `shutdown`, and a last one after it. The first pass waits until there are external labels.
    pub fn run<'a>(&'a self, schedule: Schedule, shutdown: &'a CancellationToken) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            while (self.labels)().is_empty() {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(LABELS_POLL) => {}
                }
            }
            loop {
                // The shutdown does not cut a pass: it and the last one have `last_pass_timeout` to finish.
                let passes = async {
                    self.logged_pass().await;
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = tokio::time::sleep(schedule.interval) => return,
                    }
                    self.logged_pass().await;
                };
                let end = async {
                    shutdown.cancelled().await;
                    tokio::time::sleep(schedule.last_pass_timeout).await;
                };
                tokio::select! {
                    () = passes => {}
                    () = end => warn!("the last pass of uploads was cut, the next start goes on with it"),
                }
                if shutdown.is_cancelled() {
                    return;
                }
            }
        })
    }

    async fn logged_pass(&self) {
        match self.pass().await {
            Ok(pass) if pass.waiting > 0 => warn!(blocks = pass.waiting, "blocks wait for an older one to be uploaded"),
            Ok(_) => {}
            Err(e) => error!(err = e, "blocks cannot be shipped, trying again with the next pass"),
        }
    }

    /// Goes over every block once and uploads those that are not in the bucket.
    ///
    /// # Errors
    /// When the directory cannot be read or no external labels are known; failures of single blocks are part of
    /// [`Pass`].
    pub fn pass(&self) -> BoxFuture<'_, Result<Pass, String>> {
        Box::pin(async move {
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
        })
    }

    async fn try_pass(&self) -> Result<Pass, String> {
        let mut memory = self.memory.lock().await;
        let Memory { failures, known } = &mut *memory;
        let external = (self.labels)();
        if external.is_empty() {
            return Err("no external labels are known: nothing can be uploaded".to_owned());
        }
        let (dir, flag) = (self.options.dir.clone(), self.options.dir_flag);
        let found = local::blocking(move || local::blocks(&dir, flag)).await??;
        let upload_dir = self.options.dir.join(UPLOAD_DIR);
        let unlinked = local::blocking(move || local::remove_dir(&upload_dir)).await?.err();
        let mut list =
            List::open(self.list_path(), self.options.failpoints.clone(), known, &found.names).map_err(text)?;

        let mut pass = Pass::default();
        failures.retain(|id, _| found.names.contains(id));
        for (name, why) in found.bad {
            error!(block = name, err = why, "block in the data directory cannot be shipped");
            self.metrics.corrupted_blocks.inc();
            pass.failed.push((name, why));
        }
        let mut metas = found.metas;
        metas.retain(|m| self.is_wanted(m, &list, &mut pass.skipped));
        let (bucket, options) = (&self.bucket, &self.options);
        let mut sender = Sender { bucket, options, fetcher: self.fetcher.as_ref(), external: &external, unlinked };
        let total = metas.len();
        for (n, meta) in metas.into_iter().enumerate() {
            let id = meta.ulid;
            let outcome = sender.ship(meta).await;
            let shipped = outcome.is_ok();
            if !self.record(id, outcome, &mut pass, failures).map_err(text)? {
                pass.waiting = total - n - 1;
                break;
            }
            if shipped {
                self.hit("shipper.before_list")?;
                list.add(id).map_err(text)?;
                self.hit("shipper.after_list")?;
            }
        }
        if let Some(err) = sender.unlinked {
            info!(err, "blocks are read in place: {UPLOAD_DIR} in the data directory cannot be written");
        }
        *known = list.close();
        if known.is_unlisted() {
            self.metrics.list_failures.inc();
        }
        Ok(pass)
    }

    /// Adds a block's outcome to the pass, with logs and metrics. False if newer blocks have to wait.
    fn record(
        &self,
        id: BlockId,
        outcome: Result<Uploaded, Failure>,
        pass: &mut Pass,
        failures: &mut HashMap<BlockId, u32>,
    ) -> Result<bool, Failpoint> {
        match outcome {
            Ok(Uploaded::Already) => {
                info!(block = %id, "block is in the bucket already");
                pass.found.push(id);
                failures.remove(&id);
            }
            Ok(Uploaded::Now(_)) => {
                self.metrics.uploads.inc();
                pass.uploaded.push(id);
                failures.remove(&id);
            }
            Err(Failure::Failpoint(failpoint)) => return Err(failpoint),
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
                return Ok(self.options.allow_out_of_order || *times > self.options.hold_back_passes);
            }
        }
        Ok(true)
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

    fn hit(&self, name: &str) -> Result<(), String> {
        self.options.failpoints.hit(name).map_err(text)
    }
}

fn text(failpoint: Failpoint) -> String {
    failpoint.to_string()
}
