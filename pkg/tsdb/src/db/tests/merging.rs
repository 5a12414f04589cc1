use block::meta::BlockDesc;

use super::super::options::Retention;
use super::common::*;

#[tokio::test]
async fn blocks_become_longer_and_keep_every_sample() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..10u64 {
        let start = n as i64 * 20;
        let series: &[&str] = if n % 2 == 0 { &["a", "bb"] } else { &["bb", "ccc"] };
        make(dir.path(), n + 1, (start, start + 20), series, |_| {});
    }
    let blocks = open(dir.path(), options());
    let (before, _) = read(&blocks, everything()).await;
    assert_eq!(before.len(), 10 * 20 * 2);
    merge_all(&blocks).await.unwrap();
    assert_eq!(ranges(&blocks), [(0, 180), (180, 200)]);
    let merged = blocks.views.current().blocks[0].meta.clone();
    assert_eq!((merged.compaction.level, merged.compaction.sources.len(), merged.stats.num_series), (3, 9, 3));
    assert!(merged.thanos.is_none() && merged.compaction.hints.is_empty());
    assert_eq!(read(&blocks, everything()).await, (before.clone(), vec![]));
    assert!(rest(dir.path()).is_empty());
    let again = open(dir.path(), options());
    assert_eq!((ranges(&again), read(&again, everything()).await.0), (ranges(&blocks), before));
}

#[tokio::test]
async fn late_blocks_are_merged_into_those_they_overlap() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), 1, (0, 20), &["a"], |_| {});
    make(dir.path(), 2, (5, 15), &["a", "bb"], |m| m.compaction.hints = vec!["from-out-of-order".to_owned()]);
    make(dir.path(), 3, (20, 40), &["a"], |_| {});
    let blocks = open(dir.path(), options());
    assert_eq!(blocks.views.current().head_begins_ms(), Some(40));
    let before = read(&blocks, everything()).await;
    merge_all(&blocks).await.unwrap();
    assert_eq!(ranges(&blocks), [(0, 20), (20, 40)]);
    assert_eq!(read(&blocks, everything()).await, before);
    assert_eq!(blocks.metrics.vertical_compactions.get(), 1);
}

#[tokio::test]
async fn what_was_replaced_is_deleted_and_retention_holds() {
    let dir = tempfile::tempdir().unwrap();
    let parent = make(dir.path(), 1, (0, 20), &["a"], |_| {});
    let unrelated = make(dir.path(), 2, (100, 120), &["a"], |_| {});
    make(dir.path(), 3, (0, 20), &["a"], |m| {
        m.compaction.level = 2;
        // A parent of other times is not what this block was made of.
        m.compaction.parents = vec![
            BlockDesc { ulid: parent, min_time: 0, max_time: 20 },
            BlockDesc { ulid: unrelated, min_time: 100, max_time: 120 },
        ];
    });
    make(dir.path(), 4, (200, 220), &["a"], |m| m.compaction.deletable = true);
    let blocks = open(dir.path(), options());
    let held = blocks.views.current();
    let reload = async || blocks.reload(&blocks.changing().await, 0).unwrap();
    reload().await;
    assert_eq!(ranges(&blocks), [(0, 20), (100, 120)]);
    assert_eq!(held.blocks.len(), 4);
    blocks.set_retention(Retention { time_ms: 101, ..Retention::default() });
    reload().await;
    assert_eq!(ranges(&blocks), [(0, 20), (100, 120)]);
    blocks.set_retention(Retention { time_ms: 100, ..Retention::default() });
    reload().await;
    assert_eq!(ranges(&blocks), [(100, 120)]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    // Who began to read before sees everything still.
    let reading = super::super::source::Reading {
        view: held,
        head: std::sync::Arc::new(storage::MemorySource::default()),
        unfinished: None,
        lost: None,
    };
    let want = storage::Select::new(everything(), vec![]);
    let all = storage::collect_series(reading.select(&storage::Ctx::background(), want)).await.unwrap();
    assert_eq!(all.value[0].chunks.len(), 3, "two of the four are equal");
}

#[tokio::test]
async fn blocks_that_are_not_listed_as_uploaded_wait() {
    let dir = tempfile::tempdir().unwrap();
    let ids: Vec<_> =
        (0..4u64).map(|n| make(dir.path(), n + 1, (n as i64 * 20, n as i64 * 20 + 20), &["a"], |_| {})).collect();
    let list = dir.path().join("thanos.shipper.json");
    let mut options = options();
    options.delay_compact_file = Some(list.clone());
    let blocks = open(dir.path(), options);
    for uploaded in [None, Some(vec![]), Some(ids[..2].to_vec())] {
        if let Some(uploaded) = uploaded {
            let names: Vec<String> = uploaded.iter().map(ToString::to_string).collect();
            std::fs::write(&list, format!(r#"{{"version":1,"uploaded":{names:?}}}"#)).unwrap();
        }
        merge_all(&blocks).await.unwrap();
        assert_eq!(ranges(&blocks).len(), 4);
    }
    let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
    std::fs::write(&list, format!(r#"{{"version":1,"uploaded":{names:?}}}"#)).unwrap();
    merge_all(&blocks).await.unwrap();
    assert_eq!(ranges(&blocks), [(0, 60), (60, 80)]);
}
