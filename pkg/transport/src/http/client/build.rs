//! A client made of its configuration.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tls::{ClientTlsConfig, InlineTls};

use super::config::{ClientConfig, OAuth2, TlsConfig, TransportConfig};
use super::request::HttpClient;
use super::rotation::Opened;
use super::token::Tokens;
use crate::Error;

pub(super) const USER_AGENT: &str = concat!("aion/", env!("CARGO_PKG_VERSION"));

/// The parts of a configuration that connections are made by.
struct Connections<'a> {
    tls: &'a TlsConfig,
    proxy_url: Option<&'a str>,
    no_proxy: Option<&'a str>,
    from_environment: Option<bool>,
    proxy_header: HeaderMap,
    http2: bool,
}

impl ClientConfig {
    /// Builds the client. Redirects are followed unless the YAML says no.
    ///
    /// # Errors
    /// Bad TLS files, proxy or durations.
    pub fn build(self) -> Result<HttpClient, Error> {
        let opened = self.open()?;
        Ok(HttpClient::new(Ok(opened), self))
    }

    /// As [`Self::build`], but where TLS files cannot be used now, requests fail with the reason until they can.
    ///
    /// # Errors
    /// Bad proxy or durations.
    pub fn build_early(self) -> Result<HttpClient, Error> {
        let opened = match self.open() {
            Err(e) if self.tls_configs().any(|tls| tls.build(&[]).is_err()) => Err(e.to_string()),
            opened => Ok(opened?),
        };
        Ok(HttpClient::new(opened, self))
    }

    fn tls_configs(&self) -> impl Iterator<Item = &TlsConfig> {
        std::iter::once(&self.tls_config).chain(self.oauth2.as_ref().map(|oauth2| &oauth2.tls_config))
    }

    /// The files with certificates and keys.
    pub(super) fn tls_files(&self) -> Vec<PathBuf> {
        let of = |tls: &TlsConfig| [&tls.ca_file, &tls.cert_file, &tls.key_file].map(Option::clone);
        self.tls_configs().flat_map(of).flatten().collect()
    }

    /// Opens certificates and keys anew.
    pub(super) fn open(&self) -> Result<Opened, Error> {
        let tokens = self.oauth2.as_ref().map(tokens).transpose()?;
        Ok(Opened { client: self.connect()?, tokens: tokens.map(Arc::new) })
    }

    fn connect(&self) -> Result<reqwest::Client, Error> {
        let connections = Connections {
            tls: &self.tls_config,
            proxy_url: self.proxy_url.as_deref(),
            no_proxy: self.no_proxy.as_deref(),
            from_environment: self.proxy_from_environment,
            proxy_header: header_map(self.proxy_connect_header.iter().flatten())?,
            http2: self.enable_http2,
        };
        let times = self.transport_config.clone().unwrap_or_default();
        let mut builder = connections.builder(&times)?;
        if self.keeps_encodings {
            builder = builder.no_gzip();
        }
        if !self.follow_redirects {
            builder = builder.redirect(reqwest::redirect::Policy::none());
        }
        if let Some(path) = &self.unix_socket {
            builder = builder.unix_socket(path.clone());
        }
        builder.build().map_err(|e| Error::Config(format!("HTTP client: {e}")))
    }
}

fn tokens(config: &OAuth2) -> Result<Tokens, Error> {
    let connections = Connections {
        tls: &config.tls_config,
        proxy_url: config.proxy_url.as_deref(),
        no_proxy: config.no_proxy.as_deref(),
        from_environment: config.proxy_from_environment,
        proxy_header: header_map(config.proxy_connect_header.iter().flatten())?,
        http2: true,
    };
    let builder = connections.builder(&TransportConfig::default())?;
    let client = builder.build().map_err(|e| Error::Config(format!("HTTP client of oauth2: {e}")))?;
    Ok(Tokens::new(client, config.clone()))
}

impl TransportConfig {
    pub(super) fn connect_timeout(&self) -> Result<Duration, Error> {
        duration(self.tls_handshake_timeout.as_ref(), 10)
    }

    pub(super) fn idle_max(&self) -> Result<Duration, Error> {
        duration(self.idle_conn_timeout.as_ref(), 90)
    }
}

fn duration(text: Option<&String>, default_s: u64) -> Result<Duration, Error> {
    let Some(text) = text else { return Ok(Duration::from_secs(default_s)) };
    match flags::parse_go_duration(text) {
        Ok(ms) if ms >= 0 => Ok(Duration::from_millis(ms.unsigned_abs())),
        _ => Err(Error::Config(format!("{text:?} is no duration"))),
    }
}

fn header_map<'a>(headers: impl Iterator<Item = (&'a String, &'a Vec<yaml::Secret>)>) -> Result<HeaderMap, Error> {
    let mut map = HeaderMap::new();
    for (name, values) in headers {
        let bad = || Error::Config(format!("proxy_connect_header: {name:?} or its value cannot be a header"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        for value in values {
            map.append(name.clone(), HeaderValue::from_str(&value.0).map_err(|_| bad())?);
        }
    }
    Ok(map)
}

impl Connections<'_> {
    fn builder(self, times: &TransportConfig) -> Result<reqwest::ClientBuilder, Error> {
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(times.connect_timeout()?)
            .pool_idle_timeout(times.idle_max()?)
            .pool_max_idle_per_host(times.max_idle_conns_per_host.unwrap_or(100));
        let alpn: &[&[u8]] = if self.http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
        // A machine without a CA bundle can still speak plain HTTP.
        match self.tls.build(alpn) {
            Ok(tls) => builder = builder.tls_backend_preconfigured(tls),
            Err(e) if self.tls.is_plain() => tracing::debug!(error = %e, "no TLS for this client"),
            Err(e) => return Err(e),
        }
        if !self.http2 {
            builder = builder.http1_only();
        }
        Ok(match self.proxy()? {
            Some(proxy) => builder.proxy(proxy),
            None if self.from_environment == Some(false) => builder.no_proxy(),
            None => builder,
        })
    }

    fn proxy(&self) -> Result<Option<reqwest::Proxy>, Error> {
        let Some(url) = self.proxy_url else { return Ok(None) };
        let proxy = reqwest::Proxy::all(url)
            .map_err(|e| Error::Config(format!("proxy_url {:?}: {e}", model::redact_urls(url))))?;
        let except = self.no_proxy.and_then(reqwest::NoProxy::from_string);
        Ok(Some(proxy.no_proxy(except).headers(self.proxy_header.clone())))
    }
}

impl TlsConfig {
    fn is_plain(&self) -> bool {
        let TlsConfig { ca, cert, ca_file, cert_file, insecure_skip_verify, .. } = self;
        !insecure_skip_verify && ca.is_none() && cert.is_none() && ca_file.is_none() && cert_file.is_none()
    }

    fn build(&self, alpn: &[&[u8]]) -> Result<rustls::ClientConfig, Error> {
        let files = ClientTlsConfig {
            ca: self.ca_file.clone(),
            cert: self.cert_file.clone(),
            key: self.key_file.clone(),
            server_name: self.server_name.clone(),
            skip_verify: self.insecure_skip_verify,
            min_version: self.min_version.clone(),
        };
        let inline = InlineTls {
            ca: self.ca.as_deref(),
            cert: self.cert.as_deref(),
            key: self.key.as_ref().map(|key| key.0.as_str()),
            tls12_only: matches!(self.max_version.as_str(), "TLS10" | "TLS11" | "TLS12"),
        };
        Ok(files.build_with(inline, alpn)?)
    }
}
