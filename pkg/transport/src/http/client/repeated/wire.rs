//! A connection, and what was read ahead of it.

use std::io;

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncReadExt};

#[derive(Debug)]
pub(super) struct Wire<S> {
    pub(super) stream: S,
    ahead: Vec<u8>,
    /// Up to here `ahead` was taken.
    taken: usize,
}

impl<S: AsyncRead + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, ahead: Vec::new(), taken: 0 }
    }

    /// Reads up to `most` bytes behind what is unread; how many came, 0 at the end.
    pub(super) async fn fill(&mut self, most: usize) -> io::Result<usize> {
        self.ahead.drain(..self.taken);
        self.taken = 0;
        self.ahead.reserve(most);
        self.stream.read_buf(&mut (&mut self.ahead).limit(most)).await
    }

    /// Reads up to `most` bytes past `ahead`, which must be taken; how many came, 0 at the end.
    pub(super) async fn read_past(&mut self, out: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        debug_assert!(self.unread().is_empty());
        self.stream.read_buf(&mut out.limit(most)).await
    }
}

impl<S> Wire<S> {
    pub(super) fn unread(&self) -> &[u8] {
        self.ahead.get(self.taken..).unwrap_or_default()
    }

    pub(super) fn take(&mut self, bytes: usize) {
        self.taken = (self.taken + bytes).min(self.ahead.len());
    }
}
