use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::FakeClock;
use storage::Ctx;
use storage::append::{AppendOptions, Appendable, Appender, Floats, Refusal, SeriesRef, SeriesRefusal};
use telemetry::Metrics;
use wal::record::{Kind, Samples, SeriesReader, encode_samples, encode_series};
use wal::{Entry, Reader};

use super::*;

const NOW_MS: i64 = 1_700_000_000_000;

fn open(dir: &Path, change: impl FnOnce(&mut AgentOptions)) -> AgentStore {
    let mut options = AgentOptions::new(Arc::new(FakeClock::at(NOW_MS)));
    change(&mut options);
    AgentStore::open(dir, options, &Metrics::new()).unwrap()
}

fn appender(store: &AgentStore) -> Box<dyn Appender> {
    store.appender(&Ctx::background(), AppendOptions::default())
}

fn resolve(appender: &mut dyn Appender, id: &str) -> SeriesRef {
    appender.resolve(&[&[("__name__", "m"), ("id", id)]]).unwrap().remove(0).unwrap()
}

fn push(appender: &mut dyn Appender, series: SeriesRef, time_ms: i64, value: f64) -> Option<Refusal> {
    let rows = Floats { series: &[series], times_ms: &[time_ms], values: &[value], starts_ms: &[] };
    appender.floats(rows).unwrap().pop().map(|refused| refused.why)
}

async fn write(store: &AgentStore, id: &str, time_ms: i64) -> SeriesRef {
    let mut appender = appender(store);
    let series = resolve(&mut *appender, id);
    assert_eq!(push(&mut *appender, series, time_ms, 1.0), None);
    assert_eq!(appender.commit().await.unwrap().samples, 1);
    series
}

/// What the log holds: labels by number, and samples by the labels of their numbers, which must come first.
#[derive(Debug, Default, PartialEq)]
struct Found {
    series: BTreeMap<u64, String>,
    records: usize,
    samples: Vec<(String, i64)>,
}

fn read(data: &Path) -> Found {
    let dir = data.join("wal");
    let checkpoint = wal::checkpoint::last(&dir).unwrap().last;
    let mut reader = Reader::behind_checkpoint(&dir, checkpoint.as_ref()).unwrap();
    let mut found = Found::default();
    while let Some(entry) = reader.read() {
        let Entry::Record(record) = entry else { panic!("{entry:?}") };
        match Kind::of(record).unwrap() {
            Kind::Series => {
                let mut series = SeriesReader::new(record).unwrap();
                while let Some((number, labels)) = series.read().unwrap() {
                    found.records += 1;
                    found.series.insert(number, labels.iter().find(|(n, _)| *n == "id").unwrap().1.to_owned());
                }
            }
            Kind::Samples => {
                let mut samples = Samples::default();
                samples.decode(record).unwrap();
                for (number, time_ms) in samples.refs.iter().zip(&samples.times_ms) {
                    let labels = found.series.get(number).unwrap_or_else(|| panic!("{number} has no labels"));
                    found.samples.push((labels.clone(), *time_ms));
                }
            }
            other => panic!("{other:?}"),
        }
    }
    found
}

#[tokio::test]
async fn what_is_committed_is_in_the_log_and_known_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), |_| {});
    let a = write(&store, "a", 10).await;
    write(&store, "b", 10).await;
    assert_eq!(write(&store, "a", 20).await, a);
    let locked = AgentStore::open(dir.path(), AgentOptions::new(Arc::new(FakeClock::at(0))), &Metrics::new());
    assert!(locked.unwrap_err().to_string().contains("in use"));
    store.close();
    drop(store);
    let store = open(dir.path(), |_| {});
    assert_eq!(store.series(), 2);
    let mut again = appender(&store);
    assert_eq!(resolve(&mut *again, "a"), a);
    assert_eq!(push(&mut *again, a, 20, 1.0), Some(Refusal::OutOfOrder { newest_ms: 20 }));
    let c = resolve(&mut *again, "c");
    assert!(c.0 > 2, "a number is never used again");
    drop(again);
    assert_eq!(store.series(), 2, "a series without samples is forgotten");
    store.close();
    let found = read(dir.path());
    assert_eq!(found.samples, [("a".into(), 10), ("b".into(), 10), ("a".into(), 20)]);
    assert_eq!(found.records, 2);
}

#[tokio::test]
async fn late_samples_are_refused_by_the_window() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), |options| options.out_of_order_ms = 100);
    write(&store, "a", 1000).await;
    let mut one = appender(&store);
    let a = resolve(&mut *one, "a");
    for (time_ms, taken) in [(900, false), (901, true), (1000, true), (2000, true), (1500, true)] {
        assert_eq!(push(&mut *one, a, time_ms, 1.0).is_none(), taken, "{time_ms}");
    }
    assert_eq!(push(&mut *one, SeriesRef(77), 3000, 1.0), Some(Refusal::UnknownSeries));
    let committed = one.commit().await.unwrap();
    // Behind 2000 the window begins at 1901.
    let late: Vec<_> = committed.refused.iter().map(|(_, r)| (r.row, r.why.clone())).collect();
    assert_eq!((committed.samples, late), (3, vec![(4, Refusal::OutOfOrder { newest_ms: 2000 })]));
    let mut marker = appender(&store);
    let new = resolve(&mut *marker, "new");
    assert_eq!(push(&mut *marker, new, 5, model::stale_nan()), Some(Refusal::NothingToMark));
}

