//! Ranges of one object: near ones merged, all fetched at the same time, bytes counted before they are asked for.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use objstore::{Bucket, BufferPool, ErrorKind};
use storage::Reservation;
use tokio::sync::Semaphore;

use super::pace::Pace;
use crate::chunk_cache::ChunkCache;
use crate::error::{BlockError, BlockResult};
use crate::limits::{Data, Request};

#[derive(Debug, Clone)]
pub(crate) struct FetchOptions {
    /// Which ranges become one request.
    pub(crate) pace: Arc<Pace>,
    /// Requests at a time, of all queries.
    pub(crate) permits: Arc<Semaphore>,
    /// Bodies that may stay open at a time while they are read, of all queries.
    pub(crate) bodies: Arc<Semaphore>,
    /// Where ranges are read into.
    pub(crate) pool: BufferPool,
}

/// When two ranges are fetched by one request: what lies between them costs time, a request costs a round trip and money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JoinRule {
    /// A gap up to this costs less than a request, whatever the ranges around it.
    pub(crate) gap_free_bytes: u64,
    /// A gap up to this may be joined over, if that pays.
    pub(crate) gap_bytes: u64,
    /// It pays while a request fetches no more than so many times what is wanted of it, or no more than `gap_bytes` in all.
    pub(crate) fetched_per_wanted: u64,
}

/// Puts ranges together, one after the other.
#[derive(Debug)]
pub(crate) struct Joiner {
    rule: JoinRule,
    open: Range<u64>,
    /// Bytes of `open` that were asked for.
    wanted: u64,
}

impl Joiner {
    pub(crate) fn new(rule: JoinRule) -> Self {
        Self { rule, open: 0..0, wanted: 0 }
    }

    /// Adds `range`, which begins no earlier than the one before; gives the part that is complete by that, if it is not
    /// empty.
    pub(crate) fn push(&mut self, range: Range<u64>) -> Option<Range<u64>> {
        let JoinRule { gap_free_bytes, gap_bytes, fetched_per_wanted } = self.rule;
        let end = self.open.end.max(range.end);
        let gap = range.start.saturating_sub(self.open.end);
        let wanted = self.wanted + range.end.saturating_sub(self.open.end.max(range.start));
        let fetched = end.saturating_sub(self.open.start);
        let pays = gap <= gap_free_bytes
            || fetched <= gap_bytes
            || (gap <= gap_bytes && u128::from(fetched) <= u128::from(wanted) * u128::from(fetched_per_wanted));
        if !self.open.is_empty() && range.start >= self.open.start && pays {
            self.open.end = end;
            self.wanted = wanted;
            return None;
        }
        let part = std::mem::replace(&mut self.open, range.clone());
        self.wanted = range.end.saturating_sub(range.start);
        (!part.is_empty()).then_some(part)
    }

    pub(crate) fn finish(self) -> Option<Range<u64>> {
        (!self.open.is_empty()).then_some(self.open)
    }
}

/// The parts in which `ranges`, ascending by start, are fetched.
pub(crate) fn coalesce(ranges: impl IntoIterator<Item = Range<u64>>, rule: JoinRule) -> Vec<Range<u64>> {
    let mut joiner = Joiner::new(rule);
    let mut parts: Vec<Range<u64>> = ranges.into_iter().filter_map(|range| joiner.push(range)).collect();
    parts.extend(joiner.finish());
    parts
}

/// Bytes of one object, in parts. The budget is given back when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    /// Ascending by where they begin; none overlaps another.
    parts: Vec<(u64, Bytes)>,
    held: Vec<Reservation>,
}

impl Fetched {
    pub(super) fn new(parts: Vec<(u64, Bytes)>, held: Vec<Reservation>) -> Self {
        Self { parts, held }
    }

    /// With what another read fetched.
    pub(super) fn and(mut self, more: Self) -> Self {
        self.parts.extend(more.parts);
        self.parts.sort_by_key(|(start, _)| *start);
        self.held.extend(more.held);
        self
    }

