//! Sections of the mechanisms that are built, Kubernetes excepted.

use std::collections::BTreeMap;

use labels::Labels;
use model::{ADDRESS_LABEL, TargetGroup};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use transport::http::ClientConfig;
use yaml::{DurationMs, Error, Node, Secret};

use super::others::check_url;

/// A list of targets that never changes: an entry of `static_configs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StaticConfig {
    /// Addresses of targets, `host:port`.
    pub targets: Vec<String>,
    /// Labels of all of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl StaticConfig {
    /// Reads an entry.
    ///
    /// # Errors
    /// Unknown keys and wrong types, with their places.
    pub fn from_node(node: &Node) -> Result<Self, Error> {
        let config: Self = node.decode()?;
        if config.labels.contains_key("") {
            return Err(node.error_at("labels", "\"\" is not a valid label name"));
        }
        Ok(config)
    }

    /// The group that it stands for; `source` is its place in the list.
    pub fn group(&self, source: usize) -> TargetGroup {
        TargetGroup {
            source: source.to_string(),
            targets: self.targets.iter().map(|target| Labels::from_pairs([(ADDRESS_LABEL, target)])).collect(),
            labels: Labels::from_pairs(self.labels.iter().filter(|(_, value)| !value.is_empty())),
        }
    }
}

/// Files with lists of targets: a section of `file_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileConfig {
    /// Paths that end with `.json`, `.yml` or `.yaml`; parts may hold `?` and `[a-z]`, the last one `*`. Required.
    pub files: Vec<String>,
    /// How often they are read. Default: `5m`.
    pub refresh_interval: DurationMs,
}

impl Default for FileConfig {
    fn default() -> Self {
        Self { files: Vec::new(), refresh_interval: DurationMs(300_000) }
    }
}

impl FileConfig {
    /// Reads a section.
    ///
    /// # Errors
    /// What Prometheus refuses, with its place.
    pub fn from_node(node: &Node) -> Result<Self, Error> {
        let config: Self = node.decode()?;
        if config.files.is_empty() {
            let why = "file service discovery config must contain at least one path name";
            return Err(node.error_at("files", why));
        }
        if let Some(name) = config.files.iter().find(|name| !is_file_name(name)) {
            return Err(node.error_at("files", format!("path name {name:?} is not valid for file discovery")));
        }
        check_interval(node, config.refresh_interval)?;
        Ok(config)
    }
}

/// Nothing but one part behind the first `*`, and an ending that is known.
fn is_file_name(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let known = ["json", "yml", "yaml", "JSON", "YML", "YAML"].contains(&ending);
    let star_is_last = name.split_once('*').is_none_or(|(_, after)| !after.contains('/'));
    known && star_is_last
}

/// An HTTP server with lists of targets: a section of `http_sd_configs`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HttpConfig {
    /// Where the lists are.
    #[serde(serialize_with = "redacted")]
    pub url: String,
    /// How often they are fetched.
    pub refresh_interval: DurationMs,
    /// How the server is spoken to.
    #[serde(flatten)]
    pub http: ClientConfig,
}

fn redacted<S: serde::Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&model::redact_urls(url))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HttpYaml {
    /// URL that answers with a JSON list of groups: `[{"targets": [ … ], "labels": { … }}, … ]`. Required.
    url: String,
    /// How often it is fetched. Default: `1m`.
    refresh_interval: Option<DurationMs>,
}

impl HttpConfig {
    /// Reads a section.
    ///
    /// # Errors
    /// What Prometheus refuses, with its place.
    pub fn from_node(node: &Node) -> Result<Self, Error> {
        let (yaml, http): (HttpYaml, _) = with_http(node)?;
        if yaml.url.is_empty() {
            return Err(node.error_at("url", "URL is missing"));
        }
        check_url(&yaml.url, "URL scheme must be 'http' or 'https'", "host is missing in URL")
            .map_err(|why| node.error_at("url", why))?;
        let refresh_interval = yaml.refresh_interval.unwrap_or(DurationMs(60_000));
        check_interval(node, refresh_interval)?;
        Ok(Self { url: yaml.url, refresh_interval, http })
    }
}

/// A type of DNS records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "the names are those of DNS")]
pub enum DnsType {
    A,
    Aaaa,
    Srv,
    Mx,
    Ns,
}

/// DNS names whose records are targets: a section of `dns_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DnsConfig {
    /// The names to look up.
    pub names: Vec<String>,
    /// How often they are looked up.
    pub refresh_interval: DurationMs,
    /// Which records count.
    #[serde(rename = "type")]
    pub kind: DnsType,
    /// Port of the targets; SRV records have their own.
    pub port: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DnsYaml {
    /// Names to look up. Required.
    names: Vec<String>,
    /// How often they are looked up. Default: `30s`.
    refresh_interval: Option<DurationMs>,
    /// Records that count: `SRV`, `A`, `AAAA`, `MX` or `NS`. Default: `SRV`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Port of the targets. Required, unless the type is `SRV`.
    port: u16,
}

