//! What the sender is told. Source: OTLP's section on OTLP/HTTP responses.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use ingest::wire::Writer;
use model::ByteSize;
use serde::Serialize;

use crate::batch::{Batch, Rejected, Stop};
use crate::take::Taken;

/// How long a sender is asked to wait when there is no room, seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// The form of request and answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Protobuf,
    Json,
}

impl Form {
    /// That of a content type.
    pub fn parse(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/x-protobuf" => Some(Self::Protobuf),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        })
    }
}

/// Why nothing of a request was taken.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Failure {
    /// 415: another kind of body than what is taken.
    Unsupported(String),
    /// 400: repeating it makes no sense.
    Bad(String),
    /// 413: more than one request may hold.
    TooLarge(String),
    /// 503: there is no room for it now, or the store has trouble; repeat it. Senders do not repeat what gets a 500.
    Busy(String),
}

impl Failure {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub fn text(&self) -> &str {
        match self {
            Self::Unsupported(text) | Self::Bad(text) | Self::TooLarge(text) | Self::Busy(text) => text,
        }
    }

    /// The code of gRPC that means the same.
    fn code(&self) -> u64 {
        match self {
            Self::Unsupported(_) | Self::Bad(_) => 3,
            Self::TooLarge(_) => 8,
            Self::Busy(_) => 14,
        }
    }

    pub fn body_too_large(max: usize) -> Self {
        Self::TooLarge(format!("the body is larger than {}: send smaller batches", ByteSize(max as u64)))
    }

    pub fn decoded_too_large(max: usize) -> Self {
        let max = ByteSize(max as u64);
        Self::TooLarge(format!(
            "the decompressed body is larger than {max} (--limits.write-request-bytes): send smaller batches"
        ))
    }
}

impl From<storage::Error> for Failure {
    fn from(error: storage::Error) -> Self {
        Self::Busy(error.to_string())
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Malformed(error) => Self::Bad(format!("ExportMetricsServiceRequest: {error}")),
            Stop::TooLarge(max) => Self::TooLarge(format!(
                "the request takes more than {} in memory when it is translated: send smaller batches",
                ByteSize(max)
            )),
            Stop::Busy(error) => Self::Busy(error.to_string()),
        }
    }
}

/// What of a request was written.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    pub rejected_data_points: u64,
    /// What was rejected; `None` = nothing.
    pub told: Option<String>,
    /// Something was rejected and nothing written.
    pub is_nothing: bool,
}

impl Done {
    pub fn of(taken: &Taken, batch: &Batch<'_>) -> Self {
        let rejected_data_points = batch.rejected.points();
        Self {
            rejected_data_points,
            told: (batch.rejected.reasons > 0).then(|| told(&batch.rejected)),
            is_nothing: rejected_data_points > 0 && taken.floats + taken.histograms == 0,
        }
    }

    pub fn status(&self) -> StatusCode {
        if self.is_nothing { StatusCode::BAD_REQUEST } else { StatusCode::OK }
    }
}

/// A line for each of the first reasons, and how many more there are.
fn told(rejected: &Rejected) -> String {
    let mut text = rejected.shown.join("\n");
    let more = rejected.reasons.saturating_sub(rejected.shown.len() as u64);
    if more > 0 {
        text.push_str(&format!("\nand {more} more; everything else of the request was written"));
    }
    text
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PartialSuccess<'a> {
    rejected_data_points: String,
    error_message: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Success<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_success: Option<PartialSuccess<'a>>,
}

#[derive(Serialize)]
struct Status<'a> {
    code: u64,
    message: &'a str,
}

/// The HTTP answer.
pub(crate) fn response(form: Form, outcome: &Result<Done, Failure>) -> Response {
    let (status, body) = match outcome {
        Ok(done) if !done.is_nothing => (done.status(), success(form, done)),
        Ok(done) => (done.status(), failure(form, 3, done.told.as_deref().unwrap_or_default())),
        Err(error) => (error.status(), failure(form, error.code(), error.text())),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, form.content_type());
    if matches!(outcome, Err(Failure::Busy(_))) {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}

/// An `ExportMetricsServiceResponse`.
fn success(form: Form, done: &Done) -> Vec<u8> {
    let told = done.told.as_deref();
    match form {
        Form::Json => {
            let rejected_data_points = done.rejected_data_points.to_string();
            let partial_success = told.map(|error_message| PartialSuccess { rejected_data_points, error_message });
            serde_json::to_vec(&Success { partial_success }).unwrap_or_default()
        }
        Form::Protobuf => {
            let mut writer = Writer::default();
            if let Some(told) = told {
                writer.message(1, |partial| _ = partial.varint(1, done.rejected_data_points).string(2, told));
            }
            writer.into_bytes()
        }
    }
}

/// A `google.rpc.Status`.
fn failure(form: Form, code: u64, message: &str) -> Vec<u8> {
    match form {
        Form::Json => serde_json::to_vec(&Status { code, message }).unwrap_or_default(),
        Form::Protobuf => {
            let mut writer = Writer::default();
            writer.varint(1, code).string(2, message);
            writer.into_bytes()
        }
    }
}
