//! One block of the bucket: what the sync knows of it, and its index-header once a query has needed it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use block::survey::Survey;
use block::{BlockId, BlockMeta, INDEX_HEADER_FILE, IndexHeader};
use bucket::BlockObjects;
use labels::{Labels, Matcher};
use model::Clock;
use objstore::{Bucket, Object};
use parking_lot::Mutex;

use crate::block_set::Spans;
use crate::error::BlockResult;
use crate::header::Opened;
use crate::index_body::IndexBody;
use crate::metrics::GatewayMetrics;
use crate::{header, header_file};

/// The label that holds a block's id when blocks are chosen.
const BLOCK_ID_LABEL: &str = "__block_id";

/// No length is guessed to be less: a full chunk of floats that do not compress.
pub(crate) const GUESS_BYTES_MIN: u64 = 1 << 10;
const SERIES: usize = 0;
const CHUNKS: usize = 1;

#[derive(Debug)]
pub struct BucketBlock {
    pub id: BlockId,
    pub meta: Arc<BlockMeta>,
    pub labels: Labels,
    index: Option<Object>,
    index_path: Arc<str>,
    /// Names and sizes of the chunk segments, by the number that is their name.
    segments: BTreeMap<u32, (String, u64)>,
    /// Changes with the index and the segments that the listing shows.
    stamp: u64,
    /// What is cached of the block goes under this: another block put in its place gets another.
    cache_id: BlockId,
    /// `<data-dir>/<id>`, or nothing is kept on disk.
    dir: Option<PathBuf>,
    header: Mutex<Option<Arc<IndexHeader>>>,
    /// Its series and postings, if they are kept on disk.
    pub(crate) body: Arc<IndexBody>,
    /// Held while the header is being made, so that it is made once.
    making: tokio::sync::Mutex<()>,
    reading_whole: tokio::sync::Mutex<()>,
    used_ms: AtomicI64,
    /// The longest entry and chunk record that was read, bytes.
    seen_bytes: [AtomicU32; 2],
    /// What its series entries showed when the header was made.
    survey: OnceLock<Survey>,
    /// Set when they contradict `meta.json`.
    contradiction: OnceLock<Contradiction>,
    disordered: AtomicBool,
    odd_postings: AtomicBool,
}

/// Data outside of the time that `meta.json` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contradiction {
    /// What `meta.json` tells and what was seen, together.
    range: (i64, i64),
    /// Whether there can be no data outside of that.
    pub(crate) is_complete: bool,
    /// For people.
    pub(crate) text: String,
}

impl Spans for Arc<BucketBlock> {
    fn min_time(&self) -> i64 {
        self.range().0
    }

    fn max_time(&self) -> i64 {
        self.range().1
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
        let index = objects.and_then(|o| o.objects.get("index")).cloned();
        let stamp = stamp(objects);
        let random = id.0.random() ^ u128::from(stamp);
        let dir = data_dir.map(|d| d.join(id.to_string()));
        Self {
            id,
            labels,
            index_path: format!("{id}/index").into(),
            segments: segments(objects),
            stamp,
            cache_id: BlockId::new(id.time_ms() as u64, random),
            meta,
            header: Mutex::new(None),
            body: Arc::new(IndexBody::new(dir.as_ref().filter(|_| index.is_some()), stamp)),
            dir,
            index,
            making: tokio::sync::Mutex::new(()),
            reading_whole: tokio::sync::Mutex::new(()),
            used_ms: AtomicI64::new(0),
            seen_bytes: Default::default(),
            survey: OnceLock::new(),
            contradiction: OnceLock::new(),
            disordered: AtomicBool::new(false),
            odd_postings: AtomicBool::new(false),
        }
    }

    /// Whether it is the block that `meta` and the listing tell of.
    pub(crate) fn is_of(&self, meta: &Arc<BlockMeta>, objects: Option<&BlockObjects>) -> bool {
        (Arc::ptr_eq(&self.meta, meta) || self.meta == *meta) && self.stamp == stamp(objects)
    }

    /// The time of its data, the end excluded.
    pub(crate) fn range(&self) -> (i64, i64) {
        self.contradiction.get().map_or((self.meta.min_time, self.meta.max_time), |c| c.range)
    }

    /// Under what its parts are cached.
    pub(crate) fn cache_id(&self) -> BlockId {
        self.cache_id
    }

    /// The size of its index, if the listing showed it.
    pub(crate) fn index_bytes(&self) -> Option<u64> {
        self.index.as_ref().map(|o| o.size)
    }

    /// Takes over what an earlier run found out when it made the header that is kept on disk, if it is this index'.
    pub(crate) fn recall(&self) {
        let (Some(file), Some(index)) = (self.header_file(), &self.index) else { return };
        if let Some(survey) = header_file::kept_survey(&file, self.id, index) {
            self.surveyed(survey);
        }
    }

    fn surveyed(&self, survey: Survey) {
        if survey.is_disordered {
            self.disordered.store(true, Ordering::Relaxed);
        }
        _ = self.survey.set(survey);
    }

