//! The keys of `http_config`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use yaml::Secret;

use super::check::{check, check_tls};
use crate::Error;

/// How to talk to an HTTP server. Printing it shows no secrets.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientConfig {
    /// Basic authentication.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) basic_auth: Option<BasicAuth>,
    /// An `Authorization` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) authorization: Option<Authorization>,
    /// A token of an OAuth 2.0 server, fetched with the client's credentials, and again before it expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) oauth2: Option<OAuth2>,
    /// Bearer token. `authorization` is the newer spelling and takes precedence.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) bearer_token: Option<Secret>,
    /// File with the bearer token, read at each request.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) bearer_token_file: Option<PathBuf>,
    /// Proxy for all requests. Default: the proxy that the environment names (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`); in
    /// a Prometheus configuration none.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "redacted_url",
        deserialize_with = "yaml::unless_empty"
    )]
    pub(super) proxy_url: Option<String>,
    /// Hosts, addresses and networks, separated by commas, that `proxy_url` is not used for.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) no_proxy: Option<String>,
    /// Whether the environment names the proxy. Default: as in `proxy_url`.
    #[serde(skip_serializing_if = "is_not_true")]
    pub(super) proxy_from_environment: Option<bool>,
    /// Headers for the proxy, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) proxy_connect_header: Option<BTreeMap<String, Vec<Secret>>>,
    /// TLS of the connections.
    #[serde(skip_serializing_if = "TlsConfig::is_default")]
    pub(super) tls_config: TlsConfig,
    /// Whether redirects are followed. Default: `true`.
    pub(super) follow_redirects: bool,
    /// Whether HTTP/2 is used where the server offers it over TLS. Default: `true`.
    pub(super) enable_http2: bool,
    /// More headers of each request, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) http_headers: Option<BTreeMap<String, Header>>,
    /// Times and limits of connections. Prometheus has no such key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) transport_config: Option<TransportConfig>,
    /// Bodies come as they were sent, compressed or not.
    #[serde(skip)]
    pub(super) keeps_encodings: bool,
    /// All connections go to this socket, whatever host a URL names.
    #[serde(skip)]
    pub(super) unix_socket: Option<PathBuf>,
}

/// The keys of [`ClientConfig`] that Prometheus has.
pub(super) const KEYS: [&str; 13] = [
    "basic_auth",
    "authorization",
    "oauth2",
    "bearer_token",
    "bearer_token_file",
    "proxy_url",
    "no_proxy",
    "proxy_from_environment",
    "proxy_connect_header",
    "tls_config",
    "follow_redirects",
    "enable_http2",
    "http_headers",
];

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            basic_auth: None,
            authorization: None,
            oauth2: None,
            bearer_token: None,
            bearer_token_file: None,
            proxy_url: None,
            no_proxy: None,
            proxy_from_environment: None,
            proxy_connect_header: None,
            tls_config: TlsConfig::default(),
            follow_redirects: true,
            enable_http2: true,
            http_headers: None,
            transport_config: None,
            keeps_encodings: false,
            unix_socket: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BasicAuth {
    /// User.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) username: String,
    /// File with the user's name, read at each request; counts before `username`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) username_file: Option<PathBuf>,
    /// Password.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) password: Option<Secret>,
    /// File with the password, read at each request.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) password_file: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Authorization {
    /// First word of the header. Default: `Bearer`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) kind: Option<String>,
    /// The rest of the header.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) credentials: Option<Secret>,
    /// File with the rest of the header, read at each request.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) credentials_file: Option<PathBuf>,
}

/// The grant of signed assertions.
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OAuth2 {
    /// The client's name at the token server. Required.
    pub(super) client_id: String,
    /// The client's secret.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) client_secret: Option<Secret>,
    /// File with the client's secret, read whenever a token is fetched.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) client_secret_file: Option<PathBuf>,
    /// `client_credentials`, or `urn:ietf:params:oauth:grant-type:jwt-bearer`: the client signs who it is with a key, in place
    /// of sending a secret. Default: `client_credentials`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) grant_type: Option<String>,
    /// For `jwt-bearer`: which key it is, at the token server.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) client_certificate_key_id: Option<String>,
    /// For `jwt-bearer`: the RSA key that signs, PEM.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) client_certificate_key: Option<Secret>,
    /// For `jwt-bearer`: file with the key, read whenever a token is fetched.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) client_certificate_key_file: Option<PathBuf>,
    /// For `jwt-bearer`: `RS256`, `RS384` or `RS512`. Default: `RS256`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) signature_algorithm: Option<String>,
    /// For `jwt-bearer`: who asks. Default: `client_id`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) iss: Option<String>,
    /// For `jwt-bearer`: who is asked. Default: `token_url`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) audience: Option<String>,
    /// For `jwt-bearer`: more claims, which take precedence over those above.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) claims: BTreeMap<String, serde_json::Value>,
    /// What the token is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) scopes: Vec<String>,
    /// URL that gives tokens. Required.
    pub(super) token_url: String,
    /// More parameters of the request for a token.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) endpoint_params: BTreeMap<String, String>,
    /// TLS of connections to the token server.
    #[serde(skip_serializing_if = "TlsConfig::is_default")]
    pub(super) tls_config: TlsConfig,
    /// Proxy for requests to the token server.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "redacted_url",
        deserialize_with = "yaml::unless_empty"
    )]
    pub(super) proxy_url: Option<String>,
    /// Hosts, addresses and networks, separated by commas, that `proxy_url` is not used for.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) no_proxy: Option<String>,
    /// Whether the environment names the proxy.
    #[serde(skip_serializing_if = "is_not_true")]
    pub(super) proxy_from_environment: Option<bool>,
    /// Headers for the proxy, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) proxy_connect_header: Option<BTreeMap<String, Vec<Secret>>>,
}

