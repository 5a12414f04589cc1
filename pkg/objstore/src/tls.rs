//! Stores whose certificate is for another name than the one they are reached by.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

use crate::http::ClientError;

/// TLS to servers with a certificate for `name`, whatever name is dialled, which the system's roots or those in `ca`
/// vouch for. Shows the certificate in `identity`. Both are PEM.
///
/// # Errors
/// Malformed PEM, a key that does not fit.
pub(crate) fn client(
    name: &ServerName<'static>,
    ca: Option<&[u8]>,
    identity: Option<&[u8]>,
) -> Result<ClientConfig, ClientError> {
    let certificates = |pem: &[u8]| CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let own = ca.map(certificates).transpose()?.unwrap_or_default();
    let roots = Verifier::new_with_extra_roots(own, provider.clone())?;
    let verifier = Arc::new(Named { inner: roots, name: name.clone() });
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    Ok(match identity {
        Some(pem) => builder.with_client_auth_cert(certificates(pem)?, PrivateKeyDer::from_pem_slice(pem)?)?,
        None => builder.with_no_client_auth(),
    })
}

#[derive(Debug)]
struct Named {
    inner: Verifier,
    name: ServerName<'static>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.inner.verify_server_cert(certificate, chain, &self.name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
