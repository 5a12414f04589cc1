//! Blocks with faults that no writer of ours makes.

use std::path::Path;

use ::bucket::upload::{UploadOptions, upload_block};
use block::series::{RawEntry, put_entry};
use block::{BlockId, BlockMeta, BlockWriter, BlockWriterOptions, ChunkMeta, IndexReader, ThanosMeta};
use chunkenc::{Encoding, TimedChunk, encode_xor};
use labels::Labels;

use crate::place::Place;

/// First sample of the faulty block, ms.
pub const START_MS: i64 = 1_795_200_000_000;

fn chunk(from: i64) -> TimedChunk {
    let samples: Vec<(i64, f64)> = (from..from + 10).map(|i| (START_MS + i * 1000, i as f64)).collect();
    let (min_time, max_time) = (samples[0].0, samples[9].0);
    TimedChunk { min_time, max_time, encoding: Encoding::Xor, data: encode_xor(samples).unwrap().into() }
}

fn meta() -> BlockMeta {
    let labels = [("cluster".to_owned(), "eu".to_owned())].into();
    let thanos = ThanosMeta { version: 1, labels, source: "sidecar".to_owned(), ..Default::default() };
    BlockMeta { version: 1, thanos: Some(thanos), ..BlockMeta::default() }
}

/// Uploads a block of two series; the entry in the index of the first, of four chunks, is changed by `spoil` before.
pub async fn upload(place: &Place, spoil: impl Fn(&mut Vec<ChunkMeta>)) -> BlockId {
    // the entry must grow into its padding: with some number of labels it can
    for count in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let id = BlockId::new(START_MS as u64, 7);
        let options = BlockWriterOptions { tombstones: false, ..BlockWriterOptions::default() };
        let mut writer = BlockWriter::create(dir.path(), id, options).unwrap();
        let more: Vec<(String, String)> = (0..count).map(|n| (format!("l{n}"), "x".to_owned())).collect();
        let labels = Labels::from_pairs(more.iter().map(|(n, v)| (&**n, &**v)).chain([("__name__", "m")]));
        writer.add_series(&labels, &[chunk(0), chunk(10), chunk(20), chunk(30)]).unwrap();
        writer.add_series(&Labels::from_pairs([("__name__", "z")]), &[chunk(0)]).unwrap();
        let meta = writer.finish(meta()).unwrap();
        let block = dir.path().join(id.to_string());
        if !respell(&block.join("index"), &spoil) {
            continue;
        }
        let options = UploadOptions { clock: place.clock.clone(), ..UploadOptions::default() };
        upload_block(&place.bucket, &block, meta, &options).await.unwrap();
        return id;
    }
    panic!("no entry has room");
}

fn respell(path: &Path, spoil: &impl Fn(&mut Vec<ChunkMeta>)) -> bool {
    let mut bytes = std::fs::read(path).unwrap();
    let index = IndexReader::open("index", bytes.clone().into()).unwrap();
    let ids = index.all_postings().unwrap();
    let mut raw = RawEntry::default();
    index.raw_series(ids[0], &mut raw).unwrap();
    spoil(&mut raw.chunks);
    let (mut entry, mut body) = (Vec::new(), Vec::new());
    put_entry(&mut entry, &mut body, &raw);
    let (at, end) = (ids[0] as usize * 16, ids[1] as usize * 16);
    if at + entry.len() > end {
        return false;
    }
    bytes[at..end].fill(0);
    bytes[at..at + entry.len()].copy_from_slice(&entry);
    std::fs::write(path, bytes).unwrap();
    true
}
