//! The section `remote_write`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use relabel::Rule;
use remote::receive::MessageType;
use remote::send as queue;
use scrape::config::ValidationScheme;
use serde::{Deserialize, Serialize};
use transport::http::ClientConfig;
use yaml::{DurationMs, Error, Node, is_default};

use super::auth::{AzureAd, GoogleIam, SigV4};
use crate::headers::{check_headers, redacted_url};
use crate::rules::check_rules;

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
    #[serde(serialize_with = "redacted_url")]
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
    /// Without effect: connections go to the addresses of the name in the order in which they are found.
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

const MESSAGES: [&str; 2] = ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"];

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
            azure.check().map_err(|why| node.error_at("azuread", why))?;
        }
        check_rules(node, "write_relabel_configs", &own.write_relabel_configs, names)?;
        let write_relabel_configs = std::mem::take(&mut own.write_relabel_configs).into();
        Ok(Self { own, http, write_relabel_configs })
    }

    /// The queue that sends to this server.
    pub fn queue(&self) -> queue::QueueConfig {
        let RemoteWriteYaml { queue_config: q, metadata_config: metadata, .. } = &self.own;
        let count = |value: i64| usize::try_from(value).unwrap_or(1).max(1);
        let aws = self.own.sigv4.as_ref().map(SigV4::signing);
        let azure = || self.own.azuread.as_ref().map(AzureAd::signing);
        let google = || self.own.google_iam.as_ref().map(GoogleIam::signing);
        queue::QueueConfig {
            name: self.own.name.clone(),
            url: self.own.url.clone(),
            timeout: self.own.remote_timeout.std(),
            headers: self.own.headers.clone(),
            relabel: self.write_relabel_configs.clone(),
            exemplars: self.own.send_exemplars,
            histograms: self.own.send_native_histograms,
            message: MessageType::parse(&self.own.protobuf_message).unwrap_or(MessageType::V1),
            http: self.http.clone(),
            auth: aws.or_else(azure).or_else(google),
            log_failures: self.own.failed_request_logging,
            capacity: count(q.capacity),
            min_shards: count(q.min_shards),
            max_shards: count(q.max_shards),
            max_samples_per_send: count(q.max_samples_per_send),
            batch_send_deadline: q.batch_send_deadline.std(),
            min_backoff: q.min_backoff.std(),
            max_backoff: q.max_backoff.std(),
            retry_on_429: q.retry_on_http_429,
            sample_age_limit: q.sample_age_limit.std(),
            metadata: metadata.send.then(|| queue::MetadataSending {
                interval: metadata.send_interval.std(),
                max_samples_per_send: count(metadata.max_samples_per_send),
            }),
        }
    }

    pub(crate) fn resolve_paths(&mut self, folder: &Path) {
        self.http.resolve_paths(folder);
    }
}

/// The list `remote_write` of a text that has nothing else; none where there is no text.
///
/// # Errors
/// What is wrong, with its line.
pub fn parse_remote_write(text: &str) -> Result<Vec<RemoteWriteConfig>, String> {
    let tree = yaml::parse(text).map_err(|e| e.to_string())?;
    if let Some((key, _)) = tree.entries().iter().find(|(key, _)| key.text != "remote_write") {
        return Err(tree.error_at(&key.text, format!("unknown key {:?}, expected remote_write", key.text)).to_string());
    }
    let Some(list) = tree.get("remote_write") else { return Ok(Vec::new()) };
    let of = |node: &Node| RemoteWriteConfig::from_node(node, ValidationScheme::Utf8).map_err(|e| e.to_string());
    list.list().map_err(|e| e.to_string())?.iter().map(of).collect()
}
