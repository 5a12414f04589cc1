//! One block of the bucket: what the sync knows of it, and its index-header once a query has needed it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use block::{BlockId, BlockMeta, INDEX_HEADER_FILE, IndexHeader};
use bucket::BlockObjects;
use labels::{Labels, Matcher};
use model::Clock;
use objstore::Bucket;
use parking_lot::Mutex;

use crate::block_set::Spans;
use crate::error::BlockResult;
use crate::header;
use crate::metrics::GatewayMetrics;

/// The label that holds a block's id when blocks are chosen.
const BLOCK_ID_LABEL: &str = "__block_id";

/// No length is guessed to be less: a full chunk of floats that do not compress.
pub(crate) const GUESS_BYTES_MIN: u64 = 1 << 10;
const SERIES: usize = 0;
const CHUNKS: usize = 1;

/// A block.
#[derive(Debug)]
pub struct BucketBlock {
    /// Its name.
    pub id: BlockId,
    /// Its `meta.json`.
    pub meta: Arc<BlockMeta>,
    /// External labels.
    pub labels: Labels,
    index_bytes: Option<u64>,
    /// Names and sizes of the chunk segments, by number.
    segments: Vec<(String, u64)>,
    /// `<data-dir>/<id>`, or nothing is kept on disk.
    dir: Option<PathBuf>,
    header: Mutex<Option<Arc<IndexHeader>>>,
    /// Held while the header is being made, so that it is made once.
    making: tokio::sync::Mutex<()>,
    used_ms: AtomicI64,
    /// The longest entry and chunk record that was read, bytes.
    seen_bytes: [AtomicU32; 2],
}

impl Spans for Arc<BucketBlock> {
    fn min_time(&self) -> i64 {
        self.meta.min_time
    }

    fn max_time(&self) -> i64 {
        self.meta.max_time
    }

    fn resolution_ms(&self) -> i64 {
        self.meta.resolution_ms()
    }
}

