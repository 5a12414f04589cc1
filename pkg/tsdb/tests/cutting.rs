//! Blocks from the head, and what a start finds afterwards.

mod common;

use std::sync::Arc;

use common::*;
use futures::StreamExt;
use model::{Clock, FakeClock, TimeRange};
use service::Failpoints;
use storage::{Ctx, Select, SeriesEvent, SeriesSource, TsdbAdmin};
use tsdb::db::{Admin, Retention, Tsdb, TsdbOptions};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// A multiple of 18 h.
const START: i64 = 1_699_980_000_000 - 1_699_980_000_000 % (18 * HOUR);

/// One sample a minute.
fn samples(from: i64, minutes: i64, scale: f64) -> Vec<(i64, f64)> {
    (0..minutes).map(|n| (from + n * MINUTE, n as f64 * scale)).collect()
}

fn late_options() -> TsdbOptions {
    let mut options = options();
    options.head.out_of_order_window_ms = 24 * HOUR;
    options
}

async fn open_with(dir: &std::path::Path, clock: &Arc<FakeClock>, options: TsdbOptions) -> Arc<Tsdb> {
    let tsdb = Tsdb::open(dir, options, deps(clock)).await.unwrap();
    tsdb.replayed().await;
    tsdb
}

/// Metas of all blocks: begin, end, level, hints.
fn blocks(tsdb: &Tsdb) -> Vec<(i64, i64, u32, Vec<String>)> {
    let metas = storage::TsdbView::blocks(tsdb);
    let metas = metas.iter().map(|json| block::BlockMeta::parse("meta.json", json.as_bytes()).unwrap());
    metas.map(|m| (m.min_time - START, m.max_time - START, m.compaction.level, m.compaction.hints)).collect()
}

