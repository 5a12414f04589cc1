//! A job: what is to be merged how, with which limits, and its outcome.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use block::{BlockId, BlockMeta};
use labels::Matcher;
use model::TimeRange;
use relabel::Rule;
use serde::{Deserialize, Serialize};
use service::Failpoints;

/// One input block. Inputs come in an order that decides ties: of samples with equal times the later input's is taken.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its meta, as the bucket has it (labels of replicas included).
    pub meta: Arc<BlockMeta>,
    /// Inputs of one replica have the same number; deduplication follows replicas.
    pub replica: u64,
}

/// What to do where chunks of one series overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Vertical {
    /// Every distinct time is kept; of samples with equal times one is.
    #[default]
    Merge,
    /// One replica is followed and left where it has a gap. Where any replica has a sample there is one, and no counter
    /// falls that did not fall in a replica.
    Penalty,
}

/// Series, or times of series, to leave out.
#[derive(Debug, Clone)]
pub struct Deletion {
    /// All must match the series' labels, external labels included; at least one.
    pub matchers: Vec<Matcher>,
    /// Which times; none = all.
    pub ranges: Vec<TimeRange>,
}

/// The output is a downsampled block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Downsampling {
    /// Resolution of the inputs, ms; 0 = raw.
    pub from_ms: i64,
    /// Resolution of the output, ms.
    pub to_ms: i64,
}

/// What is to be merged, and into what.
#[derive(Debug, Clone)]
pub struct Job {
    /// The blocks to merge; at least one.
    pub inputs: Vec<Input>,
    /// The new block: id, range, labels, compaction and resolution as they shall be; counts and files are filled in. A
    /// job that goes on where it was killed keeps the id of its first run, which is in [`Output::meta`].
    /// With limits on the output more blocks may be made: their ids are asked of [`Options::next_id`].
    pub meta: BlockMeta,
    /// What happens where inputs overlap.
    pub vertical: Vertical,
    /// Series and times to leave out, applied in this order.
    pub deletions: Vec<Deletion>,
    /// Whether the inputs' `tombstones` are applied where a block has any.
    pub tombstones: bool,
    /// Rules over the labels of each series; empty = none. Series that fall together are merged.
    pub relabel: Vec<Rule>,
    /// `None` = the output has the resolution of the inputs.
    pub downsampling: Option<Downsampling>,
}

/// Size limit of an index, bytes: in postings lists a series is a 32-bit number of 16-byte units.
pub const INDEX_BYTES_MAX: u64 = 64 << 30;

/// Limits of a job and of its outputs.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of buffers over all threads; reads and writes are sized to fit.
    pub memory_bytes: u64,
    /// Threads over ranges of series.
    pub shards: usize,
    /// Largest chunk segment, bytes.
    pub segment_bytes: u64,
    /// The output is split before its index grows beyond this, bytes.
    pub index_bytes_max: u64,
    /// The output is split at so many series; 0 = no limit.
    pub series_max: u64,
    /// Store each file's SHA-256 in the meta.
    pub hash: bool,
}

impl Default for Limits {
    /// One thread, 128 MiB of buffers, the largest segments and indexes of the format, no hashes.
    fn default() -> Self {
        Self {
            memory_bytes: 128 << 20,
            shards: 1,
            segment_bytes: block::MAX_SEGMENT_BYTES,
            index_bytes_max: INDEX_BYTES_MAX,
            series_max: 0,
            hash: false,
        }
    }
}

/// What a run of a job needs besides the bucket.
#[derive(Clone)]
pub struct Options {
    /// Where indexes and spools lie while the job runs; a job of the same name goes on where one was killed.
    pub dir: PathBuf,
    /// Limits of memory, threads and outputs.
    pub limits: Limits,
    /// Makes the ids of further outputs.
    pub next_id: Arc<dyn Fn() -> BlockId + Send + Sync>,
    /// Named places: `merge.after_inputs`, `merge.after_segment`, `merge.after_chunks`, `merge.after_index`.
    pub failpoints: Failpoints,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("dir", &self.dir).field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// How far a job is; read by others while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    /// Chunk bytes of the inputs that have been read.
    pub bytes_done: AtomicU64,
    /// Chunk bytes of all inputs.
    pub bytes_total: AtomicU64,
    /// Series that were written to the outputs.
    pub series_done: AtomicU64,
}

/// What was wrong in an input and was repaired.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repairs {
    /// Series whose labels were not in order.
    pub labels_out_of_order: u64,
    /// Series that stood in a block twice.
    pub series_twice: u64,
    /// Chunks that were not in order of time.
    pub chunks_out_of_order: u64,
    /// Chunks that stood there twice, byte for byte.
    pub chunks_twice: u64,
    /// Samples that were not in order of time within their chunk, or twice.
    pub samples_out_of_order: u64,
    /// Samples outside of their block's range, left out as readers leave them out.
    pub samples_outside: u64,
}

/// Counts of the work of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Chunks copied as they were.
    pub chunks_copied: u64,
    /// Chunks that were encoded again.
    pub chunks_rewritten: u64,
    /// Samples that were left out because of deletions.
    pub samples_deleted: u64,
    /// Requests sent to the bucket.
    pub requests: u64,
    /// Bytes read from the bucket.
    pub bytes_read: u64,
    /// Bytes written to the bucket.
    pub bytes_written: u64,
}

impl Repairs {
    pub(crate) fn add(&mut self, other: &Self) {
        self.labels_out_of_order += other.labels_out_of_order;
        self.series_twice += other.series_twice;
        self.chunks_out_of_order += other.chunks_out_of_order;
        self.chunks_twice += other.chunks_twice;
        self.samples_out_of_order += other.samples_out_of_order;
        self.samples_outside += other.samples_outside;
    }
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.chunks_copied += other.chunks_copied;
        self.chunks_rewritten += other.chunks_rewritten;
        self.samples_deleted += other.samples_deleted;
    }
}

/// One new block whose files are in the bucket, all but `meta.json`.
#[derive(Debug, Clone)]
pub struct Output {
    /// Ready to be made visible but for the time of upload.
    pub meta: BlockMeta,
}

/// The end of a job.
#[derive(Debug, Clone)]
pub struct Finished {
    /// In order of series; empty when no samples were left.
    pub outputs: Vec<Output>,
    /// What was wrong in the inputs.
    pub repairs: Repairs,
    /// How much was done.
    pub counts: Counts,
}
