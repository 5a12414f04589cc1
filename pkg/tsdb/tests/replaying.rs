//! A database whose log is still being replayed.

mod common;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use common::*;
use labels::Matcher;
use model::{FakeClock, TimeRange};
use parking_lot::Mutex;
use service::Failpoints;
use storage::append::{AppendOptions, Appendable, Histograms};
use storage::{Ctx, PartialResponse, Select, SeriesSource, TsdbAdmin, TsdbView, collect_series};
use tsdb::db::{Admin, Tsdb};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const START: i64 = 1_700_006_400_000;

fn rows(from: i64, minutes: i64) -> Vec<(i64, f64)> {
    (0..minutes).map(|n| (from + n * MINUTE, n as f64)).collect()
}

/// A log with four hours of one series.
async fn written(clock: &Arc<FakeClock>) -> (tempfile::TempDir, Data) {
    let dir = tempfile::tempdir().unwrap();
    let tsdb = open(dir.path(), clock).await;
    assert!(append(&*tsdb, &[("__name__", "before")], &rows(START, 240)).await.is_empty());
    let before = data(&*tsdb).await;
    tsdb.close().await.unwrap();
    (dir, before)
}

async fn warnings(tsdb: &Tsdb) -> Vec<String> {
    let want = Select::new(TimeRange::new(i64::MIN, i64::MAX), vec![all_series()]);
    collect_series(tsdb.select(&Ctx::background(), want)).await.unwrap().warnings
}

#[tokio::test(flavor = "multi_thread")]
async fn it_takes_samples_and_says_what_is_missing() {
    let clock = Arc::new(FakeClock::at(START + 4 * HOUR));
    let (dir, before) = written(&clock).await;
    let (go, wait): (Sender<()>, Receiver<()>) = channel();
    let wait = Mutex::new(wait);
    let mut deps = deps(&clock);
    deps.failpoints = Failpoints::hook(move |name| {
        if name == "tsdb.replay.begin" {
            wait.lock().recv().unwrap();
        }
        false
    });
    let tsdb = Tsdb::open(dir.path(), options(), deps).await.unwrap();
    let progress = tsdb.replay();
    assert!(!progress.done && progress.max >= progress.current, "{progress:?}");
    assert!(append(&*tsdb, &[("__name__", "new")], &rows(START + 4 * HOUR, 10)).await.is_empty());
    assert!(append(&*tsdb, &[("__name__", "before")], &rows(START + 4 * HOUR, 10)).await.is_empty());
    let told = warnings(&tsdb).await;
    assert!(told.len() == 1 && told[0].contains("is being replayed"), "{told:?}");
    let mut strict = Select::new(TimeRange::new(i64::MIN, i64::MAX), vec![all_series()]);
    strict.partial_response = PartialResponse::Abort;
    assert!(collect_series(tsdb.select(&Ctx::background(), strict)).await.is_err());
    // Nothing is cut from half a head, and a deletion waits for what is to be deleted.
    tsdb.maintain().await.unwrap();
    assert!(tsdb.blocks().is_empty());
    let gone = vec![vec![Matcher::equal("__name__", "before")]];
    let deletion = Admin(tsdb.clone()).delete_series(&Ctx::background(), gone, TimeRange::new(START, START + HOUR));
    let deletion = tokio::spawn(deletion);
    go.send(()).unwrap();
    deletion.await.unwrap().unwrap();
    tsdb.replayed().await;
    assert!(tsdb.replay().done && warnings(&tsdb).await.is_empty());
    let mut want = before;
    want.retain(|(_, t), _| *t > START + HOUR);
    for name in ["new", "before"] {
        let row = |(t, v): (i64, f64)| ((format!("__name__=\"{name}\""), t), vec![v.to_bits()]);
        want.extend(rows(START + 4 * HOUR, 10).into_iter().map(row));
    }
    assert_same(&data(&*tsdb).await, &want, "replayed");
    tsdb.close().await.unwrap();
    drop(tsdb);
    let again = open(dir.path(), &clock).await;
    assert_same(&data(&*again).await, &want, "after a restart");
    again.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_failed_is_in_every_answer_and_costs_nothing() {
    let clock = Arc::new(FakeClock::at(START + 4 * HOUR));
    let (dir, before) = written(&clock).await;
    let mut deps = deps(&clock);
    deps.failpoints = Failpoints::hook(|name| name == "tsdb.replay.begin");
    let tsdb = Tsdb::open(dir.path(), options(), deps).await.unwrap();
    tsdb.replayed().await;
    let told = warnings(&tsdb).await;
    assert!(told.len() == 1 && told[0].contains("could not be replayed"), "{told:?}");
    assert!(append(&*tsdb, &[("__name__", "before")], &rows(START + 4 * HOUR, 240)).await.is_empty());
    clock.set(START + 8 * HOUR);
    tsdb.maintain().await.unwrap();
    assert!(tsdb.blocks().is_empty(), "a block would keep the log from being replayed");
    tsdb.close().await.unwrap();
    drop(tsdb);
    let again = open(dir.path(), &clock).await;
    assert_eq!(data(&*again).await.len(), before.len() + 240);
    again.close().await.unwrap();
}

/// prometheus#18306: nothing of the log that fills a chunk stays in memory.
#[tokio::test(flavor = "multi_thread")]
async fn full_chunks_are_on_disk_when_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::at(START));
    let tsdb = open(dir.path(), &clock).await;
    let histogram = |n: u64| {
        storage::append::HistogramValue::Int(Arc::new(histogram::Histogram {
            count: n,
            sum: n as f64,
            positive_spans: vec![histogram::Span { offset: 0, length: 1 }],
            positive_deltas: vec![n as i64],
            ..Default::default()
        }))
    };
    for part in 0..10 {
        let times: Vec<i64> = (0..100).map(|n| START + (part * 100 + n) * 1000).collect();
        let floats: Vec<_> = times.iter().map(|t| (*t, (*t % 977) as f64)).collect();
        assert!(append(&*tsdb, &[("__name__", "a")], &floats).await.is_empty());
        let mut appender = tsdb.appender(&Ctx::background(), AppendOptions::default());
        let series = appender.resolve(&[&[("__name__", "h")]]).unwrap().remove(0).unwrap();
        let values: Vec<_> = (0..100).map(|n| histogram(part as u64 * 100 + n + 1)).collect();
        let rows = Histograms { series: &vec![series; 100], times_ms: &times, values: &values, starts_ms: &[] };
        assert_eq!(appender.histograms(rows).unwrap(), []);
        appender.commit().await.unwrap();
    }
    let right = data(&*tsdb).await;
    let killed = tempfile::tempdir().unwrap();
    copy_dir(&dir.path().join("wal"), &killed.path().join("wal"));
    let mut deps = deps(&clock);
    let metrics = telemetry::Metrics::new();
    deps.metrics = metrics.clone();
    let again = Tsdb::open(killed.path(), options(), deps).await.unwrap();
    again.replayed().await;
    let chunks = again.head().chunks();
    assert!(chunks > 10, "{chunks}");
    // Each series has one open chunk.
    let written = format!("prometheus_tsdb_mmap_chunks_total {}\n", chunks - 2);
    assert!(metrics.encode().contains(&written), "{}", metrics.encode());
    assert_same(&data(&*again).await, &right, "after the restart");
    again.close().await.unwrap();
}
