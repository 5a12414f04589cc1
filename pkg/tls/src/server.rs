//! Servers' TLS from files, read again when the files change.

use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use tokio_rustls::TlsAcceptor;

use crate::names::AnyClient;
use crate::pem::{Pem, system_roots};
use crate::provider::{provider, versions};
use crate::{Error, names};

/// Whether clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// Clients are not asked for a certificate.
    #[default]
    None,
    /// Any certificate may be shown, and is not verified.
    Request,
    /// One must be shown; any will do.
    RequireAny,
    /// A certificate is checked if it is shown.
    VerifyIfGiven,
    /// Must be shown and valid.
    Require,
}

/// What a TLS server needs.
#[derive(Debug, Clone, Default)]
pub struct ServerTlsConfig {
    /// The certificate chain.
    pub cert: Pem,
    /// The private key.
    pub key: Pem,
    /// What client certificates must descend from; without it the system's bundle counts.
    pub client_ca: Option<Pem>,
    /// Whether clients must show a certificate.
    pub client_auth: ClientAuth,
    /// Names of which a client's certificate must have one; empty = any will do.
    pub client_names: Vec<String>,
    /// `1.0` to `1.3`; below 1.2 is served as 1.2, the oldest that is safe.
    pub min_version: String,
    /// Go's names of cipher suites; empty = all safe ones.
    pub ciphers: Vec<String>,
    /// `P256`, `P384`, `X25519` or Go's `CurveP256` …; empty = all.
    pub curves: Vec<String>,
    /// ALPN protocols, the most wanted one first.
    pub alpn: Vec<&'static [u8]>,
}

/// A server's TLS; certificates are read again when a file's modification time changes, so renewals need no restart.
#[derive(Debug)]
pub struct ServerTls {
    config: ServerTlsConfig,
    loaded: Mutex<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    stamps: Vec<Option<SystemTime>>,
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// Reads the files once, to fail early.
    ///
    /// # Errors
    /// Missing or malformed files, unknown versions, ciphers or curves.
    pub fn new(config: ServerTlsConfig) -> Result<Self, Error> {
        let loaded = Loaded { stamps: stamps(&config), config: Arc::new(server_config(&config)?) };
        Ok(Self { config, loaded: Mutex::new(loaded) })
    }

    /// The acceptor for the next connection. When changed files do not load, the last good ones stay in use.
    pub fn acceptor(&self) -> TlsAcceptor {
        let now = stamps(&self.config);
        let mut loaded = self.loaded.lock();
        if loaded.stamps != now {
            match server_config(&self.config) {
                Ok(config) => *loaded = Loaded { stamps: now, config: Arc::new(config) },
                Err(e) => {
                    tracing::warn!(error = %e, "changed TLS files do not load, keeping the ones before");
                    loaded.stamps = now;
                }
            }
        }
        TlsAcceptor::from(loaded.config.clone())
    }
}

fn stamps(config: &ServerTlsConfig) -> Vec<Option<SystemTime>> {
    [Some(&config.cert), Some(&config.key), config.client_ca.as_ref()]
        .into_iter()
        .flatten()
        .filter_map(Pem::file)
        .map(|p| std::fs::metadata(p).and_then(|m| m.modified()).ok())
        .collect()
}

fn server_config(config: &ServerTlsConfig) -> Result<ServerConfig, Error> {
    let provider = Arc::new(provider(&config.ciphers, &config.curves)?);
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions(&config.min_version)?)
        .map_err(|e| Error::Config(format!("TLS: {e}")))?;
    let builder = match verifier(config, provider)? {
        None => builder.with_no_client_auth(),
        Some(inner) => builder.with_client_cert_verifier(match config.client_names.clone() {
            names if names.is_empty() => inner,
            names => Arc::new(names::AllowedNames { inner, names }),
        }),
    };
    let mut server = builder
        .with_single_cert(config.cert.certs()?, config.key.key()?)
        .map_err(|e| Error::Config(format!("{}: {e}", config.cert.place())))?;
    server.alpn_protocols = config.alpn.iter().map(|p| p.to_vec()).collect();
    Ok(server)
}

/// Who looks at clients' certificates, if they are asked for one.
fn verifier(
    config: &ServerTlsConfig,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, Error> {
    let is_mandatory = match config.client_auth {
        ClientAuth::None => return Ok(None),
        ClientAuth::Request | ClientAuth::VerifyIfGiven => false,
        ClientAuth::RequireAny | ClientAuth::Require => true,
    };
    if matches!(config.client_auth, ClientAuth::Request | ClientAuth::RequireAny) {
        return Ok(Some(Arc::new(AnyClient { provider, is_mandatory })));
    }
    let roots = config.client_ca.as_ref().map_or_else(system_roots, Pem::roots)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = if is_mandatory { verifier } else { verifier.allow_unauthenticated() };
    let built = verifier.build().map_err(|e| Error::Config(format!("TLS: certificates of clients: {e}")))?;
    Ok(Some(built))
}
