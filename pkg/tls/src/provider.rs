//! Versions, cipher suites and curves by the names that configurations have for them.

use rustls::crypto::{CryptoProvider, ring};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use crate::Error;

static ONLY_13: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

pub(crate) fn versions(min: &str) -> Result<&'static [&'static SupportedProtocolVersion], Error> {
    match min {
        "" | "1.0" | "1.1" | "1.2" | "TLS10" | "TLS11" | "TLS12" => Ok(rustls::ALL_VERSIONS),
        "1.3" | "TLS13" => Ok(&ONLY_13),
        other => Err(Error::Config(format!("TLS: version {other:?} is none of 1.0, 1.1, 1.2, 1.3"))),
    }
}

pub(crate) fn provider(ciphers: &[String], curves: &[String]) -> Result<CryptoProvider, Error> {
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
        let named = |name: &&String| {
            // A list that names others works without it.
            let is_missing = name.trim_start_matches("Curve") == "P521";
            if is_missing && curves.len() > 1 {
                tracing::warn!("TLS: curve P521 is not built in, the others of the list are offered");
            }
            !is_missing || curves.len() == 1
        };
        let chosen: Result<Vec<_>, Error> = curves
            .iter()
            .filter(named)
            .map(|name| {
                let wanted = match name.trim_start_matches("Curve") {
                    "P256" => rustls::NamedGroup::secp256r1,
                    "P384" => rustls::NamedGroup::secp384r1,
                    "X25519" => rustls::NamedGroup::X25519,
                    "P521" => {
                        let why = "TLS: curve P521 is not built in: name P256, P384 or X25519 as well";
                        return Err(Error::Config(why.to_owned()));
                    }
                    _ => return Err(Error::Config(format!("TLS: curve {name:?} is none of P256, P384, X25519"))),
                };
                Ok(*provider.kx_groups.iter().find(|g| g.name() == wanted).expect("ring has all three"))
            })
            .collect();
        provider.kx_groups = chosen?;
    }
    Ok(provider)
}
