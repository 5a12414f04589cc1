//! Data directories that a real Prometheus 2.42 left, read as it reads them.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::*;
use labels::Matcher;
use model::{FakeClock, TimeRange};
use storage::{Ctx, TsdbAdmin};
use tsdb::db::{Admin, Tsdb};

/// Of the golden data: November 2026.
const NOW: i64 = 1_795_300_000_000;

/// The golden directories of the conformance data, by name.
fn heads(test: &str) -> Vec<(String, std::path::PathBuf)> {
    let Some(root) = testkit::conformance_dir() else {
        testkit::skip_without("the conformance data", test);
        return Vec::new();
    };
    let heads = std::fs::read_dir(root.join("golden-blocks/head")).unwrap();
    let mut found: Vec<_> =
        heads.map(|e| e.unwrap()).map(|e| (e.file_name().into_string().unwrap(), e.path())).collect();
    found.push(("blocks".to_owned(), root.join("golden-blocks/blocks")));
    found.sort();
    found
}

/// A copy as a data directory: one of them is a log alone.
fn copy(from: &Path, to: &Path) {
    let is_log = from.join("00000000").is_file();
    copy_dir(from, &if is_log { to.join("wal") } else { to.to_owned() });
}

/// Prometheus 2.42 answers with the last histogram of a series for all of its times (prometheus#14538), so that only their
/// times can be compared.
fn comparable(data: &Data) -> Data {
    let is_float = |value: &Vec<u64>| value.len() == 1;
    data.iter().map(|(key, value)| (key.clone(), if is_float(value) { value.clone() } else { vec![0, 0] })).collect()
}

async fn open_late(dir: &Path) -> Arc<Tsdb> {
    let clock = Arc::new(FakeClock::at(NOW));
    let mut options = options();
    options.head.out_of_order_window_ms = 300 * 24 * 3_600_000;
    options.head.exemplars_max = 100;
    let tsdb = Tsdb::open(dir, options, deps(&clock)).await.unwrap();
    tsdb.replayed().await;
    tsdb
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_directories_are_read_as_prometheus_reads_them() {
    let test = "golden_directories_are_read_as_prometheus_reads_them";
    for (name, golden) in heads(test) {
        let dir = tempfile::tempdir().unwrap();
        let ours_dir = dir.path().join("ours/data");
        copy(&golden, &ours_dir);
        let ours = open_late(&ours_dir).await;
        let got = data(&*ours).await;
        assert!(got.len() > 100, "{name}: {} samples", got.len());
        for round in 0..2 {
            ours.maintain().await.unwrap();
            assert_same(&data(&*ours).await, &got, &format!("{name}, after round {round}"));
        }
        ours.close().await.unwrap();
        drop(ours);
        let again = open_late(&ours_dir).await;
        assert_same(&data(&*again).await, &got, &format!("{name}, after a restart"));
        again.close().await.unwrap();
        if testkit::prometheus::have_prometheus(test) {
            let theirs_dir = dir.path().join("theirs/data");
            copy(&golden, &theirs_dir);
            let flags = ["--enable-feature=native-histograms,memory-snapshot-on-shutdown"];
            let theirs = Prometheus::start(&theirs_dir, &flags);
            assert_same(&comparable(&got), &comparable(&theirs.data()), &format!("{name}, beside Prometheus"));
            theirs.stop();
            // What we left is read by it too.
            let after = Prometheus::start(&ours_dir, &flags);
            let after_us = comparable(&after.data());
            assert_same(&after_us, &comparable(&got), &format!("{name}, read by Prometheus after us"));
            after.stop();
        }
    }
}

/// prometheus#19140: samples that were deleted stay deleted, others stay.
#[tokio::test(flavor = "multi_thread")]
async fn deletions_outlive_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let minute = |n: i64| NOW + n * 60_000;
    let open_at = async |n: i64| {
        let clock = Arc::new(FakeClock::at(minute(n)));
        open(dir.path(), &clock).await
    };
    let tsdb = open_at(0).await;
    let rows: Vec<_> = (0..600).map(|n| (minute(n), n as f64)).collect();
    for chunk in rows.chunks(60) {
        for name in ["kept", "gone"] {
            assert!(append(&*tsdb, &[("__name__", name)], chunk).await.is_empty());
        }
    }
    tsdb.close().await.unwrap();
    let tsdb = open_at(600).await;
    // Some of it in blocks, some in the head.
    tsdb.maintain().await.unwrap();
    let mut want = data(&*tsdb).await;
    assert_eq!(want.len(), 1200);
    let admin = Admin(tsdb.clone());
    let range = TimeRange::new(minute(50), minute(570));
    let selectors = vec![vec![Matcher::equal("__name__", "gone")]];
    admin.delete_series(&Ctx::background(), selectors, range).await.unwrap();
    want.retain(|(labels, t), _| !(labels.contains("gone") && range.contains(*t)));
    assert_same(&data(&*tsdb).await, &want, "deleted");
    // Samples that come afterwards are not meant.
    assert!(append(&*tsdb, &[("__name__", "gone")], &[(minute(600), 1.0)]).await.is_empty());
    want.insert(("__name__=\"gone\"".to_owned(), minute(600)), vec![1.0f64.to_bits()]);
    tsdb.close().await.unwrap();
    for round in 0..3 {
        let tsdb = open_at(600 + round * 120).await;
        assert_same(&data(&*tsdb).await, &want, &format!("start {round}"));
        tsdb.maintain().await.unwrap();
        assert_same(&data(&*tsdb).await, &want, &format!("start {round}, after a round"));
        Admin(tsdb.clone()).clean_tombstones(&Ctx::background()).await.unwrap();
        let name = Admin(tsdb.clone()).snapshot(&Ctx::background(), false).await.unwrap();
        assert_same(&data(&*tsdb).await, &want, &format!("start {round}, cleaned"));
        tsdb.close().await.unwrap();
        let clock = Arc::new(FakeClock::at(minute(600)));
        let copy = open(&dir.path().join("snapshots").join(name), &clock).await;
        assert_same(&data(&*copy).await, &want, &format!("the copy of start {round}"));
        copy.close().await.unwrap();
    }
}
