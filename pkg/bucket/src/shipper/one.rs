//! Shipping one block: is it in the bucket, is it sound, link it, upload it.

use std::path::Path;
use std::sync::Arc;

use block::{BlockMeta, META_FILE, ThanosMeta};
use labels::Labels;
use objstore::{Bucket, ConditionalCreate};
use service::Failpoint;

use super::check::{self, CorruptBlock};
use super::local::{Link, blocking, remove_dir};
use super::options::ShipperOptions;
use crate::MetaFetcher;
use crate::error::Error;
use crate::upload::{UploadOptions, Uploaded, upload_block};

/// Where blocks are linked for upload, below the data directory.
pub(super) const UPLOAD_DIR: &str = "thanos/upload";

/// Why one block was not shipped.
pub(super) enum Failure {
    /// The block is at fault: newer ones need not wait.
    Block(String),
    /// The bucket is at fault: newer ones wait, for a while.
    Bucket(String),
    /// Prometheus deleted the block meanwhile.
    Gone,
    /// A test ends the pass.
    Failpoint(Failpoint),
}

impl From<CorruptBlock> for Failure {
    fn from(e: CorruptBlock) -> Self {
        Self::Block(e.0)
    }
}

impl From<Failpoint> for Failure {
    fn from(failpoint: Failpoint) -> Self {
        Self::Failpoint(failpoint)
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        match e {
            Error::Failpoint(failpoint) => failpoint.into(),
            Error::Bucket(e) => Self::Bucket(e.to_string()),
            e => Self::Block(e.to_string()),
        }
    }
}

impl From<objstore::Error> for Failure {
    fn from(e: objstore::Error) -> Self {
        Self::Bucket(e.to_string())
    }
}

/// What the blocks of one pass are shipped with.
pub(super) struct Sender<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) options: &'a ShipperOptions,
    /// Finds blocks that a compacted one could overlap; `None` = overlaps are allowed.
    pub(super) fetcher: Option<&'a MetaFetcher>,
    pub(super) external: &'a Labels,
    /// Why a block could not be linked, or its link not removed.
    pub(super) unlinked: Option<String>,
}

impl Sender<'_> {
    /// Brings a block into the bucket, unless it is there.
    pub(super) async fn ship(&mut self, meta: BlockMeta) -> Result<Uploaded, Failure> {
        let id = meta.ulid;
        self.bucket.prepare().await?;
        if self.bucket.exists(&format!("{id}/{META_FILE}")).await? {
            return Ok(Uploaded::Already);
        }
        if meta.compaction.level > 1 && !self.options.allow_out_of_order {
            self.check_overlap(&meta).await?;
        }
        let from = self.options.dir.join(id.to_string());
        let link = Link { from, to: self.options.dir.join(UPLOAD_DIR).join(id.to_string()) };
        let made = link.clone();
        match blocking(move || made.make()).await.map_err(Failure::Block)? {
            Ok(()) => {
                let outcome = self.send(&link.to, meta).await;
                let removed = blocking(move || remove_dir(&link.to)).await.map_err(Failure::Block)?;
                self.unlinked = removed.err().or(self.unlinked.take());
                outcome
            }
            Err(_) if link.is_gone() => Err(Failure::Gone),
            Err(why) => {
                self.unlinked = Some(why);
                match self.send(&link.from, meta).await {
                    Err(Failure::Block(_) | Failure::Bucket(_)) if link.is_gone() => Err(Failure::Gone),
                    outcome => outcome,
                }
            }
        }
    }

    /// Checks the block in `dir` and uploads it.
    async fn send(&self, dir: &Path, mut meta: BlockMeta) -> Result<Uploaded, Failure> {
        let (checked, verify, here) = (meta.clone(), self.options.verify, dir.to_owned());
        blocking(move || check::verify(&here, &checked, verify)).await.map_err(Failure::Block)??;
        self.options.failpoints.hit("shipper.after_link")?;

        let thanos = meta.thanos.get_or_insert_with(ThanosMeta::default);
        thanos.version = 1;
        thanos.labels.extend(self.external.iter().map(|(n, v)| (n.to_owned(), v.to_owned())));
        thanos.source.clone_from(&self.options.source);
        let options = UploadOptions {
            hash: self.options.hash,
            conditional: ConditionalCreate::Ignored,
            allow_no_labels: false,
            clock: self.options.clock.clone(),
            failpoints: self.options.failpoints.clone(),
        };
        Ok(upload_block(self.bucket, dir, meta, &options).await?)
    }

    /// Refuses a compacted block that overlaps one in the bucket, which would stop Thanos' compactor.
    async fn check_overlap(&self, meta: &BlockMeta) -> Result<(), Failure> {
        let Some(fetcher) = self.fetcher else { return Ok(()) };
        let view = fetcher.fetch().await?;
        if !view.is_complete() {
            return Err(Failure::Bucket("the blocks in the bucket could not all be read".to_owned()));
        }
        let overlaps = |other: &&Arc<BlockMeta>| {
            let labels = other.thanos.as_ref().map(|t| Labels::from_pairs(&t.labels)).unwrap_or_default();
            labels == *self.external
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
}
