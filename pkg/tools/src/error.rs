//! Why a command of this crate did not run to its end.

use flags::UsageError;
use service::tool;

/// By where it comes from. Outside of this crate it is a [`tool::Error`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// Something about blocks.
    #[error(transparent)]
    Bucket(#[from] ::bucket::Error),
    /// The object store.
    #[error(transparent)]
    Store(#[from] objstore::Error),
    /// A block's files.
    #[error(transparent)]
    Block(#[from] block::Error),
    /// Results cannot be printed.
    #[error("writing the output: {0}")]
    Output(#[source] std::io::Error),
    /// Anything else; says what and where.
    #[error("{0}")]
    Failed(String),
}

impl From<Error> for tool::Error {
    fn from(e: Error) -> Self {
        match e {
            Error::Usage(text) => Self::Usage(text),
            Error::Output(e) => Self::Output(e),
            e => Self::Failed(e.to_string()),
        }
    }
}

impl From<tool::Error> for Error {
    fn from(e: tool::Error) -> Self {
        match e {
            tool::Error::Usage(text) => Self::Usage(text),
            tool::Error::Output(e) => Self::Output(e),
            tool::Error::Failed(text) => Self::Failed(text),
        }
    }
}

impl From<UsageError> for Error {
    fn from(e: UsageError) -> Self {
        Self::Usage(e.0)
    }
}

impl From<transport::Error> for Error {
    fn from(e: transport::Error) -> Self {
        match e {
            transport::Error::Config(text) => Self::Usage(text),
            e => Self::Failed(e.to_string()),
        }
    }
}
