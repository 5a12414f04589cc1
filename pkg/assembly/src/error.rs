//! Why a component could not start or go on.

use service::{BoxError, Failed};

/// Why a component could not start or go on. Each of them ends the program with exit code 1.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag, or a file that it names, cannot be used; names it.
    #[error("{0}")]
    Config(String),
    /// A listener could not be bound.
    #[error("--{flag}: {source}")]
    Listener {
        /// The flag with its address.
        flag: &'static str,
        /// What the system said about the address.
        source: transport::Error,
    },
    /// The bucket could not be reached, or what is in it could not be used.
    #[error("{0}")]
    Bucket(#[source] BoxError),
    /// A part ended with an error while others went on; names it.
    #[error(transparent)]
    Part(#[from] Failed),
    /// A run that ends by itself left work undone; says how much.
    #[error("{0}")]
    Undone(String),
}

impl Error {
    /// A flag that cannot be used, and why.
    pub fn flag(name: &str, why: impl std::fmt::Display) -> Self {
        Self::Config(format!("--{name}: {why}"))
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

/// What `transport` finds wrong before it serves is in flags and the files that they name.
impl From<transport::Error> for Error {
    fn from(e: transport::Error) -> Self {
        Self::Config(e.to_string())
    }
}
