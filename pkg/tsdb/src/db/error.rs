//! What can go wrong, by what the caller may do about it.

use std::io;
use std::path::Path;

use service::Failpoint;

use super::disk::advice;

/// What this module's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the database, or a part of its work, failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process, or another part of this one, has the directory open.
    #[error(
        "data directory {dir} is in use by {holder}: stop that process, or give each server a directory of its own \
         (--storage.tsdb.path)"
    )]
    Locked {
        /// The data directory.
        dir: String,
        /// Who holds the lock, as far as the system tells.
        holder: String,
    },
    /// The operating system refused. Background work tries again later.
    #[error("{action} {path}: {source}{}", advice(source))]
    Io {
        /// What was tried: `open`, `write`, …
        action: &'static str,
        /// The path of the file or directory.
        path: String,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
    /// A block cannot be read or written.
    #[error(transparent)]
    Block(#[from] block::Error),
    /// Blocks could not be merged.
    #[error(transparent)]
    Merge(#[from] merge::Error),
    /// The log cannot be written.
    #[error("write-ahead log: {0}")]
    Log(#[from] wal::Error),
    /// The head refused or failed.
    #[error("{0}")]
    Head(String),
    /// There is too little room on the disk for what was asked.
    #[error("{what} needs about {need_bytes} bytes, {free_bytes} are free on the disk: free space and try again")]
    Space {
        /// What was asked for.
        what: String,
        /// How much it takes, about.
        need_bytes: u64,
        /// How much there is.
        free_bytes: u64,
    },
    /// The same work goes on already.
    #[error("{0} is running already: wait for its end")]
    Busy(&'static str),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Nobody waits for the outcome any more.
    #[error("cancelled")]
    Cancelled,
    /// The database is closed.
    #[error("the database is closed")]
    Closed,
    /// A test ended the step.
    #[error(transparent)]
    Failpoint(#[from] Failpoint),
}

impl Error {
    /// For `map_err` after a call to the operating system.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { action, path, source }
    }

    /// Whether a block is to blame, so that another try cannot help.
    pub(crate) fn is_of_input(&self) -> bool {
        matches!(self, Self::Merge(merge::Error::Input { .. } | merge::Error::Refused(_)))
    }
}

impl From<Error> for storage::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Block(e) => e.into(),
            Error::Invalid(text) => Self::Invalid(text),
            Error::Cancelled => Self::Cancelled,
            Error::Space { .. } => Self::Limit(error.to_string()),
            Error::Locked { .. } | Error::Io { .. } | Error::Busy(_) | Error::Log(_) | Error::Closed => {
                Self::Unavailable(error.to_string())
            }
            Error::Merge(_) | Error::Head(_) | Error::Failpoint(_) => Self::other(error.to_string()),
        }
    }
}
