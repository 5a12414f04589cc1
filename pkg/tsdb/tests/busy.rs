//! Writing, reading, cutting, merging and deleting at the same time: whoever reads sees every sample that was acknowledged
//! before.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use common::*;
use labels::Matcher;
use model::{FakeClock, TimeRange};
use storage::{Ctx, LabelQuery, SeriesSource, TsdbAdmin};
use tsdb::db::{Admin, Tsdb};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const START: i64 = 1_699_980_000_000 - 1_699_980_000_000 % (18 * HOUR);
const SERIES: i64 = 8;
const MINUTES: i64 = 24 * 60;

fn value(n: i64, minute: i64) -> f64 {
    (n * 1_000_000 + minute) as f64
}

/// What is to be there of the first `minutes`, late samples included.
fn expected(minutes: i64) -> Data {
    let mut want = Data::new();
    for minute in 0..minutes {
        for n in 0..SERIES {
            let key = (format!("__name__=\"busy\",n=\"{n}\""), START + minute * MINUTE);
            want.insert(key, vec![value(n, minute).to_bits()]);
        }
        if minute >= 100 {
            let key = ("__name__=\"busy\",n=\"3\"".to_owned(), START + (minute - 90) * MINUTE + 1);
            want.insert(key, vec![1.5f64.to_bits()]);
        }
    }
    want
}

async fn write(tsdb: &Tsdb, clock: &FakeClock, done: &AtomicI64) {
    for minute in 0..MINUTES {
        let time = START + minute * MINUTE;
        clock.set(time);
        for n in 0..SERIES {
            let n_text = n.to_string();
            let labels = [("__name__", "busy"), ("n", n_text.as_str())];
            assert!(append(tsdb, &labels, &[(time, value(n, minute))]).await.is_empty());
        }
        if minute >= 100 {
            let late = [(time - 90 * MINUTE + 1, 1.5)];
            let refused = append(tsdb, &[("__name__", "busy"), ("n", "3")], &late).await;
            assert!(refused.is_empty(), "{refused:?}");
        }
        done.store(minute + 1, Ordering::SeqCst);
    }
}

/// Names of labels, or values of one.
async fn names(tsdb: &Tsdb, values_of: Option<&str>) -> Vec<String> {
    let want = LabelQuery::new(TimeRange::ALL, vec![Matcher::equal("__name__", "busy")]);
    let ctx = Ctx::background();
    match values_of {
        None => tsdb.label_names(&ctx, want).await.unwrap().value,
        Some(name) => tsdb.label_values(&ctx, name, want).await.unwrap().value,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_misses_a_sample() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::at(START));
    let mut options = options();
    options.head.out_of_order_window_ms = 6 * HOUR;
    options.map_interval = std::time::Duration::from_millis(3);
    options.reload_interval = std::time::Duration::from_millis(50);
    let tsdb = Tsdb::open(dir.path(), options.clone(), deps(&clock)).await.unwrap();
    tsdb.replayed().await;
    let (done, over) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let (tsdb, done, over) = (tsdb.clone(), done.clone(), over.clone());
        tasks.push(tokio::spawn(async move {
            while !over.load(Ordering::SeqCst) {
                let minutes = done.load(Ordering::SeqCst);
                let got = data(&*tsdb).await;
                let want = expected(minutes);
                let missing: Vec<_> = want.iter().filter(|(key, v)| got.get(*key) != Some(*v)).take(3).collect();
                assert!(missing.is_empty(), "after {minutes} minutes: {missing:?}");
                if minutes > 0 {
                    assert_eq!(names(&tsdb, None).await, ["__name__", "n"], "after {minutes} minutes");
                    assert_eq!(names(&tsdb, Some("n")).await.len(), SERIES as usize, "after {minutes} minutes");
                }
            }
        }));
    }
    // Full chunks go to disk each few milliseconds.
    let background = tokio_util::sync::CancellationToken::new();
    tasks.push(tokio::spawn(tsdb.run(background.clone())));
    let (working, stop) = (tsdb.clone(), over.clone());
    tasks.push(tokio::spawn(async move {
        let admin = Admin(working.clone());
        let nothing = vec![vec![Matcher::equal("__name__", "nothing")]];
        while !stop.load(Ordering::SeqCst) {
            working.maintain().await.unwrap();
            admin.delete_series(&Ctx::background(), nothing.clone(), TimeRange::ALL).await.unwrap();
            admin.clean_tombstones(&Ctx::background()).await.unwrap();
        }
    }));
    write(&tsdb, &clock, &done).await;
    over.store(true, Ordering::SeqCst);
    background.cancel();
    for task in tasks {
        task.await.unwrap();
    }
    assert_same(&data(&*tsdb).await, &expected(MINUTES), "at the end");
    assert!(testkit::prometheus::block_dirs(dir.path()).len() > 2);
    tsdb.close().await.unwrap();
    drop(tsdb);
    let again = Tsdb::open(dir.path(), options, deps(&clock)).await.unwrap();
    again.replayed().await;
    assert_same(&data(&*again).await, &expected(MINUTES), "after a restart");
    again.close().await.unwrap();
}
