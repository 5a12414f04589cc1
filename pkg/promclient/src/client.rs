//! Calls to Prometheus' HTTP API: requests, limits, errors.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use labels::Matcher;
use model::{MAX_TIME_MS, MIN_TIME_MS, TimeRange, redact_urls};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use storage::{Answer, Error, Result};
use transport::http::HttpClient;

/// Longer queries go by POST where Prometheus takes it.
const URL_BYTES_MAX: usize = 4 << 10;
/// Of an answer that is no JSON, so much is shown in errors.
const EXCERPT_BYTES: usize = 300;

/// Limits of one call to the API.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The longest time for one call (remote reads have their own).
    pub timeout: Duration,
    /// A longer answer is an error.
    pub answer_bytes_max: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), answer_bytes_max: 512 << 20 }
    }
}

/// One Prometheus server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PromClient {
    base: Arc<str>,
    /// `base` without its password.
    shown_url: Arc<str>,
    http: HttpClient,
    options: ClientOptions,
}

/// The envelope of API answers.
#[derive(Deserialize)]
struct Envelope<T> {
    #[serde(default)]
    status: String,
    data: Option<T>,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Option<Vec<String>>,
}

/// The error part alone, whatever the data.
#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    error: String,
}

impl PromClient {
    /// The server at `base`, `http://host:9090` or with a path before the API's.
    pub fn new(base: &str, http: HttpClient, options: ClientOptions) -> Self {
        let base = base.trim_end_matches('/');
        Self { base: base.into(), shown_url: redact_urls(base).into(), http, options }
    }

    /// The URL it was made with, its password left out.
    pub fn shown_url(&self) -> &str {
        &self.shown_url
    }

    /// The same server with other limits.
    #[must_use]
    pub fn with_options(&self, options: ClientOptions) -> Self {
        Self { options, ..self.clone() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The server and `path` as errors name them.
    pub fn at(&self, path: &str) -> String {
        format!("prometheus {}{path}", self.shown_url)
    }

    pub(crate) fn get(&self, path: &str) -> Result<RequestBuilder> {
        self.http.get(&self.url(path)).map_err(|e| Error::Unavailable(format!("{}: {e}", self.at(path))))
    }

    /// A POST to `path`, with the configured authentication.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where a file of the client's configuration cannot be read.
    pub fn post(&self, path: &str) -> Result<RequestBuilder> {
        self.http.post(&self.url(path)).map_err(|e| Error::Unavailable(format!("{}: {e}", self.at(path))))
    }

    /// Sends `request` and waits for the head of a good answer.
    ///
    /// # Errors
    /// By the status of a bad answer, with the server's own words.
    pub async fn send(&self, path: &str, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(|e| self.broken(path, &e))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.body(path, response, 64 << 10).await.unwrap_or_default();
        Err(failed(&self.at(path), status, &body))
    }

    /// Reads a body of at most `max` bytes.
    ///
    /// # Errors
    /// [`Error::Limit`] for a longer one; a connection that broke.
    pub async fn body(&self, path: &str, mut response: Response, max: usize) -> Result<Bytes> {
        let mut out = BytesMut::new();
        while let Some(part) = response.chunk().await.map_err(|e| self.broken(path, &e))? {
            if out.len() + part.len() > max {
                return Err(Error::Limit(format!("{}: answer is longer than {max} bytes", self.at(path))));
            }
            out.extend_from_slice(&part);
        }
        Ok(out.freeze())
    }

    /// A connection that failed, or broke in the middle of an answer from `path`.
    pub fn broken(&self, path: &str, e: &reqwest::Error) -> Error {
        // The causes hold what matters: refused, reset, unknown host
        let mut text = e.to_string();
        let mut cause = std::error::Error::source(e);
        while let Some(c) = cause {
            text = format!("{text}: {c}");
            cause = c.source();
        }
        let text = redact_urls(&text);
        match e.is_timeout() {
            true => Error::Timeout(format!("{}: {text}", self.at(path))),
            false => Error::Unavailable(format!("{}: {text}", self.at(path))),
        }
    }

    /// Asks `path`; the `data` of the answer as it stands. By POST when the query is too long for a URL.
    ///
    /// # Errors
    /// By the status of a bad answer, with the server's own words.
    pub async fn ask(&self, path: &str, query: &[(&str, String)]) -> Result<Answer<serde_json::Value>> {
        self.long_data(path, query).await
    }

    /// GET `path` as plain bytes, without the envelope of the API.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn plain(&self, path: &str) -> Result<Bytes> {
        let request = self.get(path)?.timeout(self.options.timeout);
        let response = self.send(path, request).await?;
        self.body(path, response, self.options.answer_bytes_max).await
    }

    /// GET `path` with `query`; the `data` of the answer.
    pub(crate) async fn data<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<Answer<T>> {
        let request = self.get(path)?.query(query);
        self.finish(path, request).await
    }

    /// As [`Self::data`], by POST when the query is too long for a URL.
    pub(crate) async fn long_data<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Answer<T>> {
        if query.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>() <= URL_BYTES_MAX {
            return self.data(path, query).await;
        }
        let request = self.post(path)?.form(query);
        self.finish(path, request).await
    }

    async fn finish<T: DeserializeOwned>(&self, path: &str, request: RequestBuilder) -> Result<Answer<T>> {
        let response = self.send(path, request.timeout(self.options.timeout)).await?;
        let body = self.body(path, response, self.options.answer_bytes_max).await?;
        let envelope: Envelope<T> = serde_json::from_slice(&body)
            .map_err(|e| Error::Unavailable(format!("{}: answer is not what Prometheus says: {e}", self.at(path))))?;
        match envelope.data {
            Some(value) if envelope.status == "success" => {
                Ok(Answer { value, warnings: envelope.warnings.unwrap_or_default() })
            }
            _ => Err(Error::other(format!("{}: status {:?}: {}", self.at(path), envelope.status, envelope.error))),
        }
    }

    /// Asks Prometheus to read its configuration again.
    ///
    /// # Errors
    /// Prometheus' own words; the lifecycle API may be off.
    pub async fn reload(&self) -> Result<()> {
        let path = "/-/reload";
        let request = self.post(path)?.timeout(self.options.timeout);
        match self.send(path, request).await {
            Ok(_) => Ok(()),
            Err(e @ (Error::Unavailable(_) | Error::Timeout(_))) => Err(e),
            Err(e) => Err(Error::other(format!("{e} (was Prometheus started with --web.enable-lifecycle?)"))),
        }
    }
}

/// Where an expression is evaluated.
const QUERY_PATHS: [&str; 2] = ["/api/v1/query", "/api/v1/query_range"];

/// What a refusal of the path at the end of `at` means for the caller.
pub(crate) fn failed(at: &str, status: StatusCode, body: &[u8]) -> Error {
    let said = match serde_json::from_slice::<Failure>(body) {
        Ok(failure) if !failure.error.is_empty() => failure.error,
        _ => excerpt(body),
    };
    let text = format!("{at}: {status}: {said}");
    let is_query = QUERY_PATHS.iter().any(|path| at.ends_with(path));
    match status.as_u16() {
        400 => Error::Invalid(text),
        // An expression that cannot be evaluated is the asker's to mend, too.
        422 if is_query => Error::Invalid(text),
        404 | 405 | 501 => Error::Unsupported(text),
        413 | 429 => Error::Limit(text),
        500.. | 408 => Error::Unavailable(text),
        _ => Error::other(text),
    }
}

/// The beginning of a body that is not what was expected, as errors show it.
pub fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(EXCERPT_BYTES)]);
    text.trim().to_owned()
}

