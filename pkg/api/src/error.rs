//! Failures as the API tells them.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use promql::QueryError;

use crate::json::write_string;

/// What kind of failure, by Prometheus' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    BadData,
    Execution,
    Timeout,
    Canceled,
    Internal,
    Unavailable,
    NotFound,
}

impl ErrorKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Timeout => "timeout",
            Self::Canceled => "canceled",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::NotFound => "not_found",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BadData => StatusCode::BAD_REQUEST,
            Self::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Timeout | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            // nginx' code for a client that went away; Prometheus answers so too
            Self::Canceled => StatusCode::from_u16(499).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotFound => StatusCode::NOT_FOUND,
        }
    }
}

/// A failed request: `{"status":"error","errorType":"…","error":"…"}`.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub(crate) struct ApiError {
    pub kind: ErrorKind,
    pub text: String,
    /// In place of the kind's own status.
    pub status: Option<StatusCode>,
}

impl ApiError {
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), status: None }
    }

    pub fn bad(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadData, text)
    }

    /// `invalid parameter "name": text`.
    pub fn parameter(name: &str, text: impl std::fmt::Display) -> Self {
        Self::bad(format!("invalid parameter {name:?}: {text}"))
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let kind = match &error {
            QueryError::Parse(_) | QueryError::Bad(_) => ErrorKind::BadData,
            QueryError::Execution(_) | QueryError::Limit(_) => ErrorKind::Execution,
            QueryError::Timeout(_) => ErrorKind::Timeout,
            QueryError::Canceled(_) => ErrorKind::Canceled,
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
        let mut body = b"{\"status\":\"error\",\"errorType\":\"".to_vec();
        body.extend_from_slice(self.kind.as_str().as_bytes());
        body.extend_from_slice(b"\",\"error\":");
        write_string(&mut body, &self.text);
        body.push(b'}');
        let mut response = (self.status.unwrap_or(self.kind.status()), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
