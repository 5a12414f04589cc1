//! HTTP clients from YAML (`--prometheus.http-client`, file and DNS discovery of HTTP endpoints): Prometheus'
//! `http_config` with Thanos' transport keys.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::RequestBuilder;
use serde::Deserialize;
use tls::ClientTlsConfig;

use crate::Error;

/// How to talk to an HTTP server.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct ClientConfig {
    /// Basic authentication.
    basic_auth: Option<BasicAuth>,
    /// An `Authorization` header.
    authorization: Option<Authorization>,
    /// Bearer token. `authorization` is the newer spelling and takes precedence.
    bearer_token: Option<String>,
    /// File with the bearer token, read at each request.
    bearer_token_file: Option<PathBuf>,
    /// Proxy for all requests. Default: the proxy that the environment names (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`).
    proxy_url: Option<String>,
    /// TLS of the connections.
    tls_config: TlsConfig,
    /// Whether redirects are followed. Default: `true`.
    follow_redirects: Option<bool>,
    /// Without effect: HTTP/2 is used where the server offers it over TLS.
    enable_http2: Option<bool>,
    /// Times and limits of connections.
    transport_config: TransportConfig,
}

#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct BasicAuth {
    /// User.
    username: String,
    /// File with the user's name, read at each request; counts before `username`.
    username_file: Option<PathBuf>,
    /// Password.
    password: Option<String>,
    /// File with the password, read at each request.
    password_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Authorization {
    /// First word of the header. Default: `Bearer`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The rest of the header.
    credentials: Option<String>,
    /// File with the rest of the header, read at each request.
    credentials_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct TlsConfig {
    /// File of certificates that sign the server's. Default: those of the system.
    ca_file: Option<PathBuf>,
    /// Client certificate, PEM; goes together with `key_file`.
    cert_file: Option<PathBuf>,
    /// Key of the client certificate, PEM.
    key_file: Option<PathBuf>,
    /// Name that the server's certificate must have. Default: the URL's host.
    server_name: Option<String>,
    /// The server's certificate is not verified.
    insecure_skip_verify: bool,
    /// Lowest version of TLS: `TLS12` or `TLS13`; lower ones mean 1.2. Default: `TLS12`.
    min_version: String,
}

#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct TransportConfig {
    /// Without effect: the limit per host is the one that counts.
    max_idle_conns: Option<u64>,
    /// Idle connections that are kept for a host. Default: `100`.
    max_idle_conns_per_host: Option<usize>,
    /// Connections without requests are closed after this time. Default: `90s`.
    idle_conn_timeout: Option<String>,
    /// Without effect: each request has a deadline of its own.
    response_header_timeout: Option<String>,
    /// Without effect: no `Expect: 100-continue` is sent.
    expect_continue_timeout: Option<String>,
    /// Without effect: connections are not limited.
    max_conns_per_host: Option<u64>,
    /// Without effect: answers may come with gzip.
    disable_compression: Option<bool>,
    /// Time for a connection to stand, TLS included. Default: `10s`.
    tls_handshake_timeout: Option<String>,
}

/// A client with its authentication. Token and password files are read at each request, so rotation needs no restart.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    config: ClientConfig,
}

impl ClientConfig {
    /// Parses the YAML; an empty text is the default client.
    ///
    /// # Errors
    /// Unknown keys and malformed values, with their line.
    pub fn parse(yaml: &str) -> Result<Self, Error> {
        if yaml.trim().is_empty() {
            return Ok(Self::default());
        }
        flags::parse_yaml(yaml).map_err(Error::Config)
    }

