//! A range whose body is taken piece by piece: memory holds what the reader has not used yet, however long the range is.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore};

use super::Bucket;
use crate::decorate::InWindows;
use crate::error::{ErrorKind, Result};

/// A file is read in windows of so many bytes.
const WINDOW_BYTES: usize = 128 << 10;

/// The body of one ranged read. What is not asked for stays in the store and the connection. Dropping it ends the read.
pub struct RangeBody {
    bucket: Bucket,
    location: Path,
    body: BoxStream<'static, object_store::Result<Bytes>>,
    object_bytes: u64,
    etag: Option<String>,
    /// Where the next piece begins in the object.
    at: u64,
    end: u64,
    repeats_left: u32,
}

impl fmt::Debug for RangeBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { location, at, end, .. } = self;
        f.debug_struct("RangeBody").field("path", location).field("rest", &(at..end)).finish_non_exhaustive()
    }
}

impl Bucket {
    /// The bytes in `range` as far as the object goes, piece by piece, by one request. A range that begins at or past the
    /// end gives `Precondition`.
    ///
    /// # Errors
    /// `NotFound` and the failures.
    pub fn stream_range<'a>(&'a self, path: &'a str, range: Range<u64>) -> BoxFuture<'a, Result<RangeBody>> {
        Box::pin(async move {
            let location = self.path("get_range", path)?;
            let ask = self.store.get_opts(&location, self.windowed(range.clone()));
            let result = self.within("get_range", path, ask).await?;
            Ok(RangeBody {
                bucket: self.clone(),
                object_bytes: result.meta.size,
                etag: result.meta.e_tag.clone(),
                at: result.range.start,
                // Less may come, which is not the end of the object.
                end: range.end.min(result.meta.size),
                body: result.into_stream(),
                location,
                repeats_left: self.settings.short_body_retries,
            })
        })
    }

    fn windowed(&self, range: Range<u64>) -> GetOptions {
        let mut options = GetOptions::new().with_range(Some(GetRange::Bounded(range)));
        if let Some(pool) = &self.pool {
            options.extensions.insert(pool.clone());
        }
        options.extensions.insert(InWindows(WINDOW_BYTES));
        options
    }
}

impl RangeBody {
    /// The size of the object, bytes.
    pub fn object_bytes(&self) -> u64 {
        self.object_bytes
    }

    /// Where the next piece begins in the object.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Where the body ends: the end of the range, or of the object.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The next bytes; `None` at the end. A body that ends early is asked for again from there on.
    ///
    /// # Errors
    /// `ShortBody` when it ends early each time, or the object was replaced meanwhile; the failures.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.at < self.end {
            let timeout = self.bucket.settings.operation_timeout;
            let path = self.location.as_ref();
            match tokio::time::timeout(timeout, self.body.next()).await {
                Err(_) => return Err(self.bucket.timed_out("get_range", path)),
                Ok(Some(Err(e))) => return Err(self.bucket.error("get_range", path, e)),
                Ok(Some(Ok(mut piece))) => {
                    let left = self.end - self.at;
                    if piece.len() as u64 > left {
                        piece.truncate(left as usize);
                    }
                    self.at += piece.len() as u64;
                    if self.at == self.end {
                        // What watches the read learns of its end.
                        _ = tokio::time::timeout(timeout, self.body.next()).await;
                    }
                    if !piece.is_empty() {
                        return Ok(Some(piece));
                    }
                }
                Ok(None) => self.ask_again().await?,
            }
        }
        Ok(None)
    }

    async fn ask_again(&mut self) -> Result<()> {
        let (path, rest) = (self.location.as_ref(), self.at..self.end);
        let short = |text: String| self.bucket.text_error(ErrorKind::ShortBody, "get_range", path, text);
        let Some(left) = self.repeats_left.checked_sub(1) else {
            return Err(short(format!("the body ended at {}, {} were asked for", rest.start, rest.end)));
        };
        tracing::debug!(bucket = %self.bucket.name, path, at = rest.start, "read came short, trying again");
        let ask = self.bucket.store.get_opts(&self.location, self.bucket.windowed(rest.clone()));
        let result = self.bucket.within("get_range", path, ask).await?;
        if result.meta.size != self.object_bytes || result.meta.e_tag != self.etag || result.range.start != rest.start {
            return Err(short("the object was replaced while it was read".to_owned()));
        }
        self.repeats_left = left;
        self.body = result.into_stream();
        Ok(())
    }
}
