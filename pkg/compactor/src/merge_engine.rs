//! The engine proper: `merge` over the bucket.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use block::BlockMeta;
use merge::{Finished, Job, Limits, Options, Progress};
use objstore::Bucket;
use service::Failpoints;
use tokio_util::sync::CancellationToken;

use crate::engine::{Depth, Engine, EngineError, RunOptions};

/// Merges with the crate `merge`.
#[derive(Clone)]
pub struct MergeEngine {
    /// The bucket with the blocks.
    pub bucket: Bucket,
    pub limits: Limits,
    pub failpoints: Failpoints,
}

impl fmt::Debug for MergeEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MergeEngine").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[async_trait]
impl Engine for MergeEngine {
    async fn run(
        &self,
        job: &Job,
        options: &RunOptions,
        progress: &Arc<Progress>,
        cancel: &CancellationToken,
    ) -> Result<Finished, EngineError> {
        let options = Options {
            dir: options.dir.clone(),
            limits: self.limits.clone(),
            next_id: options.next_id.clone(),
            failpoints: self.failpoints.clone(),
        };
        merge::run(&self.bucket, job, &options, progress, cancel).await.map_err(of_merge)
    }

    async fn verify(&self, meta: &BlockMeta, depth: Depth) -> Result<(), EngineError> {
        let report = merge::verify_files(&self.bucket, meta, depth).await.map_err(of_merge)?;
        match report.problems.first() {
            None => Ok(()),
            Some(problem) => Err(EngineError::Corrupt { block: meta.ulid, what: problem.to_string() }),
        }
    }
}

fn of_merge(error: merge::Error) -> EngineError {
    use merge::Error as E;
    let text = error.to_string();
    match error {
        E::Input { block, file, what } => EngineError::Corrupt { block, what: format!("{file}: {what}") },
        E::Vanished { block } => EngineError::Vanished(block),
        E::Bucket(_) => EngineError::Transient(text),
        E::Local { .. } => EngineError::Local(text),
        E::Cancelled => EngineError::Cancelled,
        E::Failpoint(failpoint) => EngineError::Failpoint(failpoint),
        _ => EngineError::Refused(text),
    }
}
