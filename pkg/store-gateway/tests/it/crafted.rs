//! Blocks with faults that no writer of ours makes: sound checksums over what is out of order.

use std::collections::BTreeMap;

use block::chunk_reader::SEGMENT_MAGIC;
use block::series::{RawEntry, put_entry};
use block::toc::{INDEX_MAGIC, Toc};
use block::{BlockId, BlockMeta, ChunkMeta, ThanosMeta};
use chunkenc::TimedChunk;
use encoding::{crc32c, put_string, put_uvarint};
use objstore::Bucket;
use storage::Series;

/// A series as it is to stand in the index.
#[derive(Debug, Clone)]
pub struct Crafted {
    pub labels: Vec<(String, String)>,
    pub chunks: Vec<TimedChunk>,
}

impl From<&Series> for Crafted {
    fn from(series: &Series) -> Self {
        let labels = series.labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let chunks = series.chunks.iter().map(|c| TimedChunk::try_from(c).unwrap()).collect();
        Self { labels, chunks }
    }
}

fn section(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(&(body.len() as u32).to_be_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(&crc32c(body).to_be_bytes());
}

/// A segment, and where the chunks of each series lie in it.
fn segment(series: &[Crafted]) -> (Vec<u8>, Vec<Vec<ChunkMeta>>) {
    let mut out = SEGMENT_MAGIC.to_be_bytes().to_vec();
    out.extend_from_slice(&[1, 0, 0, 0]);
    let mut metas = Vec::new();
    for one in series {
        let mut of_one = Vec::new();
        for chunk in &one.chunks {
            of_one.push(ChunkMeta { min_time: chunk.min_time, max_time: chunk.max_time, reference: out.len() as u64 });
            put_uvarint(&mut out, chunk.data.len() as u64);
            let from = out.len();
            out.push(chunk.encoding as u8);
            out.extend_from_slice(&chunk.data);
            let crc = crc32c(&out[from..]);
            out.extend_from_slice(&crc.to_be_bytes());
        }
        metas.push(of_one);
    }
    (out, metas)
}

/// An index whose series stand in this order; `reversed` turns the postings lists round.
fn index(series: &[Crafted], metas: &[Vec<ChunkMeta>], reversed: bool) -> Vec<u8> {
    let mut texts: Vec<&str> = series.iter().flat_map(|s| &s.labels).flat_map(|(n, v)| [&**n, &**v]).collect();
    texts.push("");
    texts.sort_unstable();
    texts.dedup();
    let mut out = INDEX_MAGIC.to_be_bytes().to_vec();
    out.push(2);
    let mut toc = Toc { symbols: 5, ..Toc::default() };
    let mut body = (texts.len() as u32).to_be_bytes().to_vec();
    texts.iter().for_each(|text| put_string(&mut body, text));
    section(&mut out, &body);
    toc.series = out.len() as u64;
    let number = |text: &str| texts.binary_search(&text).unwrap() as u32;
    let mut postings: BTreeMap<(&str, &str), Vec<u32>> = BTreeMap::new();
    for (one, chunks) in series.iter().zip(metas) {
        out.resize(out.len().next_multiple_of(16), 0);
        let id = (out.len() / 16) as u32;
        let pairs = one.labels.iter().map(|(n, v)| (&**n, &**v));
        for pair in pairs.chain([("", "")]) {
            let list = postings.entry(pair).or_default();
            if list.last() != Some(&id) {
                list.push(id);
            }
        }
        let labels = one.labels.iter().map(|(n, v)| (number(n), number(v))).collect();
        put_entry(&mut out, &mut Vec::new(), &RawEntry { labels, chunks: chunks.clone() });
    }
    toc.label_indices = out.len() as u64;
    out.resize(out.len().next_multiple_of(4), 0);
    toc.postings = out.len() as u64;
    let mut table = (postings.len() as u32).to_be_bytes().to_vec();
    for ((name, value), ids) in &mut postings {
        if reversed {
            ids.reverse();
        }
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

/// Puts a block of these series into the bucket.
pub async fn put(
    bucket: &Bucket,
    id: BlockId,
    cluster: &str,
    range: (i64, i64),
    series: &[Crafted],
    reversed: bool,
) -> BlockMeta {
    let (chunks, metas) = segment(series);
    let labels = [("cluster".to_owned(), cluster.to_owned())].into();
    let mut thanos = ThanosMeta { version: 1, labels, source: "sidecar".into(), ..Default::default() };
    for (name, bytes) in [("chunks/000001", chunks), ("index", index(series, &metas, reversed))] {
        let size_bytes = bytes.len() as u64;
        thanos.files.push(block::meta::BlockFile { rel_path: name.to_owned(), size_bytes, hash: None });
        bucket.put(&format!("{id}/{name}"), bytes).await.unwrap();
    }
    thanos.files.push(block::meta::BlockFile { rel_path: "meta.json".to_owned(), ..Default::default() });
    thanos.segment_files = vec!["000001".to_owned()];
    thanos.set_upload_time_ms(1_700_000_000_000);
    let mut meta = BlockMeta { ulid: id, version: 1, thanos: Some(thanos), ..BlockMeta::default() };
    (meta.min_time, meta.max_time) = range;
    meta.compaction.level = 1;
    meta.compaction.sources = vec![id];
    meta.stats.num_series = series.len() as u64;
    bucket.put(&format!("{id}/meta.json"), meta.to_json()).await.unwrap();
    meta
}
