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
    /// PEM.
    pub(crate) ca: Option<Vec<u8>>,
    /// PEM, certificate and key one after the other.
    pub(crate) identity: Option<Vec<u8>>,
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
            plain: false,
        }
    }
}

impl HttpSettings {
    pub(crate) fn client(&self) -> Result<reqwest::Client, reqwest::Error> {
        // one provider for the process; whoever came first keeps it
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("aion/", env!("CARGO_PKG_VERSION")))
            .pool_idle_timeout(self.idle_timeout)
            .pool_max_idle_per_host(self.max_idle_per_host)
            .connect_timeout(self.connect_timeout)
            .read_timeout(self.read_timeout)
            .danger_accept_invalid_certs(self.accept_invalid_certs)
            .https_only(!self.plain)
            // many connections beat one for bulk reads
            .http1_only()
            // compressed bodies would hide the length that is checked
            .no_gzip();
        if let Some(ca) = &self.ca {
            builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(ca)?);
        }
        if let Some(identity) = &self.identity {
            builder = builder.identity(reqwest::Identity::from_pem(identity)?);
        }
        builder.build()
    }
}

/// Hands the one client to each store.
#[derive(Debug)]
pub(crate) struct Connector(pub(crate) reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Checked(self.0.clone())))
    }
}

/// Looks at answers for what `object_store` does not: a listing that says it goes on but not where. Taken for the end,
/// it would make blocks vanish from a view of the bucket (thanos-io/thanos#4374).
#[derive(Debug)]
struct Checked(reqwest::Client);

#[async_trait]
impl HttpService for Checked {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_s3_list =
            request.method() == Method::GET && request.uri().query().is_some_and(|q| q.contains("list-type=2"));
        let response = self.0.call(request).await?;
        if !is_s3_list || !response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let mut page = Vec::new();
        let mut chunks = body.bytes_stream();
        while let Some(chunk) = chunks.try_next().await? {
            if page.len() + chunk.len() > LIST_PAGE_BYTES_MAX {
                return Err(HttpError::new(HttpErrorKind::Decode, BadListing("a page is larger than 16 MiB")));
            }
            page.extend_from_slice(&chunk);
        }
        if contains(&page, b"<IsTruncated>true</IsTruncated>") && !contains(&page, b"<NextContinuationToken>") {
            return Err(HttpError::new(HttpErrorKind::Decode, BadListing("truncated without a continuation token")));
        }
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(Bytes::from(page))))
    }
}

fn contains(page: &[u8], what: &[u8]) -> bool {
    page.windows(what.len()).any(|w| w == what)
}

#[derive(Debug, thiserror::Error)]
#[error("listing: {0}")]
struct BadListing(&'static str);
