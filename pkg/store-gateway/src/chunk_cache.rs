//! Parts of chunk segments kept in memory or on disk, in pieces of equal size. Off unless configured.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use bytes::{Bytes, BytesMut};
use futures::future::try_join_all;
use moka::sync::Cache;
use telemetry::{Counter, Gauge, Metrics, Occasionally};

use crate::disk_cache::DiskCache;
use crate::error::BlockResult;

/// What an entry costs beside its data, in bytes.
const OVERHEAD_BYTES: usize = 160;
/// Pieces on their way to the disk; those that come when it is slower are not kept.
const QUEUED: usize = 256;

/// How much to keep, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkCacheOptions {
    /// Bytes in memory; 0 = none.
    pub max_bytes: u64,
    pub piece_bytes: u64,
    /// Requests for one range; missing pieces that are further apart are fetched together.
    pub requests_max: usize,
    /// Where pieces are kept on disk, and how many bytes of them.
    pub disk: Option<(PathBuf, u64)>,
}

type Key = (Arc<str>, u64);

/// Pieces on disk, and the thread that writes them.
#[derive(Debug)]
struct Disk {
    cache: Arc<DiskCache>,
    /// `None` when the cache ends.
    queue: Option<SyncSender<(Arc<str>, u64, Bytes)>>,
    writer: Option<JoinHandle<()>>,
    metrics: DiskMetrics,
    failing: Arc<Occasionally>,
}

#[derive(Debug, Clone)]
struct DiskMetrics {
    size: Gauge,
    failures: Counter,
}

/// The cache. Segments never change, so nothing goes stale.
#[derive(Debug)]
pub struct ChunkCache {
    pieces: Option<Cache<Key, Bytes>>,
    disk: Option<Disk>,
    options: ChunkCacheOptions,
    requested: Counter,
    hits: Counter,
}

impl Disk {
    fn open((dir, max_bytes): &(PathBuf, u64), piece_bytes: u64, metrics: &Metrics) -> io::Result<Self> {
        let cache = Arc::new(DiskCache::open(dir, *max_bytes, piece_bytes)?);
        let metrics = DiskMetrics {
            size: metrics.gauge("aion_store_chunk_cache_disk_bytes", "Bytes of the chunk cache on disk."),
            failures: metrics.counter(
                "aion_store_chunk_cache_disk_failures_total",
                "Reads and writes of the chunk cache on disk that failed, checksums included.",
            ),
        };
        let (queue, queued) = sync_channel::<(Arc<str>, u64, Bytes)>(QUEUED);
        let failing = Arc::new(Occasionally::minutely());
        let (writer, shown, told) = (cache.clone(), metrics.clone(), failing.clone());
        let thread = std::thread::Builder::new().name("chunk-cache".to_owned()).spawn(move || {
            writer.recover();
            shown.size.set(writer.size_bytes() as f64);
            for (name, offset, piece) in queued {
                if let Err(e) = writer.put(&name, offset, &piece) {
                    failed(&shown, &told, &e);
                }
                shown.size.set(writer.size_bytes() as f64);
            }
        })?;
        Ok(Self { cache, queue: Some(queue), writer: Some(thread), metrics, failing })
    }

    /// The pieces at `offsets` that are here.
    async fn get(&self, name: &Arc<str>, offsets: Vec<u64>) -> Vec<Option<Bytes>> {
        let count = offsets.len();
        let (cache, name) = (self.cache.clone(), name.clone());
        let (metrics, failing) = (self.metrics.clone(), self.failing.clone());
        let read = move || {
            let get = |offset| {
                cache.get(&name, offset).unwrap_or_else(|e| {
                    failed(&metrics, &failing, &e);
                    None
                })
            };
            offsets.into_iter().map(get).collect()
        };
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| vec![None; count])
    }
}

impl Drop for Disk {
    /// Whoever comes next finds the directory free.
    fn drop(&mut self) {
        self.cache.stop();
        self.queue = None;
        if let Some(Err(_)) = self.writer.take().map(JoinHandle::join) {
            tracing::warn!("the writer of the chunk cache ended early");
        }
    }
}

fn failed(metrics: &DiskMetrics, failing: &Occasionally, e: &io::Error) {
    metrics.failures.inc();
    if let Some(before) = failing.count() {
        tracing::warn!(err = %e, before, "the chunk cache on disk fails, what it should hold is read from the bucket");
    }
}

