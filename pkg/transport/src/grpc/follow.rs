//! How a gRPC call ends: told by the response's head, by its trailers, or by its being dropped.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame};
use tonic::Code;
use tracing::Span;

use crate::traces::span::grpc_ended;

/// Calls back once with the code a call ended with; dropped before, with [`Code::Cancelled`].
pub(crate) struct Follow {
    ended: Option<Box<dyn FnOnce(Code) + Send>>,
    /// What the body is read in.
    span: Span,
}

impl Follow {
    pub(crate) fn new(ended: impl FnOnce(Code) + Send + 'static) -> Self {
        Self { ended: Some(Box::new(ended)), span: Span::none() }
    }

    /// Notes the end in `span`.
    pub(crate) fn of(span: Span) -> Self {
        let noted = span.clone();
        Self { ended: Some(Box::new(move |code| grpc_ended(&noted, code))), span }
    }

    /// To be called when the call has ended with `code`; only the first time counts.
    pub(crate) fn end(&mut self, code: Code) {
        if let Some(ended) = self.ended.take() {
            ended(code);
        }
    }

    /// The response, which is now watched to its end.
    pub(crate) fn response<B>(mut self, response: http::Response<B>) -> http::Response<Followed<B>> {
        // A refusal without body carries its status in the head.
        if let Some(code) = status_in(response.headers()) {
            self.end(code);
        }
        response.map(|body| Followed { body, call: self })
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

fn status_in(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").and_then(|v| v.to_str().ok()?.parse::<i32>().ok()).map(Code::from)
}

/// A response body that reports the status in its trailers.
pub(crate) struct Followed<B> {
    body: B,
    call: Follow,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Followed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let Followed { body, call } = this;
        let frame = ready!(call.span.in_scope(|| Pin::new(body).poll_frame(cx)));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    call.end(status_in(trailers).unwrap_or(Code::Unknown));
                }
            }
            Some(Err(_)) => call.end(Code::Unavailable),
            None => call.end(Code::Ok),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// Codes as Go prints them, which alerts match on.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
