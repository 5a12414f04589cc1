//! TLS from files, reloaded when the files change; for servers and clients of HTTP and gRPC.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};
use tokio_rustls::TlsAcceptor;

use crate::Error;

mod names;

/// Whether clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// Not asked.
    #[default]
    None,
    /// Checked if shown.
    VerifyIfGiven,
    /// Must be shown and valid.
    Require,
}

/// What a TLS server needs.
#[derive(Debug, Clone, Default)]
pub struct ServerTlsConfig {
    /// PEM chain.
    pub cert: PathBuf,
    /// PEM key.
    pub key: PathBuf,
    /// PEM bundle that client certificates must descend from.
    pub client_ca: Option<PathBuf>,
    /// See [`ClientAuth`].
    pub client_auth: ClientAuth,
    /// Names of which a client's certificate must have one; empty = any will do.
    pub client_names: Vec<String>,
    /// `1.0` to `1.3`; below 1.2 is served as 1.2, the oldest that is safe.
    pub min_version: String,
    /// Go's names of cipher suites; empty = all safe ones.
    pub ciphers: Vec<String>,
    /// `P256`, `P384`, `X25519` or Go's `CurveP256` …; empty = all.
    pub curves: Vec<String>,
    /// ALPN, most wanted first.
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
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, Error> {
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
        Ok(TlsAcceptor::from(loaded.config.clone()))
    }
}

fn stamps(config: &ServerTlsConfig) -> Vec<Option<SystemTime>> {
    [Some(&config.cert), Some(&config.key), config.client_ca.as_ref()]
        .into_iter()
        .flatten()
        .map(|p| std::fs::metadata(p).and_then(|m| m.modified()).ok())
        .collect()
}

fn server_config(config: &ServerTlsConfig) -> Result<ServerConfig, Error> {
    let provider = Arc::new(provider(&config.ciphers, &config.curves)?);
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions(&config.min_version)?)
        .map_err(|e| Error::Config(format!("TLS: {e}")))?;
    let builder = match (&config.client_ca, config.client_auth) {
        (_, ClientAuth::None) => builder.with_no_client_auth(),
        (None, _) => return Err(Error::Config("TLS: client certificates are asked for without a client CA".into())),
        (Some(ca), auth) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), provider);
            let verifier = match auth {
                ClientAuth::VerifyIfGiven => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            let inner = verifier.build().map_err(|e| Error::Config(format!("{}: {e}", ca.display())))?;
            builder.with_client_cert_verifier(match config.client_names.clone() {
                names if names.is_empty() => inner,
                names => Arc::new(names::AllowedNames { inner, names }),
            })
        }
    };
    let mut server = builder
        .with_single_cert(certs(&config.cert)?, key(&config.key)?)
        .map_err(|e| Error::Config(format!("{}: {e}", config.cert.display())))?;
    server.alpn_protocols = config.alpn.iter().map(|p| p.to_vec()).collect();
    Ok(server)
}

/// What a TLS client needs.
#[derive(Debug, Clone, Default)]
pub struct ClientTlsConfig {
    /// PEM bundle to trust; empty = the system's.
    pub ca: Option<PathBuf>,
    /// PEM chain to show.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// Verify against this name in place of the address'.
    pub server_name: Option<String>,
    /// Accept any certificate.
    pub skip_verify: bool,
    /// As in [`ServerTlsConfig`].
    pub min_version: String,
}

