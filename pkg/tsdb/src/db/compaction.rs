//! Merging blocks of the data directory into one, with the engine that merges blocks of a bucket.
//!
//! The new block grows in `<id>.tmp-for-creation`, where the inputs lie under second names, so that neither a reader nor a
//! deletion meets it half. It gets its place with one rename, when all of it is on the disk. Its meta names its parents,
//! which are deleted afterwards, by whoever finds them beside it.

use std::path::Path;
use std::sync::Arc;

use block::{BlockId, BlockMeta, TOMBSTONES_FILE, Tombstones};
use futures::future::BoxFuture;
use merge::{Finished, Input, Job, Limits, Options, Progress, Vertical};
use objstore::{Bucket, Config, OpenOptions};
use tokio_util::sync::CancellationToken;

use super::error::{Error, Result};
use super::files::{creation_dir, link_block, write_meta};
use super::options::TsdbDeps;
use super::plan::merged;
use super::view::OpenBlock;

/// Where blocks are merged, and with what limits.
#[derive(Debug, Clone)]
pub(crate) struct Compactor {
    pub(crate) dir: Arc<Path>,
    pub(crate) deps: TsdbDeps,
    pub(crate) segment_bytes: u64,
    pub(crate) memory_bytes: u64,
}

impl Compactor {
    /// Merges `inputs` (at least one), without their deleted samples, into a new block, and puts that into the directory.
    /// `None`: no sample was left. The inputs stay.
    pub(crate) fn merge<'a>(
        &'a self,
        inputs: &'a [Arc<OpenBlock>],
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Option<BlockMeta>>> {
        Box::pin(async move {
            let id = self.deps.block_id();
            let staging = creation_dir(&self.dir, id);
            self.has_room(inputs)?;
            let outcome = self.merge_in(&staging, id, inputs, cancel).await;
            if let Err(error) = self.deps.disk.remove_dir(&staging) {
                tracing::warn!(path = %staging.display(), %error, "cannot remove a merge's directory, the next start will");
            }
            outcome
        })
    }

    async fn merge_in(
        &self,
        staging: &Path,
        id: BlockId,
        inputs: &[Arc<OpenBlock>],
        cancel: &CancellationToken,
    ) -> Result<Option<BlockMeta>> {
        let disk = &*self.deps.disk;
        disk.remove_dir(staging).map_err(Error::io("remove", staging))?;
        disk.create_dir(staging).map_err(Error::io("create", staging))?;
        for input in inputs {
            link_block(disk, &input.dir, &staging.join(input.meta.ulid.to_string()), false)?;
        }
        let job = job(id, inputs);
        let options = self.options(staging);
        let finished = merge::run(&bucket(staging)?, &job, &options, &Progress::default(), cancel).await?;
        let Some(meta) = check(&finished, inputs)? else { return Ok(None) };
        self.publish(staging, meta).map(Some)
    }

    fn options(&self, staging: &Path) -> Options {
        let limits = Limits { memory_bytes: self.memory_bytes, segment_bytes: self.segment_bytes, ..Limits::default() };
        let deps = self.deps.clone();
        Options {
            dir: staging.join("work"),
            limits,
            next_id: Arc::new(move || deps.block_id()),
            failpoints: self.deps.failpoints.clone(),
        }
    }

    /// Completes the block in `staging` and gives it its place.
    fn publish(&self, staging: &Path, mut meta: BlockMeta) -> Result<BlockMeta> {
        // What a bucket's blocks have in addition; Prometheus' own have none of it.
        meta.thanos = None;
        let disk = &*self.deps.disk;
        let made = staging.join(meta.ulid.to_string());
        let tombstones = made.join(TOMBSTONES_FILE);
        let empty = Tombstones::default().to_bytes();
        disk.write_file(&tombstones, &empty).map_err(Error::io("write", &tombstones))?;
        write_meta(disk, &made, &meta)?;
        OpenBlock::open(&made, meta.clone())?;
        self.deps.failpoints.hit("tsdb.merge.before_rename")?;
        disk.rename(&made, &self.dir.join(meta.ulid.to_string())).map_err(Error::io("rename", &made))?;
        self.deps.failpoints.hit("tsdb.merge.after_rename")?;
        Ok(meta)
    }