    /// What was fetched from `offset` on, up to the end of its part; empty if nothing was.
    pub(crate) fn from(&self, offset: u64) -> Bytes {
        self.part_at(offset).map_or_else(Bytes::new, |(bytes, skip)| bytes.slice(skip..))
    }

    /// The same, borrowed.
    pub(crate) fn slice_from(&self, offset: u64) -> &[u8] {
        self.part_at(offset).map_or(&[], |(bytes, skip)| &bytes[skip..])
    }

    /// The part that `offset` is in, and where in it.
    pub(crate) fn part_at(&self, offset: u64) -> Option<(&Bytes, usize)> {
        let at = self.parts.partition_point(|(start, _)| *start <= offset);
        let (start, bytes) = &self.parts[at.checked_sub(1)?];
        let skip = usize::try_from(offset - start).ok()?;
        (skip < bytes.len()).then_some((bytes, skip))
    }

    /// The memory that the bytes take, for those who keep some of them.
    pub(crate) fn into_held(self) -> Vec<Reservation> {
        self.held
    }
}

/// Reads ranges of one object.
#[derive(Clone)]
pub(crate) struct ObjectReader<'a> {
    pub(crate) bucket: &'a Bucket,
    pub(crate) path: Arc<str>,
    /// Its size in the listing, bytes.
    pub(crate) size: Option<u64>,
    pub(crate) data: Data,
    pub(crate) options: &'a FetchOptions,
    pub(crate) request: &'a Request,
    /// For objects whose parts are kept in memory, with the name they are kept under.
    pub(crate) cache: Option<(&'a ChunkCache, Arc<str>)>,
}

impl ObjectReader<'_> {
    /// Fetches `ranges`, ascending by start, as far as the object goes.
    ///
    /// # Errors
    /// Limits, and failures of the store.
    pub(crate) async fn fetch(&self, ranges: &[Range<u64>]) -> BlockResult<Fetched> {
        let parts = coalesce(ranges.iter().cloned(), self.options.pace.rule());
        let total = parts.iter().map(|p| p.end - p.start).sum();
        let held = self.request.fetch(self.data, ranges.len() as u64, total)?;
        self.request.ctx.check()?;
        // Requests of one query at a time; all queries share the permits.
        let at_a_time = parts.len().clamp(1, 64);
        let parts = stream::iter(parts.into_iter().map(|part| self.part(part)))
            .buffered(at_a_time)
            .try_collect::<Vec<_>>()
            .await?;
        Ok(Fetched { parts, held: vec![held] })
    }

    async fn part(&self, range: Range<u64>) -> BlockResult<(u64, Bytes)> {
        let start = range.start;
        if let Some((cache, name)) = &self.cache {
            let fetch = |range: Range<u64>| self.get(range);
            return Ok((start, cache.read(name, range, fetch).await?));
        }
        Ok((start, self.get(range).await?))
    }

    /// A range that begins behind the end of the object gives nothing: whoever parses it knows what was wanted there.
    pub(super) async fn get(&self, range: Range<u64>) -> BlockResult<Bytes> {
        // The semaphore is never closed.
        let _permit = self.options.permits.acquire().await;
        let start = range.start;
        let (bytes, now) = self.in_time(get_clamped(self.bucket, &self.path, range)).await??;
        self.check_size(start, now)?;
        Ok(bytes)
    }

    /// What `work` comes to, before the deadline of the request.
    pub(super) async fn in_time<T>(&self, work: impl Future<Output = T>) -> BlockResult<T> {
        let Some(deadline) = self.request.ctx.deadline else { return Ok(work.await) };
        tokio::time::timeout_at(deadline.into(), work).await.map_err(|_| {
            BlockError::Fatal(storage::Error::Timeout(format!("query timed out while reading {}", self.path)))
        })
    }

    /// # Errors
    /// When the object has `now` another size than it was listed with.
    pub(super) fn check_size(&self, offset: u64, now: u64) -> BlockResult<()> {
        match self.size {
            Some(listed) if listed != now => {
                let file = self.path.split_once('/').map_or(&*self.path, |(_, file)| file);
                Err(replaced(file, offset, now, listed))
            }
            _ => Ok(()),
        }
    }
}

