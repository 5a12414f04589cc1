//! What a queue is, and what all queues have in common.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloud_auth::CloudAuth;
use relabel::Rule;
use transport::http::ClientConfig;

use crate::receive::MessageType;

/// A server that samples are sent to, and how. Two that are equal are the same queue after a reload.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueConfig {
    /// Name in metrics and logs; empty = made of the URL.
    pub name: String,
    /// URL that requests are posted to.
    pub url: String,
    /// Time for a request.
    pub timeout: Duration,
    /// More headers of each request.
    pub headers: BTreeMap<String, String>,
    /// Rules for the labels of samples.
    pub relabel: Arc<[Rule]>,
    /// Whether exemplars are sent.
    pub exemplars: bool,
    /// Whether native histograms are sent.
    pub histograms: bool,
    /// The version of the protocol.
    pub message: MessageType,
    /// How it is spoken to.
    pub http: ClientConfig,
    /// How requests are signed.
    pub auth: Option<CloudAuth>,
    /// Whether requests that fail are logged one by one.
    pub log_failures: bool,
    /// Samples that may wait in a shard.
    pub capacity: usize,
    /// Fewest shards.
    pub min_shards: usize,
    /// Most shards.
    pub max_shards: usize,
    /// Samples of a request.
    pub max_samples_per_send: usize,
    /// How long a sample waits for others.
    pub batch_send_deadline: Duration,
    /// The pause after the first failure; it doubles with each further one.
    pub min_backoff: Duration,
    /// The longest pause.
    pub max_backoff: Duration,
    /// Whether 429 is a failure that is tried again.
    pub retry_on_429: bool,
    /// Older samples are dropped; zero = none.
    pub sample_age_limit: Duration,
    /// How metadata is sent with version 1.
    pub metadata: Option<MetadataSending>,
}

/// Metadata in requests of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataSending {
    /// How often.
    pub interval: Duration,
    /// Entries of a request.
    pub max_samples_per_send: usize,
}

impl QueueConfig {
    /// What Prometheus does where only the URL is configured.
    pub fn new(url: &str) -> Self {
        Self {
            name: String::new(),
            url: url.to_owned(),
            timeout: Duration::from_secs(30),
            headers: BTreeMap::new(),
            relabel: Arc::default(),
            exemplars: false,
            histograms: false,
            message: MessageType::V1,
            http: ClientConfig::default(),
            auth: None,
            log_failures: false,
            capacity: 10_000,
            min_shards: 1,
            max_shards: 50,
            max_samples_per_send: 2000,
            batch_send_deadline: Duration::from_secs(5),
            min_backoff: Duration::from_millis(30),
            max_backoff: Duration::from_secs(5),
            retry_on_429: false,
            sample_age_limit: Duration::ZERO,
            metadata: Some(MetadataSending { interval: Duration::from_secs(60), max_samples_per_send: 2000 }),
        }
    }

    /// What says which queue it is, so that its place in the log is found again: the name, or else the URL without its
    /// query and its user.
    pub(super) fn key(&self) -> String {
        if !self.name.is_empty() {
            return self.name.clone();
        }
        match reqwest::Url::parse(&self.url) {
            Ok(mut url) => {
                url.set_query(None);
                url.set_fragment(None);
                // A URL without a host has no user either.
                let _ = (url.set_username(""), url.set_password(None));
                url.to_string()
            }
            Err(_) => self.url.clone(),
        }
    }

    /// Its name in metrics and logs.
    pub(super) fn shown_name(&self) -> String {
        match self.name.as_str() {
            "" => format!("{:06x}", xxhash_rust::xxh3::xxh3_64(self.key().as_bytes()) & 0xff_ffff),
            name => name.to_owned(),
        }
    }

    /// Its URL in metrics and logs.
    pub(super) fn shown_url(&self) -> String {
        model::redact_urls(&self.url).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_known_by_its_name_or_its_url() {
        let of = |url: &str| QueueConfig::new(url).key();
        assert_eq!(of("http://u:p@a:1/w?x=1#f"), "http://a:1/w");
        assert_eq!(of("http://a:1/w?x=2"), of("http://a:1/w"));
        assert_ne!(of("http://a:1/w"), of("http://a:1/v"));
        assert_eq!(QueueConfig { name: "n".to_owned(), ..QueueConfig::new("http://a") }.key(), "n");
        assert_eq!(QueueConfig::new("http://a").shown_name().len(), 6);
    }
}