    /// Whether the disk has room for a block as large as all of `inputs`.
    fn has_room(&self, inputs: &[Arc<OpenBlock>]) -> Result<()> {
        let need_bytes: u64 = inputs.iter().map(|b| b.bytes).sum();
        // Where the space is not known, the write tells.
        let Ok(space) = self.deps.disk.space(&self.dir) else { return Ok(()) };
        if space.free_bytes >= need_bytes {
            return Ok(());
        }
        let what = format!("merging {} blocks", inputs.len());
        Err(Error::Space { what, need_bytes, free_bytes: space.free_bytes })
    }
}

fn job(id: BlockId, inputs: &[Arc<OpenBlock>]) -> Job {
    let metas: Vec<&BlockMeta> = inputs.iter().map(|b| &b.meta).collect();
    let input = |b: &Arc<OpenBlock>| {
        let mut meta = b.meta.clone();
        // External labels and lists of files are of no concern here.
        meta.thanos = None;
        Input { meta: Arc::new(meta), replica: 0 }
    };
    Job {
        inputs: inputs.iter().map(input).collect(),
        meta: merged(id, &metas),
        vertical: Vertical::Merge,
        deletions: Vec::new(),
        tombstones: true,
        relabel: Vec::new(),
        downsampling: None,
    }
}

fn bucket(dir: &Path) -> Result<Bucket> {
    let text = dir.to_str().and_then(|dir| serde_json::to_string(dir).ok());
    let text = text.ok_or_else(|| Error::Invalid(format!("{} is no UTF-8", dir.display())))?;
    // A string of JSON is one of YAML too.
    let yaml = format!("type: FILESYSTEM\nconfig:\n  directory: {text}\n");
    let config = Config::parse(&yaml, &|_| None).and_then(|config| config.open(&OpenOptions::default()));
    config.map_err(|e| Error::Invalid(e.to_string()))
}

/// The one output, if no sample is missing from it as far as the metas of the inputs tell.
fn check(finished: &Finished, inputs: &[Arc<OpenBlock>]) -> Result<Option<BlockMeta>> {
    let [output] = &*finished.outputs else {
        return match finished.outputs.len() {
            0 if inputs.iter().all(|b| !b.block.tombstones().is_empty() || b.meta.stats.num_samples == 0) => Ok(None),
            0 => Err(refused("nothing was left of blocks without deletions")),
            _ => Err(refused("the merged index would be larger than its format allows")),
        };
    };
    let is_whole = inputs.iter().all(|b| b.block.tombstones().is_empty() && b.meta.stats.num_samples > 0);
    let (mut before, merged) = (0u64, output.meta.stats.num_samples);
    let mut end = i64::MIN;
    let mut ordered: Vec<&BlockMeta> = inputs.iter().map(|b| &b.meta).collect();
    ordered.sort_by_key(|m| m.min_time);
    let mut overlap = false;
    for meta in ordered {
        overlap |= meta.min_time < end;
        end = end.max(meta.max_time);
        before =
            if overlap { before.max(meta.stats.num_samples) } else { before.saturating_add(meta.stats.num_samples) };
    }
    let lost = if overlap { merged < before } else { merged != before };
    if is_whole && lost && finished.repairs == merge::Repairs::default() {
        return Err(refused(&format!("the merged block has {merged} samples, its inputs have {before}")));
    }
    Ok(Some(output.meta.clone()))
}

fn refused(why: &str) -> Error {
    Error::Merge(merge::Error::Refused(format!("{why}: the inputs are kept")))
}
