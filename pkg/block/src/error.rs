//! Why a block cannot be read or written, by what the caller may do.

use std::io;

/// What block functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a block cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are not what was written: fetch the file again, or leave the block out.
    #[error("{file}: offset {offset}: {what}")]
    Corrupt {
        /// The file inside the block, or the whole path.
        file: String,
        /// Where in the file, bytes.
        offset: u64,
        /// What differs from the format.
        what: String,
    },
    /// A version that this program does not know: use a newer program.
    #[error("{file}: {what} version {found} is not supported")]
    Version {
        /// The file's name or path.
        file: String,
        /// Which part of the file has a version.
        what: String,
        /// The version that the file has.
        found: u64,
    },
    /// The operating system refused.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried: `open`, `write`, …
        action: &'static str,
        /// The file's path.
        path: String,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
    /// The caller broke a rule of the format, such as the order of series.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// An [`Error::Corrupt`].
    pub fn corrupt(file: impl Into<String>, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { file: file.into(), offset, what: what.into() }
    }

    /// For `map_err` after a call to the operating system.
    pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { action, path, source }
    }

    /// The same error, placed: a bare file name becomes `prefix/file`, an offset inside a part one inside the file.
    #[must_use]
    pub fn within(self, prefix: &str) -> Self {
        match self {
            Self::Corrupt { file, offset, what } => Self::Corrupt { file: format!("{prefix}/{file}"), offset, what },
            Self::Version { file, what, found } => Self::Version { file: format!("{prefix}/{file}"), what, found },
            other => other,
        }
    }
}

impl From<encoding::Corrupt> for Error {
    fn from(corrupt: encoding::Corrupt) -> Self {
        let encoding::Corrupt { file, offset, what } = corrupt;
        Self::Corrupt { file, offset, what }
    }
}

impl From<Error> for storage::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Corrupt { .. } | Error::Version { .. } => Self::Corrupt(error.to_string()),
            Error::Invalid(text) => Self::Invalid(text),
            Error::Io { .. } => Self::Unavailable(error.to_string()),
        }
    }
}
