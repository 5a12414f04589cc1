//! Certificates and keys from PEM files.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::Error;

/// Where PEM stands.
#[derive(Clone)]
pub enum Pem {
    /// In this file.
    File(PathBuf),
    /// In a configuration, under this key.
    Text(&'static str, String),
}

impl Default for Pem {
    fn default() -> Self {
        Self::File(PathBuf::new())
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It may be a key.
        f.write_str(&self.place())
    }
}

impl Pem {
    /// The file, if it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Text(..) => None,
        }
    }

    /// What errors call it.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Text(key, _) => (*key).to_owned(),
        }
    }

    fn read(&self) -> Result<Cow<'_, [u8]>, Error> {
        match self {
            Self::File(path) => {
                let read = std::fs::read(path).map_err(Error::io(format!("read {}", path.display())))?;
                Ok(read.into())
            }
            Self::Text(_, text) => Ok(text.as_bytes().into()),
        }
    }

    pub(crate) fn certs(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.read()?).collect();
        match certs {
            Ok(certs) if !certs.is_empty() => Ok(certs),
            Ok(_) => Err(Error::Config(format!("{}: no PEM certificate inside", self.place()))),
            Err(e) => Err(Error::Config(format!("{}: {e}", self.place()))),
        }
    }

    pub(crate) fn key(&self) -> Result<PrivateKeyDer<'static>, Error> {
        PrivateKeyDer::from_pem_slice(&self.read()?).map_err(|e| Error::Config(format!("{}: {e}", self.place())))
    }

    pub(crate) fn roots(&self) -> Result<RootCertStore, Error> {
        roots_of(self.certs()?, &self.place())
    }
}

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
    Pem::File(path.to_owned()).roots()
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
    Pem::File(path.to_owned()).certs()
}

pub(crate) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    Pem::File(path.to_owned()).key()
}
