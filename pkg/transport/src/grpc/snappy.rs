//! `grpc-encoding: snappy` on both ends.
//!
//! A gRPC body is a row of `flag (1) | length (4, big endian) | message`; flag 1 means the message is compressed. Here
//! compressed messages are unpacked before tonic sees them, and packed after. The packing is snappy's framed format.

use std::io::{Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::MESSAGE_BYTES_MAX;

const ENCODING: &str = "grpc-encoding";
const ACCEPT: &str = "grpc-accept-encoding";
const NAME: &str = "snappy";
/// Below this compression costs more than it saves.
const PACK_BYTES_MIN: usize = 256;

/// Server middleware: unpacks requests, and answers in snappy those who sent snappy (as grpc-go does).
pub(super) async fn server(mut request: Request, next: Next) -> Response {
    let packed = is_snappy(request.headers());
    if packed {
        request.headers_mut().remove(ENCODING);
        request = request.map(|body| Body::new(Recode::new(body, Way::Unpack)));
    }
    let mut response = next.run(request).await;
    let accept = match response.headers().get(ACCEPT).and_then(|v| v.to_str().ok()) {
        Some(own) => format!("{own},{NAME}"),
        None => NAME.to_owned(),
    };
    if let Ok(accept) = accept.parse() {
        response.headers_mut().insert(ACCEPT, accept);
    }
    if packed && !response.headers().contains_key(ENCODING) {
        response.headers_mut().insert(ENCODING, HeaderValue::from_static(NAME));
        response = response.map(|body| Body::new(Recode::new(body, Way::Pack)));
    }
    response
}

/// Client side, on the way out: packs the messages and says so.
pub(super) fn pack_request(request: http::Request<tonic::body::Body>) -> http::Request<tonic::body::Body> {
    let (mut head, body) = request.into_parts();
    head.headers.insert(ENCODING, HeaderValue::from_static(NAME));
    head.headers.insert(ACCEPT, HeaderValue::from_static("snappy,identity"));
    http::Request::from_parts(head, tonic::body::Body::new(Recode::new(body, Way::Pack)))
}

/// Client side, on the way back: unpacks what the server packed.
pub(super) fn unpack_response(response: http::Response<tonic::body::Body>) -> http::Response<tonic::body::Body> {
    if !is_snappy(response.headers()) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    head.headers.remove(ENCODING);
    http::Response::from_parts(head, tonic::body::Body::new(Recode::new(body, Way::Unpack)))
}

fn is_snappy(headers: &HeaderMap) -> bool {
    headers.get(ENCODING).is_some_and(|v| v == NAME)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Pack,
    Unpack,
}

/// Repacks the messages of a body as they pass; trailers go through.
#[derive(Debug)]
struct Recode<B> {
    inner: B,
    way: Way,
    held: BytesMut,
    trailers: Option<HeaderMap>,
    ended: bool,
}

impl<B> Recode<B> {
    fn new(inner: B, way: Way) -> Self {
        Self { inner, way, held: BytesMut::new(), trailers: None, ended: false }
    }
}

impl<B> HttpBody for Recode<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        loop {
            match next_message(&mut this.held, this.way) {
                Ok(Some(message)) => return Poll::Ready(Some(Ok(Frame::data(message)))),
                Ok(None) => {}
                Err(e) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(e.into())));
                }
            }
            if let Some(trailers) = this.trailers.take() {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                None => {
                    this.ended = true;
                    if !this.held.is_empty() {
                        return Poll::Ready(Some(Err("gRPC stream ended inside a message".into())));
                    }
                }
                Some(Err(e)) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(e.into())));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.held.extend_from_slice(&data),
                    Err(frame) => {
                        this.ended = true;
                        this.trailers = frame.into_trailers().ok();
                    }
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// All messages of a body, unpacked; for fuzzing.
///
/// # Errors
/// What is wrong with the first bad one.
#[doc(hidden)]
pub fn unpack_all(body: &[u8]) -> Result<Vec<Bytes>, String> {
    let mut held = BytesMut::from(body);
    std::iter::from_fn(|| next_message(&mut held, Way::Unpack).transpose()).collect()
}

/// Takes one whole message off `held` and repacks it; `None` when it is not whole yet.
fn next_message(held: &mut BytesMut, way: Way) -> Result<Option<Bytes>, String> {
    if held.len() < 5 {
        return Ok(None);
    }
    let length = u32::from_be_bytes([held[1], held[2], held[3], held[4]]) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(format!("gRPC message of {length} bytes is over the limit of {MESSAGE_BYTES_MAX}"));
    }
    if held.len() < 5 + length {
        return Ok(None);
    }
    let flag = held.get_u8();
    held.advance(4);
    let message = held.split_to(length).freeze();
    let (flag, message) = match (way, flag) {
        (Way::Unpack, 1) => (0, unpack(&message)?),
        (Way::Pack, 0) if message.len() >= PACK_BYTES_MIN => (1, pack(&message)),
        (_, flag) => (flag, message),
    };
    let mut out = BytesMut::with_capacity(5 + message.len());
    out.put_u8(flag);
    out.put_u32(message.len() as u32);
    out.extend_from_slice(&message);
    Ok(Some(out.freeze()))
}

fn pack(message: &[u8]) -> Bytes {
    let mut encoder = snap::write::FrameEncoder::new(Vec::with_capacity(message.len() / 2));
    encoder.write_all(message).expect("a Vec takes all");
    encoder.into_inner().expect("a Vec takes all").into()
}

/// Unpacks with a bound, so that a small message cannot fill memory.
fn unpack(message: &[u8]) -> Result<Bytes, String> {
    let mut out = Vec::with_capacity(message.len().saturating_mul(3).min(MESSAGE_BYTES_MAX));
    let mut decoder = snap::read::FrameDecoder::new(message).take(MESSAGE_BYTES_MAX as u64 + 1);
    decoder.read_to_end(&mut out).map_err(|e| format!("gRPC message does not decompress: {e}"))?;
    if out.len() > MESSAGE_BYTES_MAX {
        return Err(format!("gRPC message decompresses to more than {MESSAGE_BYTES_MAX} bytes"));
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
        let mut out = vec![flag];
        out.extend_from_slice(&(message.len() as u32).to_be_bytes());
        out.extend_from_slice(message);
        out
    }

    #[test]
    fn packs_and_unpacks_across_frame_borders() {
        let long = b"a long message ".repeat(1000);
        let mut held = BytesMut::from(&[framed(0, b"short"), framed(0, &long)].concat()[..]);
        let mut packed = Vec::new();
        while let Some(message) = next_message(&mut held, Way::Pack).unwrap() {
            packed.extend_from_slice(&message);
        }
        assert!(packed.len() < long.len() / 4 && packed[0] == 0 && packed[10] == 1);
        let (mut held, mut out) = (BytesMut::new(), Vec::new());
        for byte in packed {
            held.put_u8(byte);
            while let Some(message) = next_message(&mut held, Way::Unpack).unwrap() {
                out.extend_from_slice(&message);
            }
        }
        assert_eq!(out, [framed(0, b"short"), framed(0, &long)].concat());
    }

    #[test]
    fn damage_is_an_error() {
        let mut bad = BytesMut::from(&framed(1, b"not snappy at all")[..]);
        assert!(next_message(&mut bad, Way::Unpack).unwrap_err().contains("does not decompress"));
        let mut huge = BytesMut::from(&[0, 0xff, 0xff, 0xff, 0xff][..]);
        assert!(next_message(&mut huge, Way::Unpack).unwrap_err().contains("over the limit"));
    }
}
