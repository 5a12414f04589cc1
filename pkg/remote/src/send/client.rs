//! One request to a remote storage.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloud_auth::{Env, Signer};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use model::Clock;
use transport::http::HttpClient;

use super::config::QueueConfig;
use super::retry_after::retry_after;
use super::rows::Counts;
use crate::receive::MessageType;

const VERSION: &str = "X-Prometheus-Remote-Write-Version";
const ATTEMPT: &str = "Retry-Attempt";
/// What is read of an answer that says no.
const REASON_BYTES_MAX: usize = 1024;
/// A server cannot make a queue wait for longer.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// Speaks to one remote storage.
#[derive(Debug)]
pub(super) struct Client {
    http: HttpClient,
    signer: Option<Arc<Signer>>,
    url: String,
    headers: HeaderMap,
    timeout: Duration,
    message: MessageType,
    retry_on_429: bool,
    clock: Arc<dyn Clock>,
}

/// What a receiver of version 2.0 says it has written; `None` = it does not say it.
pub(super) type Written = Option<Counts>;

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It would fail another time too.
    Refused(String),
    /// It is worth another try, perhaps not before some time.
    Again(String, Option<Duration>),
}

impl Client {
    /// A client for a queue.
    ///
    /// # Errors
    /// What is wrong with URL, headers or credentials.
    pub fn new(config: &QueueConfig, env: &Env, clock: Arc<dyn Clock>) -> Result<Self, String> {
        reqwest::Url::parse(&config.url).map_err(|e| format!("{:?} is no URL: {e}", config.shown_url()))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let wrong = |_| format!("headers: {name:?} or its value cannot be a header");
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|e| wrong(e.to_string()))?;
            headers.insert(name, HeaderValue::from_str(value).map_err(|e| wrong(e.to_string()))?);
        }
        let signer = config.auth.clone().map(|auth| Signer::new(auth, env)).transpose();
        Ok(Self {
            http: config.http.clone().build().map_err(|e| e.to_string())?,
            signer: signer.map_err(|e| e.to_string())?.map(Arc::new),
            url: config.url.clone(),
            headers,
            timeout: config.timeout,
            message: config.message,
            retry_on_429: config.retry_on_429,
            clock,
        })
    }

    /// Posts samples; `attempt` counts from 0.
    pub async fn post(&self, body: Bytes, attempt: u32) -> Result<Written, Failure> {
        self.post_as(self.message, body, attempt).await
    }

    /// Posts a message of version 1.
    pub async fn post_v1(&self, body: Bytes, attempt: u32) -> Result<Written, Failure> {
        self.post_as(MessageType::V1, body, attempt).await
    }

    async fn post_as(&self, message: MessageType, body: Bytes, attempt: u32) -> Result<Written, Failure> {
        let exchange = self.exchange(message, body, attempt);
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::Again(format!("no answer within {:?}", self.timeout), None)),
        }
    }

    async fn exchange(&self, message: MessageType, body: Bytes, attempt: u32) -> Result<Written, Failure> {
        let again = |e: &dyn std::error::Error| Failure::Again(causes(e), None);
        let request = self.http.request(Method::POST, &self.url).await.map_err(|e| again(&e))?;
        let (content, version) = match message {
            MessageType::V1 => ("application/x-protobuf", "0.1.0"),
            MessageType::V2 => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
        };
        let mut request = request
            .headers(self.headers.clone())
            .header(CONTENT_ENCODING, "snappy")
            .header(CONTENT_TYPE, content)
            .header(VERSION, version)
            .body(body);
        if attempt > 0 {
            request = request.header(ATTEMPT, attempt);
        }
        let (client, request) = request.build_split();
        let mut request = request.map_err(|e| Failure::Refused(causes(&e.without_url())))?;
        if let Some(signer) = &self.signer {
            request = signer.sign(request).await.map_err(|e| again(&e))?;
        }
        let answer = client.execute(request).await.map_err(|e| again(&e.without_url()))?;
        self.judge(message, answer).await
    }

    async fn judge(&self, message: MessageType, mut answer: reqwest::Response) -> Result<Written, Failure> {
        let (status, written) = (answer.status(), written(answer.headers()));
        let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after = after.and_then(|value| retry_after(value, self.clock.now_ms())).map(|d| d.min(RETRY_AFTER_MAX));
        if status.is_success() {
            return match (message, written) {
                // Receivers of version 1.0 that do not look at the type of the message take one of 2.0 for an empty one.
                (MessageType::V2, None) => {
                    let why = "it takes messages of version 2.0 and does not tell what it has written: it may know \
                               version 1.0 only; set protobuf_message to prometheus.WriteRequest";
                    Err(Failure::Refused(why.to_owned()))
                }
                (_, written) => Ok(written),
            };
        }
        let mut reason = Vec::new();
        while let Ok(Some(part)) = answer.chunk().await {
            reason.extend_from_slice(&part);
            if reason.len() >= REASON_BYTES_MAX {
                reason.truncate(REASON_BYTES_MAX);
                break;
            }
        }
        let why = format!("it answers {status}: {}", String::from_utf8_lossy(&reason).trim());
        let is_again = status.is_server_error() || (status == StatusCode::TOO_MANY_REQUESTS && self.retry_on_429);
        Err(if is_again { Failure::Again(why, after) } else { Failure::Refused(why) })
    }
}

fn written(headers: &HeaderMap) -> Written {
    let of = |what: &str| {
        let value = headers.get(format!("X-Prometheus-Remote-Write-{what}-Written"))?;
        value.to_str().ok()?.parse::<u64>().ok()
    };
    let all = [of("Samples"), of("Histograms"), of("Exemplars")];
    let [floats, histograms, exemplars] = all.map(|count| count.unwrap_or(0));
    all.iter().any(Option::is_some).then_some(Counts { floats, histograms, exemplars })
}

fn causes(e: &dyn std::error::Error) -> String {
    let all = std::iter::successors(Some(e), |e| e.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
