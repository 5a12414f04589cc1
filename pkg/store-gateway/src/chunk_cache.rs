//! Parts of chunk segments kept in memory, in pieces of equal size. Off unless configured.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::future::try_join_all;
use moka::sync::Cache;
use telemetry::{Counter, Metrics};

use crate::error::BlockResult;

/// What an entry costs beside its data, in bytes.
const OVERHEAD_BYTES: usize = 160;

/// How much to keep, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkCacheOptions {
    pub max_bytes: u64,
    pub piece_bytes: u64,
    /// Requests for one range; missing pieces that are further apart are fetched together.
    pub requests_max: usize,
}

type Key = (Arc<str>, u64);

/// The cache. Segments never change, so nothing goes stale.
#[derive(Debug)]
pub struct ChunkCache {
    pieces: Cache<Key, Bytes>,
    options: ChunkCacheOptions,
    requested: Counter,
    hits: Counter,
}

impl ChunkCache {
    pub fn new(options: ChunkCacheOptions, metrics: &Metrics) -> Self {
        let counter = |name: &str, help: &str| metrics.counters(name, help, &["config"]).with(&["chunks"]);
        Self {
            pieces: Cache::builder()
                .max_capacity(options.max_bytes)
                .weigher(|key: &Key, piece: &Bytes| {
                    (key.0.len() + piece.len() + OVERHEAD_BYTES).try_into().unwrap_or(u32::MAX)
                })
                .build(),
            options: ChunkCacheOptions {
                piece_bytes: options.piece_bytes.max(1),
                requests_max: options.requests_max.max(1),
                ..options
            },
            requested: counter(
                "thanos_store_bucket_cache_operation_requests_total",
                "Pieces of segments asked of the chunk cache.",
            ),
            hits: counter("thanos_store_bucket_cache_operation_hits_total", "Pieces that the chunk cache had."),
        }
    }

    /// `range` of `path` as far as the object goes; what is missing comes from `fetch`, which may give less than asked
    /// at the end of the object.
    pub(crate) async fn read<F: Future<Output = BlockResult<Bytes>>>(
        &self,
        path: &str,
        range: Range<u64>,
        fetch: impl Fn(Range<u64>) -> F,
    ) -> BlockResult<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let size = self.options.piece_bytes;
        let (first, end) = (range.start / size, range.end.div_ceil(size));
        let path: Arc<str> = path.into();
        let mut pieces: Vec<Option<Bytes>> = (first..end).map(|n| self.pieces.get(&(path.clone(), n))).collect();
        self.requested.inc_by(pieces.len() as u64);
        let missing: Vec<u64> = (first..end).filter(|n| pieces[(n - first) as usize].is_none()).collect();
        self.hits.inc_by((pieces.len() - missing.len()) as u64);
        let runs = runs(&missing, self.options.requests_max);
        let bodies = try_join_all(runs.iter().map(|run| fetch(run.start * size..run.end * size))).await?;
        for (run, body) in runs.into_iter().zip(bodies) {
            for n in run.clone() {
                let start = ((n - run.start) * size) as usize;
                let piece = &body[start.min(body.len())..(start + size as usize).min(body.len())];
                // Copied, or a piece would keep its whole request in memory.
                let piece = Bytes::copy_from_slice(piece);
                self.pieces.insert((path.clone(), n), piece.clone());
                pieces[(n - first) as usize] = Some(piece);
            }
        }
        let mut out = BytesMut::with_capacity((range.end - range.start) as usize);
        for (n, piece) in (first..end).zip(pieces) {
            let piece = piece.unwrap_or_default();
            let skip = range.start.saturating_sub(n * size).min(piece.len() as u64) as usize;
            let take = (range.end - n * size).min(piece.len() as u64) as usize;
            out.extend_from_slice(&piece[skip..take.max(skip)]);
            if (piece.len() as u64) < size {
                break;
            }
        }
        Ok(out.freeze())
    }

    /// Drops the pieces of `range`: what they hold did not pass its checksum.
    pub(crate) fn forget(&self, path: &str, range: &Range<u64>) {
        let size = self.options.piece_bytes;
        let path: Arc<str> = path.into();
        for n in range.start / size..range.end.div_ceil(size) {
            self.pieces.invalidate(&(path.clone(), n));
        }
    }
}

/// Runs of consecutive numbers; where they are more than `max`, those closest to each other become one.
fn runs(numbers: &[u64], max: usize) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for n in numbers {
        match runs.last_mut() {
            Some(run) if run.end == *n => run.end = n + 1,
            _ => runs.push(*n..n + 1),
        }
    }
    while runs.len() > max {
        let closest = (1..runs.len()).min_by_key(|i| runs[*i].start - runs[i - 1].end).unwrap_or(1);
        let joined = runs.remove(closest);
        runs[closest - 1].end = joined.end;
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn runs_join_where_they_are_near() {
        assert_eq!(runs(&[1, 2, 3, 7, 9, 20], 3), [1..4, 7..10, 20..21]);
        assert_eq!(runs(&[1, 5, 9], 2), [1..6, 9..10]);
        assert!(runs(&[], 3).is_empty());
    }

    #[tokio::test]
    async fn reads_what_is_there() {
        let object: Vec<u8> = (0..105u8).collect();
        let options = ChunkCacheOptions { max_bytes: 1 << 20, piece_bytes: 10, requests_max: 3 };
        let cache = ChunkCache::new(options, &Metrics::new());
        let fetches = AtomicUsize::new(0);
        let bodies = parking_lot::Mutex::new(Vec::new());
        let fetch = |r: Range<u64>| {
            fetches.fetch_add(1, Ordering::Relaxed);
            let end = (r.end as usize).min(object.len());
            let bytes = object.get(r.start as usize..end).map(Bytes::copy_from_slice).unwrap_or_default();
            if !bytes.is_empty() {
                bodies.lock().push(bytes.clone());
            }
            std::future::ready(Ok(bytes))
        };
        for (range, want_fetches) in
            [(15..25, 1), (15..25, 0), (10..30, 0), (5..35, 2), (0..40, 0), (95..200, 1), (300..310, 1)]
        {
            fetches.store(0, Ordering::Relaxed);
            let got = cache.read("x", range.clone(), fetch).await.unwrap();
            let end = (range.end as usize).min(object.len());
            assert_eq!(got[..], *object.get(range.start as usize..end).unwrap_or_default(), "{range:?}");
            assert_eq!(fetches.load(Ordering::Relaxed), want_fetches, "{range:?}");
        }
        assert!(bodies.lock().iter().all(Bytes::is_unique), "pieces share memory with their request");
        cache.forget("x", &(15..16));
        fetches.store(0, Ordering::Relaxed);
        cache.read("x", 15..16, fetch).await.unwrap();
        assert_eq!(fetches.load(Ordering::Relaxed), 1);
    }
}