impl ClientTlsConfig {
    /// The rustls form, with these ALPN protocols.
    ///
    /// # Errors
    /// Missing or malformed files.
    pub fn build(&self, alpn: &[&[u8]]) -> Result<ClientConfig, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions(&self.min_version)?)
            .map_err(|e| Error::Config(format!("TLS: {e}")))?;
        let builder = if self.skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
        } else {
            let store = match &self.ca {
                Some(ca) => roots(ca)?,
                None => system_roots()?,
            };
            match &self.server_name {
                None => builder.with_root_certificates(store),
                Some(name) => {
                    let bad = |e: &dyn std::fmt::Display| Error::Config(format!("TLS: server name {name:?}: {e}"));
                    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
                        .build()
                        .map_err(|e| bad(&e))?;
                    let name = ServerName::try_from(name.clone()).map_err(|e| bad(&e))?;
                    let verifier = Arc::new(names::NamedServer { inner, name });
                    builder.dangerous().with_custom_certificate_verifier(verifier)
                }
            }
        };
        let mut client = match (&self.cert, &self.key) {
            (Some(cert), Some(private)) => builder
                .with_client_auth_cert(certs(cert)?, key(private)?)
                .map_err(|e| Error::Config(format!("{}: {e}", cert.display())))?,
            (None, None) => builder.with_no_client_auth(),
            _ => return Err(Error::Config("TLS: a client certificate needs both its cert and its key file".into())),
        };
        client.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        Ok(client)
    }
}

/// Where distributions keep the system's CA bundle.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

fn system_roots() -> Result<RootCertStore, Error> {
    let own = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let found = own.into_iter().chain(SYSTEM_BUNDLES.iter().map(PathBuf::from)).find(|p| p.exists());
    match found {
        Some(path) => roots(&path),
        None => Err(Error::Config("TLS: no system CA bundle found, name a CA file".into())),
    }
}

fn roots(path: &Path) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(certs(path)?);
    if added == 0 {
        return Err(Error::Config(format!("{}: no usable CA certificate", path.display())));
    }
    Ok(store)
}

fn certs(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = std::fs::read(path).map_err(Error::io(format!("read {}", path.display())))?;
    let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certs {
        Ok(certs) if !certs.is_empty() => Ok(certs),
        Ok(_) => Err(Error::Config(format!("{}: no PEM certificate inside", path.display()))),
        Err(e) => Err(Error::Config(format!("{}: {e}", path.display()))),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let pem = std::fs::read(path).map_err(Error::io(format!("read {}", path.display())))?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|e| Error::Config(format!("{}: {e}", path.display())))
}

static ONLY_13: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

fn versions(min: &str) -> Result<&'static [&'static SupportedProtocolVersion], Error> {
    match min {
        "" | "1.0" | "1.1" | "1.2" | "TLS10" | "TLS11" | "TLS12" => Ok(rustls::ALL_VERSIONS),
        "1.3" | "TLS13" => Ok(&ONLY_13),
        other => Err(Error::Config(format!("TLS: version {other:?} is none of 1.0, 1.1, 1.2, 1.3"))),
    }
}

fn provider(ciphers: &[String], curves: &[String]) -> Result<CryptoProvider, Error> {
    let mut provider = ring::default_provider();
    if !ciphers.is_empty() {
        let chosen: Result<Vec<SupportedCipherSuite>, Error> = ciphers
            .iter()
            .map(|name| {
                let plain = |s: &SupportedCipherSuite| format!("{:?}", s.suite()).replace("TLS13_", "TLS_");
                provider.cipher_suites.iter().copied().find(|s| plain(s) == *name).ok_or_else(|| {
                    let all: Vec<_> = provider.cipher_suites.iter().map(plain).collect();
                    Error::Config(format!("TLS: cipher suite {name:?} is none of {}", all.join(", ")))
                })
            })
            .collect();
        let mut chosen = chosen?;
        // As in Go, the suites of TLS 1.3 cannot be turned off.
        chosen.extend(provider.cipher_suites.iter().filter(|s| s.tls13().is_some()));
        provider.cipher_suites = chosen;
    }
    if !curves.is_empty() {
        let chosen: Result<Vec<_>, Error> = curves
            .iter()
            .map(|name| {
                let wanted = match name.trim_start_matches("Curve") {
                    "P256" => rustls::NamedGroup::secp256r1,
                    "P384" => rustls::NamedGroup::secp384r1,
                    "X25519" => rustls::NamedGroup::X25519,
                    _ => return Err(Error::Config(format!("TLS: curve {name:?} is none of P256, P384, X25519"))),
                };
                Ok(*provider.kx_groups.iter().find(|g| g.name() == wanted).expect("ring has all three"))
            })
            .collect();
        provider.kx_groups = chosen?;
    }
    Ok(provider)
}

/// For `insecure_skip_verify`: checks signatures, not identity.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