/// TLS of connections to a server.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// Certificates that sign the server's, PEM.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) ca: Option<String>,
    /// Client certificate, PEM; goes together with `key` or `key_file`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) cert: Option<String>,
    /// Key of the client certificate, PEM.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) key: Option<Secret>,
    /// File of certificates that sign the server's. Default: those of the system.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) ca_file: Option<PathBuf>,
    /// Client certificate, PEM; goes together with `key_file`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) cert_file: Option<PathBuf>,
    /// Key of the client certificate, PEM.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) key_file: Option<PathBuf>,
    /// Name that the server's certificate must have. Default: the URL's host.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "yaml::unless_empty")]
    pub(super) server_name: Option<String>,
    /// The server's certificate is not verified.
    pub(super) insecure_skip_verify: bool,
    /// Lowest version of TLS: `TLS12` or `TLS13`; lower ones mean 1.2. Default: `TLS12`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) min_version: String,
    /// Highest version of TLS: `TLS12` or `TLS13`. Default: `TLS13`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) max_version: String,
}

impl OAuth2 {
    /// Whether the client signs who it is, in place of sending a secret.
    pub(super) fn signs(&self) -> bool {
        self.grant_type.as_deref() == Some(JWT_BEARER)
    }
}

impl TlsConfig {
    /// Reads a section `tls_config`.
    ///
    /// # Errors
    /// What Prometheus refuses, such as a certificate without a key.
    pub fn from_section(section: &yaml::Node) -> Result<Self, yaml::Error> {
        let config: Self = section.decode()?;
        check_tls(&config).map_err(|(_, why)| section.error(why))?;
        Ok(config)
    }

    /// Whether nothing is set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Makes names of files that are relative count from `folder`.
    pub fn resolve_paths(&mut self, folder: &Path) {
        let files = [&mut self.ca_file, &mut self.cert_file, &mut self.key_file];
        files.into_iter().flatten().for_each(|path| *path = folder.join(&*path));
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Header {
    /// Values of the header.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) values: Vec<String>,
    /// Values that are not shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) secrets: Vec<Secret>,
    /// Files with values, read at each request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) files: Vec<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TransportConfig {
    /// Without effect: the limit per host is the one that counts.
    pub(super) max_idle_conns: Option<u64>,
    /// Idle connections that are kept for a host. Default: `100`.
    pub(super) max_idle_conns_per_host: Option<usize>,
    /// Connections without requests are closed after this time. Default: `90s`.
    pub(super) idle_conn_timeout: Option<String>,
    /// Without effect: each request has a deadline of its own.
    pub(super) response_header_timeout: Option<String>,
    /// Without effect: no `Expect: 100-continue` is sent.
    pub(super) expect_continue_timeout: Option<String>,
    /// Without effect: connections are not limited.
    pub(super) max_conns_per_host: Option<u64>,
    /// Without effect: answers may come with gzip.
    pub(super) disable_compression: Option<bool>,
    /// Time for a connection to stand, TLS included. Default: `10s`.
    pub(super) tls_handshake_timeout: Option<String>,
}

fn is_not_true(value: &Option<bool>) -> bool {
    *value != Some(true)
}

fn redacted_url<S: serde::Serializer>(url: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&model::redact_urls(url.as_deref().unwrap_or("")))
}

impl ClientConfig {
    /// Parses the YAML; an empty text is the default client.
    ///
    /// # Errors
    /// Unknown keys and malformed values, with their line.
    pub fn parse(yaml: &str) -> Result<Self, Error> {
        let node = yaml::parse(yaml).map_err(|e| Error::Config(e.to_string()))?;
        node.decode().map_err(|e| Error::Config(e.to_string()))
    }

