use std::path::Path;
use std::sync::Arc;

use block::BlockId;
use model::TimeRange;
use storage::{Ctx, LabelQuery, MemorySource, PartialResponse, Select, collect_series};

use super::super::blocks::Blocks;
use super::super::disk::{Disk, RealDisk, Space};
use super::super::source::Reading;
use super::common::*;

fn reading(blocks: &Blocks) -> Reading {
    Reading { view: blocks.views.current(), head: Arc::new(MemorySource::default()), unfinished: None, lost: None }
}

#[tokio::test]
async fn answers_name_a_block_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), 1, (0, 20), &["a"], |_| {});
    let bad = make(dir.path(), 2, (20, 40), &["a"], |_| {});
    let index = dir.path().join(bad.to_string()).join("index");
    let whole = std::fs::read(&index).unwrap();
    std::fs::write(&index, &whole[..whole.len() - 1]).unwrap();
    // A directory that was made and never filled has no data.
    std::fs::create_dir(dir.path().join(BlockId::new(9, 0).to_string())).unwrap();
    let blocks = open(dir.path(), options());
    let (samples, warnings) = read(&blocks, everything()).await;
    assert_eq!(samples.len(), 20);
    assert!(warnings.len() == 1 && warnings[0].contains(&format!("block {bad} is not read")), "{warnings:?}");
    assert!(read(&blocks, TimeRange::new(0, 19)).await.1.is_empty(), "its times are known");
    let names = reading(&blocks).label_names(&Ctx::background(), LabelQuery::new(everything(), vec![])).await.unwrap();
    assert_eq!((names.value, names.warnings.len()), (vec!["__name__".to_owned()], 1));
    let mut want = Select::new(everything(), vec![]);
    want.partial_response = PartialResponse::Abort;
    let error = collect_series(reading(&blocks).select(&Ctx::background(), want)).await.unwrap_err();
    assert!(error.to_string().contains(&bad.to_string()), "{error}");
    // An answer that failed holds nothing (prometheus#14341).
    blocks.views.replace(Default::default());
    blocks.views.settled().await;

    // Nothing is done to it, and it comes back when it is repaired.
    merge_all(&blocks).await.unwrap();
    assert!(index.exists());
    std::fs::write(&index, &whole).unwrap();
    merge_all(&blocks).await.unwrap();
    assert_eq!(read(&blocks, everything()).await.1, [] as [String; 0]);
    assert_eq!(read(&blocks, everything()).await.0.len(), 40);
}

#[tokio::test]
async fn without_a_meta_any_answer_may_lack_data() {
    let dir = tempfile::tempdir().unwrap();
    let bad = make(dir.path(), 2, (20, 40), &["a"], |_| {});
    std::fs::write(dir.path().join(bad.to_string()).join("meta.json"), "{").unwrap();
    let blocks = open(dir.path(), options());
    let (_, warnings) = read(&blocks, TimeRange::new(1000, 2000)).await;
    assert!(warnings.len() == 1 && warnings[0].contains(&bad.to_string()), "{warnings:?}");
}

#[tokio::test]
async fn a_meta_that_does_not_fit_the_index_is_told_and_hides_no_sample() {
    for (key, value) in [("maxTime", 10), ("minTime", 5), ("numSeries", 1)] {
        let dir = tempfile::tempdir().unwrap();
        let bad = make(dir.path(), 1, (0, 20), &["a", "bb"], |_| {});
        make(dir.path(), 2, (40, 60), &["a"], |_| {});
        let path = dir.path().join(bad.to_string()).join("meta.json");
        let mut meta: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        if key == "numSeries" {
            meta["stats"][key] = value.into()
        } else {
            meta[key] = value.into()
        }
        std::fs::write(&path, meta.to_string()).unwrap();
        let blocks = open(dir.path(), options());
        let (samples, warnings) = read(&blocks, everything()).await;
        assert_eq!(samples.len(), 60, "{key}");
        assert!(warnings.len() == 1 && warnings[0].contains(&format!("block {bad}: its meta.json")), "{warnings:?}");
        assert_eq!(read(&blocks, TimeRange::new(15, 15)).await.0.len(), 2, "{key}");
        assert!(read(&blocks, TimeRange::new(40, 60)).await.1.is_empty(), "{key}: its times are known");
        // All of it is here, so that nothing is missing.
        let mut want = Select::new(everything(), vec![]);
        want.partial_response = PartialResponse::Abort;
        collect_series(reading(&blocks).select(&Ctx::background(), want)).await.unwrap();
    }
}

#[tokio::test]
async fn a_corrupt_block_does_not_stop_the_others() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..8u64 {
        make(dir.path(), n + 1, (n as i64 * 20, n as i64 * 20 + 20), &["a"], |_| {});
    }
    let bad = BlockId::new(2, 0);
    let chunks = dir.path().join(bad.to_string()).join("chunks/000001");
    let mut bytes = std::fs::read(&chunks).unwrap();
    let last = bytes.len() - 8;
    bytes[last] ^= 1;
    std::fs::write(&chunks, bytes).unwrap();
    let blocks = open(dir.path(), options());
    merge_all(&blocks).await.unwrap();
    assert_eq!(ranges(&blocks), [(0, 20), (20, 40), (40, 60), (60, 120), (120, 140), (140, 160)]);
    let failed: Vec<bool> = blocks.views.current().metas().iter().map(|m| m.compaction.failed).collect();
    assert_eq!(failed, [false, true, false, false, false, false]);
    assert_eq!(blocks.metrics.compactions_failed.get(), 1);
    assert!(rest(dir.path()).is_empty());
    let (samples, warnings) = read(&blocks, everything()).await;
    assert_eq!((samples.len(), warnings.len()), (140, 1), "{warnings:?}");
}

/// A disk with little room.
#[derive(Debug)]
struct Small;

impl Disk for Small {
    fn create_dir(&self, dir: &Path) -> std::io::Result<()> {
        RealDisk.create_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove_dir(&self, dir: &Path) -> std::io::Result<()> {
        RealDisk.remove_dir(dir)
    }
    fn write_file(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        RealDisk.write_file(path, bytes)
    }
    fn link(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        RealDisk.link(from, to)
    }
    fn space(&self, _: &Path) -> std::io::Result<Space> {
        Ok(Space { total_bytes: 1 << 20, free_bytes: 100 })
    }
}

#[tokio::test]
async fn too_little_room_is_seen_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..4u64 {
        make(dir.path(), n + 1, (n as i64 * 20, n as i64 * 20 + 20), &["a"], |_| {});
    }
    let mut deps = deps(service::Failpoints::none());
    deps.disk = Arc::new(Small);
    let blocks = Blocks::open(dir.path(), options(), deps).unwrap();
    let before = read(&blocks, everything()).await;
    let error = merge_all(&blocks).await.unwrap_err().to_string();
    assert!(error.contains("are free on the disk"), "{error}");
    assert_eq!((ranges(&blocks).len(), rest(dir.path())), (4, vec![]));
    assert_eq!(read(&blocks, everything()).await, before);
}
