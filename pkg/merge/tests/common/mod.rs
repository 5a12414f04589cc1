//! What the merge tests share: blocks from plain samples, written as loosely as foreign writers do, and reading back.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use block::chunk_reader::SEGMENT_MAGIC;
use block::meta::Downsample;
use block::series::{RawEntry, put_entry};
use block::toc::INDEX_MAGIC;
use block::{BlockId, BlockMeta, ChunkMeta, LocalBlock, ThanosMeta, Toc};
use chunkenc::{Column, Encoding, HistogramColumn, TimedChunk, decode_floats, decode_histograms, encode_xor};
use encoding::{put_string, put_uvarint};
use futures::TryStreamExt;
use labels::Labels;
use merge::{Error, Finished, Input, Job, Limits, Options, Progress, Vertical};
use objstore::Bucket;
use service::Failpoints;
use tokio_util::sync::CancellationToken;

/// Samples of all series, as text, so that NaN and histograms compare.
pub type Samples = BTreeMap<String, BTreeMap<i64, String>>;

/// One series as it is to be written: in this order, chunks in this order.
#[derive(Debug, Clone)]
pub struct RawSeries {
    pub labels: Vec<(String, String)>,
    pub chunks: Vec<TimedChunk>,
}

pub fn raw(labels: &[(&str, &str)], chunks: Vec<TimedChunk>) -> RawSeries {
    RawSeries { labels: labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(), chunks }
}

/// An XOR chunk.
pub fn xor(samples: &[(i64, f64)]) -> TimedChunk {
    let times = samples.iter().map(|s| s.0);
    TimedChunk {
        min_time: times.clone().min().unwrap_or(0),
        max_time: times.max().unwrap_or(0),
        encoding: Encoding::Xor,
        data: encode_xor(samples.iter().copied()).unwrap().into(),
    }
}

/// `count` samples from `start`, `step` apart, in chunks of 120; values count up from `value`.
pub fn ramp(start: i64, step: i64, count: usize, value: f64) -> Vec<TimedChunk> {
    let samples: Vec<(i64, f64)> = (0..count).map(|i| (start + i as i64 * step, value + i as f64)).collect();
    samples.chunks(120).map(xor).collect()
}

/// How to lay a block out.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    pub version: u8,
    pub segment_bytes: usize,
}

impl Default for Layout {
    fn default() -> Self {
        Self { version: 2, segment_bytes: 512 << 20 }
    }
}

/// A block's files: name and bytes.
pub type Files = Vec<(String, Vec<u8>)>;

pub fn id(n: u64) -> BlockId {
    BlockId::new(1_700_000_000_000 + n, u128::from(n))
}

pub fn meta_of(block: BlockId, min_time: i64, max_time: i64, labels: &[(&str, &str)]) -> BlockMeta {
    let mut meta = BlockMeta { ulid: block, min_time, max_time, version: 1, ..BlockMeta::default() };
    meta.compaction.level = 1;
    meta.compaction.sources = vec![block];
    let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    meta.thanos = Some(ThanosMeta { version: 1, labels, source: "test".to_owned(), ..ThanosMeta::default() });
    meta
}

/// Writes series exactly as they come: no order is asked for.
pub fn files_of(series: &[RawSeries], layout: Layout) -> Files {
    let mut files = Files::new();
    let mut segment: Vec<u8> = Vec::new();
    let mut segments = 0u64;
    let mut metas = Vec::new();
    for one in series {
        let mut chunks = Vec::new();
        for chunk in &one.chunks {
            let mut record = Vec::new();
            put_uvarint(&mut record, chunk.data.len() as u64);
            let start = record.len();
            record.push(chunk.encoding as u8);
            record.extend_from_slice(&chunk.data);
            let crc = crc32c::crc32c(&record[start..]);
            record.extend_from_slice(&crc.to_be_bytes());
            if segment.is_empty() || segment.len() + record.len() > layout.segment_bytes {
                if !segment.is_empty() {
                    files.push((format!("chunks/{segments:06}"), std::mem::take(&mut segment)));
                }
                segments += 1;
                segment.extend_from_slice(&SEGMENT_MAGIC.to_be_bytes());
                segment.extend_from_slice(&[1, 0, 0, 0]);
            }
            let reference = (segments - 1) << 32 | segment.len() as u64;
            chunks.push(ChunkMeta { min_time: chunk.min_time, max_time: chunk.max_time, reference });
            segment.extend_from_slice(&record);
        }
        metas.push(chunks);
    }
    if !segment.is_empty() {
        files.push((format!("chunks/{segments:06}"), segment));
    }
    files.push(("index".to_owned(), index_of(series, &metas, layout.version)));
    files
}