async fn fill(tsdb: &Tsdb, from: i64, hours: i64) {
    for hour in 0..hours {
        for n in 0..10 {
            let n_text = n.to_string();
            let labels = [("__name__", "filled"), ("n", n_text.as_str())];
            let batch = samples(from + hour * HOUR, 60, f64::from(n) + hour as f64);
            assert!(append(tsdb, &labels, &batch).await.is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_becomes_blocks_and_no_sample_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::at(START));
    let tsdb = open_with(dir.path(), &clock, options()).await;
    tsdb.maintain().await.unwrap();
    assert!(blocks(&tsdb).is_empty(), "an empty head makes no block");
    let mut begin = START;
    for round in 0..4 {
        fill(&tsdb, begin, 5).await;
        begin += 5 * HOUR;
        clock.set(begin);
        let before = data(&*tsdb).await;
        assert_eq!(before.len() as i64, 10 * 60 * 5 * (round + 1));
        for _ in 0..2 {
            tsdb.maintain().await.unwrap();
            assert_same(&data(&*tsdb).await, &before, "after a round");
        }
        let (first, last) = tsdb.head().range().unwrap();
        assert!(last - first <= 3 * HOUR && first >= START, "the head is short: {}", last - first);
    }
    let ends: Vec<i64> = blocks(&tsdb).iter().map(|b| b.1 / HOUR).collect();
    assert_eq!(ends, [6, 12, 14, 16, 18], "the newest is left alone: {:?}", blocks(&tsdb));
    let before = data(&*tsdb).await;
    tsdb.close().await.unwrap();
    drop(tsdb);
    let again = open_with(dir.path(), &clock, options()).await;
    assert_same(&data(&*again).await, &before, "after a restart");
    again.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn late_samples_become_blocks_that_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::at(START + 5 * HOUR));
    let mut options = late_options();
    options.compaction = true;
    options.overlapping_compaction = false;
    let tsdb = open_with(dir.path(), &clock, options.clone()).await;
    fill(&tsdb, START, 5).await;
    for n in 0..3 {
        // More than a buffer of late samples, between those that are there.
        let late = samples(START + 30_000, 100, 7.0);
        let n_text = n.to_string();
        assert!(append(&*tsdb, &[("__name__", "filled"), ("n", &n_text)], &late).await.is_empty());
    }
    assert!(append(&*tsdb, &[("__name__", "only_late")], &samples(START - 3 * HOUR, 10, 1.0)).await.is_empty());
    let before = data(&*tsdb).await;
    assert_eq!(before.len(), 10 * 300 + 300 + 10);
    tsdb.maintain().await.unwrap();
    assert_same(&data(&*tsdb).await, &before, "after a round");
    let hinted: Vec<_> = blocks(&tsdb).into_iter().filter(|b| !b.3.is_empty()).collect();
    assert!(!hinted.is_empty() && hinted.iter().all(|b| b.3 == ["from-out-of-order"]), "{hinted:?}");
    tsdb.close().await.unwrap();
    drop(tsdb);
    options.overlapping_compaction = true;
    let again = open_with(dir.path(), &clock, options).await;
    assert_same(&data(&*again).await, &before, "after a restart");
    again.maintain().await.unwrap();
    assert_same(&data(&*again).await, &before, "after overlapping blocks were merged");
    again.close().await.unwrap();
}

/// prometheus#14584: what becomes late while blocks of late samples are made is in none of them, and not lost.
#[tokio::test(flavor = "multi_thread")]
async fn late_samples_that_come_meanwhile_stay() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::at(START + 5 * HOUR));
    let held: Arc<std::sync::OnceLock<Arc<Tsdb>>> = Arc::default();
    let (late, target) = (samples(START + 40_000, 100, 9.0), held.clone());
    let mut deps = deps(&clock);
    deps.failpoints = Failpoints::hook(move |name| {
        if name == "tsdb.cut.before_late_truncate" {
            let tsdb = target.get().unwrap();
            let refused = futures::executor::block_on(append(&**tsdb, &[("__name__", "filled"), ("n", "5")], &late));
            assert!(refused.is_empty(), "{refused:?}");
        }
        false
    });
    let tsdb = Tsdb::open(dir.path(), late_options(), deps).await.unwrap();
    tsdb.replayed().await;
    held.set(tsdb.clone()).unwrap();
    fill(&tsdb, START, 5).await;
    assert!(append(&*tsdb, &[("__name__", "filled"), ("n", "5")], &samples(START + 30_000, 100, 7.0)).await.is_empty());
    tsdb.maintain().await.unwrap();
    assert_eq!(data(&*tsdb).await.len(), 10 * 300 + 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumped_does_not_shut_out_the_present() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::at(START + HOUR));
    let tsdb = open_with(dir.path(), &clock, options()).await;
    fill(&tsdb, START, 1).await;
    let future = [(START + 365 * 24 * HOUR, 1.0)];
    assert!(append(&*tsdb, &[("__name__", "ahead")], &future).await.is_empty());
    tsdb.maintain().await.unwrap();
    assert!(blocks(&tsdb).is_empty());
    for hour in 1..6 {
        clock.set(START + hour * HOUR);
        fill(&tsdb, START + hour * HOUR, 1).await;
        tsdb.maintain().await.unwrap();
    }
    assert_eq!(data(&*tsdb).await.len(), 10 * 60 * 6 + 1);
    assert_eq!(blocks(&tsdb).iter().map(|b| (b.0 / HOUR, b.1 / HOUR)).collect::<Vec<_>>(), [(0, 2), (2, 4)]);
    tsdb.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_began_to_read_before_a_cut_reads_everything() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::at(START + 5 * HOUR));
    let tsdb = open_with(dir.path(), &clock, options()).await;
    fill(&tsdb, START, 5).await;
    let want = Select::new(TimeRange::new(i64::MIN, i64::MAX), vec![all_series()]);
    let stream = tsdb.select(&Ctx::background(), want);
    let cutting = tokio::spawn({
        let tsdb = tsdb.clone();
        async move { tsdb.maintain().await }
    });
    // The block is there, and the head waits for the reader.
    testkit::wait_for("a block", std::time::Duration::from_secs(20), async || !blocks(&tsdb).is_empty()).await;
    let events: Vec<_> = stream.collect().await;
    let mut samples = 0;
    for event in events {
        if let SeriesEvent::Batch(batch) = event.unwrap() {
            for chunk in batch.iter().flat_map(|s| &s.chunks) {
                let storage::ChunkData::Raw(raw) = &chunk.data else { panic!("{chunk:?}") };
                samples += chunkenc::num_samples(raw.encoding, &raw.data).unwrap();
            }
        }
    }
    assert_eq!(samples, 10 * 300);
    cutting.await.unwrap().unwrap();
    assert_eq!(tsdb.head().range().unwrap().0, START + 2 * HOUR);
    assert!(clock.now_ms() > 0);
}