#[tokio::test]
async fn equal_new_series_at_one_time_are_one_series_and_one_record() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), |_| {});
    let (mut first, mut second, mut third) = (appender(&store), appender(&store), appender(&store));
    let series = resolve(&mut *first, "a");
    assert_eq!((resolve(&mut *second, "a"), resolve(&mut *third, "a")), (series, series));
    push(&mut *second, series, 1, 1.0);
    push(&mut *third, series, 2, 1.0);
    // The one that made it gives up.
    first.rollback();
    second.commit().await.unwrap();
    third.commit().await.unwrap();
    store.close();
    let found = read(dir.path());
    assert_eq!((found.records, found.samples), (1, vec![("a".into(), 1), ("a".into(), 2)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_never_put_samples_before_labels() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), |_| {});
    let tasks: Vec<_> = (0..8i64)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..50 {
                    let mut one = appender(&store);
                    let series = resolve(&mut *one, &n.to_string());
                    push(&mut *one, series, n * 100 + writer, 1.0);
                    if writer % 3 == 0 { one.rollback() } else { drop(one.commit().await.unwrap()) }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    store.close();
    assert_eq!((read(dir.path()).records, store.series()), (50, 50));
}

#[tokio::test]
async fn series_have_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), |options| options.series_max = 1);
    write(&store, "a", 1).await;
    let mut one = appender(&store);
    let refused = one.resolve(&[&[("id", "b")], &[("__name__", "m"), ("id", "a")]]).unwrap();
    assert_eq!(refused[0], Err(SeriesRefusal::TooManySeries { max: 1 }));
    assert!(refused[1].is_ok());
}

#[tokio::test]
async fn new_series_are_refused_while_memory_is_short() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), |_| {});
    write(&store, "a", NOW_MS).await;
    store.refuse_new_series(Some("near its limit".to_owned()));
    let mut one = appender(&store);
    let refused = one.resolve(&[&[("id", "b")]]).unwrap().remove(0);
    assert_eq!(refused, Err(SeriesRefusal::NotNow("near its limit".to_owned())));
    drop(one);
    write(&store, "a", NOW_MS + 1).await;
    assert_eq!(store.series(), 1, "known ones go on");
    store.refuse_new_series(None);
    write(&store, "b", NOW_MS + 2).await;
    assert_eq!(store.series(), 2);
}

#[tokio::test]
async fn what_is_sent_goes_and_labels_stay_as_long_as_they_are_needed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), |_| {});
    let hour = 3_600_000;
    write(&store, "dead", NOW_MS - hour).await;
    write(&store, "alive", NOW_MS - hour).await;
    store.truncate(Some(0)).await.unwrap();
    write(&store, "alive", NOW_MS).await;
    let before = read(dir.path());
    assert_eq!(before.samples.len(), 3, "nothing is sent, nothing goes");
    // The first segment is sent, with all older samples.
    store.truncate(Some(1)).await.unwrap();
    assert_eq!(store.series(), 1);
    let found = read(dir.path());
    assert_eq!(found.samples, [("alive".into(), NOW_MS)]);
    assert!(found.series.values().any(|id| id == "dead"), "the segment of then may name it");
    for _ in 0..2 {
        store.truncate(None).await.unwrap();
    }
    let found = read(dir.path());
    assert_eq!(found.series.into_values().collect::<Vec<_>>(), ["alive"]);
    let again = write(&store, "dead", NOW_MS + 1).await;
    store.close();
    drop(store);
    let store = open(dir.path(), |_| {});
    assert_eq!((store.series(), write(&store, "dead", NOW_MS + 2).await), (2, again));
}

#[tokio::test]
async fn a_log_that_nobody_takes_stays_within_its_size() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), |options| options.retention_bytes = 100_000);
    for n in 0..40i64 {
        for k in 0..40 {
            write(&store, &format!("{k}"), NOW_MS + n * 1000).await;
        }
        store.truncate(Some(0)).await.unwrap();
        let bytes = wal::size_bytes(&dir.path().join("wal")).unwrap();
        assert!(bytes < 300_000, "{bytes}");
    }
    assert_eq!(store.series(), 40);
    assert!(read(dir.path()).series.len() >= 40);
}

#[tokio::test]
async fn numbers_that_the_log_has_twice_do_not_leak() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = wal::Writer::open(&dir.path().join("wal"), wal::Options::default()).unwrap();
    let mut records = Vec::new();
    for number in 1..=500u64 {
        let mut series = Vec::new();
        encode_series(&mut series, [(number, [("__name__", "m"), ("id", "a")].into_iter())]);
        let mut samples = Vec::new();
        encode_samples(&mut samples, &[number], &[NOW_MS + number as i64], &[1.0]);
        records.extend([series, samples]);
    }
    log.log(&records).unwrap();
    drop(log);
    let store = open(dir.path(), |_| {});
    assert_eq!((store.series(), store.0.left.lock().len()), (1, 499));
    let mut late = appender(&store);
    let a = resolve(&mut *late, "a");
    assert_eq!(a, SeriesRef(1));
    assert_eq!(push(&mut *late, a, NOW_MS + 500, 1.0), Some(Refusal::OutOfOrder { newest_ms: NOW_MS + 500 }));
    drop(late);
    for _ in 0..3 {
        store.truncate(None).await.unwrap();
    }
    assert_eq!((store.series(), store.0.left.lock().len()), (1, 0));
    assert_eq!(write(&store, "a", NOW_MS + 501).await, a);
}
