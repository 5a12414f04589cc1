//! Bytes that stand in a request's target as they are, though RFC 3986 wants them percent-encoded: `query=up{job="x"}`.
//!
//! Browsers and scripts send them, and servers written in Go take them. `hyper` answers 400. So they are encoded before it
//! reads them: in request lines of HTTP/1 alone, which are found by following the messages on the connection (RFC 9112).
//! What cannot be followed for certain is passed on as it is from there on.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of a header line that are kept: longer ones are no lengths.
const LINE_MAX: usize = 256;
/// Hexadecimal digits of a chunk's size.
const SIZE_DIGITS_MAX: u32 = 15;
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// A connection whose request targets are encoded as they are read.
#[derive(Debug)]
pub(crate) struct TargetsEncoded<S> {
    stream: S,
    follower: Follower,
    /// What was read, became longer and did not fit: at most three times what one read brings.
    rest: Vec<u8>,
    /// How much of `rest` was given on.
    given: usize,
}

impl<S> TargetsEncoded<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, follower: Follower::default(), rest: Vec::new(), given: 0 }
    }

    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let rest = self.rest.get(self.given..).unwrap_or_default();
        let fits = rest.len().min(buf.remaining());
        buf.put_slice(rest.get(..fits).unwrap_or_default());
        self.given += fits;
        if self.given >= self.rest.len() {
            (self.rest, self.given) = (Vec::new(), 0);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TargetsEncoded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.rest.is_empty() {
            this.give(buf);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let read = buf.filled().get(before..).unwrap_or_default();
        if let Some(encoded) = this.follower.encode(read) {
            this.rest = encoded;
            buf.set_filled(before);
            this.give(buf);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TargetsEncoded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Which part of a message the next byte belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Part {
    /// The method, or empty lines before it.
    #[default]
    Method,
    Target,
    /// The rest of the request line.
    Version,
    Header,
    /// Bytes that are left.
    Body(u64),
    /// The size so far, and its digits.
    ChunkSize(u64, u32),
    ChunkExtension(u64),
    Chunk(u64),
    ChunkEnd,
    Trailer,
    /// Not followed any more.
    Unknown,
}

/// Follows the requests of a connection.
#[derive(Debug, Default)]
struct Follower {
    part: Part,
    /// The method, header or trailer line so far, up to [`LINE_MAX`] bytes.
    line: Vec<u8>,
    is_line_cut: bool,
    framing: Framing,
}

/// What the headers say of the body's length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Framing {
    #[default]
    NoBody,
    Length(u64),
    Chunked,
    /// They contradict one another, or say what is not known here.
    Unclear,
}

impl Follower {
    /// What was read with its targets encoded; `None` if nothing changes.
    fn encode(&mut self, read: &[u8]) -> Option<Vec<u8>> {
        let mut encoded: Option<Vec<u8>> = None;
        let mut at = 0;
        while let Some(left) = read.get(at..).filter(|left| !left.is_empty()) {
            let (taken, escaped) = self.step(left);
            let (taken, rest) = left.split_at_checked(taken.max(1)).unwrap_or((left, &[]));
            at = read.len() - rest.len();
            match (escaped, &mut encoded) {
                (false, None) => {}
                (false, Some(out)) => out.extend_from_slice(taken),
                (true, out) => {
                    let out = out.get_or_insert_with(|| {
                        let mut copy = Vec::with_capacity(read.len() + 64);
                        copy.extend_from_slice(read.get(..at - taken.len()).unwrap_or_default());
                        copy
                    });
                    for byte in taken {
                        out.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
                    }
                }
            }
        }
        encoded
    }

    /// How many of the bytes belong to what comes next, and whether they are to be encoded.
    fn step(&mut self, left: &[u8]) -> (usize, bool) {
        let skipped = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX).min(left.len());
        match self.part {
            Part::Unknown => return (left.len(), false),
            Part::Body(bytes) => {
                let taken = skipped(bytes);
                let rest = bytes - taken as u64;
                self.part = if rest == 0 { Part::Method } else { Part::Body(rest) };
                return (taken, false);
            }
            Part::Chunk(bytes) => {
                let taken = skipped(bytes);
                let rest = bytes - taken as u64;
                self.part = if rest == 0 { Part::ChunkEnd } else { Part::Chunk(rest) };
                return (taken, false);
            }
            _ => {}
        }
        let Some(byte) = left.first().copied() else { return (0, false) };
        let is_escaped = self.part == Part::Target && is_to_be_encoded(byte);
        self.byte(byte);
        (1, is_escaped)
    }

    fn byte(&mut self, byte: u8) {
        match self.part {
            Part::Method => self.method(byte),
            Part::Target => match byte {
                b' ' => self.part = Part::Version,
                // HTTP/0.9, or no HTTP.
                b'\r' | b'\n' => self.part = Part::Unknown,
                _ => {}
            },
            Part::Version if byte == b'\n' => self.part = Part::Header,
            Part::Header | Part::Trailer => self.line_byte(byte),
            Part::ChunkSize(size, digits) => self.chunk_size(size, digits, byte),
            Part::ChunkExtension(size) if byte == b'\n' => self.begin_chunk(size),
            Part::ChunkEnd => match byte {
                b'\r' => {}
                b'\n' => self.part = Part::ChunkSize(0, 0),
                _ => self.part = Part::Unknown,
            },
            Part::Version | Part::ChunkExtension(_) | Part::Body(_) | Part::Chunk(_) | Part::Unknown => {}
        }
    }

    fn method(&mut self, byte: u8) {
        match byte {
            b'\r' | b'\n' if self.line.is_empty() => {}
            b' ' => {
                // HTTP/2 begins with a method of its own; a tunnel carries anything.
                let is_known = !matches!(&*self.line, b"" | b"PRI" | b"CONNECT");
                self.part = if is_known { Part::Target } else { Part::Unknown };
                self.line.clear();
                self.framing = Framing::NoBody;
            }
            _ if byte.is_ascii_graphic() && self.line.len() < 32 => self.line.push(byte),
            _ => self.part = Part::Unknown,
        }
    }

    fn line_byte(&mut self, byte: u8) {
        if byte != b'\n' {
            match self.line.len() < LINE_MAX {
                true => self.line.push(byte),
                false => self.is_line_cut = true,
            }
            return;
        }
        let mut line = std::mem::take(&mut self.line);
        let is_cut = std::mem::take(&mut self.is_line_cut);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        match (line.is_empty(), self.part) {
            (false, Part::Header) => self.framing = self.framing.with(&line, is_cut),
            (false, _) => {}
            (true, Part::Header) => self.part = self.framing.body(),
            (true, _) => self.part = Part::Method,
        }
        line.clear();
        self.line = line;
    }

    fn chunk_size(&mut self, size: u64, digits: u32, byte: u8) {
        self.part = match (byte as char).to_digit(16) {
            Some(digit) if digits < SIZE_DIGITS_MAX => Part::ChunkSize(size << 4 | u64::from(digit), digits + 1),
            Some(_) => Part::Unknown,
            None if digits == 0 => Part::Unknown,
            None if byte == b'\n' => return self.begin_chunk(size),
            None => Part::ChunkExtension(size),
        };
    }

    fn begin_chunk(&mut self, size: u64) {
        self.part = if size == 0 { Part::Trailer } else { Part::Chunk(size) };
    }
}

impl Framing {
    /// After one more header line.
    fn with(self, line: &[u8], is_cut: bool) -> Self {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at_checked(colon).unwrap_or((line, &[]));
        let (is_length, is_encoding) =
            (name.eq_ignore_ascii_case(b"content-length"), name.eq_ignore_ascii_case(b"transfer-encoding"));
        if !is_length && !is_encoding {
            return self;
        }
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let text = std::str::from_utf8(value).unwrap_or_default();
        let said = match is_length {
            _ if is_cut => Self::Unclear,
            true if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().map_or(Self::Unclear, Self::Length),
            false if text.eq_ignore_ascii_case("chunked") => Self::Chunked,
            _ => Self::Unclear,
        };
        if self == Self::NoBody || self == said { said } else { Self::Unclear }
    }

    fn body(self) -> Part {
        match self {
            Self::NoBody | Self::Length(0) => Part::Method,
            Self::Length(bytes) => Part::Body(bytes),
            Self::Chunked => Part::ChunkSize(0, 0),
            Self::Unclear => Part::Unknown,
        }
    }
}

/// Whether a byte of a target may not stand there by RFC 3986. A `#` has no meaning in a request, and would cut it off.
fn is_to_be_encoded(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'{' | b'}' | b'|' | b'\\' | b'^' | b'`' | b'#' | 0x80..=0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out where so many bytes are read at a time.
    fn encoded(sent: &[u8], piece: usize) -> String {
        let mut follower = Follower::default();
        let pieces = sent.chunks(piece).map(|piece| follower.encode(piece).unwrap_or_else(|| piece.to_vec()));
        String::from_utf8(pieces.collect::<Vec<_>>().concat()).unwrap()
    }

    #[test]
    fn targets_and_nothing_else() {
        let get = "GET /q?query=up{a=\"b\"} HTTP/1.1\r\nX: {\"}\r\n\r\n";
        let got = "GET /q?query=up%7Ba=%22b%22%7D HTTP/1.1\r\nX: {\"}\r\n\r\n";
        for (sent, want) in [
            (get.to_owned(), got.to_owned()),
            (format!("\r\n{get}{get}"), format!("\r\n{got}{got}")),
            ("GET /ä?<>|\\^`#x HTTP/1.1\n\n".into(), "GET /%C3%A4?%3C%3E%7C%5C%5E%60%23x HTTP/1.1\n\n".into()),
            (
                format!("POST /{{ HTTP/1.1\r\ncontent-LENGTH:  21 \r\n\r\nGET /{{ HTTP/1.1\r\n\r\n..{get}"),
                format!("POST /%7B HTTP/1.1\r\ncontent-LENGTH:  21 \r\n\r\nGET /{{ HTTP/1.1\r\n\r\n..{got}"),
            ),
            (
                format!(
                    "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n9;x=\"y\"\r\nGET /{{ HT\r\n1\n{{\n0\r\nT: {{\r\n\r\n{get}"
                ),
                format!(
                    "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n9;x=\"y\"\r\nGET /{{ HT\r\n1\n{{\n0\r\nT: {{\r\n\r\n{got}"
                ),
            ),
        ] {
            for piece in [1, 2, 3, 7, 1000] {
                assert_eq!(encoded(sent.as_bytes(), piece), want, "{piece}");
            }
        }
    }

    #[test]
    fn what_cannot_be_followed_is_left_alone() {
        let get = "GET /{ HTTP/1.1\r\n\r\n";
        let long = "x".repeat(2 * LINE_MAX);
        for head in [
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "CONNECT a:1 HTTP/1.1\r\n\r\n",
            "GET /\r\n",
            "\x16\x03\x01",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1000000000000000\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
            &format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked{long}\r\n\r\n"),
        ] {
            for piece in [1, 1000] {
                assert_eq!(encoded(format!("{head}{get}").as_bytes(), piece), format!("{head}{get}"), "{head}");
            }
        }
        // A long header of another name is none of our business.
        let sent = format!("GET / HTTP/1.1\r\nX: {long}\r\n\r\n");
        assert_eq!(encoded(format!("{sent}{get}").as_bytes(), 1000), format!("{sent}GET /%7B HTTP/1.1\r\n\r\n"));
    }

    #[tokio::test]
    async fn small_buffers_get_all_of_it() {
        use tokio::io::AsyncReadExt;
        let sent = format!("GET /{} HTTP/1.1\r\n\r\n", "{".repeat(1000));
        let mut stream = TargetsEncoded::new(sent.as_bytes());
        let (mut all, mut part) = (Vec::new(), [0; 10]);
        while let Ok(n @ 1..) = stream.read(&mut part).await {
            all.extend_from_slice(&part[..n]);
        }
        assert_eq!(String::from_utf8(all).unwrap(), sent.replace('{', "%7B"));
        assert_eq!(stream.rest.capacity(), 0, "nothing is kept");
    }
}
