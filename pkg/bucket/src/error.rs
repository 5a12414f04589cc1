//! Errors by what the caller may do.

use std::path::PathBuf;

use block::BlockId;

/// What functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something with blocks in a bucket failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed: try again if its kind says so.
    #[error("{0}")]
    Bucket(#[from] objstore::Error),
    /// A local file could not be read or written.
    #[error("{path}: {source}")]
    Local {
        /// Path of the file.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The block is not fit for this; trying again does not help.
    #[error("block {block}: {why}")]
    Unfit {
        /// Id of the block.
        block: BlockId,
        /// What the block lacks or has too much.
        why: String,
    },
    /// What the bucket holds is not what should be there; says what differs.
    #[error("block {block}: {what}")]
    Corrupt {
        /// Id of the block.
        block: BlockId,
        /// What differs, with the file.
        what: String,
    },
    /// The partial upload that an earlier attempt left is being deleted: try again later.
    #[error(
        "block {block}: what an earlier upload left is being cleaned up, it is uploaded again after that (within hours)"
    )]
    CleanedUp {
        /// Id of the block.
        block: BlockId,
    },
    /// A hook of [`service::Failpoints`] ended the step.
    #[error(transparent)]
    Failpoint(#[from] service::Failpoint),
}

impl Error {
    pub(crate) fn local(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Local { path, source }
    }

    /// Whether the same call may succeed a while later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Bucket(e) => e.kind().is_transient(),
            Self::CleanedUp { .. } => true,
            _ => false,
        }
    }
}
