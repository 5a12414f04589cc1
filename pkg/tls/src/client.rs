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
use crate::pem::{certs, key, roots, roots_of, system_roots};
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

/// What a client may have in its configuration in place of files, and the highest version of TLS.
#[derive(Debug, Clone, Copy, Default)]
pub struct InlineTls<'a> {
    /// PEM bundle to trust.
    pub ca: Option<&'a str>,
    /// Certificate chain to show, PEM.
    pub cert: Option<&'a str>,
    /// Private key of `cert`, PEM.
    pub key: Option<&'a str>,
    /// Nothing above TLS 1.2.
    pub tls12_only: bool,
}

impl ClientTlsConfig {
    /// The rustls form, with these ALPN protocols.
    ///
    /// # Errors
    /// Files that are missing or malformed; the message names the file.
    pub fn build(&self, alpn: &[&[u8]]) -> Result<ClientConfig, Error> {
        self.build_with(InlineTls::default(), alpn)
    }

    /// As [`Self::build`], with what is given in place of files.
    ///
    /// # Errors
    /// As [`Self::build`]; also for what is malformed in `inline`.
    pub fn build_with(&self, inline: InlineTls<'_>, alpn: &[&[u8]]) -> Result<ClientConfig, Error> {
        let provider = Arc::new(ring::default_provider());
        let versions = if inline.tls12_only { &[&rustls::version::TLS12] } else { versions(&self.min_version)? };
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(|e| Error::Config(format!("TLS: {e}")))?;
        let builder = if self.skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
        } else {
            let store = match (inline.ca, &self.ca) {
                (Some(pem), _) => roots_of(certificates(pem, "ca")?, "ca")?,
                (None, Some(ca)) => roots(ca)?,
                (None, None) => system_roots()?,
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
        let chain = match (inline.cert, &self.cert) {
            (Some(pem), _) => Some(certificates(pem, "cert")?),
            (None, Some(path)) => Some(certs(path)?),
            (None, None) => None,
        };
        let private = match (inline.key, &self.key) {
            (Some(pem), _) => Some(PrivateKeyDer::from_pem_slice(pem.as_bytes())?),
            (None, Some(path)) => Some(key(path)?),
            (None, None) => None,
        };
        let mut client = match (chain, private) {
            (Some(chain), Some(private)) => builder.with_client_auth_cert(chain, private).map_err(|e| {
                let path = self.cert.as_ref().map_or_else(|| "cert".to_owned(), |path| path.display().to_string());
                Error::Config(format!("{path}: {e}"))
            })?,
            (None, None) => builder.with_no_client_auth(),
            _ => return Err(Error::Config("TLS: a client certificate needs both its cert and its key file".into())),
        };
        client.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        Ok(client)
    }
}

fn certificates(pem: &str, what: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Error::Config(format!("{what}: no PEM certificate inside"))),
        Err(e) => Err(Error::Config(format!("{what}: {e}"))),
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
