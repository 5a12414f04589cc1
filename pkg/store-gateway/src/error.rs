//! Errors of reading one block.

use std::fmt;

use storage::PartialResponse;

/// Why a block did not answer.
#[derive(Debug, Clone)]
pub(crate) enum BlockError {
    /// Its bytes are not what was written; names file and offset.
    Corrupt(String),
    /// Its series are out of order, which was found while labels were left out: only with all of them can they be sorted.
    Disorder(String),
    /// One of its objects is gone.
    Vanished(String),
    /// The store or the local disk failed.
    Store(String),
    /// Not the block's fault: the request ends, whatever was asked of partial answers.
    Fatal(storage::Error),
}

pub(crate) type BlockResult<T> = Result<T, BlockError>;

impl BlockError {
    /// As the error of a request, `what` (the block) named.
    pub(crate) fn into_storage(self, what: impl fmt::Display) -> storage::Error {
        match self {
            Self::Corrupt(text) | Self::Disorder(text) => storage::Error::Corrupt(format!("{what}: {text}")),
            Self::Vanished(text) | Self::Store(text) => storage::Error::Unavailable(format!("{what}: {text}")),
            Self::Fatal(e) => e,
        }
    }

    /// A warning where part of the answer may be missing, else an error.
    ///
    /// # Errors
    /// With [`PartialResponse::Abort`], and for what is not the block's fault.
    pub(crate) fn or_warning(
        self,
        mode: PartialResponse,
        what: impl fmt::Display,
    ) -> std::result::Result<String, storage::Error> {
        match (mode, self.into_storage(what)) {
            (PartialResponse::Warn, storage::Error::Corrupt(text) | storage::Error::Unavailable(text)) => Ok(text),
            (_, e) => Err(e),
        }
    }
}

impl From<block::Error> for BlockError {
    fn from(e: block::Error) -> Self {
        match e {
            block::Error::Io { .. } => Self::Store(e.to_string()),
            _ => Self::Corrupt(e.to_string()),
        }
    }
}

impl From<objstore::Error> for BlockError {
    fn from(e: objstore::Error) -> Self {
        match e.kind() {
            objstore::ErrorKind::NotFound => Self::Vanished(e.to_string()),
            // The listing had shown more bytes than there are.
            objstore::ErrorKind::Precondition => Self::Corrupt(e.to_string()),
            _ => Self::Store(e.to_string()),
        }
    }
}

impl From<storage::Error> for BlockError {
    fn from(e: storage::Error) -> Self {
        Self::Fatal(e)
    }
}
