//! Errors of what is read and bound before anything is served.

/// Why a listener, certificate or client could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A configuration text or flag is wrong.
    #[error("{0}")]
    Config(String),
    /// A file or socket failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done to which file or address.
        what: String,
        /// What the system said about it.
        source: std::io::Error,
    },
}

impl From<tls::Error> for Error {
    fn from(e: tls::Error) -> Self {
        match e {
            tls::Error::Io { what, source } => Self::Io { what, source },
            other => Self::Config(other.to_string()),
        }
    }
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { what: what.into(), source }
    }
}
