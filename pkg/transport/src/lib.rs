//! HTTP and gRPC, both ends: listeners, TLS, basic auth, the routes that every component has, clients.
//!
//! A server is a listener (bound by the caller, so tests bind port 0), a router, a TLS source and a shutdown token; see
//! [`serve`]. The same accept loop carries HTTP and gRPC. Nothing here knows what is served.

mod connections;
pub mod flags;
pub mod grpc;
pub mod http;
mod request_log;
mod serve;
mod stall;
pub mod traces;

pub use request_log::RequestLog;
pub use serve::{ServeOptions, bind, serve};

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
        /// The cause.
        source: std::io::Error,
    },
}

/// A flag, or a file that it names, cannot be used; the text names it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

impl From<Error> for ConfigError {
    fn from(e: Error) -> Self {
        Self(e.to_string())
    }
}

impl From<::flags::UsageError> for ConfigError {
    fn from(e: ::flags::UsageError) -> Self {
        Self(e.0)
    }
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
