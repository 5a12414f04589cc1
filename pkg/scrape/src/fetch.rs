//! One request: headers, status, and a body of bounded size.

use std::sync::Arc;

use futures::future::BoxFuture;
use model::ByteSize;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, Response};
use storage::{Budget, Reservation};
use transport::http::HttpClient;

use crate::inflate::{Inflate, InflateError};

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    /// Empty if none was sent.
    pub(crate) content_type: String,
    /// Held for as long as the body is.
    pub(crate) _held: Option<Reservation>,
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("{0}")]
    Request(String),
    #[error("server returned HTTP status {0}")]
    Status(String),
    #[error("body size limit exceeded: more than {} after decompression, see body_size_limit", ByteSize(*.0))]
    TooLarge(u64),
    #[error("Get {url:?}: context deadline exceeded: no whole answer within the scrape timeout of {timeout}")]
    Timeout { url: String, timeout: String },
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) client: HttpClient,
    pub(crate) url: String,
    pub(crate) accept: Arc<str>,
    pub(crate) accept_encoding: &'static str,
    pub(crate) timeout_ms: i64,
    pub(crate) body_bytes_max: u64,
    /// About so large is the body.
    pub(crate) body_bytes: usize,
    pub(crate) budget: Arc<Budget>,
}

/// Asks once. Redirects are followed as the client is configured.
pub(crate) fn fetch(request: Request) -> BoxFuture<'static, Result<Answer, FetchError>> {
    Box::pin(async move {
        let timeout = std::time::Duration::from_millis(request.timeout_ms.unsigned_abs());
        match tokio::time::timeout(timeout, ask(&request)).await {
            Ok(answer) => answer,
            Err(_) => Err(FetchError::Timeout {
                url: model::redact_urls(&request.url).to_string(),
                timeout: model::format_duration(request.timeout_ms),
            }),
        }
    })
}

async fn ask(request: &Request) -> Result<Answer, FetchError> {
    let failed = |e: reqwest::Error| {
        let mut text = format!("Get {:?}: {}", model::redact_urls(&request.url), e.without_url());
        // reqwest's own text says what failed, its causes say why.
        text.truncate(1024);
        FetchError::Request(text)
    };
    let builder = request.client.request(Method::GET, &request.url).await;
    let builder = builder.map_err(|e| FetchError::Request(e.to_string()))?;
    let response = builder
        .header(ACCEPT, &*request.accept)
        .header(ACCEPT_ENCODING, request.accept_encoding)
        .header("X-Prometheus-Scrape-Timeout-Seconds", crate::accept::timeout_seconds(request.timeout_ms))
        .send()
        .await
        .map_err(with_causes(failed))?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(FetchError::Status(response.status().to_string()));
    }
    let content_type = header(response.headers(), CONTENT_TYPE);
    let (body, held) = read(request, response, with_causes(failed)).await?;
    Ok(Answer { body, content_type, _held: held })
}

/// Adds the causes of an error to its text.
fn with_causes(failed: impl Fn(reqwest::Error) -> FetchError + Copy) -> impl Fn(reqwest::Error) -> FetchError + Copy {
    move |e| {
        let mut causes = String::new();
        let mut cause = std::error::Error::source(&e);
        while let Some(inner) = cause {
            causes = format!(": {inner}");
            cause = inner.source();
        }
        match failed(e) {
            FetchError::Request(text) => FetchError::Request(text + &causes),
            other => other,
        }
    }
}

fn header(headers: &HeaderMap, name: reqwest::header::HeaderName) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

async fn read(
    request: &Request,
    mut response: Response,
    failed: impl Fn(reqwest::Error) -> FetchError,
) -> Result<(Vec<u8>, Option<Reservation>), FetchError> {
    let refused = |e: storage::Error| FetchError::Request(e.to_string());
    // Where the client has inflated the body, the header is gone.
    let encoding = header(response.headers(), CONTENT_ENCODING);
    let wrong = |e: InflateError| match e {
        InflateError::TooLarge => FetchError::TooLarge(request.body_bytes_max),
        InflateError::Wrong(why) => FetchError::Request(why),
    };
    let mut body = Inflate::new(&encoding, request.body_bytes_max, request.body_bytes).map_err(wrong)?;
    let mut held = request.budget.reserve(0).map_err(refused)?;
    while let Some(chunk) = response.chunk().await.map_err(&failed)? {
        body.write(&chunk).map_err(wrong)?;
        let grown = body.capacity().saturating_sub(held.bytes());
        held.grow(grown).map_err(refused)?;
    }
    Ok((body.finish().map_err(wrong)?, Some(held)))
}
