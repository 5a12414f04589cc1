//! Certificates and keys from PEM files.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::Error;

/// Where distributions keep the system's CA bundle.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

pub(crate) fn system_roots() -> Result<RootCertStore, Error> {
    let own = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let found = own.into_iter().chain(SYSTEM_BUNDLES.iter().map(PathBuf::from)).find(|p| p.exists());
    match found {
        Some(path) => roots(&path),
        None => Err(Error::Config("TLS: no system CA bundle found, name a CA file".into())),
    }
}

pub(crate) fn roots(path: &Path) -> Result<RootCertStore, Error> {
    roots_of(certs(path)?, &path.display().to_string())
}

/// `what` names the place in errors.
pub(crate) fn roots_of(certificates: Vec<CertificateDer<'static>>, what: &str) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(Error::Config(format!("{what}: no usable CA certificate")));
    }
    Ok(store)
}

pub(crate) fn certs(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = std::fs::read(path).map_err(Error::io(format!("read {}", path.display())))?;
    let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certs {
        Ok(certs) if !certs.is_empty() => Ok(certs),
        Ok(_) => Err(Error::Config(format!("{}: no PEM certificate inside", path.display()))),
        Err(e) => Err(Error::Config(format!("{}: {e}", path.display()))),
    }
}

pub(crate) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let pem = std::fs::read(path).map_err(Error::io(format!("read {}", path.display())))?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|e| Error::Config(format!("{}: {e}", path.display())))
}