impl DnsConfig {
    /// Reads a section.
    ///
    /// # Errors
    /// What Prometheus refuses, with its place.
    pub fn from_node(node: &Node) -> Result<Self, Error> {
        let yaml: DnsYaml = node.decode()?;
        if yaml.names.is_empty() {
            return Err(node.error_at("names", "DNS-SD config must contain at least one SRV record name"));
        }
        let name = yaml.kind.unwrap_or_else(|| "SRV".to_owned());
        let kind = match name.to_ascii_uppercase().as_str() {
            "A" => DnsType::A,
            "AAAA" => DnsType::Aaaa,
            "SRV" => DnsType::Srv,
            "MX" => DnsType::Mx,
            "NS" => DnsType::Ns,
            _ => return Err(node.error_at("type", format!("invalid DNS-SD records type {name}"))),
        };
        if kind != DnsType::Srv && yaml.port == 0 {
            let why = "a port is required in DNS-SD configs for all record types except SRV";
            return Err(node.error_at("type", why));
        }
        let refresh_interval = yaml.refresh_interval.unwrap_or(DurationMs(30_000));
        check_interval(node, refresh_interval)?;
        Ok(Self { names: yaml.names, refresh_interval, kind, port: yaml.port })
    }
}

/// A Consul catalog: a section of `consul_sd_configs`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConsulConfig {
    /// All keys but those of the HTTP client.
    #[serde(flatten)]
    pub own: ConsulYaml,
    /// How the server is spoken to.
    #[serde(flatten)]
    pub http: ClientConfig,
}

/// The keys of a section of `consul_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsulYaml {
    /// `host:port` of Consul's HTTP API. Default: `localhost:8500`.
    pub server: String,
    /// Path before the API's own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path_prefix: String,
    /// Token of the requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// Datacenter. Default: that of the agent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub datacenter: String,
    /// Namespace (Consul Enterprise).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Admin partition (Consul Enterprise).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub partition: String,
    /// Stands between tags in `__meta_consul_tags`. Default: `,`.
    pub tag_separator: String,
    /// `http` or `https`. Default: `http`.
    pub scheme: String,
    /// User of basic authentication; `basic_auth` is the newer spelling.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Password of `username`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// Whether servers other than the leader may answer, with data that is a little older. Default: `true`.
    pub allow_stale: bool,
    /// How often at most the catalog is asked. Default: `30s`.
    pub refresh_interval: DurationMs,
    /// Services to take. Default: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// Tags that an instance must have, each of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Metadata that an instance's node must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_meta: BTreeMap<String, String>,
    /// Filter expression for the list of services.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter: String,
    /// Filter expression for the instances of a service.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub health_filter: String,
}

impl Default for ConsulYaml {
    fn default() -> Self {
        Self {
            server: "localhost:8500".to_owned(),
            path_prefix: String::new(),
            token: None,
            datacenter: String::new(),
            namespace: String::new(),
            partition: String::new(),
            tag_separator: ",".to_owned(),
            scheme: "http".to_owned(),
            username: String::new(),
            password: None,
            allow_stale: true,
            refresh_interval: DurationMs(30_000),
            services: Vec::new(),
            tags: Vec::new(),
            node_meta: BTreeMap::new(),
            filter: String::new(),
            health_filter: String::new(),
        }
    }
}

impl ConsulConfig {
    /// Reads a section.
    ///
    /// # Errors
    /// What Prometheus refuses, with its place.
    pub fn from_node(node: &Node) -> Result<Self, Error> {
        let (mut own, mut http): (ConsulYaml, ClientConfig) = with_http(node)?;
        if own.server.trim().is_empty() {
            return Err(node.error_at("server", "consul SD configuration requires a server address"));
        }
        own.token.take_if(|token| token.0.is_empty());
        if !own.username.is_empty() || own.password.is_some() {
            if node.get("basic_auth").is_some() {
                let why =
                    "at most one of consul SD configuration username and password and basic auth can be configured";
                return Err(node.error_at("basic_auth", why));
            }
            http.set_basic_auth(std::mem::take(&mut own.username), own.password.take());
        }
        if own.token.is_some() && (node.get("authorization").is_some() || node.get("oauth2").is_some()) {
            let why = "at most one of consul SD token, authorization, or oauth2 can be configured";
            return Err(node.error_at("token", why));
        }
        if own.scheme.is_empty() {
            own.scheme = "http".to_owned();
        }
        if !["http", "https"].contains(&own.scheme.as_str()) {
            return Err(node.error_at("scheme", format!("{:?} is neither http nor https", own.scheme)));
        }
        check_interval(node, own.refresh_interval)?;
        Ok(Self { own, http })
    }
}

fn check_interval(node: &Node, interval: DurationMs) -> Result<(), Error> {
    match interval.0 {
        1.. => Ok(()),
        _ => Err(node.error_at("refresh_interval", "must be more than 0")),
    }
}

/// A section whose keys stand beside those of an HTTP client.
fn with_http<T: DeserializeOwned>(section: &Node) -> Result<(T, ClientConfig), Error> {
    let (http, own) = section.clone().split(ClientConfig::has_key)?;
    Ok((own.decode()?, ClientConfig::from_section(&http)?))
}