    /// Whether a key of a Prometheus configuration is one of an HTTP client: those keys stand beside the others of a
    /// section.
    pub fn has_key(key: &str) -> bool {
        KEYS.contains(&key)
    }

    /// The client of a section of a Prometheus configuration, out of its keys that [`Self::has_key`]. Without a word about
    /// proxies there is none, whatever the environment says.
    ///
    /// # Errors
    /// What Prometheus refuses, such as two ways to authenticate.
    pub fn from_section(keys: &yaml::Node) -> Result<Self, yaml::Error> {
        let mut config: Self = keys.decode()?;
        config.proxy_from_environment.get_or_insert(false);
        if let Some(oauth2) = &mut config.oauth2 {
            oauth2.proxy_from_environment.get_or_insert(false);
        }
        config.bearer_token.take_if(|token| token.0.is_empty());
        config.bearer_token_file.take_if(|path| path.as_os_str().is_empty());
        check(&config).map_err(|(key, why)| keys.error_at(key, why))?;
        let (credentials, credentials_file) = (config.bearer_token.take(), config.bearer_token_file.take());
        if credentials.is_some() || credentials_file.is_some() {
            config.authorization = Some(Authorization { kind: None, credentials, credentials_file });
        }
        if let Some(auth) = &mut config.authorization {
            auth.kind.get_or_insert_with(|| "Bearer".to_owned());
        }
        Ok(config)
    }

    /// Whether a header's value is in a file, which may change.
    pub(super) fn reads_files(&self) -> bool {
        let of_basic = |auth: &BasicAuth| auth.username_file.is_some() || auth.password_file.is_some();
        self.bearer_token_file.is_some()
            || self.basic_auth.as_ref().is_some_and(of_basic)
            || self.authorization.as_ref().is_some_and(|auth| auth.credentials_file.is_some())
            || self.http_headers.iter().flatten().any(|(_, header)| !header.files.is_empty())
    }

    /// Turns off HTTP/2, unless the configuration has its own word.
    pub fn http1_by_default(&mut self, keys: &yaml::Node) {
        if keys.get("enable_http2").is_none() {
            self.enable_http2 = false;
        }
    }

    /// Has the client leave bodies compressed: who reads them does it by their `Content-Encoding`.
    #[must_use]
    pub fn keeping_encodings(mut self) -> Self {
        self.keeps_encodings = true;
        self
    }

    /// Has the client connect to a Unix domain socket in place of the host of a URL.
    #[must_use]
    pub fn through_socket(mut self, path: PathBuf) -> Self {
        self.unix_socket = Some(path);
        self
    }

    /// Sends this header with each request too.
    pub fn add_header(&mut self, name: &str, value: &str) {
        let headers = self.http_headers.get_or_insert_default();
        headers.entry(name.to_owned()).or_default().values.push(value.to_owned());
    }

    /// Sets basic authentication, for sections that have keys of their own for it.
    pub fn set_basic_auth(&mut self, username: String, password: Option<Secret>) {
        self.basic_auth = Some(BasicAuth { username, password, ..BasicAuth::default() });
    }

    /// Whether nothing is set that says who the client is or how it is connected.
    pub fn is_plain(&self) -> bool {
        let base = Self { proxy_from_environment: self.proxy_from_environment, ..Self::default() };
        *self == base
    }

    /// Whether a request is authenticated.
    pub fn has_credentials(&self) -> bool {
        self.basic_auth.is_some()
            || self.authorization.is_some()
            || self.oauth2.is_some()
            || self.bearer_token.is_some()
            || self.bearer_token_file.is_some()
    }

    /// Makes names of files that are relative count from `folder`, the one of the configuration's file.
    pub fn resolve_paths(&mut self, folder: &Path) {
        let auth = self.basic_auth.iter_mut().flat_map(|auth| [&mut auth.username_file, &mut auth.password_file]);
        let auth = auth.chain(self.authorization.iter_mut().map(|auth| &mut auth.credentials_file));
        let (tls, token) = (&mut self.tls_config, &mut self.bearer_token_file);
        let own = [token, &mut tls.ca_file, &mut tls.cert_file, &mut tls.key_file];
        let oauth2 = self.oauth2.iter_mut().flat_map(|oauth2| {
            let tls = &mut oauth2.tls_config;
            let own = [&mut oauth2.client_secret_file, &mut oauth2.client_certificate_key_file];
            own.into_iter().chain([&mut tls.ca_file, &mut tls.cert_file, &mut tls.key_file])
        });
        let headers = self.http_headers.iter_mut().flat_map(BTreeMap::values_mut).flat_map(|header| &mut header.files);
        let files = auth.chain(own).chain(oauth2).flatten().chain(headers);
        files.filter(|path| !path.as_os_str().is_empty()).for_each(|path| *path = folder.join(&*path));
    }
}
