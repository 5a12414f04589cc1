//! What can end a replay.

use std::io;
use std::path::PathBuf;

/// Why a replay ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refuses to list a directory.
    #[error("list {}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The head failed.
    #[error(transparent)]
    Head(#[from] storage::Error),
    /// Nobody waits for it any more.
    #[error("the replay of the write-ahead log was cancelled")]
    Cancelled,
    /// A thread of the replay panicked, which is a bug.
    #[error("a thread of the replay of the write-ahead log ended early: please report this bug")]
    ThreadEnded,
}
