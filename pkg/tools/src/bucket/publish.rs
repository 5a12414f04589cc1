//! A block rewritten: merged anew in the bucket, verified, and made visible.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::bucket::listing::list_block;
use ::bucket::upload::put_meta;
use block::{BlockId, BlockMeta};
use merge::{Finished, Input, Job, Limits, Progress, Vertical};
use model::Clock;
use objstore::{Bucket, ConditionalCreate, Created};
use service::Failpoints;
use service::tool::Deps;
use tokio_util::sync::CancellationToken;

use super::verify::{Depth, Severity, check_block};
use crate::Error;

/// Findings of a block that was just written: one is too many.
const FINDINGS_MAX: usize = 10;

pub(super) struct Workshop {
    pub(super) bucket: Bucket,
    pub(super) tmp_dir: PathBuf,
    pub(super) hash: bool,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Fn() -> u128 + Send + Sync>,
    pub(super) cancel: CancellationToken,
}

impl Workshop {
    pub(super) fn new(bucket: &Bucket, tmp_dir: &Path, hash: bool, deps: &Deps<'_>) -> Self {
        Self {
            bucket: bucket.clone(),
            tmp_dir: tmp_dir.to_owned(),
            hash,
            clock: deps.clock.clone(),
            random: deps.random.clone(),
            cancel: deps.shutdown.clone(),
        }
    }

    /// An id for a new block.
    pub(super) fn next_id(&self) -> BlockId {
        BlockId::new(self.clock.now_ms().max(0) as u64, (self.random)())
    }

    /// A job over one block that becomes `meta`.
    pub(super) fn job(input: &Arc<BlockMeta>, meta: BlockMeta) -> Job {
        Job {
            inputs: vec![Input { meta: input.clone(), replica: 0 }],
            meta,
            vertical: Vertical::Merge,
            deletions: Vec::new(),
            tombstones: true,
            relabel: Vec::new(),
            downsampling: None,
        }
    }

    /// Runs a job. What it writes is not visible yet.
    ///
    /// # Errors
    /// A corrupt input, the store, the disk.
    pub(super) async fn run(&self, job: &Job) -> Result<Finished, Error> {
        let (clock, random) = (self.clock.clone(), self.random.clone());
        let options = merge::Options {
            dir: self.tmp_dir.join(format!("merge-{}", job.meta.ulid)),
            limits: Limits { hash: self.hash, ..Limits::default() },
            next_id: Arc::new(move || BlockId::new(clock.now_ms().max(0) as u64, random())),
            failpoints: Failpoints::none(),
        };
        let progress = Progress::default();
        let finished = merge::run(&self.bucket, job, &options, &progress, &self.cancel).await;
        finished.map_err(|e| Error::Failed(e.to_string()))
    }

    /// Reads a new block to its last byte, then writes its `meta.json`.
    ///
    /// # Errors
    /// It is not sound; then it stays invisible.
    pub(super) async fn publish(&self, mut meta: BlockMeta) -> Result<(), Error> {
        let id = meta.ulid;
        let corrupt = |what: String| Error::Bucket(::bucket::Error::Corrupt { block: id, what });
        let objects = list_block(&self.bucket, id).await?;
        let shared = Arc::new(meta.clone());
        let checked = check_block(&self.bucket, &shared, &objects, Depth::Full, &self.tmp_dir, FINDINGS_MAX).await?;
        if let Some(finding) = checked.findings.iter().find(|f| f.severity != Severity::Note) {
            return Err(corrupt(format!(
                "was written and is not sound, left invisible: {}: {}",
                finding.file, finding.what
            )));
        }
        if let Some(thanos) = &mut meta.thanos {
            thanos.set_upload_time_ms(self.clock.now_ms());
        }
        match put_meta(&self.bucket, &meta, ConditionalCreate::Honoured).await? {
            Created::Created => Ok(()),
            Created::AlreadyExists => Err(corrupt("another block has this name".to_owned())),
        }
    }

    /// Removes what a job wrote and nobody has seen.
    pub(super) async fn discard(&self, id: BlockId) -> Result<(), Error> {
        Ok(::bucket::delete::delete_block(&self.bucket, id, &Failpoints::none()).await?)
    }
}
