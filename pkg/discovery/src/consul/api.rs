//! The parts of Consul's HTTP API that discovery asks.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::BytesMut;
use futures::future::BoxFuture;
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use telemetry::{Counter, HistogramVec, Metrics};
use tokio::time::Instant;
use transport::http::HttpClient;
use url::Url;

use super::target::Instance;
use crate::config::{ConsulConfig, ConsulYaml};
use crate::http::describe;

/// How long Consul holds a request while nothing changes.
const WAIT: Duration = Duration::from_secs(120);
/// What Consul and the way to it may take beyond that; it adds up to a sixteenth of the wait itself.
const GRACE: Duration = Duration::from_secs(15);

/// Names of services, each with the tags of all of its instances.
pub type Services = BTreeMap<String, Option<Vec<String>>>;

/// An answer, and the index that it was at.
#[derive(Debug, Clone)]
pub struct Indexed<T> {
    /// Given back to wait for a change; 0 where the answer has none.
    pub index: u64,
    /// The answer.
    pub value: T,
}

/// What discovery asks a Consul; a seam, so that its rules can be tried without one. With `after`, the answer comes once
/// something has changed since that index, or some minutes later.
pub trait ConsulApi: fmt::Debug + Send + Sync {
    /// The datacenter of the agent.
    fn datacenter(&self) -> BoxFuture<'_, Result<String, String>>;

    /// All services.
    fn services(&self, after: Option<u64>) -> BoxFuture<'_, Result<Indexed<Services>, String>>;

    /// The instances of a service.
    fn instances<'a>(
        &'a self,
        service: &'a str,
        after: Option<u64>,
    ) -> BoxFuture<'a, Result<Indexed<Vec<Instance>>, String>>;
}

/// Counts of all requests to Consul.
#[derive(Debug, Clone)]
pub struct ConsulMetrics {
    failures: Counter,
    duration: HistogramVec,
}

impl ConsulMetrics {
    /// Under Prometheus' names.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            failures: metrics.counter("prometheus_sd_consul_rpc_failures_total", "Requests to Consul that failed."),
            duration: metrics.histograms(
                "prometheus_sd_consul_rpc_duration_seconds",
                "Time of requests to Consul, which may wait there for a change.",
                &["endpoint", "call"],
                &[0.01, 0.1, 1.0, 10.0, 100.0],
            ),
        }
    }
}

/// A Consul behind HTTP.
#[derive(Debug)]
pub struct HttpConsul {
    client: HttpClient,
    base: Url,
    own: ConsulYaml,
    body_bytes_max: usize,
    metrics: ConsulMetrics,
}

