//! The HTTP client under S3, GCS and Azure.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use http::Method;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use rustls::pki_types::ServerName;
use telemetry::Occasionally;

use crate::page::{BadListing, Protocol, check};

/// A page of a listing is at most a thousand keys of a kilobyte, escaped.
const LIST_PAGE_BYTES_MAX: usize = 16 << 20;

/// `http_config`, checked: what is left are values to apply.
#[derive(Debug, Clone)]
pub(crate) struct HttpSettings {
    pub(crate) idle_timeout: Duration,
    /// The longest silence of the server, before its headers and within its body.
    pub(crate) read_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) max_idle_per_host: usize,
    pub(crate) accept_invalid_certs: bool,
    /// Certificates to trust, PEM.
    pub(crate) ca: Option<Vec<u8>>,
    /// PEM, certificate and key one after the other.
    pub(crate) identity: Option<Vec<u8>>,
    /// The server's certificate must be for this name, not for the endpoint's.
    pub(crate) server_name: Option<ServerName<'static>>,
    /// Requests without TLS are allowed.
    pub(crate) plain: bool,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(90),
            read_timeout: Duration::from_secs(120),
            connect_timeout: Duration::from_secs(10),
            max_idle_per_host: 100,
            accept_invalid_certs: false,
            ca: None,
            identity: None,
            server_name: None,
            plain: false,
        }
    }
}

impl HttpSettings {
    pub(crate) fn client(&self) -> Result<reqwest::Client, ClientError> {
        // One provider for the process; whoever came first keeps it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("aion/", env!("CARGO_PKG_VERSION")))
            .pool_idle_timeout(self.idle_timeout)
            .pool_max_idle_per_host(self.max_idle_per_host)
            .connect_timeout(self.connect_timeout)
            .read_timeout(self.read_timeout)
            .https_only(!self.plain)
            // Many connections beat one for bulk reads.
            .http1_only()
            // Compressed bodies would hide the length that is checked.
            .no_gzip();
        if let Some(name) = self.server_name.as_ref().filter(|_| !self.accept_invalid_certs) {
            let tls = tls::client_for_name(name.clone(), self.ca.as_deref(), self.identity.as_deref())?;
            return Ok(builder.tls_backend_preconfigured(tls).build()?);
        }
        builder = builder.danger_accept_invalid_certs(self.accept_invalid_certs);
        if let Some(ca) = &self.ca {
            builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(ca)?);
        }
        if let Some(identity) = &self.identity {
            builder = builder.identity(reqwest::Identity::from_pem(identity)?);
        }
        Ok(builder.build()?)
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error(transparent)]
    Tls(#[from] tls::Error),
}

/// Hands the one client to each store.
#[derive(Debug)]
pub(crate) struct Connector(pub(crate) reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(http_client(self.0.clone()))
    }
}

/// The one client as `object_store` takes it.
pub(crate) fn http_client(client: reqwest::Client) -> HttpClient {
    HttpClient::new(Checked { client, unreachable: Occasionally::minutely(), refused: Occasionally::minutely() })
}

/// Looks at listings for what `object_store` does not. A body that is no listing, or a page that says it goes on but not
/// where, taken for the end, would make blocks vanish from a view of the bucket (thanos-io/thanos#4374). A key that is no
/// path (`a//b`, `a/../b`), put there by some other tool, would make every S3 listing fail.
///
/// A store that cannot be reached, or that refuses the credentials, is logged at once, though requests are retried for long.
#[derive(Debug)]
struct Checked {
    client: reqwest::Client,
    unreachable: Occasionally,
    refused: Occasionally,
}

impl Checked {
    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (host, method) = (request.uri().authority().map(ToString::to_string), request.method().clone());
        let host = host.as_deref().and_then(|h| h.rsplit('@').next()).unwrap_or_default().to_owned();
        let outcome = self.client.call(request).await;
        match &outcome {
            Err(e) => {
                if let Some(events) = self.unreachable.count() {
                    let (cause, err) = cause(e);
                    tracing::warn!(host, cause, err, events, "object store does not answer");
                }
            }
            Ok(response) if matches!(response.status().as_u16(), 401 | 403) => {
                if let Some(events) = self.refused.count() {
                    let status = response.status().as_u16();
                    tracing::warn!(host, %method, status, cause = "credentials or rights", events, "object store refuses");
                }
            }
            Ok(_) => {}
        }
        outcome
    }
}

