//! Errors by what the caller may do.

/// Why the compactor, or a part of it, ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag or a file that it names cannot be used.
    #[error("{0}")]
    Config(String),
    /// The bucket failed.
    #[error(transparent)]
    Bucket(#[from] bucket::Error),
    /// A listener could not be opened.
    #[error(transparent)]
    Transport(#[from] transport::Error),
    /// A part ended that should go on.
    #[error("{0}")]
    Ended(String),
    /// A single run left work undone; says how much.
    #[error("{0}")]
    Undone(String),
}

impl Error {
    /// Whether the bucket refuses the credentials: nothing will work until an operator acts.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::Bucket(bucket::Error::Bucket(e)) if e.kind() == objstore::ErrorKind::Denied)
    }
}

impl From<objstore::Error> for Error {
    fn from(e: objstore::Error) -> Self {
        Self::Bucket(e.into())
    }
}

impl From<flags::UsageError> for Error {
    fn from(e: flags::UsageError) -> Self {
        Self::Config(e.0)
    }
}

impl From<transport::ConfigError> for Error {
    fn from(e: transport::ConfigError) -> Self {
        Self::Config(e.0)
    }
}
