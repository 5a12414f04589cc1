//! The seam between decisions and merging, so that decisions can be tested without data.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use block::BlockId;
pub use merge::Depth;
use merge::{Finished, Job, Progress};
use tokio_util::sync::CancellationToken;

/// Why the engine ended early, by what may be done.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A block is corrupt: it is to be left out.
    #[error("block {block}: {what}")]
    Corrupt { block: BlockId, what: String },
    /// A block was deleted: the task is to be planned again.
    #[error("block {0} is no longer in the bucket")]
    Vanished(BlockId),
    /// The bucket failed for now.
    #[error("{0}")]
    Transient(String),
    #[error("{0}")]
    Local(String),
    /// It was asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// A test asked for an end.
    #[error(transparent)]
    Failpoint(#[from] service::Failpoint),
    /// It cannot be done, and trying again is no help.
    #[error("{0}")]
    Refused(String),
}

/// Makes ids for new blocks.
pub type NextId = Arc<dyn Fn() -> BlockId + Send + Sync>;

/// What a run needs besides the job.
#[derive(Clone)]
pub struct RunOptions {
    /// For its own files; the same for the same job, so that it can go on where it was killed.
    pub dir: PathBuf,
    /// Called for each block made beyond the first.
    pub next_id: NextId,
}

impl fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOptions").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Merges blocks, and checks them.
#[async_trait]
pub trait Engine: fmt::Debug + Send + Sync {
    /// Carries out `job`: new blocks lie in the bucket then, all but their `meta.json`.
    ///
    /// # Errors
    /// See [`EngineError`]. Nothing has become visible then.
    async fn run(
        &self,
        job: &Job,
        options: &RunOptions,
        progress: &Arc<Progress>,
        cancel: &CancellationToken,
    ) -> Result<Finished, EngineError>;

    /// Reads the block whose meta is `meta` (it need not be visible) as far as `depth` says. Sizes were checked before.
    ///
    /// # Errors
    /// [`EngineError::Corrupt`] if it is not as it should be.
    async fn verify(&self, meta: &block::BlockMeta, depth: Depth) -> Result<(), EngineError>;
}
