//! Why a merge ended early, by what the caller may do.

use std::io;
use std::path::Path;

use block::BlockId;
use service::Failpoint;

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a merge or a verification ended early. Nothing has become visible then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An input is corrupt: the block is to be left out until somebody has repaired or deleted it.
    #[error("block {block}: {file}: {what}")]
    Input {
        /// Id of the block.
        block: BlockId,
        /// The file inside the block, `index` or `chunks/000001`.
        file: String,
        /// Where, and what is wrong.
        what: String,
    },
    /// An input is no longer in the bucket: the job is to be planned again.
    #[error("block {block} is no longer in the bucket")]
    Vanished {
        /// Id of the block.
        block: BlockId,
    },
    /// The bucket failed; the error's kind says whether another try helps.
    #[error(transparent)]
    Bucket(#[from] objstore::Error),
    /// The local disk failed, or a file that this job wrote there has changed.
    #[error("{action} {path}: {source}")]
    Local {
        /// The verb: open, read, write, rename.
        action: &'static str,
        /// Path of the file.
        path: String,
        /// The error of the operating system.
        #[source]
        source: io::Error,
    },
    /// The caller asked for an end. The same job goes on from where it was.
    #[error("cancelled")]
    Cancelled,
    /// A test asked for an end.
    #[error(transparent)]
    Failpoint(#[from] Failpoint),
    /// The job itself cannot be done.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    /// For `map_err` after a call to the operating system.
    pub(crate) fn local(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Local { action, path: path.display().to_string(), source }
    }

    /// A file of this job that does not hold what was written.
    pub(crate) fn corrupt(path: &Path, what: impl Into<String>) -> Self {
        let source = io::Error::new(io::ErrorKind::InvalidData, what.into());
        Self::Local { action: "read", path: path.display().to_string(), source }
    }

    /// A file of an input is corrupt.
    pub(crate) fn input(block: BlockId, file: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Input { block, file: file.into(), what: what.into() }
    }

    /// An error of the block crate met in an input.
    pub(crate) fn of_input(block: BlockId, error: block::Error) -> Self {
        match error {
            block::Error::Corrupt { file, offset, what } => {
                Self::Input { block, file, what: format!("offset {offset}: {what}") }
            }
            block::Error::Version { file, what, found } => {
                Self::Input { block, file, what: format!("{what} version {found} is not supported") }
            }
            block::Error::Io { action, path, source } => Self::Local { action, path, source },
            block::Error::Invalid(what) => Self::Input { block, file: String::new(), what },
        }
    }
}