    /// Whether its series were found out of order.
    pub(crate) fn is_disordered(&self) -> bool {
        self.disordered.load(Ordering::Relaxed)
    }

    /// Whether all its series are known to stand in order.
    pub(crate) fn is_ordered(&self) -> bool {
        !self.is_disordered() && self.survey.get().is_some_and(|s| s.is_complete)
    }

    /// Notes that its series are out of order; true if that is news.
    pub(crate) fn found_disordered(&self) -> bool {
        !self.disordered.swap(true, Ordering::Relaxed)
    }

    /// Notes that one of its postings lists is out of order.
    pub(crate) fn found_odd_postings(&self) {
        self.odd_postings.store(true, Ordering::Relaxed);
    }

    /// Whether one of its postings lists was found out of order.
    pub(crate) fn has_odd_postings(&self) -> bool {
        self.odd_postings.load(Ordering::Relaxed)
    }

    /// What is known to contradict `meta.json`.
    pub(crate) fn contradiction(&self) -> Option<&Contradiction> {
        self.contradiction.get()
    }

    /// Holds `meta.json` against what was seen of the series; true if that was found out now. The block is from then on
    /// asked for the time of both.
    pub(crate) fn contradicts(&self) -> bool {
        let Some(survey) = self.survey.get().filter(|s| s.min_time <= s.max_time) else { return false };
        let (min, max) = (self.meta.min_time, self.meta.max_time);
        // what a window of downsampled data shows bears the time of its end
        let spare = self.meta.resolution_ms().max(0);
        let inside = survey.min_time.saturating_add(spare) >= min && survey.max_time.saturating_sub(spare) <= max;
        if inside || self.contradiction.get().is_some() {
            return false;
        }
        let end = survey.max_time.saturating_add(1);
        let text = format!(
            "its meta.json is corrupt: it tells of data from {min} to {max}, its index has some from {} to {}; find a sound \
             copy of meta.json, or correct it",
            survey.min_time, survey.max_time
        );
        let range = (min.min(survey.min_time), max.max(end));
        self.contradiction.set(Contradiction { range, is_complete: survey.is_complete, text }).is_ok()
    }

    /// How it is called in warnings.
    pub fn name(&self) -> String {
        format!("block {}", self.id)
    }

    /// The key of its index.
    pub fn index_path(&self) -> &Arc<str> {
        &self.index_path
    }

    /// Held while its index is read whole, so that it is read once.
    pub(crate) async fn reading_whole(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.reading_whole.lock().await
    }

    /// The name inside the block and the size (if the listing showed it) of segment `n`, counted from 0.
    pub fn segment(&self, n: u32) -> (String, Option<u64>) {
        match self.segments.get(&n.saturating_add(1)) {
            Some((name, size)) => (name.clone(), Some(*size)),
            None => (format!("chunks/{:06}", u64::from(n) + 1), None),
        }
    }

    /// The size of segment `n`, if the listing showed it.
    pub fn segment_bytes(&self, n: u32) -> Option<u64> {
        self.segments.get(&n.saturating_add(1)).map(|(_, size)| *size)
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
        let source = header::Source { id: self.id, path: self.index_path(), index: self.index.as_ref() };
        match header::open_or_make(bucket, source, self.header_file(), options).await {
            Ok(Opened { header, survey, body }) => {
                self.surveyed(survey);
                if let Some(body) = body {
                    self.body.keep(body).await;
                }
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
            self.body.close();
        }
        unused
    }

    /// Whether the header is open.
    pub fn is_open(&self) -> bool {
        self.header.lock().is_some()
    }

    /// Whether a header of this very index lies on disk, whole or not.
    pub(crate) fn is_on_disk(&self) -> bool {
        self.survey.get().is_some() && self.header_file().is_some_and(|file| file.exists())
    }

    fn header_file(&self) -> Option<PathBuf> {
        self.dir.as_ref().map(|d| d.join(INDEX_HEADER_FILE))
    }

    /// Where its files are kept.
    pub(crate) fn dir(&self) -> Option<&PathBuf> {
        self.dir.as_ref()
    }
}

fn segments(objects: Option<&BlockObjects>) -> BTreeMap<u32, (String, u64)> {
    let listed = objects.iter().flat_map(|o| o.objects.range("chunks/".to_owned().."chunks0".to_owned()));
    let numbered = listed.filter_map(|(path, object)| {
        let name = &path["chunks/".len()..];
        let is_number = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
        Some((name.parse().ok().filter(|_| is_number)?, (path.clone(), object.size)))
    });
    numbered.collect()
}

fn stamp(objects: Option<&BlockObjects>) -> u64 {
    let mut hasher = DefaultHasher::new();
    let data = objects.iter().flat_map(|o| &o.objects);
    for (path, object) in data.filter(|(path, _)| *path == "index" || path.starts_with("chunks/")) {
        (path, object.size, object.last_modified_ms, &object.etag).hash(&mut hasher);
    }
    hasher.finish()
}