/// What kind of failure it was, in a word, and in the words of its innermost cause.
fn cause(error: &HttpError) -> (&'static str, String) {
    let chain = || std::iter::successors(Some(error as &dyn std::error::Error), |e| e.source());
    let io = chain().filter_map(|e| e.downcast_ref::<std::io::Error>()).map(std::io::Error::kind).last();
    let text = chain().map(ToString::to_string).last().unwrap_or_default();
    let lower = chain().map(|e| e.to_string().to_lowercase()).collect::<Vec<_>>().join(" ");
    let word = match io {
        _ if lower.contains("dns error") || lower.contains("lookup address") => "DNS",
        _ if lower.contains("certificate") || lower.contains("tls") || chain().any(|e| e.is::<rustls::Error>()) => {
            "TLS"
        }
        Some(std::io::ErrorKind::ConnectionRefused) => "refused",
        Some(std::io::ErrorKind::TimedOut) => "timeout",
        _ if error.kind() == HttpErrorKind::Timeout => "timeout",
        _ => "connection",
    };
    (word, text)
}

#[async_trait]
impl HttpService for Checked {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let listing = request.uri().query().and_then(Protocol::of).filter(|_| request.method() == Method::GET);
        let response = self.ask(request).await?;
        let Some(protocol) = listing.filter(|_| response.status().is_success()) else { return Ok(response) };
        let (parts, body) = response.into_parts();
        let mut page = Vec::new();
        let mut chunks = body.bytes_stream();
        while let Some(chunk) = chunks.try_next().await? {
            if page.len() + chunk.len() > LIST_PAGE_BYTES_MAX {
                return Err(HttpError::new(HttpErrorKind::Decode, BadListing::new("a page is larger than 16 MiB")));
            }
            page.extend_from_slice(&chunk);
        }
        check(protocol, &page).map_err(|e| HttpError::new(HttpErrorKind::Decode, e))?;
        let page = if protocol == Protocol::S3 { without_odd_keys(page) } else { page };
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(Bytes::from(page))))
    }
}

/// The page without the entries that `object_store` could not take for paths. None of ours are among them.
fn without_odd_keys(page: Vec<u8>) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(&page) else { return page };
    let mut kept = String::new();
    let mut copied = 0;
    for (open, close, key) in
        [("<Contents>", "</Contents>", "Key"), ("<CommonPrefixes>", "</CommonPrefixes>", "Prefix")]
    {
        let mut at = copied;
        while let Some(begin) = text[at..].find(open).map(|n| at + n) {
            let Some(end) = text[begin..].find(close).map(|n| begin + n + close.len()) else { break };
            if is_odd(&text[begin..end], key) {
                tracing::debug!(entry = &text[begin..end], "object passed over: its key is no path");
                kept.push_str(&text[copied..begin]);
                copied = end;
            }
            at = end;
        }
    }
    if copied == 0 {
        return page;
    }
    kept.push_str(&text[copied..]);
    kept.into_bytes()
}

fn is_odd(entry: &str, tag: &str) -> bool {
    let key = entry.split_once(&format!("<{tag}>")).and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")));
    let Some((key, _)) = key else { return false };
    // Control characters, which paths must not have, come as numbers: &#10; and &#xA;
    let control = key.split("&#").skip(1).any(|rest| {
        let number = rest.split(';').next().unwrap_or_default();
        let code = match number.strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        code.is_ok_and(|code| code < 32 || code == 127)
    });
    control || object_store::path::Path::parse(key).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_keys_go() {
        let entry = |key: &str| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>");
        let dir = |key: &str| format!("<CommonPrefixes><Prefix>{key}</Prefix></CommonPrefixes>");
        let page = |keys: &[&str], dirs: &[&str]| {
            let entries: String = keys.iter().map(|k| entry(k)).chain(dirs.iter().map(|d| dir(d))).collect();
            format!("<ListBucketResult><Prefix>p</Prefix>{entries}<IsTruncated>false</IsTruncated></ListBucketResult>")
        };
        let all = page(&["a/b", "a//b", "c/../d", "e&amp;f", "g&#10;h", "i&#xA;", "j/"], &["k/", "l//", "m/"]);
        let want = page(&["a/b", "e&amp;f", "j/"], &["k/", "m/"]);
        assert_eq!(String::from_utf8(without_odd_keys(all.into_bytes())).unwrap(), want);
        assert_eq!(without_odd_keys(want.clone().into_bytes()), want.into_bytes());
    }
}
