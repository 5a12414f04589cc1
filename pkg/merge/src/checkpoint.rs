//! How far a job is, on the disk, so that a killed one goes on instead of starting over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use block::{BlockId, BlockMeta};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::job::{Counts, Job, Options, Repairs};
use crate::object::Uploaded;

/// Name of the file in the job's directory.
const FILE: &str = "checkpoint.json";

/// Counts of an output, from the headers of its chunks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stats {
    pub(crate) series: u64,
    pub(crate) chunks: u64,
    pub(crate) samples: u64,
    pub(crate) floats: u64,
    pub(crate) histograms: u64,
    /// Bytes of the largest chunk's record.
    pub(crate) chunk_max_bytes: u64,
}

impl Stats {
    pub(crate) fn add(&mut self, other: &Self) {
        self.series += other.series;
        self.chunks += other.chunks;
        self.samples += other.samples;
        self.floats += other.floats;
        self.histograms += other.histograms;
        self.chunk_max_bytes = self.chunk_max_bytes.max(other.chunk_max_bytes);
    }
}

/// One thread's part at the border of two series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ShardState {
    /// Where each input goes on; empty = at the shard's begin.
    pub(crate) positions: Vec<u64>,
    /// Bytes of the spool that belong to finished segments.
    pub(crate) spool_bytes: u64,
    pub(crate) stats: Stats,
    pub(crate) repairs: Repairs,
    pub(crate) counts: Counts,
    pub(crate) done: bool,
}

/// The output that is being written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Current {
    pub(crate) id: BlockId,
    pub(crate) shards: Vec<ShardState>,
    pub(crate) segments: BTreeMap<u32, Uploaded>,
}

/// How far the job is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    fingerprint: String,
    /// Outputs that are complete but for their visibility.
    pub(crate) finished: Vec<BlockMeta>,
    /// Repairs of the finished outputs.
    pub(crate) repairs: Repairs,
    pub(crate) counts: Counts,
    pub(crate) current: Current,
    /// Series of an input were found out of order: they are sorted before the merge.
    #[serde(default)]
    pub(crate) is_unordered: bool,
    /// Nothing is left to merge.
    pub(crate) ended: bool,
}

/// Writes checkpoints of one job.
#[derive(Debug)]
pub(crate) struct Saver {
    path: PathBuf,
}

impl Saver {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { path: dir.join(FILE) }
    }

    /// What an earlier run of the same job left, if it can be read.
    pub(crate) fn load(&self, fingerprint: &str) -> Option<Checkpoint> {
        let bytes = std::fs::read(&self.path).ok()?;
        let checkpoint: Checkpoint = serde_json::from_slice(&bytes).ok()?;
        (checkpoint.fingerprint == fingerprint).then_some(checkpoint)
    }

    /// Puts it in the place of the one before.
    pub(crate) fn save(&self, checkpoint: &Checkpoint) -> Result<()> {
        let part = self.path.with_extension("part");
        let bytes = serde_json::to_vec(checkpoint).map_err(|e| Error::Local {
            action: "encode",
            path: self.path.display().to_string(),
            source: e.into(),
        })?;
        std::fs::write(&part, bytes).map_err(Error::local("write", &part))?;
        std::fs::rename(&part, &self.path).map_err(Error::local("rename", &part))
    }
}

impl Checkpoint {
    pub(crate) fn new(fingerprint: String, id: BlockId, shards: usize, is_unordered: bool) -> Self {
        let shards = vec![ShardState::default(); shards];
        Self { fingerprint, is_unordered, current: Current { id, shards, ..Current::default() }, ..Self::default() }
    }
}

/// Equal for runs whose outputs are the same but for their ids.
pub(crate) fn fingerprint(job: &Job, options: &Options) -> String {
    let inputs: Vec<_> = job.inputs.iter().map(|i| (i.meta.ulid, i.replica)).collect();
    let range = (job.meta.min_time, job.meta.max_time, job.meta.resolution_ms());
    let limits = &options.limits;
    let means = (limits.segment_bytes, limits.index_bytes_max, limits.series_max, limits.shards, limits.hash);
    let text = format!(
        "2 {inputs:?} {range:?} {:?} {:?} {} {:?} {:?} {means:?} {:?}",
        job.vertical,
        job.deletions,
        job.tombstones,
        job.relabel,
        job.downsampling,
        job.meta.thanos.as_ref().map(|t| &t.labels)
    );
    Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect()
}