impl HttpConsul {
    /// Answers of more than `body_bytes_max` bytes are failures.
    ///
    /// # Errors
    /// A client that cannot be built, and a server that is no address.
    pub fn new(config: &ConsulConfig, body_bytes_max: usize, metrics: ConsulMetrics) -> Result<Self, String> {
        let own = config.own.clone();
        let server = match own.server.split_once("://") {
            Some(("http" | "https", _)) => own.server.clone(),
            Some((scheme, _)) => return Err(format!("server {:?}: {scheme} is not supported, use http", own.server)),
            None => format!("{}://{}", own.scheme, own.server),
        };
        let mut base = Url::parse(&server).map_err(|e| format!("server {:?}: {e}", own.server))?;
        if base.cannot_be_a_base() {
            return Err(format!("server {:?} is no host:port", own.server));
        }
        base.set_path(own.path_prefix.trim_matches('/'));
        let client = config.http.clone().build().map_err(|e| e.to_string())?;
        Ok(Self { client, base, own, body_bytes_max, metrics })
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        let mut query = url.query_pairs_mut();
        for (name, value) in
            [("dc", &self.own.datacenter), ("ns", &self.own.namespace), ("partition", &self.own.partition)]
        {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        drop(query);
        url
    }

    /// A URL of a list that can be waited for.
    fn list(&self, path: &[&str], filter: &str, after: Option<u64>) -> Url {
        let mut url = self.url(path);
        let mut query = url.query_pairs_mut();
        if self.own.allow_stale {
            query.append_pair("stale", "");
        }
        for (name, value) in &self.own.node_meta {
            query.append_pair("node-meta", &format!("{name}:{value}"));
        }
        if !filter.is_empty() {
            query.append_pair("filter", filter);
        }
        if let Some(index) = after {
            query.append_pair("index", &index.to_string());
            query.append_pair("wait", &format!("{}s", WAIT.as_secs()));
        }
        drop(query);
        url
    }

    async fn get<T: DeserializeOwned>(&self, url: &Url, labels: [&str; 2]) -> Result<Indexed<T>, String> {
        let begin = Instant::now();
        let answer = tokio::time::timeout(WAIT + WAIT / 16 + GRACE, self.fetch(url)).await;
        self.metrics.duration.with(&labels).observe(begin.elapsed().as_secs_f64());
        answer.unwrap_or_else(|_| Err("no answer in time".to_owned())).map_err(|why| {
            self.metrics.failures.inc();
            let shown = format!("{}{}", url.origin().ascii_serialization(), url.path());
            format!("{shown}: {why}")
        })
    }

    async fn fetch<T: DeserializeOwned>(&self, url: &Url) -> Result<Indexed<T>, String> {
        let mut request = self.client.request(Method::GET, url.as_str()).await.map_err(|e| e.to_string())?;
        if let Some(token) = &self.own.token {
            request = request.header("X-Consul-Token", &token.0);
        }
        let mut answer = request.send().await.map_err(|e| describe(&e.without_url()))?;
        let status = answer.status();
        if !status.is_success() {
            let start = answer.chunk().await.ok().flatten().unwrap_or_default();
            let start = String::from_utf8_lossy(&start[..start.len().min(200)]).trim().to_owned();
            return Err(format!("Consul answers {status}: {start}"));
        }
        let index = answer.headers().get("X-Consul-Index").and_then(|value| value.to_str().ok()?.parse().ok());
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| describe(&e.without_url()))? {
            if body.len() + chunk.len() > self.body_bytes_max {
                return Err(format!("the answer is longer than {} bytes", self.body_bytes_max));
            }
            body.extend_from_slice(&chunk);
        }
        let value = serde_json::from_slice(&body).map_err(|e| format!("the answer is not what Consul gives: {e}"))?;
        Ok(Indexed { index: index.unwrap_or(0), value })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Agent {
    config: AgentConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AgentConfig {
    datacenter: String,
}

impl ConsulApi for HttpConsul {
    fn datacenter(&self) -> BoxFuture<'_, Result<String, String>> {
        Box::pin(async move {
            if !self.own.datacenter.is_empty() {
                return Ok(self.own.datacenter.clone());
            }
            let url = self.url(&["agent", "self"]);
            let agent: Indexed<Agent> = self.get(&url, ["agent", "self"]).await?;
            Ok(agent.value.config.datacenter)
        })
    }

    fn services(&self, after: Option<u64>) -> BoxFuture<'_, Result<Indexed<Services>, String>> {
        Box::pin(async move {
            let url = self.list(&["catalog", "services"], &self.own.filter, after);
            self.get(&url, ["catalog", "services"]).await
        })
    }

    fn instances<'a>(
        &'a self,
        service: &'a str,
        after: Option<u64>,
    ) -> BoxFuture<'a, Result<Indexed<Vec<Instance>>, String>> {
        Box::pin(async move {
            let mut url = self.list(&["health", "service", service], &self.own.health_filter, after);
            url.query_pairs_mut().extend_pairs(self.own.tags.iter().map(|tag| ("tag", tag)));
            self.get(&url, ["catalog", "service"]).await
        })
    }
}