/// A time as the API takes it, in seconds.
pub(crate) fn seconds(t_ms: i64) -> String {
    let t = t_ms.clamp(MIN_TIME_MS, MAX_TIME_MS);
    let sign = if t < 0 { "-" } else { "" };
    let t = t.unsigned_abs();
    format!("{sign}{}.{:03}", t / 1000, t % 1000)
}

/// `match[]`, `start`, `end` and `limit` of the metadata endpoints.
pub(crate) fn selection(range: TimeRange, matchers: &[Matcher], limit: usize) -> Vec<(&'static str, String)> {
    let mut query = vec![("start", seconds(range.min)), ("end", seconds(range.max))];
    if !matchers.is_empty() {
        query.push(("match[]", selector(matchers)));
    }
    if limit > 0 {
        query.push(("limit", limit.to_string()));
    }
    query
}

fn selector(matchers: &[Matcher]) -> String {
    let list: Vec<String> = matchers.iter().map(Matcher::to_string).collect();
    format!("{{{}}}", list.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (ms, want) in [(0, "0.000"), (1_700_000_000_123, "1700000000.123"), (-1, "-0.001"), (-2500, "-2.500")] {
            assert_eq!(seconds(ms), want);
        }
        assert!(seconds(i64::MIN).parse::<f64>().is_ok_and(f64::is_finite));
    }

    #[test]
    fn refusals_by_kind() {
        let kind = |status, body: &str| failed("p", StatusCode::from_u16(status).unwrap(), body.as_bytes());
        let invalid = kind(400, r#"{"status":"error","errorType":"bad_data","error":"no match[]"}"#);
        assert!(matches!(&invalid, Error::Invalid(t) if t == "p: 400 Bad Request: no match[]"), "{invalid}");
        assert!(
            matches!(kind(503, "Service Unavailable\n"), Error::Unavailable(t) if t.ends_with(": Service Unavailable"))
        );
        let evaluating = |path: &str| failed(path, StatusCode::UNPROCESSABLE_ENTITY, br#"{"error":"many-to-many"}"#);
        assert!(matches!(evaluating("prometheus http://h/api/v1/query"), Error::Invalid(_)));
        assert!(matches!(evaluating("prometheus http://h/api/v1/query_range"), Error::Invalid(_)));
        assert!(matches!(evaluating("prometheus http://h/api/v1/series"), Error::Other { .. }));
        assert!(matches!(kind(404, ""), Error::Unsupported(_)));
        assert!(matches!(kind(401, ""), Error::Other { .. }));
        assert!(matches!(kind(429, "slow"), Error::Limit(_)));
    }

    #[test]
    fn selectors() {
        let m = [Matcher::equal("__name__", "up"), Matcher::not_equal("a", "x\"y")];
        assert_eq!(selection(TimeRange::new(0, 1000), &m, 3)[2].1, r#"{__name__="up",a!="x\"y"}"#);
    }
}
