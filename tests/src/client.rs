//! A client of the Prometheus HTTP API.

use std::sync::{Arc, Once};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

/// An HTTP client without TLS in mind, that gives up after two minutes.
///
/// # Errors
/// When it cannot be made.
pub fn http() -> anyhow::Result<reqwest::Client> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // the error is "set before", which is as good
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    Ok(reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(120)).build()?)
}

/// The API of one server.
#[derive(Debug, Clone)]
pub struct Api {
    client: reqwest::Client,
    /// `http://host:port`.
    pub base: Arc<str>,
}

impl Api {
    /// For the server at `base`, `http://host:port`.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(base: &str) -> anyhow::Result<Self> {
        Ok(Self { client: http()?, base: base.into() })
    }

    /// The whole answer to a GET, errors of the API included: they have a body too.
    ///
    /// # Errors
    /// No answer, or none in JSON.
    pub async fn get(&self, path: &str, params: &[(&str, &str)]) -> anyhow::Result<Value> {
        let body = self.get_bytes(path, params).await?;
        serde_json::from_slice(&body)
            .with_context(|| format!("{path} {params:?}: {}", String::from_utf8_lossy(&body[..body.len().min(300)])))
    }

    /// The status and the whole answer to a POST of a form.
    ///
    /// # Errors
    /// No answer, or none in JSON.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> anyhow::Result<(u16, Value)> {
        let response = self.client.post(format!("{}{path}", self.base)).form(form).send().await?;
        Ok((response.status().as_u16(), response.json().await?))
    }

    /// The body of an answer as it came.
    ///
    /// # Errors
    /// No answer.
    pub async fn get_bytes(&self, path: &str, params: &[(&str, &str)]) -> anyhow::Result<Vec<u8>> {
        let request = self.client.get(format!("{}{path}", self.base)).query(params);
        let response = request.send().await.with_context(|| format!("{}{path} {params:?}", self.base))?;
        Ok(response.bytes().await?.to_vec())
    }

    /// An instant query.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn query(&self, query: &str, time_s: f64) -> anyhow::Result<Value> {
        self.get("/api/v1/query", &[("query", query), ("time", &seconds(time_s))]).await
    }

    /// A range query.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn query_range(&self, query: &str, from_s: f64, to_s: f64, step_s: f64) -> anyhow::Result<Value> {
        let (from, to, step) = (seconds(from_s), seconds(to_s), seconds(step_s));
        self.get("/api/v1/query_range", &[("query", query), ("start", &from), ("end", &to), ("step", &step)]).await
    }

    /// Whether it says that it is ready.
    pub async fn ready(&self) -> bool {
        let request = self.client.get(format!("{}/-/ready", self.base)).timeout(Duration::from_secs(2));
        request.send().await.is_ok_and(|r| r.status().is_success())
    }

    /// The sum of all samples of a metric whose line contains `label`, from `/metrics`. 0 where there is none.
    ///
    /// # Errors
    /// No answer.
    pub async fn metric(&self, name: &str, label: &str) -> anyhow::Result<f64> {
        let text = String::from_utf8(self.get_bytes("/metrics", &[]).await?)?;
        let of_metric = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])) && line.contains(label)
        };
        let values = text.lines().filter(of_metric).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(values.sum())
    }
}

fn seconds(s: f64) -> String {
    format!("{s:.3}")
}
