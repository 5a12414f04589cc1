//! Settings of the compactor's work.

use std::path::PathBuf;
use std::time::Duration;

use bucket::Filters;
use bucket::flags::TimeLimits;
use merge::Vertical;

use crate::downsampling::{STEPS, Step};
use crate::engine::Depth;
use crate::plan::RANGES_MS;
use crate::policy::Policy;

/// Settings of the work itself; listeners and the like are in [`crate::Config`].
#[derive(Debug, Clone)]
pub struct Settings {
    /// Ranges of blocks by level, ms, up to the highest level wanted.
    pub ranges_ms: Vec<i64>,
    /// Largest index of a block, bytes.
    pub index_bytes_max: u64,
    /// Most series of a block; 0 = no limit.
    pub series_max: u64,
    /// Whether a merge that would pass a limit makes several blocks; else the largest input is marked and left alone.
    pub split: bool,
    /// What is done where blocks overlap.
    pub vertical: Vertical,
    /// External labels that distinguish replicas.
    pub replica_labels: Vec<String>,
    /// The external label that names the tenant, for a fair share.
    pub tenant_label: String,
    /// Which blocks are worked on; times, replica labels and marks are put in here.
    pub filters: Filters,
    pub times: TimeLimits,
    /// How long series are kept.
    pub policy: Policy,
    pub steps: [Step; 2],
    /// False = `--downsampling.disable`.
    pub downsampling: bool,
    /// From mark to deletion, ms.
    pub delete_delay_ms: i64,
    /// Age after which an upload without `meta.json` counts as abandoned, ms since its newest object.
    pub partial_age_ms: i64,
    pub compaction_concurrency: usize,
    pub downsample_concurrency: usize,
    pub deletion_concurrency: usize,
    /// How much of a new block is read before it is made visible.
    pub verify: Depth,
    /// Where merges keep their files.
    pub dir: PathBuf,
    /// `--compact.lease-ttl`.
    pub lease_ttl: Duration,
    /// There is no other compactor: leases of others are taken over at once.
    pub single_instance: bool,
    /// How long a failed group or block is left alone at first, ms.
    pub backoff_min_ms: i64,
    /// How long at most, ms.
    pub backoff_max_ms: i64,
}

impl Settings {
    /// What becomes of the samples of replicas, where an operator may expect less of them.
    pub fn replicas_kept(&self) -> Option<&'static str> {
        let all = !self.replica_labels.is_empty() && self.vertical == Vertical::Merge;
        all.then_some(
            "replicas are merged one to one: all samples of all replicas are kept, but those of the same time; \
             --deduplication.func=penalty follows one replica and fills its gaps from the others",
        )
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ranges_ms: RANGES_MS.to_vec(),
            index_bytes_max: merge::INDEX_BYTES_MAX,
            series_max: 0,
            split: false,
            vertical: Vertical::Merge,
            replica_labels: Vec::new(),
            tenant_label: "tenant_id".to_owned(),
            filters: Filters::default(),
            times: TimeLimits::default(),
            policy: Policy::default(),
            steps: STEPS,
            downsampling: true,
            delete_delay_ms: 48 * 3_600_000,
            partial_age_ms: 48 * 3_600_000,
            compaction_concurrency: 1,
            downsample_concurrency: 1,
            deletion_concurrency: 32,
            verify: Depth::Index,
            dir: "./data".into(),
            lease_ttl: Duration::from_secs(60),
            single_instance: false,
            backoff_min_ms: 5 * 60_000,
            backoff_max_ms: 6 * 3_600_000,
        }
    }
}
