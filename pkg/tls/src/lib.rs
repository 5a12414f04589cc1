//! TLS for servers and clients of HTTP, gRPC and object storage: certificates from PEM, and whose certificate is taken.
//!
//! The cryptography is that of `ring`, the oldest version 1.2.

mod client;
mod names;
mod pem;
mod provider;
mod server;

pub use client::{ClientTlsConfig, InlineTls, client_for_name};
pub use pem::Pem;
pub use server::{ClientAuth, ServerTls, ServerTlsConfig};

/// Why a certificate, key or setting cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting or a file's content is wrong; the message names it.
    #[error("{0}")]
    Config(String),
    /// A file cannot be read.
    #[error("{what}: {source}")]
    Io {
        /// What was being done to which file.
        what: String,
        /// The cause, as the layer below reports it.
        source: std::io::Error,
    },
    /// `rustls` refused certificates or keys.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// Bytes that are no PEM.
    #[error("TLS: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { what: what.into(), source }
    }
}
