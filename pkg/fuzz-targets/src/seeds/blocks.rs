//! Files of blocks and what stands beside them in a bucket.

use block::toc::Toc;
use block::{BlockId, BlockMeta, BlockWriter, BlockWriterOptions, IndexParts, ThanosMeta, Tombstones};
use bucket::marks::{DeletionMark, MARK_VERSION, NoCompactMark, NoDownsampleMark};
use chunkenc::{Encoding, TimedChunk};
use labels::Labels;
use model::TimeRange;

use super::T0;
use super::chunks::{float_histogram, histogram, xor, xor2};

/// A block's files: index, chunks, meta.
struct Files {
    index: Vec<u8>,
    chunks: Vec<u8>,
    meta: Vec<u8>,
}

fn chunk(encoding: Encoding, data: &[u8]) -> TimedChunk {
    TimedChunk { min_time: T0, max_time: T0 + 600_000, encoding, data: data.to_vec().into() }
}

fn block_files() -> Files {
    let dir = tempfile::tempdir().expect("there is a place for temporary files");
    let options = BlockWriterOptions { max_segment_bytes: 1 << 20, postings_in_memory: 1 << 10, tombstones: true };
    let id = BlockId::new(T0 as u64, 7);
    let mut writer = BlockWriter::create(dir.path(), id, options).expect("it can be written");
    let (floats, floats2) = (xor(), xor2());
    let (integer, float) = (histogram(), float_histogram());
    for (i, name) in ["a_total", "b_seconds", "up"].iter().enumerate() {
        for instance in 0..12 {
            let labels = Labels::from_pairs([
                ("__name__", (*name).to_owned()),
                ("instance", instance.to_string()),
                ("job", format!("job-{}", instance % 3)),
            ]);
            let chunks = match i {
                0 => vec![chunk(Encoding::Xor, &floats[3])],
                1 => vec![chunk(Encoding::Histogram, &integer[0])],
                _ => vec![chunk(Encoding::Xor2, &floats2[4])],
            };
            // Series of a name come in the order of their labels as strings: 0, 1, 10, 11, 2 …
            if instance < 10 {
                writer.add_series(&labels, &chunks).expect("in order");
            }
        }
    }
    let last = Labels::from_pairs([("__name__", "z"), ("ünïcode", "wert mit \"Zeichen\"")]);
    writer.add_series(&last, &[chunk(Encoding::FloatHistogram, &float[0])]).expect("in order");
    let meta = BlockMeta { thanos: Some(ThanosMeta::default()), ..BlockMeta::default() };
    writer.finish(meta).expect("it can be written");
    let read = |name: &str| std::fs::read(dir.path().join(id.to_string()).join(name)).expect("it has been written");
    Files { index: read("index"), chunks: read("chunks/000001"), meta: read("meta.json") }
}

pub(super) fn uvarint(out: &mut Vec<u8>, value: u64) {
    encoding::put_uvarint(out, value);
}

