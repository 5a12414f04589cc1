//! What makes no progress ends: bodies that do not come, answers that nobody takes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Runs while there is no progress.
#[derive(Debug)]
struct Stall {
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    fn new(timeout: Duration) -> Self {
        Self { timeout, timer: None }
    }

    /// `poll`, or an error once it has been pending for too long without interruption. Zero = never.
    fn watch<T>(&mut self, cx: &mut Context<'_>, poll: Poll<T>, what: &str) -> Poll<Result<T, io::Error>> {
        match poll {
            Poll::Ready(done) => {
                self.timer = None;
                Poll::Ready(Ok(done))
            }
            Poll::Pending if self.timeout.is_zero() => Poll::Pending,
            Poll::Pending => {
                let timeout = self.timeout;
                let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
                timer.as_mut().poll(cx).map(|()| {
                    Err(io::Error::new(io::ErrorKind::TimedOut, format!("{what} made no progress for {timeout:?}")))
                })
            }
        }
    }
}

/// A body that must go on coming. It keeps `held` until it is dropped.
#[derive(Debug)]
pub(crate) struct Progressing<B, H> {
    body: B,
    stall: Stall,
    _held: H,
}

impl<B, H> Progressing<B, H> {
    pub(crate) fn new(body: B, timeout: Duration, held: H) -> Self {
        Self { body, stall: Stall::new(timeout), _held: held }
    }
}

impl<B, H> Body for Progressing<B, H>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<axum::BoxError>,
    H: Unpin,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        this.stall.watch(cx, polled, "the body").map(|watched| match watched {
            Ok(frame) => frame.map(|frame| frame.map_err(Into::into)),
            Err(e) => Some(Err(e.into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection whose peer must take what is written.
#[derive(Debug)]
pub(crate) struct Taken<S> {
    stream: S,
    stall: Stall,
}

impl<S> Taken<S> {
    pub(crate) fn new(stream: S, timeout: Duration) -> Self {
        Self { stream, stall: Stall::new(timeout) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taken<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

const ANSWER: &str = "the answer";

impl<S: AsyncWrite + Unpin> AsyncWrite for Taken<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.stall.watch(cx, polled, ANSWER).map(|r| r?)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.stall.watch(cx, polled, ANSWER).map(|r| r?)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_flush(cx);
        this.stall.watch(cx, polled, ANSWER).map(|r| r?)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.stall.watch(cx, polled, ANSWER).map(|r| r?)
    }
}
