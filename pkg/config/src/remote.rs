//! The sections `remote_write` and `remote_read`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use relabel::Rule;
use scrape::config::ValidationScheme;
use serde::{Deserialize, Serialize};
use transport::http::ClientConfig;
use yaml::{DurationMs, Error, Node, Secret, is_default};

use crate::main_file::check_rules;

/// A server that samples are sent to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RemoteWriteConfig {
    /// All keys but those of the HTTP client.
    #[serde(flatten)]
    pub own: RemoteWriteYaml,
    /// How it is spoken to.
    #[serde(flatten)]
    pub http: ClientConfig,
    /// Which samples are sent, and with which labels.
    #[serde(skip_serializing_if = "<[Rule]>::is_empty")]
    pub write_relabel_configs: Arc<[Rule]>,
}

/// The keys of an entry of `remote_write`.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RemoteWriteYaml {
    /// URL that samples are posted to. Required.
    #[serde(serialize_with = "redacted")]
    pub url: String,
    /// Time for a request. Default: `30s`.
    pub remote_timeout: DurationMs,
    /// More headers of each request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Rules for the labels of samples.
    #[serde(skip_serializing)]
    write_relabel_configs: Vec<Rule>,
    /// Name in metrics and logs, unique. Default: made of the configuration.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Whether exemplars are sent. Default: `false`.
    #[serde(skip_serializing_if = "is_default")]
    pub send_exemplars: bool,
    /// Whether native histograms are sent. Default: `false`.
    #[serde(skip_serializing_if = "is_default")]
    pub send_native_histograms: bool,
    /// Whether each connection goes to another address of the name. Default: `false`.
    #[serde(skip_serializing_if = "is_default")]
    pub round_robin_dns: bool,
    /// `prometheus.WriteRequest` or `io.prometheus.write.v2.Request`. Default: `prometheus.WriteRequest`.
    pub protobuf_message: String,
    /// Whether requests that fail are logged. Default: `false`.
    #[serde(skip_serializing_if = "is_default")]
    pub failed_request_logging: bool,
    /// How samples wait.
    pub queue_config: QueueConfig,
    /// Whether and how metadata is sent.
    pub metadata_config: MetadataConfig,
    /// Signs requests for AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigv4: Option<SigV4>,
    /// Tokens of Azure AD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azuread: Option<AzureAd>,
    /// Tokens of Google Cloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub google_iam: Option<GoogleIam>,
}

/// The section `queue_config`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// Samples that may wait in a shard. Default: `10000`.
    pub capacity: i64,
    /// Most shards. Default: `50`.
    pub max_shards: i64,
    /// Fewest shards. Default: `1`.
    pub min_shards: i64,
    /// Samples of a request. Default: `2000`.
    pub max_samples_per_send: i64,
    /// How long a sample waits for others. Default: `5s`.
    pub batch_send_deadline: DurationMs,
    /// First pause after a failure. Default: `30ms`.
    pub min_backoff: DurationMs,
    /// Longest pause. Default: `5s`.
    pub max_backoff: DurationMs,
    /// Whether 429 is a failure that is tried again. Default: `false`.
    #[serde(skip_serializing_if = "is_default")]
    pub retry_on_http_429: bool,
    /// Older samples are dropped. Default: `0s`, none.
    #[serde(skip_serializing_if = "is_default")]
    pub sample_age_limit: DurationMs,
}

/// The section `metadata_config`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetadataConfig {
    /// Whether metadata is sent. Default: `true`.
    pub send: bool,
    /// How often. Default: `1m`.
    pub send_interval: DurationMs,
    /// Entries of a request. Default: `2000`.
    pub max_samples_per_send: i64,
}

/// Signs requests for AWS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SigV4 {
    /// Region. Default: that of AWS' own settings.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Access key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub access_key: String,
    /// Secret key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<Secret>,
    /// Profile in AWS' own settings.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub profile: String,
    /// Role that is taken.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role_arn: String,
    /// Id that the role is taken with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub external_id: String,
    /// Whether the token service is the one with FIPS.
    #[serde(skip_serializing_if = "is_default")]
    pub use_fips_sts_endpoint: bool,
    /// Name of the service that requests are signed for. Default: `aps`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_name: String,
}

/// Tokens of Azure AD: at most one of four ways to get them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AzureAd {
    /// With the identity of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_identity: Option<BTreeMap<String, Secret>>,
    /// With the secret of a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth: Option<BTreeMap<String, Secret>>,
    /// With Azure's own settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdk: Option<BTreeMap<String, Secret>>,
    /// With the identity of a workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<BTreeMap<String, Secret>>,
    /// Azure's cloud. Default: `AzurePublic`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cloud: String,
    /// What the token is asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
}

/// Tokens of Google Cloud.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GoogleIam {
    /// File with the credentials. Default: Google's own settings.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub credentials_file: String,
}

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
    #[serde(serialize_with = "redacted")]
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

fn redacted<S: serde::Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&model::redact_urls(url))
}

