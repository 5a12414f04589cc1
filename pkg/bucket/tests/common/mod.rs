//! Blocks to move about. What is in their files does not matter here.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::{Path, PathBuf};

use block::{BlockId, BlockMeta, ThanosMeta};
use objstore::{Bucket, Config, OpenOptions};
use testkit::s3::Server;

pub const CHUNKS: [(&str, usize); 2] = [("chunks/000001", 3000), ("chunks/000002", 500)];
pub const INDEX_BYTES: usize = 1234;

pub fn id(n: u128) -> BlockId {
    BlockId::new(1_700_000_000_000, n)
}

pub fn meta(id: BlockId) -> BlockMeta {
    let labels = [("cluster".to_owned(), "a".to_owned())].into();
    let thanos = ThanosMeta { version: 1, labels, source: "sidecar".into(), ..Default::default() };
    let mut meta = BlockMeta { ulid: id, version: 1, min_time: 0, max_time: 7_200_000, ..Default::default() };
    meta.thanos = Some(thanos);
    meta.compaction.level = 1;
    meta.compaction.sources = vec![id];
    meta
}

pub fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 % 251) as u8).collect()
}

/// `<dir>/<id>/{index,chunks/…}`.
pub fn write_block(dir: &Path, id: BlockId) -> PathBuf {
    let dir = dir.join(id.to_string());
    std::fs::create_dir_all(dir.join("chunks")).unwrap();
    for (name, len) in CHUNKS {
        std::fs::write(dir.join(name), bytes(len)).unwrap();
    }
    std::fs::write(dir.join("index"), bytes(INDEX_BYTES)).unwrap();
    std::fs::write(dir.join("tombstones"), b"never uploaded").unwrap();
    dir
}

pub fn open(server: &Server) -> Bucket {
    let yaml = format!("{}  max_retries: 1\n", server.config_yaml());
    Config::parse(&yaml, &|_| None).unwrap().open(&OpenOptions::default()).unwrap()
}

/// The invariant of every reader: where there is a `meta.json`, there is every file it names, whole.
pub async fn assert_no_ghosts(bucket: &Bucket) {
    for (id, objects) in bucket::listing::list_blocks(bucket).await.unwrap() {
        if objects.meta().is_none() {
            continue;
        }
        let json = bucket.get(&format!("{id}/meta.json")).await.unwrap();
        let meta = BlockMeta::parse("meta.json", &json).unwrap();
        for file in meta.thanos.unwrap().files {
            let there = objects.objects.get(&file.rel_path).map(|o| o.size);
            assert!(there.is_some(), "{id}: {} is missing", file.rel_path);
            assert!(file.size_bytes == 0 || there == Some(file.size_bytes), "{id}: {} is short", file.rel_path);
        }
    }
}