fn section(body: &[u8]) -> Vec<u8> {
    let mut out = (body.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(body);
    out.extend_from_slice(&crc32c::crc32c(body).to_be_bytes());
    out
}

/// Version 1 is no longer written by anybody: references are offsets, nothing is aligned, lists come in any order.
fn index_version_1() -> Vec<u8> {
    let mut out = 0xBAAA_D700u32.to_be_bytes().to_vec();
    out.push(1);
    let symbols_at = out.len() as u64;
    let texts = ["", "1", "2", "instance"];
    let mut body = (texts.len() as u32).to_be_bytes().to_vec();
    let mut references = Vec::new();
    for text in texts {
        references.push(out.len() as u64 + 4 + body.len() as u64);
        encoding::put_string(&mut body, text);
    }
    out.extend(section(&body));
    let series_at = out.len() as u64;
    let mut ids = Vec::new();
    for value in [1, 2] {
        ids.push(out.len() as u32);
        let mut body = Vec::new();
        for number in [1, references[3], references[value], 0] {
            uvarint(&mut body, number);
        }
        uvarint(&mut out, body.len() as u64);
        out.extend_from_slice(&body);
        out.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
    }
    let postings_at = out.len() as u64;
    let mut entries = 3u32.to_be_bytes().to_vec();
    for (name, value, list) in [("instance", "2", &ids[1..]), ("instance", "1", &ids[..1]), ("", "", &ids[..])] {
        uvarint(&mut entries, 2);
        encoding::put_string(&mut entries, name);
        encoding::put_string(&mut entries, value);
        uvarint(&mut entries, out.len() as u64);
        block::postings::encode(list, &mut out);
    }
    let table_at = out.len() as u64;
    out.extend(section(&entries));
    let toc = Toc {
        symbols: symbols_at,
        series: series_at,
        label_indices: postings_at,
        label_offset_table: postings_at,
        postings: postings_at,
        postings_offset_table: table_at,
    };
    out.extend(toc.to_bytes());
    out
}

pub(crate) fn index() -> Vec<Vec<u8>> {
    vec![block_files().index, index_version_1()]
}

pub(crate) fn index_header() -> Vec<Vec<u8>> {
    let header = |index: Vec<u8>| {
        let (index, size) = (bytes::Bytes::from(index), 0);
        let size = index.len() as u64 + size;
        let part = |r: &std::ops::Range<u64>| index.slice(r.start as usize..r.end as usize);
        let [head, toc] = IndexParts::probe("index", size)?;
        let parts = IndexParts::parse("index", size, &part(&head), &part(&toc))?;
        parts.build("index", &part(&parts.symbols), &part(&parts.tail))
    };
    index().into_iter().map(|index| header(index).expect("an index")).collect()
}

pub(crate) fn chunk_segment() -> Vec<Vec<u8>> {
    vec![block_files().chunks]
}

pub(crate) fn postings() -> Vec<Vec<u8>> {
    let list = |ids: &[u32]| {
        let mut out = Vec::new();
        block::postings::encode(ids, &mut out);
        out
    };
    vec![list(&[]), list(&[1, 2, 3, 100, u32::MAX]), list(&(0..100).map(|i| i * 16).collect::<Vec<_>>())]
}

/// The part of an index that lies between two entries of its table of contents.
fn part_of_index(index: &[u8], part: impl Fn(Toc) -> std::ops::Range<u64>) -> Vec<u8> {
    let toc = Toc::parse("index", index.len() as u64, index).expect("an index");
    let range = part(toc);
    index[range.start as usize..range.end as usize].to_vec()
}

pub(crate) fn postings_table() -> Vec<Vec<u8>> {
    let part = |index: Vec<u8>| {
        let end = (index.len() - block::toc::TOC_LEN) as u64;
        part_of_index(&index, |toc| toc.postings_offset_table..end)
    };
    index().into_iter().map(part).collect()
}

pub(crate) fn symbols() -> Vec<Vec<u8>> {
    let part = |index: Vec<u8>| {
        let mut part = part_of_index(&index, |toc| toc.symbols..toc.series);
        // Up to the next section there is padding.
        let len = u32::from_be_bytes([part[0], part[1], part[2], part[3]]) as usize;
        part.truncate(len + 8);
        part
    };
    index().into_iter().map(part).collect()
}

pub(crate) fn series_entry() -> Vec<Vec<u8>> {
    let entry = |labels: &[(u32, u32)], chunks: u64| {
        let chunk = |i: u64| block::ChunkMeta {
            min_time: T0 + 1000 * i as i64,
            max_time: T0 + 1000 * i as i64 + 999,
            reference: 8 + 170 * i,
        };
        let raw = block::series::RawEntry { labels: labels.to_vec(), chunks: (0..chunks).map(chunk).collect() };
        let mut out = Vec::new();
        block::series::put_entry(&mut out, &mut Vec::new(), &raw);
        out
    };
    vec![entry(&[], 0), entry(&[(1, 2), (3, 4)], 1), entry(&[(1, 200_000)], 30)]
}

pub(crate) fn toc() -> Vec<Vec<u8>> {
    index().into_iter().map(|index| index[index.len() - block::toc::TOC_LEN..].to_vec()).collect()
}

pub(crate) fn tombstones() -> Vec<Vec<u8>> {
    let mut some = Tombstones::default();
    some.add(16, TimeRange::new(T0, T0 + 1000));
    some.add(16, TimeRange::new(-5, 5));
    some.add(48, TimeRange::new(i64::MIN, i64::MAX));
    vec![Tombstones::default().to_bytes(), some.to_bytes()]
}

pub(crate) fn meta_json() -> Vec<Vec<u8>> {
    vec![block_files().meta, BlockMeta { version: 1, ..BlockMeta::default() }.to_json()]
}

pub(crate) fn marks() -> Vec<Vec<u8>> {
    let (id, version, details, time) = (BlockId::new(T0 as u64, 7), MARK_VERSION, "why".to_owned(), T0 / 1000);
    let deletion = DeletionMark { id, version, details: details.clone(), deletion_time: time };
    let reason = "manual".to_owned();
    let no_compact =
        NoCompactMark { id, version, details: details.clone(), no_compact_time: time, reason: reason.clone() };
    let no_downsample = NoDownsampleMark { id, version, details, no_downsample_time: time, reason };
    let request = bucket::deletions::Request::new(id, T0, &[vec![]], TimeRange::new(0, 1), "who");
    [
        serde_json::to_vec(&deletion),
        serde_json::to_vec(&no_compact),
        serde_json::to_vec(&no_downsample),
        serde_json::to_vec(&request),
    ]
    .map(|json| json.expect("it has text keys"))
    .to_vec()
}
