//! `http_config`, the same for all stores.

use std::fs;

use rustls::pki_types::ServerName;
use serde::Deserialize;

use super::error::ConfigError;
use super::yaml::{Key, Span, line, text, value};
use crate::http::HttpSettings;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpYaml {
    /// Connections without requests are closed after this time. Default: `90s`.
    idle_conn_timeout: Option<Span>,
    /// Longest silence of the server, before its headers and within its body. Default: `2m`.
    response_header_timeout: Option<Span>,
    /// The server's certificate is not verified.
    insecure_skip_verify: Option<bool>,
    /// Time for a connection to stand, TLS included. Default: `10s`.
    tls_handshake_timeout: Option<Span>,
    /// Without effect: no `Expect: 100-continue` is sent, so there is nothing to wait for.
    expect_continue_timeout: Option<Span>,
    /// Without effect: the limit per host is the one that counts with one host.
    max_idle_conns: Option<i64>,
    /// Idle connections that are kept. Default: `100`.
    max_idle_conns_per_host: Option<i64>,
    /// Requests at a time; 0 means no limit.
    max_conns_per_host: Option<i64>,
    /// TLS of the connections.
    tls_config: Option<TlsYaml>,
    /// Without effect: bodies are never asked for in compressed form.
    disable_compression: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TlsYaml {
    /// File of certificates that sign the server's. Default: those of the system.
    ca_file: Key<String>,
    /// Client certificate, PEM; goes together with `key_file`.
    cert_file: Key<String>,
    /// Key of the client certificate, PEM.
    key_file: Key<String>,
    /// Name that the server's certificate must have. Default: the endpoint's host.
    server_name: Key<String>,
    /// The server's certificate is not verified.
    insecure_skip_verify: Option<bool>,
}

impl HttpYaml {
    /// The settings, and the most connections at a time (0 = no limit). Certificates are read now.
    pub(super) fn check(&self, plain: bool) -> Result<(HttpSettings, usize), ConfigError> {
        let defaults = HttpSettings::default();
        let tls = self.tls_config.clone().unwrap_or_default();
        let key = |name: &str| format!("config.http_config.tls_config.{name}");
        let server_name = match text(&tls.server_name) {
            None => None,
            Some(name) => {
                let refused = |e| ConfigError::refused(line(&tls.server_name), key("server_name"), format!("{e}"));
                Some(ServerName::try_from(name.to_owned()).map_err(refused)?)
            }
        };
        let read = |name: &str, file: &Key<String>| -> Result<Option<Vec<u8>>, ConfigError> {
            let Some(path) = text(file) else { return Ok(None) };
            let failed = |e| ConfigError::refused(line(file), key(name), format!("{path}: {e}"));
            fs::read(&path).map(Some).map_err(failed)
        };
        let ca = read("ca_file", &tls.ca_file)?;
        let identity = match (read("cert_file", &tls.cert_file)?, read("key_file", &tls.key_file)?) {
            (Some(mut certificate), Some(secret)) => {
                certificate.push(b'\n');
                certificate.extend(secret);
                Some(certificate)
            }
            (None, None) => None,
            (Some(_), None) => {
                return Err(ConfigError::refused(line(&tls.cert_file), key("cert_file"), "needs key_file too"));
            }
            (None, Some(_)) => {
                return Err(ConfigError::refused(line(&tls.key_file), key("key_file"), "needs cert_file too"));
            }
        };
        let or = |span: Option<Span>, default| span.map_or(default, |s| s.0);
        let settings = HttpSettings {
            idle_timeout: or(self.idle_conn_timeout, defaults.idle_timeout),
            read_timeout: or(self.response_header_timeout, defaults.read_timeout),
            connect_timeout: or(self.tls_handshake_timeout, defaults.connect_timeout),
            max_idle_per_host: count(self.max_idle_conns_per_host).unwrap_or(defaults.max_idle_per_host),
            accept_invalid_certs: self.insecure_skip_verify == Some(true) || tls.insecure_skip_verify == Some(true),
            ca,
            identity,
            server_name,
            plain,
        };
        Ok((settings, count(self.max_conns_per_host).unwrap_or(0)))
    }
}

fn count(n: Option<i64>) -> Option<usize> {
    n.and_then(|n| usize::try_from(n).ok())
}

/// Retries of one request: `configured` if it is above zero, else ten, as the S3 client of Thanos does.
pub(super) fn retries(configured: Option<i64>) -> object_store::RetryConfig {
    let max_retries = count(configured).filter(|n| *n > 0).unwrap_or(10);
    object_store::RetryConfig { max_retries, ..Default::default() }
}

/// [`value`] for flags.
pub(super) fn is_true(key: &Key<bool>) -> bool {
    value(key)
}
