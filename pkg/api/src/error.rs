//! Failures as the API tells them.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use promql::QueryError;
use transport::http::answers::{ErrorKind, failure};

/// When to ask again what was refused for now, s: by then some of the queries that run have ended.
const RETRY_AFTER_S: &str = "1";

/// A failed request; as an answer `{"status":"error","errorType":"…","error":"…"}`.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub struct ApiError {
    /// The kind, which decides the HTTP status.
    pub kind: ErrorKind,
    /// What is wrong, for people.
    pub text: String,
    /// In place of the kind's own status.
    pub status: Option<StatusCode>,
}

impl ApiError {
    /// A failure with the kind's own status.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), status: None }
    }

    /// The request is wrong (`bad_data`, HTTP 400).
    pub fn bad(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadData, text)
    }

    /// A parameter is wrong: `invalid parameter "name": text`.
    pub fn parameter(name: &str, text: impl std::fmt::Display) -> Self {
        Self::bad(format!("invalid parameter {name:?}: {text}"))
    }
}

/// What failed while `what` was done is an internal error, unless the client caused it.
pub(crate) fn internal(what: &str, error: storage::Error) -> ApiError {
    let found = ApiError::from(error);
    let kind = match found.kind {
        kind @ (ErrorKind::BadData | ErrorKind::Canceled | ErrorKind::Timeout) => kind,
        _ => ErrorKind::Internal,
    };
    ApiError::new(kind, format!("{what}: {}", found.text))
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let kind = match &error {
            QueryError::Parse(_) | QueryError::Bad(_) => ErrorKind::BadData,
            QueryError::Execution(_) | QueryError::Limit(_) => ErrorKind::Execution,
            QueryError::Timeout(_) => ErrorKind::Timeout,
            QueryError::Canceled(_) => ErrorKind::Canceled,
            QueryError::TooMany(_) => ErrorKind::TooManyRequests,
            QueryError::Storage(cause) => return cause.clone().into(),
        };
        Self::new(kind, error.to_string())
    }
}

impl From<storage::Error> for ApiError {
    fn from(error: storage::Error) -> Self {
        use storage::Error as E;
        let kind = match &error {
            E::Invalid(_) => ErrorKind::BadData,
            E::Limit(_) | E::Unsupported(_) => ErrorKind::Execution,
            E::Unavailable(_) => ErrorKind::Unavailable,
            E::Cancelled => ErrorKind::Canceled,
            E::Timeout(_) => ErrorKind::Timeout,
            E::Corrupt(_) | E::Other { .. } => ErrorKind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = failure(self.status.unwrap_or(self.kind.status()), self.kind, &self.text);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(self.kind, ErrorKind::TooManyRequests | ErrorKind::Unavailable) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        response
    }
}
