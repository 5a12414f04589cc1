//! Tokens of OAuth 2.0 servers: the grants `client_credentials` (RFC 6749, section 4.4) and `jwt-bearer` (RFC 7523).

use std::time::Duration;

use model::{Clock, SystemClock};
use reqwest::header::HeaderValue;
use rustls::crypto::SecureRandom;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::assertion::assertion;
use super::config::{JWT_BEARER, OAuth2};
use super::secret::either;
use crate::Error;

/// What an answer may hold.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);
/// A token is fetched again so long before it expires.
const EARLY: Duration = Duration::from_secs(10);
/// For how long a token of an answer without `expires_in` is used.
const UNBOUNDED: Duration = Duration::from_secs(3600);

/// The current token of one configuration.
#[derive(Debug)]
pub(super) struct Tokens {
    client: reqwest::Client,
    config: OAuth2,
    current: Mutex<Option<(HeaderValue, Instant)>>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    #[serde(default)]
    token_type: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Tokens {
    pub(super) fn new(client: reqwest::Client, config: OAuth2) -> Self {
        Self { client, config, current: Mutex::new(None) }
    }

    /// The value of the `Authorization` header. Requests that come together wait for one token.
    pub(super) async fn header(&self) -> Result<HeaderValue, Error> {
        let mut current = self.current.lock().await;
        if let Some((header, _)) = current.as_ref().filter(|(_, until)| Instant::now() < *until) {
            return Ok(header.clone());
        }
        let answer = self.fetch().await?;
        let kind = match answer.token_type.as_str() {
            "" | "bearer" => "Bearer",
            kind => kind,
        };
        let mut header = HeaderValue::from_str(&format!("{kind} {}", answer.access_token))
            .map_err(|_| self.error("the token cannot stand in a header"))?;
        header.set_sensitive(true);
        let lives = answer.expires_in.map_or(UNBOUNDED, Duration::from_secs).min(Duration::from_secs(1 << 30));
        *current = Some((header.clone(), Instant::now() + lives.saturating_sub(EARLY)));
        Ok(header)
    }

    fn error(&self, why: impl std::fmt::Display) -> Error {
        Error::Config(format!("oauth2 token of {}: {why}", model::redact_urls(&self.config.token_url)))
    }

    async fn fetch(&self) -> Result<Answer, Error> {
        let c = &self.config;
        if c.signs() {
            return self.fetch_signed().await.map_err(|refusal| self.refused(refusal));
        }
        let secret = either(c.client_secret.as_ref(), c.client_secret_file.as_deref())?.unwrap_or_default();
        // Servers differ in where they want the secret: in the header (the standard's way), or else in the form.
        match self.ask(&secret, true).await {
            Err(Refusal::Status(status)) if status.is_client_error() => self.ask(&secret, false).await,
            answer => answer,
        }
        .map_err(|refusal| self.refused(refusal))
    }

    fn refused(&self, refusal: Refusal) -> Error {
        match refusal {
            Refusal::Status(status) => self.error(format_args!("the server answers {status}")),
            Refusal::Lost(e) => self.error(describe(&e)),
            Refusal::Other(why) => self.error(why),
        }
    }

    async fn fetch_signed(&self) -> Result<Answer, Refusal> {
        let mut number = [0; 16];
        let random: &dyn SecureRandom = rustls::crypto::ring::default_provider().secure_random;
        random.fill(&mut number).map_err(|_| Refusal::Other("there are no random numbers".to_owned()))?;
        let now_s = SystemClock.now_ms() / 1000;
        let assertion = assertion(&self.config, now_s, u128::from_le_bytes(number)).map_err(Refusal::Other)?;
        let form = [("grant_type", JWT_BEARER), ("assertion", &assertion)];
        let send = || take(self.client.post(&self.config.token_url).timeout(TIMEOUT).form(&form));
        match send().await {
            Err(Refusal::Lost(_)) => send().await,
            answer => answer,
        }
    }

    /// Asks twice where the connection is lost: the server may have closed one that was open since the last token.
    async fn ask(&self, secret: &str, in_header: bool) -> Result<Answer, Refusal> {
        match self.ask_once(secret, in_header).await {
            Err(Refusal::Lost(_)) => self.ask_once(secret, in_header).await,
            answer => answer,
        }
    }

    async fn ask_once(&self, secret: &str, in_header: bool) -> Result<Answer, Refusal> {
        let c = &self.config;
        let scopes = c.scopes.join(" ");
        let mut form = vec![("grant_type", "client_credentials")];
        if !scopes.is_empty() {
            form.push(("scope", &scopes));
        }
        form.extend(c.endpoint_params.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let mut request = self.client.post(&c.token_url).timeout(TIMEOUT);
        if in_header {
            request = request.basic_auth(&c.client_id, Some(secret));
        } else {
            form.extend([("client_id", c.client_id.as_str()), ("client_secret", secret)]);
        }
        take(request.form(&form)).await
    }
}

/// Sends a request for a token, and reads the answer.
async fn take(request: reqwest::RequestBuilder) -> Result<Answer, Refusal> {
    let mut answer = request.send().await.map_err(|e| Refusal::Lost(e.without_url()))?;
    if !answer.status().is_success() {
        return Err(Refusal::Status(answer.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| Refusal::Lost(e.without_url()))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Refusal::Other(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(|e| Refusal::Other(format!("the answer holds no token: {e}")))
}

enum Refusal {
    Status(reqwest::StatusCode),
    /// No connection, or one that broke.
    Lost(reqwest::Error),
    Other(String),
}

/// An error with its causes.
fn describe(e: &dyn std::error::Error) -> String {
    std::iter::successors(Some(e), |e| e.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
