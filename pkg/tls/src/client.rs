//! Clients' TLS, from files.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls_platform_verifier::Verifier;

use crate::Error;
use crate::names::{AcceptAny, NamedServer};
use crate::pem::{certs, key, roots, system_roots};
use crate::provider::versions;

/// What a TLS client needs.
#[derive(Debug, Clone, Default)]
pub struct ClientTlsConfig {
    /// PEM bundle to trust; empty = the system's.
    pub ca: Option<PathBuf>,
    /// Path of the certificate chain to show, PEM.
    pub cert: Option<PathBuf>,
    /// Path of the private key of `cert`, PEM.
    pub key: Option<PathBuf>,
    /// Verify against this name in place of the address'.
    pub server_name: Option<String>,
    /// Accept any certificate of the server, whoever made it.
    pub skip_verify: bool,
    /// As [`ServerTlsConfig`](crate::ServerTlsConfig) has it.
    pub min_version: String,
}

impl ClientTlsConfig {
    /// The rustls form, with these ALPN protocols.
    ///
    /// # Errors
    /// Files that are missing or malformed; the message names the file.
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
                    let verifier = Arc::new(NamedServer { inner, name });
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

/// TLS to servers with a certificate for `name`, whatever name is dialled, which the system's roots or those in `ca`
/// vouch for. Shows the certificate in `identity`. Both are PEM.
///
/// # Errors
/// Malformed PEM, a key that does not fit.
pub fn client_for_name(
    name: ServerName<'static>,
    ca: Option<&[u8]>,
    identity: Option<&[u8]>,
) -> Result<ClientConfig, Error> {
    let certificates = |pem: &[u8]| CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let provider = Arc::new(ring::default_provider());
    let own = ca.map(certificates).transpose()?.unwrap_or_default();
    let inner = Arc::new(Verifier::new_with_extra_roots(own, provider.clone())?);
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(NamedServer { inner, name }));
    Ok(match identity {
        Some(pem) => builder.with_client_auth_cert(certificates(pem)?, PrivateKeyDer::from_pem_slice(pem)?)?,
        None => builder.with_no_client_auth(),
    })
}
