//! Series that have ended leave the head early, and nobody who reads or restarts sees a difference.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::*;
use model::{FakeClock, stale_nan};
use service::Failpoints;
use storage::TsdbView;
use telemetry::Metrics;
use tsdb::db::{Tsdb, TsdbDeps};

const HOUR: i64 = 3_600_000;
const START: i64 = 1_699_980_000_000 - 1_699_980_000_000 % (18 * HOUR);
const SERIES: usize = 20;

/// The times that samples at the bounds of blocks have are among these.
fn times() -> impl Iterator<Item = i64> {
    let around = |bound: i64| [bound - 1, bound, bound + 1].into_iter();
    let plain = (0..40).map(|n| START + HOUR + n * 60_000);
    plain.chain(around(START + 2 * HOUR)).chain(around(START + 2 * HOUR + 10 * 60_000))
}

async fn open_with(dir: &Path, deps: TsdbDeps) -> Arc<Tsdb> {
    let tsdb = Tsdb::open(dir, options(), deps).await.unwrap();
    tsdb.replayed().await;
    tsdb
}

async fn open(dir: &Path) -> Arc<Tsdb> {
    open_with(dir, deps(&Arc::new(FakeClock::at(START)))).await
}

async fn write(tsdb: &Tsdb, pod: usize, samples: &[(i64, f64)]) {
    let refused = append(tsdb, &[("__name__", "up"), ("pod", &pod.to_string())], samples).await;
    assert_eq!(refused, []);
}

/// Some series of which all but a quarter end.
async fn fill(tsdb: &Tsdb) {
    for pod in 0..SERIES {
        let mut samples: Vec<_> = times().map(|time_ms| (time_ms, pod as f64)).collect();
        if pod % 4 != 0 {
            samples.push((START + 2 * HOUR + 11 * 60_000, stale_nan()));
        }
        write(tsdb, pod, &samples).await;
    }
}

/// What a rollback of the rollout writes.
async fn come_back(tsdb: &Tsdb) {
    for pod in 0..SERIES / 2 {
        write(tsdb, pod, &[(START + 2 * HOUR + 20 * 60_000, 7.0)]).await;
    }
}

fn hints(tsdb: &Tsdb) -> Vec<String> {
    let metas = tsdb.blocks();
    let metas = metas.iter().map(|json| block::BlockMeta::parse("meta.json", json.as_bytes()).unwrap());
    metas.flat_map(|meta| meta.compaction.hints).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn series_that_ended_leave_the_head_and_stay_in_answers() {
    let dir = tempfile::tempdir().unwrap();
    let tsdb = open(dir.path()).await;
    fill(&tsdb).await;
    let before = data(&*tsdb).await;
    tsdb.maintain().await.unwrap();
    assert_eq!((tsdb.head().series(), tsdb.blocks().len()), (SERIES, 0), "nobody asked for it");
    tsdb.set_stale_series_threshold(0.8);
    tsdb.maintain().await.unwrap();
    assert_eq!((tsdb.head().series(), tsdb.blocks().len()), (SERIES, 0), "too few have ended");
    tsdb.set_stale_series_threshold(0.75);
    tsdb.maintain().await.unwrap();
    assert_eq!((tsdb.head().series(), tsdb.head().stale_series()), (SERIES / 4, 0));
    assert_eq!(hints(&tsdb), ["from-stale-series"; 2], "no block reaches over a bound");
    assert_same(&data(&*tsdb).await, &before, "in blocks");
    tsdb.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_equals_one_that_never_let_series_go() {
    for failpoint in ["", "tsdb.cut.before_rename", "tsdb.stale.before_removal", "tsdb.stale.before_log"] {
        let (plain_dir, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let plain = open(plain_dir.path()).await;
        fill(&plain).await;
        come_back(&plain).await;
        let right = data(&*plain).await;
        plain.close().await.unwrap();

        let failpoints = Failpoints::hook(move |name| name == failpoint);
        let mut with_failures = deps(&Arc::new(FakeClock::at(START)));
        with_failures.failpoints = failpoints;
        let tsdb = open_with(dir.path(), with_failures).await;
        fill(&tsdb).await;
        tsdb.set_stale_series_threshold(0.1);
        assert_eq!(tsdb.maintain().await.is_ok(), failpoint.is_empty(), "{failpoint}");
        come_back(&tsdb).await;
        assert_same(&data(&*tsdb).await, &right, failpoint);
        // As after a kill: the copy has what was logged, and no more.
        let killed = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), killed.path());
        drop(tsdb);
        let again = open(killed.path()).await;
        assert_same(&data(&*again).await, &right, &format!("{failpoint}, killed"));
        again.set_stale_series_threshold(0.1);
        again.maintain().await.unwrap();
        assert_same(&data(&*again).await, &right, &format!("{failpoint}, killed, again"));
        again.close().await.unwrap();
        let last = open(killed.path()).await;
        assert_same(&data(&*last).await, &right, &format!("{failpoint}, restarted"));
        assert!(last.unfinished().is_none());
        last.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_series_that_left_stay_as_long_as_the_log_names_them() {
    let dir = tempfile::tempdir().unwrap();
    let metrics = Metrics::new();
    let mut deps = deps(&Arc::new(FakeClock::at(START)));
    deps.metrics = metrics.clone();
    let tsdb = open_with(dir.path(), deps).await;
    tsdb.set_stale_series_threshold(0.1);
    fill(&tsdb).await;
    tsdb.maintain().await.unwrap();
    come_back(&tsdb).await;
    // Time goes on until the head is cut and old segments become a checkpoint, several times.
    for hour in 3..16 {
        for pod in 0..SERIES / 2 {
            let samples: Vec<_> = (0..6).map(|n| (START + hour * HOUR + n * 600_000, n as f64)).collect();
            write(&tsdb, pod, &samples).await;
        }
        tsdb.maintain().await.unwrap();
    }
    let right = data(&*tsdb).await;
    assert!(metrics.encode().contains("prometheus_tsdb_checkpoint_creations_total"), "there was a checkpoint");
    let killed = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), killed.path());
    drop(tsdb);
    let again = open(killed.path()).await;
    assert_same(&data(&*again).await, &right, "killed");
    again.close().await.unwrap();
}
