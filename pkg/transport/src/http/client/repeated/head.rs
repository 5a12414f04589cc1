//! The head of an answer.

use http::StatusCode;
use httparse::{EMPTY_HEADER, Header, Response, Status};
use tokio::io::AsyncRead;

use super::wire::Wire;
use super::{Failure, GetError, cut_off, failed};

/// What the heads of an answer may hold.
const BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 128;
/// Most heads are shorter.
const READ_BYTES: usize = 4 << 10;
/// Heads before the one that counts.
const INTERIM_MAX: usize = 5;

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) content_type: String,
    pub(super) content_encoding: String,
    pub(super) is_redirect: bool,
    pub(super) keeps_alive: bool,
    pub(super) framing: Framing,
}

/// Reads up to the body.
pub(super) async fn read<S: AsyncRead + Unpin>(wire: &mut Wire<S>) -> Result<Head, Failure> {
    let mut interim = 0;
    let mut is_answered = false;
    // Bytes in which the end was looked for.
    let mut looked = 0;
    loop {
        if let Some((head, bytes)) = parse(wire.unread(), looked).map_err(Failure::Broken)? {
            wire.take(bytes);
            looked = 0;
            // That the server goes on, or that it speaks another protocol now.
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(head);
            }
            interim += 1;
            if interim > INTERIM_MAX {
                return Err(Failure::Broken(GetError("too many 1xx informational responses".to_owned())));
            }
            continue;
        }
        looked = wire.unread().len();
        if looked > BYTES_MAX {
            let why = format!("server response headers exceeded {BYTES_MAX} bytes");
            return Err(Failure::Broken(GetError(why)));
        }
        match wire.fill(READ_BYTES).await {
            Ok(0) if is_answered => return Err(Failure::Broken(cut_off())),
            Ok(0) => return Err(Failure::Unanswered(GetError("EOF".to_owned()))),
            Ok(_) => is_answered = true,
            Err(e) if is_answered => return Err(Failure::Broken(failed("read", &e))),
            Err(e) => return Err(Failure::Unanswered(failed("read", &e))),
        }
    }
}

/// A head and its length; `None` if it is not whole, as is known of its first bytes that were `looked` at.
fn parse(bytes: &[u8], looked: usize) -> Result<Option<(Head, usize)>, GetError> {
    // Short of an empty line there is nothing to be found.
    let new = bytes.get(looked.saturating_sub(2)..).unwrap_or_default();
    if !new.windows(2).any(|pair| pair == b"\n\n" || pair == b"\n\r") {
        return Ok(None);
    }
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut response = Response::new(&mut headers);
    match response.parse(bytes) {
        Ok(Status::Complete(length)) => Ok(Some((head(&response)?, length))),
        Ok(Status::Partial) => Ok(None),
        Err(e) => Err(malformed(e)),
    }
}

fn malformed(why: impl std::fmt::Display) -> GetError {
    GetError(format!("malformed HTTP response: {why}"))
}

fn head(response: &Response<'_, '_>) -> Result<Head, GetError> {
    let status = StatusCode::from_u16(response.code.unwrap_or_default()).map_err(malformed)?;
    let headers = &*response.headers;
    let first = |name: &str| all(headers, name).next().unwrap_or_default().to_owned();
    let is_later_version = response.version == Some(1);
    Ok(Head {
        status,
        content_type: first("content-type"),
        content_encoding: first("content-encoding"),
        is_redirect: matches!(status.as_u16(), 301..=303 | 307 | 308) && all(headers, "location").next().is_some(),
        keeps_alive: !has_token(headers, "close") && (is_later_version || has_token(headers, "keep-alive")),
        framing: framing(status, headers)?,
    })
}

/// The values of a header. One that is no text counts as empty.
fn all<'a>(headers: &'a [Header<'_>], name: &str) -> impl Iterator<Item = &'a str> {
    let named = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    named.map(|header| std::str::from_utf8(header.value).unwrap_or_default().trim())
}

fn has_token(headers: &[Header<'_>], token: &str) -> bool {
    all(headers, "connection").flat_map(|value| value.split(',')).any(|t| t.trim().eq_ignore_ascii_case(token))
}

fn framing(status: StatusCode, headers: &[Header<'_>]) -> Result<Framing, GetError> {
    if status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok(Framing::Length(0));
    }
    let mut codings = all(headers, "transfer-encoding");
    if let Some(coding) = codings.next() {
        if codings.next().is_some() || !coding.eq_ignore_ascii_case("chunked") {
            return Err(GetError(format!("unsupported transfer encoding: {coding:?}")));
        }
        return Ok(Framing::Chunked);
    }
    let mut length = None;
    for value in all(headers, "content-length") {
        let bytes = value.parse().ok().filter(|_| value.bytes().all(|byte| byte.is_ascii_digit()));
        match bytes {
            Some(bytes) if length.is_none_or(|before| before == bytes) => length = Some(bytes),
            _ => return Err(GetError(format!("bad Content-Length {value:?}"))),
        }
    }
    Ok(length.map_or(Framing::UntilClose, Framing::Length))
}
