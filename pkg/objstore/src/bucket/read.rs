//! Reading objects, whole and in ranges, and listing them.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{BoxStream, FuturesOrdered, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore};

use super::{Bucket, Object, object};
use crate::decorate::{AsksExistence, ReadsHere};
use crate::error::{ErrorKind, Result};
use crate::pool::{BufferPool, PooledBuffer};

/// Requests at a time for one list of ranges.
const RANGES_IN_FLIGHT: usize = 8;

/// A body that came in pieces.
enum Joined {
    Nothing,
    Own(BytesMut),
    Pooled(PooledBuffer),
}

impl Joined {
    fn new(pool: Option<&BufferPool>, capacity: usize) -> Self {
        match pool {
            Some(pool) => Self::Pooled(pool.take(capacity)),
            None => Self::Own(BytesMut::with_capacity(capacity)),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Own(bytes) => bytes.len(),
            Self::Pooled(buffer) => buffer.as_ref().len(),
        }
    }

    fn extend(&mut self, piece: &[u8]) {
        match self {
            Self::Nothing => {}
            Self::Own(bytes) => bytes.extend_from_slice(piece),
            Self::Pooled(buffer) => buffer.bytes_mut().extend_from_slice(piece),
        }
    }

    fn freeze(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::Own(bytes) => bytes.freeze(),
            Self::Pooled(buffer) => buffer.freeze(),
        }
    }
}

impl Bucket {
    /// Reads the whole object into memory.
    ///
    /// # Errors
    /// `NotFound`; `ShortBody` when fewer bytes came than the store had announced, after repeating; `Limit` above
    /// [`Settings::get_bytes_max`].
    pub fn get<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Bytes>> {
        Box::pin(async move { self.get_with_meta(path).await.map(|(bytes, _)| bytes) })
    }

    /// The whole object, and what was known of it when it was read.
    ///
    /// # Errors
    /// The same as those of [`Self::get`].
    pub fn get_with_meta<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<(Bytes, Object)>> {
        Box::pin(async move {
            let location = self.path("get", path)?;
            let read = async || {
                let result = self.store.get_opts(&location, GetOptions::default()).await;
                let result = result.map_err(|e| self.error("get", path, e))?;
                let object = object(&result.meta);
                let max = self.settings.get_bytes_max;
                let body = self.read(path, "get", object.size, max, None, result.into_stream()).await?;
                Ok((body, object))
            };
            self.repeat("get", path, || read().boxed()).await
        })
    }

    /// Exactly the bytes in `range`.
    ///
    /// # Errors
    /// `ShortBody` if the object ends before `range` does, or the body before it was complete, after repeating.
    pub fn get_range<'a>(&'a self, path: &'a str, range: Range<u64>) -> BoxFuture<'a, Result<Bytes>> {
        Box::pin(async move {
            let want = range.end.saturating_sub(range.start);
            if want == 0 {
                return Ok(Bytes::new());
            }
            let location = self.path("get_range", path)?;
            let read = async || {
                let (bytes, size) = self.fetch_range(&location, path, range.clone()).await?;
                if bytes.len() as u64 != want {
                    let text = format!("asked for bytes {}..{} of an object of {size}", range.start, range.end);
                    return Err(self.text_error(ErrorKind::ShortBody, "get_range", path, text));
                }
                Ok(bytes)
            };
            self.repeat("get_range", path, || read().boxed()).await
        })
    }

    /// The bytes in `range` as far as the object goes, and the object's size: for readers that guess lengths. A range
    /// that begins at or past the end gives `Precondition`.
    ///
    /// # Errors
    /// `ShortBody` if the body ends before the range or the object does.
    pub fn get_range_clamped<'a>(&'a self, path: &'a str, range: Range<u64>) -> BoxFuture<'a, Result<(Bytes, u64)>> {
        Box::pin(async move {
            let location = self.path("get_range", path)?;
            self.repeat("get_range", path, || self.fetch_range(&location, path, range.clone()).boxed()).await
        })
    }

