//! Requests of a scrape: headers, status, and a body of bounded size.

use std::sync::Arc;

use model::ByteSize;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use reqwest::{Method, StatusCode};
use storage::{Budget, Reservation};
use transport::http::{HttpClient, RepeatedGet, send_again};

use crate::inflate::{Inflate, InflateError};

/// Letters of what went wrong: servers may have a part in them.
const WHY_MAX: usize = 1024;

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
    pub(crate) budget: Arc<Budget>,
}

/// Asks for the same again and again.
#[derive(Debug)]
pub(crate) struct Fetcher {
    request: Request,
    /// The quick way, unless the request needs the client.
    repeated: Option<RepeatedGet>,
}

impl Fetcher {
    pub(crate) fn new(request: Request) -> Self {
        let timeout = crate::accept::timeout_seconds(request.timeout_ms);
        let repeated = request.client.repeated(&request.url, &request.headers(&timeout));
        Self { request, repeated }
    }

    /// Goes on with the connection of the one before.
    pub(crate) fn replace(&mut self, request: Request) {
        let before = std::mem::replace(self, Self::new(request));
        if let (Some(repeated), Some(before)) = (&mut self.repeated, before.repeated) {
            repeated.inherit(before);
        }
    }

    /// Asks once. The body has about `body_bytes`. Redirects are followed as the client is configured.
    pub(crate) async fn fetch(&mut self, body_bytes: usize) -> Result<Answer, FetchError> {
        let timeout = std::time::Duration::from_millis(self.request.timeout_ms.unsigned_abs());
        match tokio::time::timeout(timeout, self.ask(body_bytes)).await {
            Ok(answer) => answer,
            Err(_) => Err(FetchError::Timeout {
                url: model::redact_urls(&self.request.url).to_string(),
                timeout: model::format_duration(self.request.timeout_ms),
            }),
        }
    }

    async fn ask(&mut self, body_bytes: usize) -> Result<Answer, FetchError> {
        if let Some(repeated) = &mut self.repeated {
            if let Some(answer) = ask_repeated(&self.request, repeated, body_bytes).await? {
                return Ok(answer);
            }
            // It redirects, and most likely goes on with that.
            self.repeated = None;
        }
        ask_client(&self.request, body_bytes).await
    }
}

impl Request {
    fn headers<'a>(&'a self, timeout: &'a str) -> [(HeaderName, &'a str); 3] {
        [
            (ACCEPT, &*self.accept),
            (ACCEPT_ENCODING, self.accept_encoding),
            (HeaderName::from_static("x-prometheus-scrape-timeout-seconds"), timeout),
        ]
    }

    fn failed(&self, why: impl std::fmt::Display) -> FetchError {
        let why: String = why.to_string().chars().take(WHY_MAX).collect();
        FetchError::Request(format!("Get {:?}: {why}", model::redact_urls(&self.url)))
    }

    fn body(&self, content_encoding: &str, body_bytes: usize) -> Result<Body<'_>, FetchError> {
        let wrong = |e| self.not_inflated(e);
        let inflate = Inflate::new(content_encoding, self.body_bytes_max, body_bytes).map_err(wrong)?;
        Ok(Body { request: self, inflate, held: self.budget.reserve(0).map_err(not_held)? })
    }

    fn not_inflated(&self, e: InflateError) -> FetchError {
        match e {
            InflateError::TooLarge => FetchError::TooLarge(self.body_bytes_max),
            InflateError::Wrong(why) => FetchError::Request(why),
        }
    }
}

fn not_held(e: storage::Error) -> FetchError {
    FetchError::Request(e.to_string())
}

/// A body on its way.
struct Body<'a> {
    request: &'a Request,
    inflate: Inflate,
    held: Reservation,
}

impl Body<'_> {
    fn write(&mut self, piece: &[u8]) -> Result<(), FetchError> {
        self.inflate.write(piece).map_err(|e| self.request.not_inflated(e))?;
        self.hold()
    }

    /// Takes memory that it needs from the budget.
    fn hold(&mut self) -> Result<(), FetchError> {
        let grown = self.inflate.capacity().saturating_sub(self.held.bytes());
        if grown > 0 { self.held.grow(grown).map_err(not_held) } else { Ok(()) }
    }

    fn finish(self, content_type: String) -> Result<Answer, FetchError> {
        let body = self.inflate.finish().map_err(|e| self.request.not_inflated(e))?;
        Ok(Answer { body, content_type, _held: Some(self.held) })
    }
}

/// Over the kept connection; `None` if another place is to be asked.
async fn ask_repeated(
    request: &Request,
    repeated: &mut RepeatedGet,
    body_bytes: usize,
) -> Result<Option<Answer>, FetchError> {
    let mut answer = repeated.ask().await.map_err(|e| request.failed(e))?;
    if answer.is_redirect {
        return Ok(None);
    }
    if answer.status != StatusCode::OK {
        return Err(FetchError::Status(answer.status.to_string()));
    }
    let mut body = request.body(&answer.content_encoding, body_bytes)?;
    let mut scratch = Vec::new();
    loop {
        // What is not compressed is read to where it stays.
        let read = match body.inflate.plain() {
            Some(plain) => answer.read_into(plain).await,
            None => answer.read_into(&mut scratch).await,
        };
        if read.map_err(|e| request.failed(e))? == 0 {
            break;
        }
        body.write(&scratch)?;
        scratch.clear();
    }
    let answered = body.finish(std::mem::take(&mut answer.content_type))?;
    repeated.keep(answer);
    Ok(Some(answered))
}

/// By the client, which can do everything.
async fn ask_client(request: &Request, body_bytes: usize) -> Result<Answer, FetchError> {
    let failed = |e: reqwest::Error| {
        // reqwest's own text says what failed, the innermost cause why.
        let cause = std::iter::successors(std::error::Error::source(&e), |e| e.source()).last();
        if let Some(cause) = cause.filter(|_| e.is_builder()) {
            return request.failed(cause);
        }
        let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
        request.failed(format_args!("{}{cause}", e.without_url()))
    };
    let builder = request.client.request(Method::GET, &request.url).await;
    let builder = builder.map_err(|e| FetchError::Request(e.to_string()))?;
    let timeout = crate::accept::timeout_seconds(request.timeout_ms);
    let headers = request.headers(&timeout);
    let builder = headers.into_iter().fold(builder, |builder, (name, value)| builder.header(name, value));
    let mut response = send_again(builder).await.map_err(failed)?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status().to_string()));
    }
    let mut body = request.body(&header(response.headers(), CONTENT_ENCODING), body_bytes)?;
    let content_type = header(response.headers(), CONTENT_TYPE);
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.write(&chunk)?;
    }
    body.finish(content_type)
}

fn header(headers: &HeaderMap, name: HeaderName) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}