    /// Builds the client. Redirects are followed unless the YAML says no.
    ///
    /// # Errors
    /// Bad TLS files, proxy or durations.
    pub fn build(self) -> Result<HttpClient, Error> {
        let duration = |text: &Option<String>, default: u64| match text {
            None => Ok(Duration::from_secs(default)),
            Some(text) => match flags::parse_go_duration(text) {
                Ok(ms) if ms >= 0 => Ok(Duration::from_millis(ms as u64)),
                _ => Err(Error::Config(format!("{text:?} is no duration"))),
            },
        };
        let tls = ClientTlsConfig {
            ca: self.tls_config.ca_file.clone(),
            cert: self.tls_config.cert_file.clone(),
            key: self.tls_config.key_file.clone(),
            server_name: self.tls_config.server_name.clone(),
            skip_verify: self.tls_config.insecure_skip_verify,
            min_version: self.tls_config.min_version.clone(),
        };
        let t = &self.transport_config;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("aion/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(duration(&t.tls_handshake_timeout, 10)?)
            .pool_idle_timeout(duration(&t.idle_conn_timeout, 90)?)
            .pool_max_idle_per_host(t.max_idle_conns_per_host.unwrap_or(100));
        // A machine without a CA bundle can still speak plain HTTP.
        match tls.build(&[b"h2", b"http/1.1"]) {
            Ok(tls) => builder = builder.tls_backend_preconfigured(tls),
            Err(e) if tls.ca.is_none() && tls.cert.is_none() && !tls.skip_verify => {
                tracing::debug!(error = %e, "no TLS for this client");
            }
            Err(e) => return Err(e.into()),
        }
        if self.follow_redirects == Some(false) {
            builder = builder.redirect(reqwest::redirect::Policy::none());
        }
        if let Some(proxy) = &self.proxy_url {
            let proxy = reqwest::Proxy::all(proxy)
                .map_err(|e| Error::Config(format!("proxy_url {:?}: {e}", model::redact_urls(proxy))))?;
            builder = builder.proxy(proxy);
        }
        let client = builder.build().map_err(|e| Error::Config(format!("HTTP client: {e}")))?;
        Ok(HttpClient { client, config: self })
    }
}

impl HttpClient {
    /// A GET with the configured authentication.
    ///
    /// # Errors
    /// When a token or password file cannot be read.
    pub fn get(&self, url: &str) -> Result<RequestBuilder, Error> {
        self.authorize(self.client.get(url))
    }

    /// A POST with the configured authentication.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn post(&self, url: &str) -> Result<RequestBuilder, Error> {
        self.authorize(self.client.post(url))
    }

    fn authorize(&self, request: RequestBuilder) -> Result<RequestBuilder, Error> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path)
                .map(|t| t.trim().to_owned())
                .map_err(Error::io(format!("read {}", path.display())))
        };
        let either = |text: &Option<String>, file: &Option<PathBuf>| match (text, file) {
            (Some(text), _) => Ok(Some(text.clone())),
            (None, Some(file)) => read(file).map(Some),
            (None, None) => Ok(None),
        };
        let c = &self.config;
        if let Some(auth) = &c.basic_auth {
            let user = match &auth.username_file {
                Some(file) => read(file)?,
                None => auth.username.clone(),
            };
            return Ok(request.basic_auth(user, either(&auth.password, &auth.password_file)?));
        }
        if let Some(auth) = &c.authorization {
            let credentials = either(&auth.credentials, &auth.credentials_file)?.unwrap_or_default();
            let value = format!("{} {credentials}", auth.kind.as_deref().unwrap_or("Bearer"));
            return Ok(request.header(reqwest::header::AUTHORIZATION, value));
        }
        Ok(match either(&c.bearer_token, &c.bearer_token_file)? {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml() {
        assert!(ClientConfig::parse("").unwrap().build().is_ok());
        assert!(
            ClientConfig::parse("basic_auth: {username: a, password: b}\ntransport_config: {idle_conn_timeout: 5m}")
                .is_ok()
        );
        let error = ClientConfig::parse("basic_aut: {}").unwrap_err().to_string();
        assert!(error.contains("basic_aut"), "{error}");
        let bad = ClientConfig::parse("transport_config: {idle_conn_timeout: fast}").unwrap().build();
        assert!(bad.unwrap_err().to_string().contains("fast"));
    }
}