    /// All of `ranges`, in their order; near ones in one request. See [`Settings::coalesce_gap_bytes`].
    ///
    /// # Errors
    /// The same as those of [`Self::get_range`].
    pub fn get_ranges<'a>(&'a self, path: &'a str, ranges: &'a [Range<u64>]) -> BoxFuture<'a, Result<Vec<Bytes>>> {
        Box::pin(async move {
            let fetches = merge(ranges, self.settings.coalesce_gap_bytes);
            let mut flying = FuturesOrdered::new();
            let mut bodies = Vec::with_capacity(fetches.len());
            for fetch in &fetches {
                if flying.len() >= RANGES_IN_FLIGHT {
                    bodies.extend(flying.next().await.transpose()?);
                }
                flying.push_back(self.get_range(path, fetch.clone()).boxed());
            }
            while let Some(body) = flying.next().await {
                bodies.push(body?);
            }
            let slice = |range: &Range<u64>| {
                if range.is_empty() {
                    return Bytes::new();
                }
                // Each range lies within exactly one fetch, whose length was checked.
                let at = fetches.partition_point(|f| f.end < range.end);
                let begin = (range.start - fetches[at].start) as usize;
                bodies[at].slice(begin..begin + (range.end - range.start) as usize)
            };
            Ok(ranges.iter().map(slice).collect())
        })
    }

    /// Size, time and ETag of an object, without its body.
    ///
    /// # Errors
    /// `NotFound` and the failures.
    pub fn head<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Object>> {
        Box::pin(async move {
            let location = self.path("attributes", path)?;
            let ask = self.store.get_opts(&location, GetOptions::new().with_head(true));
            self.within("attributes", path, ask).await.map(|result| object(&result.meta))
        })
    }

    /// Whether the object is there.
    ///
    /// # Errors
    /// Failures only.
    pub fn exists<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let location = self.path("exists", path)?;
            let mut extensions = object_store::Extensions::default();
            extensions.insert(AsksExistence);
            let ask = self.store.get_opts(&location, GetOptions::new().with_head(true).with_extensions(extensions));
            match self.within("exists", path, ask).await {
                Ok(_) => Ok(true),
                Err(e) if e.is_not_found() => Ok(false),
                Err(e) => Err(e),
            }
        })
    }

    /// All objects below `prefix` (whole path segments; `""` = all), in the store's order.
    ///
    /// The stream ends with an error unless the listing was complete: what it did not show is then unknown, not absent.
    pub fn list_recursive(&self, prefix: &str) -> BoxStream<'static, Result<Object>> {
        let location = match self.optional_path("iter", prefix) {
            Ok(location) => location,
            Err(e) => return futures::stream::once(async { Err(e) }).boxed(),
        };
        let (bucket, prefix) = (self.clone(), prefix.to_owned());
        let timeout = self.settings.operation_timeout;
        let items = self.store.list(location.as_ref());
        // A deadline for each item, which means for each page.
        futures::stream::unfold(Some(items), move |items| {
            let (bucket, prefix) = (bucket.clone(), prefix.clone());
            async move {
                let mut items = items?;
                match tokio::time::timeout(timeout, items.next()).await {
                    Ok(None) => None,
                    Ok(Some(Ok(meta))) => Some((Ok(object(&meta)), Some(items))),
                    Ok(Some(Err(e))) => Some((Err(bucket.error("iter", &prefix, e)), None)),
                    Err(_) => Some((Err(bucket.timed_out("iter", &prefix)), None)),
                }
            }
        })
        .boxed()
    }

    /// The names of the directories right below `prefix`, sorted.
    ///
    /// # Errors
    /// Failures; there is no `NotFound`, an absent prefix has no directories.
    pub fn list_dirs<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let location = self.optional_path("iter", prefix)?;
            let listing = self.within("iter", prefix, self.store.list_with_delimiter(location.as_ref())).await?;
            let mut dirs: Vec<String> =
                listing.common_prefixes.iter().filter_map(|p| p.filename().map(str::to_owned)).collect();
            dirs.sort();
            dirs.dedup();
            Ok(dirs)
        })
    }

    async fn fetch_range(&self, location: &Path, path: &str, range: Range<u64>) -> Result<(Bytes, u64)> {
        let mut options = GetOptions::new().with_range(Some(GetRange::Bounded(range)));
        if let Some(pool) = &self.pool {
            options.extensions.insert(pool.clone());
        }
        if self.reads_here {
            options.extensions.insert(ReadsHere);
        }
        let result = self.store.get_opts(location, options).await.map_err(|e| self.error("get_range", path, e))?;
        let (size, expected) = (result.meta.size, result.range.end.saturating_sub(result.range.start));
        // The caller chose the range, so no further limit.
        let pool = self.pool.as_ref();
        let bytes = self.read(path, "get_range", expected, u64::MAX, pool, result.into_stream()).await?;
        Ok((bytes, size))
    }

    /// Reads a body that should have `expected` bytes. Memory grows with what comes, not with what is announced.
    async fn read(
        &self,
        path: &str,
        op: &'static str,
        expected: u64,
        max: u64,
        pool: Option<&BufferPool>,
        mut body: BoxStream<'static, object_store::Result<Bytes>>,
    ) -> Result<Bytes> {
        if expected > max {
            let text = format!("object of {expected} bytes, at most {max} are read into memory");
            return Err(self.text_error(ErrorKind::Limit, op, path, text));
        }
        let mut whole = Bytes::new();
        let mut joined = Joined::Nothing;
        while let Some(chunk) = body.try_next().await.map_err(|e| self.error(op, path, e))? {
            if whole.is_empty() && joined.len() == 0 {
                whole = chunk;
            } else {
                if joined.len() == 0 {
                    let first = usize::try_from(expected).unwrap_or(usize::MAX).min(8 << 20);
                    joined = Joined::new(pool, first.max(whole.len() + chunk.len()));
                    joined.extend(&whole);
                }
                joined.extend(&chunk);
            }
            if (joined.len().max(whole.len())) as u64 > expected {
                break;
            }
        }
        let bytes = if joined.len() == 0 { whole } else { joined.freeze() };
        if bytes.len() as u64 != expected {
            let text = format!("{} bytes came of {expected}", bytes.len());
            return Err(self.text_error(ErrorKind::ShortBody, op, path, text));
        }
        Ok(bytes)
    }

    /// Runs `read` within the deadline, again when it came short.
    async fn repeat<'a, T>(
        &self,
        op: &'static str,
        path: &str,
        read: impl Fn() -> BoxFuture<'a, Result<T>>,
    ) -> Result<T> {
        let all = async {
            let mut left = self.settings.short_body_retries;
            loop {
                match read().await {
                    Err(e) if e.kind() == ErrorKind::ShortBody && left > 0 => {
                        left -= 1;
                        tracing::debug!(bucket = %self.name, path, err = %e, "read came short, trying again");
                    }
                    outcome => return outcome,
                }
            }
        };
        match tokio::time::timeout(self.settings.operation_timeout, all).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.timed_out(op, path)),
        }
    }
}

/// `ranges` sorted, and joined where less than `gap` lies between them.
fn merge(ranges: &[Range<u64>], gap: u64) -> Vec<Range<u64>> {
    let mut sorted: Vec<Range<u64>> = ranges.iter().filter(|r| !r.is_empty()).cloned().collect();
    sorted.sort_by_key(|r| (r.start, r.end));
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(gap) => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges() {
        for (ranges, gap, want) in [
            (vec![], 0, vec![]),
            (vec![5..6, 0..2, 2..3], 0, vec![0..3, 5..6]),
            (vec![0..10, 2..3, 14..20, 31..32], 4, vec![0..20, 31..32]),
            (vec![3..3, 7..8, 9..9], 0, vec![7..8; 1]),
        ] {
            assert_eq!(merge(&ranges, gap), want, "{ranges:?}");
        }
    }
}