fn section(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(&(body.len() as u32).to_be_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(&crc32c::crc32c(body).to_be_bytes());
}

fn index_of(series: &[RawSeries], metas: &[Vec<ChunkMeta>], version: u8) -> Vec<u8> {
    let mut texts: Vec<&str> = series.iter().flat_map(|s| &s.labels).flat_map(|(n, v)| [&**n, &**v]).collect();
    texts.sort_unstable();
    texts.dedup();
    if version == 1 {
        // Known by their offsets, in any order.
        texts.reverse();
    }
    let mut out = INDEX_MAGIC.to_be_bytes().to_vec();
    out.push(version);
    let mut toc = Toc { symbols: 5, ..Toc::default() };
    let mut body = (texts.len() as u32).to_be_bytes().to_vec();
    let mut numbers = BTreeMap::new();
    for (n, text) in texts.iter().enumerate() {
        let at = if version == 1 { 9 + body.len() as u32 } else { n as u32 };
        numbers.insert(*text, at);
        put_string(&mut body, text);
    }
    section(&mut out, &body);
    toc.series = out.len() as u64;
    let mut postings: BTreeMap<(&str, &str), Vec<u32>> = BTreeMap::new();
    for (one, chunks) in series.iter().zip(metas) {
        if version != 1 {
            out.resize(out.len().next_multiple_of(16), 0);
        }
        let id = if version == 1 { out.len() as u32 } else { (out.len() / 16) as u32 };
        postings.entry(("", "")).or_default().push(id);
        for (name, value) in &one.labels {
            postings.entry((name, value)).or_default().push(id);
        }
        let labels = one.labels.iter().map(|(n, v)| (numbers[&**n], numbers[&**v])).collect();
        put_entry(&mut out, &mut Vec::new(), &RawEntry { labels, chunks: chunks.clone() });
    }
    toc.label_indices = out.len() as u64;
    out.resize(out.len().next_multiple_of(4), 0);
    toc.postings = out.len() as u64;
    let mut table = (postings.len() as u32).to_be_bytes().to_vec();
    for ((name, value), ids) in &postings {
        out.resize(out.len().next_multiple_of(4), 0);
        table.push(2);
        put_string(&mut table, name);
        put_string(&mut table, value);
        put_uvarint(&mut table, out.len() as u64);
        let mut list = (ids.len() as u32).to_be_bytes().to_vec();
        list.extend(ids.iter().flat_map(|id| id.to_be_bytes()));
        section(&mut out, &list);
    }
    toc.postings_offset_table = out.len() as u64;
    toc.label_offset_table = toc.postings_offset_table;
    section(&mut out, &table);
    out.extend_from_slice(&toc.to_bytes());
    out
}

/// The same bucket, as a folder would be read or as a store far away.
pub fn read_as(bucket: Bucket, is_local: bool) -> Bucket {
    bucket.with_settings(objstore::Settings { is_local, ..bucket.settings().clone() })
}

/// Puts a block into the bucket and gives its meta.
pub async fn upload(bucket: &Bucket, mut meta: BlockMeta, files: &Files) -> Arc<BlockMeta> {
    let id = meta.ulid;
    for (name, bytes) in files {
        bucket.put(&format!("{id}/{name}"), bytes.clone()).await.unwrap();
        if let Some(thanos) = &mut meta.thanos {
            let size_bytes = bytes.len() as u64;
            thanos.files.push(block::meta::BlockFile { rel_path: name.clone(), size_bytes, hash: None });
        }
    }
    bucket.put(&format!("{id}/meta.json"), meta.to_json()).await.unwrap();
    Arc::new(meta)
}

/// A block of series, in the bucket.
pub async fn put_block(
    bucket: &Bucket,
    n: u64,
    range: (i64, i64),
    series: &[RawSeries],
    layout: Layout,
) -> Arc<BlockMeta> {
    let meta = meta_of(id(n), range.0, range.1, &[("cluster", "eu")]);
    upload(bucket, meta, &files_of(series, layout)).await
}

/// A job over these blocks with nothing but merging to do.
pub fn job(metas: &[Arc<BlockMeta>]) -> Job {
    let min = metas.iter().map(|m| m.min_time).min().unwrap_or(0);
    let max = metas.iter().map(|m| m.max_time).max().unwrap_or(0);
    let mut meta = meta_of(id(1_000_000), min, max, &[("cluster", "eu")]);
    if let (Some(thanos), Some(first)) = (&mut meta.thanos, metas.first()) {
        thanos.downsample = Downsample { resolution: first.resolution_ms() };
    }
    Job {
        inputs: metas.iter().enumerate().map(|(n, m)| Input { meta: m.clone(), replica: n as u64 + 1 }).collect(),
        meta,
        vertical: Vertical::Merge,
        deletions: Vec::new(),
        tombstones: true,
        relabel: Vec::new(),
        downsampling: None,
    }
}

/// Limits that make reads and writes small.
pub fn small() -> Limits {
    Limits { memory_bytes: 32 << 20, ..Limits::default() }
}

pub fn options(dir: &Path) -> Options {
    // No id is given out twice, whatever run asks.
    static NEXT: AtomicU64 = AtomicU64::new(2_000_000);
    Options {
        dir: dir.join("job"),
        limits: small(),
        next_id: Arc::new(|| id(NEXT.fetch_add(1, Ordering::Relaxed))),
        failpoints: Failpoints::none(),
    }
}

pub async fn run(bucket: &Bucket, job: &Job, options: &Options) -> Result<Finished, Error> {
    merge::run(bucket, job, options, &Progress::default(), &CancellationToken::new()).await
}

/// Makes outputs visible.
pub async fn publish(bucket: &Bucket, finished: &Finished) {
    for output in &finished.outputs {
        bucket.put(&format!("{}/meta.json", output.meta.ulid), output.meta.to_json()).await.unwrap();
    }
}

/// Copies a block to the disk.
pub async fn download(bucket: &Bucket, block: BlockId, dir: &Path) -> std::path::PathBuf {
    let target = dir.join(block.to_string());
    std::fs::create_dir_all(target.join("chunks")).unwrap();
    let objects: Vec<_> = bucket.list_recursive(&block.to_string()).try_collect().await.unwrap();
    for object in objects {
        let bytes = bucket.get(&object.path).await.unwrap();
        std::fs::write(dir.join(&object.path), bytes).unwrap();
    }
    target
}

/// Samples of one chunk, in its order.
pub fn samples_of(encoding: Encoding, data: &[u8]) -> Vec<(i64, String)> {
    if encoding.is_float() {
        let mut column = Column::new();
        decode_floats(encoding, data, &mut column).unwrap();
        return column.iter().map(|(t, v)| (t, format!("{:016x}", v.to_bits()))).collect();
    }
    if encoding == Encoding::Aggregates {
        return vec![(0, format!("{data:?}"))];
    }
    let mut column = HistogramColumn::default();
    decode_histograms(encoding, data, &mut column).unwrap();
    let text = |h: &histogram::FloatHistogram| histogram_text(h);
    column.times.iter().zip(&column.values).map(|(t, h)| (*t, text(h))).collect()
}

/// Buckets by their index: layouts differ, values must not.
pub fn histogram_text(h: &histogram::FloatHistogram) -> String {
    let gauge = h.reset_hint == histogram::ResetHint::Gauge;
    if model::is_stale(h.sum) {
        return format!("stale gauge={gauge}");
    }
    let buckets = |spans: &[histogram::Span], counts: &[f64]| {
        let (mut at, mut counts, mut out) = (0i64, counts.iter(), BTreeMap::new());
        for span in spans {
            at += i64::from(span.offset);
            for count in counts.by_ref().take(span.length as usize) {
                if *count != 0.0 {
                    out.insert(at, count.to_bits());
                }
                at += 1;
            }
        }
        out
    };
    format!(
        "{gauge} {} {} {} {} {:x} {:?} {:?} {:?}",
        h.schema,
        h.zero_threshold,
        h.zero_count,
        h.count,
        h.sum.to_bits(),
        buckets(&h.positive_spans, &h.positive_buckets),
        buckets(&h.negative_spans, &h.negative_buckets),
        h.custom_values
    )
}

/// Reads a whole block back, and checks that it is in order: series, chunks, samples, counts, bounds.
pub fn read_block(dir: &Path) -> (BlockMeta, Samples) {
    let block = LocalBlock::open(dir).unwrap();
    let mut samples = Samples::new();
    let mut before: Option<Labels> = None;
    let (mut chunks, mut count, mut in_chunks) = (0u64, 0u64, 0u64);
    let meta = block.meta().clone();
    for series in block.index().all_postings().unwrap() {
        let entry = block.index().series(series).unwrap();
        assert!(before.as_ref().is_none_or(|b| *b < entry.labels), "{before:?} then {}", entry.labels);
        for (name, value) in entry.labels.iter() {
            let ids = block.index().expand(&[labels::Matcher::equal(name, value)]).unwrap();
            assert!(ids.binary_search(&series).is_ok(), "{name}={value} does not find {}", entry.labels);
        }
        let mut end = i64::MIN;
        let own = samples.entry(entry.labels.to_string()).or_default();
        assert!(!entry.chunks.is_empty(), "{}", entry.labels);
        for chunk in &entry.chunks {
            let (encoding, data) = block.chunks().chunk(*chunk).unwrap();
            let list = samples_of(encoding, &data);
            chunks += 1;
            in_chunks += data.len() as u64;
            if encoding == Encoding::Aggregates {
                continue;
            }
            assert_eq!(list.first().map(|s| s.0), Some(chunk.min_time), "{}", entry.labels);
            assert_eq!(list.last().map(|s| s.0), Some(chunk.max_time), "{}", entry.labels);
            assert!(meta.min_time <= chunk.min_time && chunk.max_time < meta.max_time, "{chunk:?} {meta:?}");
            for (time, value) in list {
                assert!(time > end, "{}: {time} after {end}", entry.labels);
                end = time;
                count += 1;
                own.insert(time, value);
            }
        }
        before = Some(entry.labels);
    }
    assert_eq!(meta.stats.num_series, samples.len() as u64);
    assert_eq!(meta.stats.num_chunks, chunks);
    assert!(in_chunks > 0 || chunks == 0);
    if meta.resolution_ms() == 0 {
        assert_eq!(meta.stats.num_samples, count);
        assert_eq!(meta.stats.num_float_samples + meta.stats.num_histogram_samples, count);
    }
    for file in &meta.thanos.as_ref().unwrap().files {
        if file.rel_path != "meta.json" {
            assert_eq!(std::fs::metadata(dir.join(&file.rel_path)).unwrap().len(), file.size_bytes);
        }
    }
    (meta, samples)
}

/// Merges, publishes, and reads all outputs back.
pub async fn merged(bucket: &Bucket, job: &Job, options: &Options, dir: &Path) -> (Finished, Samples) {
    let finished = run(bucket, job, options).await.unwrap();
    publish(bucket, &finished).await;
    let mut all = Samples::new();
    for output in &finished.outputs {
        let local = download(bucket, output.meta.ulid, dir).await;
        let (meta, samples) = read_block(&local);
        assert_eq!(meta, output.meta);
        let report = merge::verify_block(bucket, meta.ulid, merge::Depth::Full).await.unwrap();
        assert!(report.is_sound() && report.unreferenced_bytes == 0, "{report:?}");
        assert_eq!(report.samples, meta.stats.num_samples);
        for (series, samples) in samples {
            assert!(all.insert(series.clone(), samples).is_none(), "{series} is in two outputs");
        }
    }
    assert!(!options.dir.exists());
    (finished, all)
}