impl BucketBlock {
    /// A block as the listing shows it; `data_dir` is where headers are kept.
    pub fn new(meta: Arc<BlockMeta>, objects: Option<&BlockObjects>, data_dir: Option<&PathBuf>) -> Self {
        let id = meta.ulid;
        let labels = Labels::from_pairs(meta.thanos.iter().flat_map(|t| &t.labels));
        let mut segments: Vec<(String, u64)> = objects
            .iter()
            .flat_map(|o| o.objects.range("chunks/".to_owned().."chunks0".to_owned()))
            .filter(|(path, _)| {
                let name = &path["chunks/".len()..];
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit())
            })
            .map(|(path, object)| (path.clone(), object.size))
            .collect();
        segments.sort_unstable();
        Self {
            id,
            labels,
            index_bytes: objects.and_then(|o| o.objects.get("index")).map(|o| o.size),
            segments,
            dir: data_dir.map(|d| d.join(id.to_string())),
            meta,
            header: Mutex::new(None),
            making: tokio::sync::Mutex::new(()),
            used_ms: AtomicI64::new(0),
            seen_bytes: Default::default(),
        }
    }

    /// How it is called in warnings.
    pub fn name(&self) -> String {
        format!("block {}", self.id)
    }

    /// The key of its index.
    pub fn index_path(&self) -> String {
        format!("{}/index", self.id)
    }

    /// The name inside the block and the size (if the listing showed it) of segment `n`, counted from 0.
    pub fn segment(&self, n: u32) -> (String, Option<u64>) {
        match self.segments.get(n as usize) {
            Some((name, size)) => (name.clone(), Some(*size)),
            None => (format!("chunks/{:06}", u64::from(n) + 1), None),
        }
    }

    /// The size of segment `n`, if the listing showed it.
    pub fn segment_bytes(&self, n: u32) -> Option<u64> {
        self.segments.get(n as usize).map(|(_, size)| *size)
    }

    /// A guess for the longest series entry: what the block's maker found, else somewhat more than the longest that was
    /// read, else `default`.
    pub fn series_bytes(&self, default: u64) -> u64 {
        let known = self.meta.thanos.as_ref().map_or(0, |t| t.index_stats.series_max_size);
        self.guess(SERIES, known, default)
    }

    /// The same for the longest chunk.
    pub fn chunk_bytes(&self, default: u64) -> u64 {
        let known = self.meta.thanos.as_ref().map_or(0, |t| t.index_stats.chunk_max_size);
        self.guess(CHUNKS, known, default)
    }

    fn guess(&self, kind: usize, known: u64, default: u64) -> u64 {
        let seen = u64::from(self.seen_bytes[kind].load(Ordering::Relaxed));
        match (known, seen) {
            // Length and checksum come on top.
            (1.., _) => (known + 16).min(default),
            // What is longer costs a request of its own, so there is some room.
            (_, 1..) => (seen + seen / 2).max(GUESS_BYTES_MIN).min(default),
            _ => default,
        }
    }

    /// Notes that a series entry of `bytes` was read.
    pub(crate) fn saw_series(&self, bytes: u64) {
        self.saw(SERIES, bytes);
    }

    /// Notes that a chunk record of `bytes` was read.
    pub(crate) fn saw_chunk(&self, bytes: u64) {
        self.saw(CHUNKS, bytes);
    }

    fn saw(&self, kind: usize, bytes: u64) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        // Rarely the longest so far: reading is cheaper than writing.
        if bytes > self.seen_bytes[kind].load(Ordering::Relaxed) {
            self.seen_bytes[kind].fetch_max(bytes, Ordering::Relaxed);
        }
    }

    /// Whether external labels and `__block_id` satisfy `matchers`.
    pub fn matches(&self, matchers: &[Matcher]) -> bool {
        let id = self.id.to_string();
        matchers.iter().all(|m| match m.name() {
            BLOCK_ID_LABEL => m.matches(&id),
            name => m.matches(self.labels.get(name).unwrap_or("")),
        })
    }

    /// The matchers that are about the series' own labels, or `None` if an external label does not match.
    pub fn narrow(&self, matchers: &[Matcher]) -> Option<Vec<Matcher>> {
        let mut left = Vec::with_capacity(matchers.len());
        for matcher in matchers {
            match self.labels.get(matcher.name()) {
                Some(value) if !matcher.matches(value) => return None,
                Some(_) => {}
                None => left.push(matcher.clone()),
            }
        }
        Some(left)
    }

    /// The index-header: open, or opened from disk, or made from the bucket.
    ///
    /// # Errors
    /// Damage of the index, and failures of store and disk.
    pub(crate) async fn header(
        &self,
        bucket: &Bucket,
        clock: &dyn Clock,
        metrics: &GatewayMetrics,
        options: &header::HeaderOptions,
    ) -> BlockResult<Arc<IndexHeader>> {
        self.used_ms.store(clock.now_ms(), Ordering::Relaxed);
        if let Some(open) = self.header.lock().clone() {
            return Ok(open);
        }
        let _one = self.making.lock().await;
        if let Some(open) = self.header.lock().clone() {
            return Ok(open);
        }
        let began = std::time::Instant::now();
        metrics.header_loads.inc();
        let file = self.dir.as_ref().map(|d| d.join(INDEX_HEADER_FILE));
        match header::open_or_make(bucket, &self.index_path(), self.index_bytes, file, options).await {
            Ok(header) => {
                metrics.block_load_seconds.observe(began.elapsed().as_secs_f64());
                let header = Arc::new(header);
                *self.header.lock() = Some(header.clone());
                Ok(header)
            }
            Err(e) => {
                metrics.header_load_failures.inc();
                Err(e)
            }
        }
    }

    /// Closes the header if nobody uses it and nobody did since `before_ms`; true if it was closed.
    pub(crate) fn close_unused(&self, before_ms: i64) -> bool {
        let mut header = self.header.lock();
        let unused = header.as_ref().is_some_and(|h| Arc::strong_count(h) == 1)
            && self.used_ms.load(Ordering::Relaxed) < before_ms;
        if unused {
            *header = None;
        }
        unused
    }

    /// Whether the header is open.
    pub fn is_open(&self) -> bool {
        self.header.lock().is_some()
    }

    /// Whether a header lies on disk, whole or not.
    pub(crate) fn is_on_disk(&self) -> bool {
        self.dir.as_ref().is_some_and(|d| d.join(INDEX_HEADER_FILE).exists())
    }

    /// Where its files are kept.
    pub(crate) fn dir(&self) -> Option<&PathBuf> {
        self.dir.as_ref()
    }
}
