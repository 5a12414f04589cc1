//! Tokens that are fetched again before they expire.

use std::time::Duration;

use futures::future::BoxFuture;
use http::HeaderValue;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use transport::http::{ClientConfig, HttpClient};

use crate::Error;

/// What an answer may hold.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);
/// A token is fetched again so long before it expires.
const EARLY: Duration = Duration::from_secs(60);
/// How long a token of an answer that does not say it is used.
const UNKNOWN: Duration = Duration::from_secs(600);

/// The current token of one configuration.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Option<(HeaderValue, Instant)>>);

/// What a token server answers.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    access_token: String,
    #[serde(default)]
    expires_in: Option<Seconds>,
}

/// Some servers send a number, some a text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

impl Cache {
    /// The value of the `Authorization` header, by `fetch` if there is none that lasts. Requests that come together wait
    /// for one token.
    pub(crate) async fn header(
        &self,
        fetch: impl FnOnce() -> BoxFuture<'static, Result<Answer, Error>> + Send,
    ) -> Result<HeaderValue, Error> {
        let mut current = self.0.lock().await;
        if let Some((header, _)) = current.as_ref().filter(|(_, until)| Instant::now() < *until) {
            return Ok(header.clone());
        }
        let answer = fetch().await?;
        let mut header = HeaderValue::from_str(&format!("Bearer {}", answer.access_token))
            .map_err(|_| Error::Unavailable("the token cannot stand in a header".to_owned()))?;
        header.set_sensitive(true);
        let lives = match answer.expires_in {
            Some(Seconds::Number(seconds)) => Duration::from_secs(seconds),
            Some(Seconds::Text(text)) => text.parse().map_or(UNKNOWN, Duration::from_secs),
            None => UNKNOWN,
        };
        let lives = lives.min(Duration::from_secs(1 << 20)).saturating_sub(EARLY);
        *current = Some((header.clone(), Instant::now() + lives));
        Ok(header)
    }
}

/// The body of an answer that says yes.
pub(crate) async fn body(request: reqwest::RequestBuilder, what: &str) -> Result<Vec<u8>, Error> {
    let lost = |e: reqwest::Error| Error::Unavailable(format!("{what}: {}", causes(&e.without_url())));
    let mut answer = request.timeout(TIMEOUT).send().await.map_err(lost)?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(lost)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Error::Unavailable(format!("{what}: the answer is longer than {ANSWER_BYTES_MAX} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    if status.is_success() { Ok(body) } else { Err(Error::Unavailable(format!("{what}: the server answers {status}"))) }
}

/// The token of an answer.
pub(crate) async fn token(request: reqwest::RequestBuilder, what: &str) -> Result<Answer, Error> {
    let body = body(request, what).await?;
    // The text of the error could have a part of the token.
    serde_json::from_slice(&body).map_err(|_| Error::Unavailable(format!("{what}: the answer holds no token")))
}

/// A client for token servers, with the proxy of the environment.
pub(crate) fn client() -> Result<HttpClient, Error> {
    ClientConfig::default().build().map_err(|e| Error::Config(e.to_string()))
}

/// A request for a token. Plain clients have no file to read, so that this fails for URLs alone.
pub(crate) fn post(client: &HttpClient, url: &str) -> Result<reqwest::RequestBuilder, Error> {
    client.post(url).map_err(|e| Error::Config(e.to_string()))
}

fn causes(e: &dyn std::error::Error) -> String {
    let all = std::iter::successors(Some(e), |e| e.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
