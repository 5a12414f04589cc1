//! One data directory, by turns under a real Prometheus and under this database.

mod common;

use std::sync::Arc;

use common::*;
use model::FakeClock;
use tsdb::db::Tsdb;

const HOUR: i64 = 3_600_000;
/// A multiple of 2 h.
const START: i64 = 1_700_006_400_000;

/// `minutes` samples, one a minute.
fn samples(from: i64, minutes: i64, scale: f64) -> Vec<(i64, f64)> {
    (0..minutes).map(|n| (from + n * 60_000, (n * n) as f64 * scale)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_keep_every_sample_of_the_other() {
    if !testkit::prometheus::have_prometheus("both_keep_every_sample_of_the_other") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    let real = Prometheus::start(&data_dir, &[]);
    for n in 0..20 {
        let n_text = n.to_string();
        let labels = [("__name__", "theirs"), ("n", n_text.as_str())];
        real.write(&labels, &samples(START, 100, 0.5 + f64::from(n)));
    }
    // Late ones.
    real.write(&[("__name__", "theirs"), ("n", "3")], &samples(START - 5 * HOUR + 1, 50, 3.0));
    let want = real.data();
    real.stop();
    assert_eq!(want.len(), 20 * 100 + 50);

    let clock = Arc::new(FakeClock::at(START + 2 * HOUR));
    let ours = open(&data_dir, &clock).await;
    assert_same(&data(&*ours).await, &want, "what Prometheus wrote");
    for n in 0..20 {
        let n_text = n.to_string();
        let theirs = [("__name__", "theirs"), ("n", n_text.as_str())];
        assert!(append(&*ours, &theirs, &samples(START + 2 * HOUR, 200, 1.5)).await.is_empty());
        let own = [("__name__", "ours"), ("n", n_text.as_str())];
        assert!(append(&*ours, &own, &samples(START + 2 * HOUR, 200, f64::from(n))).await.is_empty());
    }
    clock.set(START + 6 * HOUR);
    let both = data(&*ours).await;
    assert_eq!(both.len(), want.len() + 40 * 200);
    ours.maintain().await.unwrap();
    assert_same(&data(&*ours).await, &both, "after blocks were cut");
    assert!(!testkit::prometheus::block_dirs(&data_dir).is_empty());
    ours.close().await.unwrap();
    drop(ours);

    let real = Prometheus::start(&data_dir, &[]);
    assert_same(&real.data(), &both, "read by Prometheus");
    real.stop();
    let ours = open(&data_dir, &clock).await;
    assert_same(&data(&*ours).await, &both, "read again");
    ours.close().await.unwrap();
}

/// Snapshots of the head's open chunks that either writes when it ends.
#[tokio::test(flavor = "multi_thread")]
async fn both_start_from_snapshots_of_the_other() {
    if !testkit::prometheus::have_prometheus("both_start_from_snapshots_of_the_other") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    let flags = ["--enable-feature=memory-snapshot-on-shutdown"];
    let snapshots = || {
        let names = std::fs::read_dir(&data_dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("chunk_snapshot.")).count()
    };
    let clock = Arc::new(FakeClock::at(START + HOUR));
    let mut options = options();
    options.memory_snapshot = true;
    let ours = Tsdb::open(&data_dir, options.clone(), deps(&clock)).await.unwrap();
    ours.replayed().await;
    for n in 0..10 {
        let n_text = n.to_string();
        let rows = samples(START, 60, 0.25 + f64::from(n));
        assert!(append(&*ours, &[("__name__", "ours"), ("n", &n_text)], &rows).await.is_empty());
    }
    let want = data(&*ours).await;
    assert_eq!(want.len(), 600);
    ours.close().await.unwrap();
    drop(ours);
    assert_eq!(snapshots(), 1);
    let real = Prometheus::start(&data_dir, &flags);
    assert_same(&real.data(), &want, "read by Prometheus");
    real.write(&[("__name__", "theirs")], &samples(START + HOUR, 10, 3.0));
    let want = real.data();
    real.stop();
    assert_eq!((snapshots(), want.len()), (1, 610));
    for round in 0..3 {
        let ours = Tsdb::open(&data_dir, options.clone(), deps(&clock)).await.unwrap();
        ours.replayed().await;
        assert_same(&data(&*ours).await, &want, &format!("start {round}"));
        assert_eq!(snapshots(), 0, "it is read once");
        ours.close().await.unwrap();
    }
}
