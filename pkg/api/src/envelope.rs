//! Successful answers: `{"status":"success","data":…,"warnings":[…],"infos":[…]}`, streamed.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, header};
use model::{Annotations, Severity};
use serde::Serialize;
use transport::http::answers::ErrorKind;

use crate::error::ApiError;
use crate::json::{MatrixJson, Once, Produce, write_string};

/// The answer of a handler, an [`ApiError`] as well.
pub type Answered = Result<Response, ApiError>;

/// The size of a piece of a streamed answer, and up to which one is sent whole, with its length.
const PIECE_BYTES: usize = 64 << 10;
/// Room for what is written past [`PIECE_BYTES`] before the writer stops.
const SLACK_BYTES: usize = 8 << 10;

/// The warning about a list that `limit` cut.
pub(crate) const TRUNCATED: &str = "results truncated due to limit";

/// An answer with small data; of warnings and of infos at most `annotations_max` each are shown (0 = all).
///
/// # Errors
/// Data that is no JSON.
pub fn success(data: &impl Serialize, annotations: &Annotations, annotations_max: usize) -> Answered {
    match serde_json::to_vec(data) {
        Ok(json) => Ok(stream_success(Vec::new(), Once(json), Vec::new(), annotations, annotations_max)),
        Err(e) => Err(ApiError::new(ErrorKind::Internal, format!("cannot write the answer: {e}"))),
    }
}

/// An answer in pieces of some 64 KiB whose `data` is `before`, what `data` produces, `after`.
pub fn stream_success(
    before: Vec<u8>,
    mut data: impl Produce,
    after: Vec<u8>,
    annotations: &Annotations,
    annotations_max: usize,
) -> Response {
    let mut first = Vec::with_capacity(1024);
    first.extend_from_slice(b"{\"status\":\"success\",\"data\":");
    first.extend_from_slice(&before);
    let mut tail = after;
    for (name, severity) in [("warnings", Severity::Warning), ("infos", Severity::Info)] {
        write_annotations(&mut tail, name, &annotations.texts(severity, annotations_max));
    }
    tail.push(b'}');

    let mut more = true;
    while more && first.len() < PIECE_BYTES {
        more = data.produce(&mut first, PIECE_BYTES);
    }
    let body = if more {
        Body::from_stream(stream::iter(
            Pieces { first: Some(first), data: Some(data), tail }.map(Ok::<_, std::convert::Infallible>),
        ))
    } else {
        first.append(&mut tail);
        Body::from(first)
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if annotations.iter().any(|n| !n.text.starts_with("PromQL ")) {
        // Incomplete answers must not live on in caches; annotations of the query itself come back each time.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

fn write_annotations(out: &mut Vec<u8>, name: &str, texts: &[String]) {
    if texts.is_empty() {
        return;
    }
    out.extend_from_slice(format!(",\"{name}\":[").as_bytes());
    for (i, text) in texts.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_string(out, text);
    }
    out.push(b']');
}

/// A range vector as JSON, `[{"metric":{…},"values":[…]},…]`, in pieces of some 64 KiB. Series are dropped once written.
pub fn matrix_json(matrix: promql::Matrix) -> impl Iterator<Item = Bytes> {
    Pieces { first: None, data: Some(MatrixJson::new(matrix)), tail: Vec::new() }
}

/// The answer piece by piece; what was written is dropped.
struct Pieces<P> {
    first: Option<Vec<u8>>,
    data: Option<P>,
    tail: Vec<u8>,
}

impl<P: Produce> Iterator for Pieces<P> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first.into());
        }
        let data = self.data.as_mut()?;
        let mut piece = Vec::with_capacity(PIECE_BYTES + SLACK_BYTES);
        while piece.len() < PIECE_BYTES {
            if !data.produce(&mut piece, PIECE_BYTES) {
                self.data = None;
                piece.append(&mut self.tail);
                break;
            }
        }
        Some(piece.into())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::json::Names;

    async fn text(response: Response) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn small_answers_have_a_length() {
        let mut annotations = Annotations::new();
        annotations.info("PromQL info: x (1:1)");
        let response = success(&["a"], &annotations, 10).unwrap();
        assert_eq!(response.headers().get(header::CACHE_CONTROL), None);
        assert_eq!(http_body::Body::size_hint(response.body()).exact(), Some(66));
        assert_eq!(text(response).await, r#"{"status":"success","data":["a"],"infos":["PromQL info: x (1:1)"]}"#);
        annotations.warn("store a: gone");
        let response = success(&["a"], &annotations, 10).unwrap();
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    }

    #[tokio::test]
    async fn large_answers_are_streamed_complete() {
        let names: Vec<_> = (0..50_000).map(|i| format!("name_{i}")).collect();
        let mut annotations = Annotations::new();
        annotations.warn("w");
        let response = stream_success(Vec::new(), Names::new(names.clone()), Vec::new(), &annotations, 10);
        assert_eq!(http_body::Body::size_hint(response.body()).exact(), None);
        let answer: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(answer["data"].as_array().unwrap().len(), names.len());
        assert_eq!(answer["data"][49_999], "name_49999");
        assert_eq!(answer["warnings"][0], "w");
    }
}
