//! What the sender is told.

use std::fmt::Write;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

use super::batch::{Batch, NoRoom, Refusals};
use super::content::MessageType;
use super::take::{Taken, labels_of};

/// How long a sender is asked to wait when there is no room, seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");
/// Labels of a series in a message are cut at so many characters.
const LABELS_SHOWN_MAX: usize = 1000;

/// Why nothing of a request was taken.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Failure {
    /// 415: another kind of message than what is accepted.
    Unsupported(String),
    /// 400: no such message, so that repeating it makes no sense.
    Bad(String),
    /// 413: more than one request may hold.
    TooLarge(String),
    /// 503: there is no room for it now.
    Busy(String),
    /// 500: trouble in here; repeat it.
    Internal(String),
}

impl Failure {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub fn text(&self) -> &str {
        match self {
            Self::Unsupported(text)
            | Self::Bad(text)
            | Self::TooLarge(text)
            | Self::Busy(text)
            | Self::Internal(text) => text,
        }
    }
}

/// By what the sender may do: repeat the request later, or now.
impl From<storage::Error> for Failure {
    fn from(error: storage::Error) -> Self {
        use storage::Error as E;
        match error {
            E::Limit(_) | E::Unavailable(_) | E::Timeout(_) | E::Cancelled => Self::Busy(error.to_string()),
            E::Invalid(_) | E::Corrupt(_) | E::Unsupported(_) | E::Other { .. } => Self::Internal(error.to_string()),
        }
    }
}

/// What of a request was written, and whether anything was refused.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Done {
    pub floats: u64,
    pub histograms: u64,
    pub exemplars: u64,
    /// What was refused; `None` = nothing.
    pub refused: Option<String>,
    /// There was no room for a part of that.
    pub no_room: Option<NoRoom>,
}

impl Done {
    pub fn of(taken: &Taken, batch: &Batch, plain: &[u8]) -> Self {
        Self {
            floats: taken.floats.rows,
            histograms: taken.histograms.rows,
            exemplars: taken.exemplars.rows,
            refused: (taken.refused.count > 0).then(|| told(&taken.refused, batch, plain)),
            no_room: taken.refused.no_room,
        }
    }
}

/// A line for each of the first that were refused, and how many more there are.
fn told(refused: &Refusals, batch: &Batch, plain: &[u8]) -> String {
    let mut text = String::new();
    for one in &refused.shown {
        if !text.is_empty() {
            text.push('\n');
        }
        // Writing to a string does not fail.
        let _ = write!(text, "{} for series {}", one.why, shown(batch, one.series, plain));
        if let Some(time_ms) = one.time_ms {
            let _ = write!(text, " at {time_ms}");
        }
    }
    let more = refused.count.saturating_sub(refused.shown.len() as u64);
    if more > 0 {
        let _ = write!(text, "\nand {more} more; everything else of the request was written");
    }
    text
}

/// The labels of a series for a message, in the order sent.
fn shown(batch: &Batch, series: usize, plain: &[u8]) -> String {
    let mut pairs = Vec::new();
    let read = labels_of(batch, series, plain, &mut pairs);
    let mut text = String::from("{");
    for (n, (name, value)) in pairs.into_iter().enumerate() {
        if n > 0 {
            text.push_str(", ");
        }
        match labels::is_legacy_label_name(name) {
            true => text.push_str(name),
            false => text.push_str(&labels::quote(name)),
        }
        text.push('=');
        text.push_str(&labels::quote(value));
        if text.len() > LABELS_SHOWN_MAX {
            text = text.chars().take(LABELS_SHOWN_MAX).chain(", …".chars()).collect();
            break;
        }
    }
    if read.is_err() {
        text.push_str(", labels that cannot be read");
    }
    text.push('}');
    text
}

/// What a sender is told that can be written in part only. What is written once may come again without harm. Memory becomes
/// free by itself, so that every sender repeats a 503. A limit is there to hold: Prometheus repeats a 429 only where its
/// `queue_config` says `retry_on_http_429`, and else drops the request.
fn status_of(no_room: Option<NoRoom>) -> StatusCode {
    match no_room {
        None => StatusCode::BAD_REQUEST,
        Some(NoRoom::Series) => StatusCode::TOO_MANY_REQUESTS,
        Some(NoRoom::Memory) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The HTTP answer. That of version 2 says how much was written, in every case.
pub(super) fn response(message: Option<MessageType>, outcome: &Result<Done, Failure>) -> Response {
    let (status, text) = match outcome {
        Ok(Done { refused: None, .. }) => (StatusCode::NO_CONTENT, None),
        Ok(Done { refused: Some(text), no_room, .. }) => (status_of(*no_room), Some(text.as_str())),
        Err(failure) => (failure.status(), Some(failure.text())),
    };
    let mut response = Response::new(text.map_or_else(Body::empty, |text| Body::from(format!("{text}\n"))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if text.is_some() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    if matches!(outcome, Err(Failure::Busy(_)) | Ok(Done { no_room: Some(_), .. })) {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    if message == Some(MessageType::V2) {
        let nothing = Done::default();
        let done = outcome.as_ref().unwrap_or(&nothing);
        for (name, count) in [
            ("x-prometheus-remote-write-samples-written", done.floats),
            ("x-prometheus-remote-write-histograms-written", done.histograms),
            ("x-prometheus-remote-write-exemplars-written", done.exemplars),
        ] {
            headers.insert(name, HeaderValue::from(count));
        }
    }
    response
}
