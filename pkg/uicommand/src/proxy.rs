//! The API as the server behind has it: what reads is passed on, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use futures::StreamExt;
use http_body_util::{BodyExt, Limited};
use model::redact_urls;
use transport::http::HttpClient;
use transport::http::answers::{ErrorKind, failure};

/// The server that the pages are about.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    /// Without a slash at its end.
    pub base: Arc<str>,
    pub client: HttpClient,
    /// For the head of an answer, and for each part of it.
    pub timeout: Duration,
    pub request_bytes_max: usize,
}

/// Paths below `/api/v1/` that pages read, by their first segments.
const READ: &[&str] = &[
    "alertmanagers",
    "alerts",
    "blocks",
    "compact/deletions",
    "compact/status",
    "features",
    "label",
    "labels",
    "metadata",
    "notifications",
    "openapi.yaml",
    "query_range_explain",
    "query_explain",
    "rules",
    "scrape_pools",
    "search",
    "series",
    "status",
    "stores",
    "targets",
];
/// Those that take their parameters as a form too, and change nothing by it.
const FORMS: &[&str] =
    &["format_query", "labels", "parse_query", "query", "query_exemplars", "query_range", "search", "series"];
/// What of a request and of an answer is passed on. The authentication of the pages is not the server's.
const ASKED: [HeaderName; 4] = [
    header::ACCEPT,
    header::CONTENT_TYPE,
    HeaderName::from_static("thanos-tenant"),
    HeaderName::from_static("x-scope-orgid"),
];
const ANSWERED: [HeaderName; 2] = [header::CONTENT_TYPE, header::CACHE_CONTROL];

/// Passes a request for `/api/v1/…` on.
pub(crate) async fn pass(State(upstream): State<Upstream>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let Some(rest) = path.strip_prefix("/api/v1/") else { return unknown(path) };
    let is_form = is_below(rest, FORMS);
    // A path with dots in it could leave the API once it is resolved.
    if rest.split('/').any(|segment| matches!(segment, "" | "." | "..")) || !(is_form || is_below(rest, READ)) {
        return unknown(path);
    }
    let is_read = matches!(parts.method, Method::GET | Method::HEAD);
    if !(is_read || is_form && parts.method == Method::POST) {
        let text = format!("aion ui only reads: it does not pass on {} {path}", parts.method);
        return failure(StatusCode::METHOD_NOT_ALLOWED, ErrorKind::BadData, &text);
    }
    let body = match Limited::new(body, upstream.request_bytes_max).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => {
            let text = "the request broke off, or is larger than --url.max-request-bytes";
            return failure(StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::BadData, text);
        }
    };
    let target = parts.uri.path_and_query().map_or(path, |whole| whole.as_str());
    match upstream.ask(parts.method, target, &parts.headers, body.into()).await {
        Ok(answer) => upstream.answered(answer),
        Err(why) => failure(StatusCode::BAD_GATEWAY, ErrorKind::Unavailable, &why),
    }
}

fn is_below(path: &str, list: &[&str]) -> bool {
    list.iter().any(|one| path.strip_prefix(one).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

fn unknown(path: &str) -> Response {
    let text = format!("aion ui does not pass on {path}: ask the server itself");
    failure(StatusCode::NOT_FOUND, ErrorKind::NotFound, &text)
}

impl Upstream {
    /// Whether it has Thanos' API beside Prometheus'; not where it does not answer.
    pub async fn is_thanos(&self) -> bool {
        let answer = self.ask(Method::GET, "/api/v1/stores", &HeaderMap::new(), reqwest::Body::default()).await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    async fn ask(
        &self,
        method: Method,
        target: &str,
        headers: &HeaderMap,
        body: reqwest::Body,
    ) -> Result<reqwest::Response, String> {
        let url = format!("{}{target}", self.base);
        let named = |why: &dyn std::fmt::Display| format!("{}: {why}", redact_urls(&self.base));
        let mut request = self.client.request(method, &url).await.map_err(|e| named(&e))?.body(body);
        for name in ASKED {
            if let Some(value) = headers.get(&name) {
                request = request.header(name, value);
            }
        }
        match tokio::time::timeout(self.timeout, request.send()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(e)) => Err(named(&causes(&e.without_url()))),
            Err(_) => Err(named(&format!("no answer within {:?} (--url.timeout)", self.timeout))),
        }
    }

    /// The answer as it came, its body part by part; a server that stalls breaks the answer off.
    fn answered(&self, answer: reqwest::Response) -> Response {
        let status = answer.status();
        let kept: Vec<(HeaderName, HeaderValue)> =
            ANSWERED.into_iter().filter_map(|name| Some((name.clone(), answer.headers().get(name)?.clone()))).collect();
        let timeout = self.timeout;
        let parts = futures::stream::unfold(answer.bytes_stream().boxed(), move |mut parts| async move {
            let part = match tokio::time::timeout(timeout, parts.next()).await {
                Ok(part) => part?.map_err(std::io::Error::other),
                Err(late) => Err(std::io::Error::other(late)),
            };
            Some((part, parts))
        });
        let mut response = Response::new(Body::from_stream(parts));
        *response.status_mut() = status;
        response.headers_mut().extend(kept.into_iter().map(|(name, value)| (Some(name), value)));
        response
    }
}

/// An error with what caused it: refused, reset, unknown host.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
