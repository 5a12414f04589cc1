//! One GET, sent again and again over a connection that is kept: HTTP/1.1 without TLS and proxy. What is the same each time
//! is made once, and nothing but the caller's task is woken for it.

mod body;
mod dial;
mod head;
mod wire;

use std::fmt;
use std::io;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use http::{StatusCode, Uri};
use reqwest::Request;
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use self::body::Body;
use self::head::{Framing, Head};
use self::wire::Wire;

/// Why there is no answer, or no whole one; in the words of Go's client where it has a word for it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct GetError(String);

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// A connection that was idle for longer is not used any more.
    pub(super) idle_max: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) follows_redirects: bool,
}

/// The GET of one URL with all its headers, and its connection.
pub struct RepeatedGet {
    /// Scheme, host and port.
    server: Uri,
    request: Vec<u8>,
    limits: Limits,
    kept: Option<(TcpStream, Instant)>,
}

impl fmt::Debug for RepeatedGet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RepeatedGet").field("server", &self.server).finish_non_exhaustive()
    }
}

impl RepeatedGet {
    /// `None` if the URL wants more than plain HTTP.
    pub(super) fn new(request: &Request, limits: Limits) -> Option<Self> {
        let url = request.url();
        let host = url.host_str().filter(|_| url.scheme() == "http")?;
        let server = format!("http://{host}:{}", url.port_or_known_default()?).parse().ok()?;
        Some(Self { server, request: text(request, host), limits, kept: None })
    }

    /// Goes on with the connection of another, if that is to the same server.
    pub fn inherit(&mut self, before: Self) {
        if self.server == before.server {
            self.kept = before.kept;
        }
    }

    /// Asks, and reads the head of the answer. Where the server has closed the kept connection meanwhile, another is opened.
    pub fn ask(&mut self) -> BoxFuture<'_, Result<GetAnswer, GetError>> {
        async move {
            let mut answer = self.ask_somehow().await?;
            answer.is_redirect &= self.limits.follows_redirects;
            Ok(answer)
        }
        .boxed()
    }

    async fn ask_somehow(&mut self) -> Result<GetAnswer, GetError> {
        if let Some(stream) = self.take_kept() {
            match ask(stream, &self.request).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Unanswered(_)) => {}
                Err(Failure::Broken(e)) => return Err(e),
            }
        }
        let stream = dial::connect(&self.server, self.limits.connect_timeout).await?;
        ask(stream, &self.request).await.map_err(Failure::into_error)
    }

    /// Keeps the connection of an answer that was read to its end, if the server keeps it too.
    pub fn keep(&mut self, answer: GetAnswer) {
        if answer.keeps_alive && answer.body.is_at_end() && answer.wire.unread().is_empty() {
            self.kept = Some((answer.wire.stream, Instant::now()));
        }
    }

    /// The connection, unless it is known to be of no use any more.
    fn take_kept(&mut self) -> Option<TcpStream> {
        let (stream, since) = self.kept.take()?;
        if since.elapsed() > self.limits.idle_max {
            return None;
        }
        // At its end, or bytes that nobody asked for.
        let is_idle = matches!(stream.try_read(&mut [0]), Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        is_idle.then_some(stream)
    }
}

/// An answer whose head was read.
#[derive(Debug)]
pub struct GetAnswer<S = TcpStream> {
    /// Its status.
    pub status: StatusCode,
    /// Empty if none was sent.
    pub content_type: String,
    /// Empty if none was sent.
    pub content_encoding: String,
    /// Another place is to be asked, which is up to the client that this was made of.
    pub is_redirect: bool,
    keeps_alive: bool,
    body: Body,
    wire: Wire<S>,
}

impl<S: AsyncRead + Unpin + Send> GetAnswer<S> {
    async fn read(stream: S) -> Result<Self, Failure> {
        let mut wire = Wire::new(stream);
        let head = head::read(&mut wire).await?;
        let Head { status, content_type, content_encoding, is_redirect, keeps_alive, framing } = head;
        // Where the end of the body is that of the connection, nothing comes behind it.
        let keeps_alive = keeps_alive && !matches!(framing, Framing::UntilClose);
        Ok(Self { status, content_type, content_encoding, is_redirect, keeps_alive, body: Body::new(framing), wire })
    }

    /// Appends the next bytes of the body: how many, 0 at its end.
    pub fn read_into<'a>(&'a mut self, out: &'a mut Vec<u8>) -> BoxFuture<'a, Result<usize, GetError>> {
        async move { self.body.read(&mut self.wire, out).await }.boxed()
    }
}

/// How a request failed.
enum Failure {
    /// Before anything of an answer came.
    Unanswered(GetError),
    Broken(GetError),
}

impl Failure {
    fn into_error(self) -> GetError {
        match self {
            Self::Unanswered(e) | Self::Broken(e) => e,
        }
    }
}

async fn ask(mut stream: TcpStream, request: &[u8]) -> Result<GetAnswer, Failure> {
    stream.write_all(request).await.map_err(|e| Failure::Unanswered(failed("write", &e)))?;
    GetAnswer::read(stream).await
}

/// The bytes of a request. Names of headers are written as most clients write them: some servers know no other way.
fn text(request: &Request, host: &str) -> Vec<u8> {
    let url = request.url();
    let mut out = format!("GET {}", url.path());
    if let Some(query) = url.query() {
        out.push('?');
        out.push_str(query);
    }
    out.push_str(" HTTP/1.1\r\nHost: ");
    out.push_str(host);
    if let Some(port) = url.port() {
        out.push_str(&format!(":{port}"));
    }
    out.push_str("\r\n");
    let mut out = out.into_bytes();
    if !request.headers().contains_key(http::header::USER_AGENT) {
        out.extend_from_slice(format!("User-Agent: {}\r\n", super::build::USER_AGENT).as_bytes());
    }
    for (name, value) in request.headers() {
        let mut is_first = true;
        out.extend(name.as_str().bytes().map(|byte| {
            let written = if is_first { byte.to_ascii_uppercase() } else { byte };
            is_first = byte == b'-';
            written
        }));
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn failed(doing: &str, e: &io::Error) -> GetError {
    GetError(format!("{doing}: {}", words(e)))
}

/// An error of the operating system without its number, as Go writes it.
fn words(e: &io::Error) -> String {
    let text = e.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

fn cut_off() -> GetError {
    GetError("unexpected EOF".to_owned())
}

/// Reads bytes as the answer of a server that closes the connection behind them: its status and the body.
///
/// # Errors
/// They are no whole answer.
pub fn read_answer(bytes: &[u8]) -> Result<(StatusCode, Vec<u8>), GetError> {
    let read = async {
        let mut answer = GetAnswer::read(bytes).await.map_err(Failure::into_error)?;
        let mut body = Vec::new();
        while answer.read_into(&mut body).await? > 0 {}
        Ok((answer.status, body))
    };
    // Bytes are always ready.
    read.now_or_never().unwrap_or_else(|| Err(cut_off()))
}

#[cfg(test)]
mod tests;