/// The error for an object that has another size than was listed.
pub(crate) fn replaced(file: &str, offset: u64, now: u64, listed: u64) -> BlockError {
    BlockError::Vanished(format!(
        "{file}: offset {offset}: it has {now} bytes, {listed} when it was listed: it was cut or replaced, the block is looked \
         at again"
    ))
}

/// `range` as far as the object goes, and the object's size: nothing where it begins behind the object's end.
pub(crate) async fn get_clamped(bucket: &Bucket, path: &str, range: Range<u64>) -> objstore::Result<(Bytes, u64)> {
    let start = range.start;
    match bucket.get_range_clamped(path, range).await {
        Ok(read) => Ok(read),
        Err(e) => size_if_behind(bucket, path, start, e).await.map(|size| (Bytes::new(), size)),
    }
}

/// The object's size, if `error` came of a range that begins behind its end, which not every store tells apart from other
/// refusals.
///
/// # Errors
/// `error` where it did not.
pub(super) async fn size_if_behind(
    bucket: &Bucket,
    path: &str,
    start: u64,
    error: objstore::Error,
) -> objstore::Result<u64> {
    if matches!(error.kind(), ErrorKind::Precondition | ErrorKind::Other)
        && let Ok(object) = bucket.head(path).await
        && object.size <= start
    {
        return Ok(object.size);
    }
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(ranges: &[(u64, u64)], rule: JoinRule) -> String {
        let parts = coalesce(ranges.iter().map(|(a, b)| *a..*b), rule);
        parts.iter().map(|p| format!("{}-{}", p.start, p.end)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn coalescing() {
        for (ranges, gap, want) in [
            (&[][..], 10, ""),
            (&[(0, 5), (5, 10)], 0, "0-10"),
            (&[(0, 5), (15, 20)], 10, "0-20"),
            (&[(0, 5), (16, 20)], 10, "0-5 16-20"),
            (&[(0, 5), (3, 4)], 0, "0-5"),
            // However long it gets.
            (&[(0, 50), (50, 100), (100, 150)], 10, "0-150"),
            (&[(5, 5), (7, 9)], 0, "7-9"),
            // Out of order.
            (&[(20, 30), (5, 9)], 10, "20-30 5-9"),
            (&[(0, u64::MAX), (5, u64::MAX)], u64::MAX, "0-18446744073709551615"),
        ] {
            let rule = JoinRule { gap_free_bytes: gap, gap_bytes: gap, fetched_per_wanted: 2 };
            assert_eq!(show(ranges, rule), want, "{ranges:?}");
        }
    }

    #[test]
    fn gaps_are_joined_over_where_it_pays() {
        let rule = JoinRule { gap_free_bytes: 10, gap_bytes: 100, fetched_per_wanted: 2 };
        for (ranges, want) in [
            // As much between as wanted: 2 times, and no more.
            (&[(0, 100), (200, 300)][..], "0-300"),
            (&[(0, 50), (150, 200)], "0-200"),
            (&[(0, 50), (151, 200)], "0-50 151-200"),
            // Never over more than the widest gap, however much is wanted.
            (&[(0, 900), (1001, 1900)], "0-900 1001-1900"),
            // Small gaps always.
            (
                &[(0, 1), (11, 12), (22, 23), (33, 34), (44, 45), (55, 56), (66, 67), (77, 78), (88, 89), (99, 120)],
                "0-120",
            ),
            // No more in all than the widest gap: less than a request costs.
            (&[(0, 5), (50, 55), (95, 100)], "0-100"),
            // Beyond that sparse items stay apart.
            (&[(0, 5), (50, 55), (95, 100), (140, 145)], "0-100 140-145"),
            // Overlaps are wanted once.
            (&[(0, 60), (0, 60), (140, 160)], "0-160"),
            (&[(0, 60), (0, 60), (141, 160)], "0-60 141-160"),
        ] {
            assert_eq!(show(ranges, rule), want, "{ranges:?}");
        }
    }
}
