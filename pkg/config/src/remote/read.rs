//! The section `remote_read`.

use std::collections::BTreeMap;
use std::path::Path;

use remote::RemoteStoreConfig;
use serde::{Deserialize, Serialize};
use transport::http::ClientConfig;
use yaml::{DurationMs, Error, Node, is_default};

use crate::headers::{check_headers, redacted_url};

/// A server that old samples are read from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RemoteReadConfig {
    /// All keys but those of the HTTP client.
    #[serde(flatten)]
    pub own: RemoteReadYaml,
    /// How it is spoken to.
    #[serde(flatten)]
    pub http: ClientConfig,
}

/// The keys of an entry of `remote_read`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RemoteReadYaml {
    /// URL that is asked. Required.
    #[serde(serialize_with = "redacted_url")]
    pub url: String,
    /// Time for a request. Default: `1m`.
    pub remote_timeout: DurationMs,
    /// Bytes of a frame of an answer. Default: `50000000`.
    pub chunked_read_limit: u64,
    /// More headers of each request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Whether it is asked, too, where the local database has all. Default: `false`.
    #[serde(skip_serializing_if = "is_default")]
    pub read_recent: bool,
    /// Name in metrics and logs, unique.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Labels with values that a selector must ask for, else the server is not asked.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub required_matchers: BTreeMap<String, String>,
    /// Whether external labels are asked for. Default: `true`.
    pub filter_external_labels: bool,
}

impl Default for RemoteReadYaml {
    fn default() -> Self {
        Self {
            url: String::new(),
            remote_timeout: DurationMs(60_000),
            chunked_read_limit: 50_000_000,
            headers: BTreeMap::new(),
            read_recent: false,
            name: String::new(),
            required_matchers: BTreeMap::new(),
            filter_external_labels: true,
        }
    }
}

impl RemoteReadConfig {
    pub(crate) fn from_node(node: &Node) -> Result<Self, Error> {
        if node.is_null() {
            return Err(node.error("empty or null remote read config section"));
        }
        let (keys, own) = node.clone().split(ClientConfig::has_key)?;
        let own: RemoteReadYaml = own.decode()?;
        if own.url.is_empty() {
            return Err(node.error_at("url", "url for remote_read is empty"));
        }
        check_headers(node, &own.headers)?;
        Ok(Self { own, http: ClientConfig::from_section(&keys)? })
    }

    /// The storage that queries read, too.
    pub fn store(&self) -> RemoteStoreConfig {
        RemoteStoreConfig {
            name: self.own.name.clone(),
            url: self.own.url.clone(),
            timeout: self.own.remote_timeout.std(),
            frame_bytes_max: usize::try_from(self.own.chunked_read_limit).unwrap_or(usize::MAX),
            headers: self.own.headers.clone(),
            read_recent: self.own.read_recent,
            required_matchers: self.own.required_matchers.clone(),
            filter_external_labels: self.own.filter_external_labels,
            http: self.http.clone(),
        }
    }

    pub(crate) fn resolve_paths(&mut self, folder: &Path) {
        self.http.resolve_paths(folder);
    }
}