impl ChunkCache {
    /// The cache, with what an earlier run left on disk.
    ///
    /// # Errors
    /// When its directory cannot be written, or another process caches there.
    pub fn new(options: ChunkCacheOptions, metrics: &Metrics) -> io::Result<Self> {
        let counter = |name: &str, help: &str| metrics.counters(name, help, &["config"]).with(&["chunks"]);
        let options = ChunkCacheOptions {
            piece_bytes: options.piece_bytes.max(1),
            requests_max: options.requests_max.max(1),
            ..options
        };
        let in_memory = || {
            let weigher =
                |key: &Key, piece: &Bytes| (key.0.len() + piece.len() + OVERHEAD_BYTES).try_into().unwrap_or(u32::MAX);
            Cache::builder().max_capacity(options.max_bytes).weigher(weigher).build()
        };
        Ok(Self {
            pieces: (options.max_bytes > 0).then(in_memory),
            disk: options.disk.as_ref().map(|disk| Disk::open(disk, options.piece_bytes, metrics)).transpose()?,
            requested: counter(
                "thanos_store_bucket_cache_operation_requests_total",
                "Pieces of segments asked of the chunk cache.",
            ),
            hits: counter("thanos_store_bucket_cache_operation_hits_total", "Pieces that the chunk cache had."),
            options,
        })
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
        let mut pieces = self.have(&path, (first..end).map(|n| n * size)).await;
        let missing: Vec<u64> = (first..end).filter(|n| pieces[(n - first) as usize].is_none()).collect();
        let runs = runs(&missing, self.options.requests_max);
        let bodies = try_join_all(runs.iter().map(|run| fetch(run.start * size..run.end * size))).await?;
        for (run, body) in runs.into_iter().zip(bodies) {
            for n in run.clone() {
                let start = ((n - run.start) * size) as usize;
                let piece = &body[start.min(body.len())..(start + size as usize).min(body.len())];
                // Copied, or a piece would keep its whole request in memory.
                let piece = Bytes::copy_from_slice(piece);
                self.keep(&path, n * size, &piece);
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

    /// The pieces that `range` touches, as far as an object of `object_bytes` goes.
    pub(crate) fn pieces(
        &self,
        range: &Range<u64>,
        object_bytes: Option<u64>,
    ) -> impl Iterator<Item = Range<u64>> + use<> {
        let (size, end) = (self.options.piece_bytes, object_bytes.unwrap_or(u64::MAX));
        let numbers = range.start / size..range.end.min(end).div_ceil(size);
        numbers.map(move |n| n * size..((n + 1).saturating_mul(size)).min(end))
    }

    /// What is to be read for `ranges`, which ascend: whole pieces, none of which is here.
    pub(crate) fn missing(&self, path: &Arc<str>, ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
        let mut missing: Vec<Range<u64>> = Vec::new();
        let mut next = 0;
        for range in ranges {
            for piece in self.pieces(&(range.start.max(next)..range.end), None) {
                next = piece.end;
                if self.has(path, piece.start) {
                    continue;
                }
                match missing.last_mut() {
                    Some(last) if last.end == piece.start => last.end = piece.end,
                    _ => missing.push(piece),
                }
            }
        }
        missing
    }

    fn has(&self, path: &Arc<str>, start: u64) -> bool {
        self.pieces.as_ref().is_some_and(|pieces| pieces.contains_key(&(path.clone(), start)))
            || self.disk.as_ref().is_some_and(|disk| disk.cache.has(path, start))
    }

    /// The pieces that begin at `starts`, as far as they are here.
    pub(crate) async fn have(&self, path: &Arc<str>, starts: impl IntoIterator<Item = u64>) -> Vec<Option<Bytes>> {
        let starts: Vec<u64> = starts.into_iter().collect();
        let in_memory = |start: &u64| self.pieces.as_ref()?.get(&(path.clone(), *start));
        let mut found: Vec<Option<Bytes>> = starts.iter().map(in_memory).collect();
        if let Some(disk) = &self.disk {
            let missing: Vec<usize> =
                (0..starts.len()).filter(|at| found[*at].is_none() && disk.cache.has(path, starts[*at])).collect();
            if !missing.is_empty() {
                let pieces = disk.get(path, missing.iter().map(|at| starts[*at]).collect()).await;
                for (at, piece) in missing.into_iter().zip(pieces) {
                    if let (Some(piece), Some(pieces)) = (&piece, &self.pieces) {
                        pieces.insert((path.clone(), starts[at]), piece.clone());
                    }
                    found[at] = piece;
                }
            }
        }
        self.requested.inc_by(starts.len() as u64);
        self.hits.inc_by(found.iter().flatten().count() as u64);
        found
    }

    /// Keeps a piece, which shares its memory with nothing.
    pub(crate) fn keep(&self, path: &Arc<str>, start: u64, piece: &Bytes) {
        if let Some(pieces) = &self.pieces {
            pieces.insert((path.clone(), start), piece.clone());
        }
        if let Some(disk) = &self.disk {
            // A disk that does not keep up has no room for it.
            _ = disk.queue.as_ref().map(|queue| queue.try_send((path.clone(), start, piece.clone())));
        }
    }

    /// Drops the pieces of `range`: what they hold did not pass its checksum.
    pub(crate) fn forget(&self, path: &str, range: &Range<u64>) {
        let path: Arc<str> = path.into();
        for piece in self.pieces(range, None) {
            if let Some(pieces) = &self.pieces {
                pieces.invalidate(&(path.clone(), piece.start));
            }
            if let Some(disk) = &self.disk {
                disk.cache.forget(&path, piece.start);
            }
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
        let options = ChunkCacheOptions { max_bytes: 1 << 20, piece_bytes: 10, requests_max: 3, disk: None };
        let cache = ChunkCache::new(options, &Metrics::new()).unwrap();
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