impl Default for RemoteWriteYaml {
    fn default() -> Self {
        Self {
            url: String::new(),
            remote_timeout: DurationMs(30_000),
            headers: BTreeMap::new(),
            write_relabel_configs: Vec::new(),
            name: String::new(),
            send_exemplars: false,
            send_native_histograms: false,
            round_robin_dns: false,
            protobuf_message: MESSAGES[0].to_owned(),
            failed_request_logging: false,
            queue_config: QueueConfig::default(),
            metadata_config: MetadataConfig::default(),
            sigv4: None,
            azuread: None,
            google_iam: None,
        }
    }
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            capacity: 10_000,
            max_shards: 50,
            min_shards: 1,
            max_samples_per_send: 2000,
            batch_send_deadline: DurationMs(5000),
            min_backoff: DurationMs(30),
            max_backoff: DurationMs(5000),
            retry_on_http_429: false,
            sample_age_limit: DurationMs(0),
        }
    }
}

impl Default for MetadataConfig {
    fn default() -> Self {
        Self { send: true, send_interval: DurationMs(60_000), max_samples_per_send: 2000 }
    }
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

const MESSAGES: [&str; 2] = ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"];

/// Headers that cannot be configured.
const RESERVED: [&str; 17] = [
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
    "transfer-encoding",
];

pub(crate) fn check_header(name: &str) -> Result<(), String> {
    match RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
        true => Err(format!("{name} is a reserved header. It must not be changed")),
        false => Ok(()),
    }
}

fn check_headers(node: &Node, headers: &BTreeMap<String, String>) -> Result<(), Error> {
    let place = node.get("headers").unwrap_or(node);
    for name in headers.keys() {
        if name.eq_ignore_ascii_case("authorization") {
            let why = "authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, azuread or \
                       google_iam parameter";
            return Err(place.error_at(name, why));
        }
        check_header(name).map_err(|why| place.error_at(name, why))?;
    }
    Ok(())
}

impl QueueConfig {
    fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let refuse = |wrong: bool, key, why| if wrong { Err((key, why)) } else { Ok(()) };
        refuse(self.max_shards <= 0, "max_shards", "remote write queue max_shards must be positive")?;
        refuse(self.min_shards <= 0, "min_shards", "remote write queue min_shards must be positive")?;
        refuse(
            self.min_shards > self.max_shards,
            "min_shards",
            "remote write queue min_shards must not be greater than max_shards",
        )?;
        refuse(
            self.max_samples_per_send <= 0,
            "max_samples_per_send",
            "remote write queue max_samples_per_send must be positive",
        )?;
        refuse(self.capacity <= 0, "capacity", "remote write queue capacity must be positive")?;
        refuse(
            self.max_backoff < self.min_backoff,
            "max_backoff",
            "remote write queue max_backoff must not be less than min_backoff",
        )
    }
}

impl RemoteWriteConfig {
    pub(crate) fn from_node(node: &Node, names: ValidationScheme) -> Result<Self, Error> {
        if node.is_null() {
            return Err(node.error("empty or null remote write config section"));
        }
        let (keys, own) = node.clone().split(ClientConfig::has_key)?;
        let mut own: RemoteWriteYaml = own.decode()?;
        if own.url.is_empty() {
            return Err(node.error_at("url", "url for remote_write is empty"));
        }
        check_headers(node, &own.headers)?;
        if !MESSAGES.contains(&own.protobuf_message.as_str()) {
            let (message, known) = (&own.protobuf_message, MESSAGES.join(", "));
            let why = format!("invalid protobuf_message value: {message:?} is not one of {known}");
            return Err(node.error_at("protobuf_message", why));
        }
        let mut http = ClientConfig::from_section(&keys)?;
        http.http1_by_default(&keys);
        let queue = node.get("queue_config").unwrap_or(node);
        own.queue_config.check().map_err(|(key, why)| queue.error_at(key, why))?;
        let ways = [http.has_credentials(), own.sigv4.is_some(), own.azuread.is_some(), own.google_iam.is_some()];
        if ways.iter().filter(|set| **set).count() > 1 {
            let why =
                "at most one of basic_auth, authorization, oauth2, sigv4, azuread or google_iam must be configured";
            return Err(node.error(why));
        }
        if let Some(azure) = &own.azuread {
            check_azure(azure).map_err(|why| node.error_at("azuread", why))?;
        }
        check_rules(node, "write_relabel_configs", &own.write_relabel_configs, names)?;
        let write_relabel_configs = std::mem::take(&mut own.write_relabel_configs).into();
        Ok(Self { own, http, write_relabel_configs })
    }

    pub(crate) fn resolve_paths(&mut self, folder: &Path) {
        self.http.resolve_paths(folder);
    }
}

fn check_azure(azure: &AzureAd) -> Result<(), String> {
    let ways = [
        ("managed_identity", &azure.managed_identity, &["client_id"][..]),
        ("oauth", &azure.oauth, &["client_id", "client_secret", "tenant_id"]),
        ("sdk", &azure.sdk, &["tenant_id"]),
        ("workload_identity", &azure.workload_identity, &["client_id", "tenant_id", "token_file_path"]),
    ];
    let set: Vec<_> = ways.iter().filter_map(|(name, way, keys)| Some((name, way.as_ref()?, keys))).collect();
    let [(name, way, keys)] = set.as_slice() else {
        return Err("exactly one of managed_identity, oauth, sdk and workload_identity must be configured".to_owned());
    };
    match way.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(key) => Err(format!("unknown key {key:?} in {name}")),
        None => Ok(()),
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

    pub(crate) fn resolve_paths(&mut self, folder: &Path) {
        self.http.resolve_paths(folder);
    }
}