/// Log and chunks of the head count too: when they take most of the room, the head becomes a block before its time.
#[tokio::test(flavor = "multi_thread")]
async fn the_head_is_cut_early_when_files_take_too_much() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::at(START));
    let tsdb = open_with(dir.path(), &clock, options()).await;
    fill(&tsdb, START, 1).await;
    let log_bytes = || std::fs::read_dir(dir.path().join("wal")).unwrap().map(|e| e.unwrap().metadata().unwrap().len());
    let limit = |factor: f64| Retention {
        size_bytes: (log_bytes().sum::<u64>() as f64 * factor) as u64,
        ..Retention::default()
    };
    tsdb.set_retention(limit(1.9));
    tsdb.maintain().await.unwrap();
    assert!(blocks(&tsdb).is_empty(), "samples of now may still come");
    clock.set(START + 2 * HOUR);
    fill(&tsdb, START + HOUR, 1).await;
    let before = data(&*tsdb).await;
    tsdb.set_retention(limit(3.0));
    tsdb.maintain().await.unwrap();
    assert!(blocks(&tsdb).is_empty(), "there is room");
    tsdb.set_retention(limit(1.9));
    tsdb.maintain().await.unwrap();
    assert_eq!(blocks(&tsdb).iter().map(|b| (b.0, b.1 / MINUTE)).collect::<Vec<_>>(), [(0, 59)]);
    assert_same(&data(&*tsdb).await, &before, "cut early");
    tsdb.set_retention(Retention::default());
    tsdb.close().await.unwrap();
    drop(tsdb);
    let again = open_with(dir.path(), &clock, options()).await;
    assert_same(&data(&*again).await, &before, "after a restart");
    clock.set(START + 6 * HOUR);
    fill(&again, START + 2 * HOUR, 4).await;
    let before = data(&*again).await;
    again.maintain().await.unwrap();
    assert_same(&data(&*again).await, &before, "cut on");
    let ranges: Vec<_> = blocks(&again).iter().map(|b| (b.0 / MINUTE, b.1 / MINUTE)).collect();
    assert_eq!(ranges, [(0, 59), (59, 120), (120, 240)]);
    again.close().await.unwrap();
}

async fn delete(tsdb: &Arc<Tsdb>, range: TimeRange) {
    let all = vec![vec![all_series()]];
    Admin(tsdb.clone()).delete_series(&Ctx::background(), all, range).await.unwrap();
}

/// prometheus#13755, and #11623 for what follows a deletion.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_whose_samples_are_all_deleted_makes_no_block() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::at(START + 5 * HOUR));
    let tsdb = open_with(dir.path(), &clock, options()).await;
    fill(&tsdb, START, 4).await;
    delete(&tsdb, TimeRange::new(START, START + 2 * HOUR - 1)).await;
    let right = data(&*tsdb).await;
    tsdb.maintain().await.unwrap();
    assert_eq!(blocks(&tsdb), [], "the two hours that were cut are empty");
    assert_same(&data(&*tsdb).await, &right, "after the cut");
    fill(&tsdb, START + 4 * HOUR, 3).await;
    let right = data(&*tsdb).await;
    tsdb.maintain().await.unwrap();
    assert!(!blocks(&tsdb).is_empty());
    assert_same(&data(&*tsdb).await, &right, "after the next one");
    tsdb.close().await.unwrap();
}

/// prometheus#19145: also where a chunk is taken apart since samples of it are deleted or it reaches over a bound.
#[tokio::test(flavor = "multi_thread")]
async fn blocks_have_the_encoding_that_is_configured() {
    for (xor2, right) in [(false, chunkenc::Encoding::Xor), (true, chunkenc::Encoding::Xor2)] {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(FakeClock::at(START + 5 * HOUR));
        let mut options = late_options();
        options.head.xor2 = xor2;
        options.overlapping_compaction = false;
        let tsdb = open_with(dir.path(), &clock, options).await;
        fill(&tsdb, START, 5).await;
        assert!(append(&*tsdb, &[("__name__", "filled"), ("n", "1")], &[(START + 500, 1.0)]).await.is_empty());
        delete(&tsdb, TimeRange::new(START + HOUR, START + HOUR + 5 * MINUTE)).await;
        tsdb.maintain().await.unwrap();
        assert!(!blocks(&tsdb).is_empty());
        let mut stream = tsdb.select(&Ctx::background(), Select::new(TimeRange::ALL, vec![all_series()]));
        let mut encodings = std::collections::BTreeSet::new();
        while let Some(event) = stream.next().await {
            let SeriesEvent::Batch(batch) = event.unwrap() else { continue };
            for chunk in batch.iter().flat_map(|series| &series.chunks) {
                let storage::ChunkData::Raw(raw) = &chunk.data else { panic!("{chunk:?}") };
                encodings.insert(format!("{:?}", raw.encoding));
            }
        }
        assert_eq!(encodings, [format!("{right:?}")].into(), "xor2 {xor2}");
        drop(stream);
        tsdb.close().await.unwrap();
    }
}
