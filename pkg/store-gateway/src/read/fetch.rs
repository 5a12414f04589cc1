//! Ranges of one object: near ones merged, all fetched at the same time, bytes counted before they are asked for.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use objstore::{Bucket, ErrorKind};
use storage::Reservation;
use tokio::sync::Semaphore;

use crate::chunk_cache::ChunkCache;
use crate::error::{BlockError, BlockResult};
use crate::limits::{Data, Request};

/// How ranges are fetched.
#[derive(Debug, Clone)]
pub(crate) struct FetchOptions {
    /// Ranges that are closer than this are one request.
    pub(crate) gap_bytes: u64,
    /// One request asks for at most this, unless a single item is larger.
    pub(crate) part_bytes: u64,
    /// Requests at a time, of all queries.
    pub(crate) permits: Arc<Semaphore>,
}

/// Merges `ranges`, ascending by start, that are at most `gap` apart into parts of at most `part_max`. Where a part is
/// full, an overlap is cut: items do not overlap, only the guesses of their ends do.
pub(crate) fn coalesce(ranges: impl IntoIterator<Item = Range<u64>>, gap: u64, part_max: u64) -> Vec<Range<u64>> {
    let mut parts: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match parts.last_mut() {
            Some(part) if range.start <= part.end.saturating_add(gap) => {
                let end = part.end.max(range.end);
                if end - part.start <= part_max {
                    part.end = end;
                    continue;
                }
                part.end = part.end.min(range.start);
                parts.push(range);
            }
            _ => parts.push(range),
        }
    }
    parts.retain(|p| !p.is_empty());
    parts
}

/// Bytes of one object, in parts. The budget is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Fetched {
    parts: Vec<(u64, Bytes)>,
    held: Reservation,
}

impl Fetched {
    /// What was fetched from `offset` on, up to the end of its part; empty if nothing was.
    pub(crate) fn from(&self, offset: u64) -> Bytes {
        let at = self.parts.partition_point(|(start, _)| *start <= offset);
        let Some((start, bytes)) = at.checked_sub(1).map(|at| &self.parts[at]) else { return Bytes::new() };
        match usize::try_from(offset - start) {
            Ok(skip) if skip < bytes.len() => bytes.slice(skip..),
            _ => Bytes::new(),
        }
    }

    /// The memory it holds.
    pub(crate) fn into_held(self) -> Reservation {
        self.held
    }
}

/// One object of a block.
#[derive(Debug, Clone)]
pub(crate) struct ObjectReader<'a> {
    pub(crate) bucket: &'a Bucket,
    pub(crate) path: &'a str,
    pub(crate) data: Data,
    pub(crate) options: &'a FetchOptions,
    pub(crate) request: &'a Request,
    /// For objects whose parts are kept in memory.
    pub(crate) cache: Option<&'a ChunkCache>,
}

impl ObjectReader<'_> {
    /// Fetches `ranges`, ascending by start, as far as the object goes.
    ///
    /// # Errors
    /// Limits, and failures of the store.
    pub(crate) async fn fetch(&self, ranges: &[Range<u64>]) -> BlockResult<Fetched> {
        let parts = coalesce(ranges.iter().cloned(), self.options.gap_bytes, self.options.part_bytes);
        let total = parts.iter().map(|p| p.end - p.start).sum();
        let held = self.request.fetch(self.data, ranges.len() as u64, total)?;
        self.request.ctx.check()?;
        // Requests of one query at a time; all queries share the permits.
        let at_a_time = parts.len().clamp(1, 64);
        let parts = stream::iter(parts.into_iter().map(|part| self.part(part)))
            .buffered(at_a_time)
            .try_collect::<Vec<_>>()
            .await?;
        Ok(Fetched { parts, held })
    }

    async fn part(&self, range: Range<u64>) -> BlockResult<(u64, Bytes)> {
        let start = range.start;
        if let Some(cache) = self.cache {
            let fetch = |range: Range<u64>| self.get(range);
            return Ok((start, cache.read(self.path, range, fetch).await?));
        }
        Ok((start, self.get(range).await?))
    }

    /// A range that begins behind the end of the object gives nothing: whoever parses it knows what was wanted there.
    async fn get(&self, range: Range<u64>) -> BlockResult<Bytes> {
        // The semaphore is never closed.
        let _permit = self.options.permits.acquire().await;
        let get = get_clamped(self.bucket, self.path, range);
        let answer = match self.request.ctx.deadline {
            None => get.await,
            Some(deadline) => match tokio::time::timeout_at(deadline.into(), get).await {
                Ok(answer) => answer,
                Err(_) => {
                    let text = format!("query timed out while reading {}", self.path);
                    return Err(BlockError::Fatal(storage::Error::Timeout(text)));
                }
            },
        };
        Ok(answer?)
    }
}

/// `range` as far as the object goes: nothing where it begins behind the object's end, which not every store tells
/// apart from other refusals.
///
/// # Errors
/// Failures of the store.
pub(crate) async fn get_clamped(bucket: &Bucket, path: &str, range: Range<u64>) -> objstore::Result<Bytes> {
    let start = range.start;
    match bucket.get_range_clamped(path, range).await {
        Ok((bytes, _)) => Ok(bytes),
        Err(e) if matches!(e.kind(), ErrorKind::Precondition | ErrorKind::Other) => match bucket.head(path).await {
            Ok(object) if object.size <= start => Ok(Bytes::new()),
            _ => Err(e),
        },
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coalescing() {
        let show = |ranges: &[(u64, u64)], gap, max| {
            let parts = coalesce(ranges.iter().map(|(a, b)| *a..*b), gap, max);
            parts.iter().map(|p| format!("{}-{}", p.start, p.end)).collect::<Vec<_>>().join(" ")
        };
        for (ranges, gap, max, want) in [
            (&[][..], 10, 100, ""),
            (&[(0, 5), (5, 10)], 0, 100, "0-10"),
            (&[(0, 5), (15, 20)], 10, 100, "0-20"),
            (&[(0, 5), (16, 20)], 10, 100, "0-5 16-20"),
            (&[(0, 5), (3, 4)], 0, 100, "0-5"),
            (&[(0, 50), (50, 100), (100, 150)], 10, 100, "0-100 100-150"),
            // Guessed ends overlap: the next item begins where the last one ends at the latest.
            (&[(0, 64), (10, 74), (60, 124)], 10, 100, "0-60 60-124"),
            (&[(0, 500)], 10, 100, "0-500"),
            (&[(0, u64::MAX), (5, u64::MAX)], u64::MAX, u64::MAX, "0-18446744073709551615"),
        ] {
            assert_eq!(show(ranges, gap, max), want, "{ranges:?}");
        }
    }
}
