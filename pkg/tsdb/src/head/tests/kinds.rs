//! Floats, histograms of both kinds, stale markers, and how they follow one another.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::model::{FakeClock, TimeRange, is_stale, stale_nan};
use chunkenc::HistogramColumn;
use futures::future::{BoxFuture, ready};
use histogram::{FloatHistogram, Histogram, ResetHint, Span};
use parking_lot::Mutex;
use proptest::prelude::*;
use storage::append::{HistogramValue, Histograms, SeriesRef};
use storage::{ChunkData, Ctx, Select, SeriesSource, collect_series};

use super::common::{START_MS as T, begin, floats, head, parts, read, resolve, samples_of, write};
use crate::head::{Head, HeadOptions, HeadParts, Journal, JournalError, LogBatch, MemoryChunks};

fn append(head: &Head, rows: &[(SeriesRef, i64, HistogramValue)]) -> usize {
    let mut appender = begin(head);
    let columns = Histograms {
        series: &rows.iter().map(|r| r.0).collect::<Vec<_>>(),
        times_ms: &rows.iter().map(|r| r.1).collect::<Vec<_>>(),
        values: &rows.iter().map(|r| r.2.clone()).collect::<Vec<_>>(),
        starts_ms: &[],
    };
    assert_eq!(appender.histograms(columns).unwrap(), []);
    futures::executor::block_on(appender.commit()).unwrap().samples
}

/// Buckets from `first` on, of these counts.
fn ints(first: i32, counts: &[u64], hint: ResetHint) -> Histogram {
    let mut before = 0i64;
    let delta = |count: &u64| {
        let delta = *count as i64 - before;
        before = *count as i64;
        delta
    };
    Histogram {
        reset_hint: hint,
        count: counts.iter().sum(),
        sum: counts.len() as f64,
        positive_spans: vec![Span { offset: first, length: counts.len() as u32 }],
        positive_deltas: counts.iter().map(delta).collect(),
        ..Histogram::default()
    }
}

/// Counts by bucket, without empty ones.
fn buckets(h: &FloatHistogram) -> BTreeMap<i32, u64> {
    let all = histogram::indexed(&h.positive_spans, &h.positive_buckets);
    all.filter(|(_, count)| *count > 0.0).map(|(index, count)| (index, count as u64)).collect()
}

async fn histograms_of(head: &Head) -> Vec<(i64, FloatHistogram)> {
    let answer = collect_series(head.select(&Ctx::background(), Select::new(TimeRange::ALL, vec![]))).await.unwrap();
    let mut column = HistogramColumn::default();
    for chunk in answer.value.iter().flat_map(|s| &s.chunks) {
        let ChunkData::Raw(raw) = &chunk.data else { panic!("not raw") };
        chunkenc::decode_histograms(raw.encoding, &raw.data, &mut column).unwrap();
    }
    column.times.into_iter().zip(column.values).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Whatever buckets come, whatever chunks they make, on disk or not.
    #[test]
    fn histograms_come_back_as_they_went(
        steps in prop::collection::vec((0i32..6, prop::collection::vec(0u64..50, 1..5), any::<bool>(), 0u8..12), 1..150),
        float: bool,
    ) {
        let chunks = Arc::new(MemoryChunks::default());
        let head = Head::new(parts(chunks.clone()), HeadOptions::default());
        let mut appender = begin(&head);
        let series = resolve(&mut *appender, &[("h", "1")]);
        let mut right = Vec::new();
        let (mut total, mut gauge) = (BTreeMap::<i32, u64>::new(), false);
        for (n, (first, counts, grows, special)) in steps.into_iter().enumerate() {
            let time = T + n as i64 * 15_000;
            match special {
                0 if !right.is_empty() => {
                    let sum = stale_nan();
                    let value = match float {
                        true => HistogramValue::Float(FloatHistogram { sum, ..Default::default() }.into()),
                        false => HistogramValue::Int(Histogram { sum, ..Default::default() }.into()),
                    };
                    append(&head, &[(series, time, value)]);
                    right.push((time, None));
                    continue;
                }
                1 => gauge = !gauge,
                _ => {}
            }
            if !grows {
                total.clear();
            }
            for (n, count) in counts.iter().enumerate() {
                *total.entry(first + n as i32).or_default() += count;
            }
            let (low, high) = (*total.keys().next().unwrap(), *total.keys().last().unwrap());
            let all: Vec<u64> = (low..=high).map(|at| total.get(&at).copied().unwrap_or(0)).collect();
            let hint = if gauge { ResetHint::Gauge } else { ResetHint::Unknown };
            let h = ints(low, &all, hint);
            let want = buckets(&h.to_float());
            let value = match float {
                true => HistogramValue::Float(h.to_float().into()),
                false => HistogramValue::Int(h.into()),
            };
            prop_assert_eq!(append(&head, &[(series, time, value)]), 1);
            right.push((time, Some(want)));
            if n % 40 == 39 {
                futures::executor::block_on(head.map_full_chunks(&*chunks)).unwrap();
            }
        }
        drop(appender);
        let got = futures::executor::block_on(histograms_of(&head));
        let got: Vec<_> = got.iter().map(|(t, h)| (*t, (!is_stale(h.sum)).then(|| buckets(h)))).collect();
        prop_assert_eq!(got, right);
    }
}

#[tokio::test]
async fn the_end_of_a_series_of_histograms_comes_as_a_float() {
    let head = head(HeadOptions::default());
    let mut appender = begin(&head);
    let series = resolve(&mut *appender, &[("h", "1")]);
    append(&head, &[(series, T, HistogramValue::Int(ints(0, &[1, 2], ResetHint::Unknown).into()))]);
    assert_eq!(head.stale_series(), 0);
    assert_eq!(floats(&mut *appender, &[(series, T + 1, stale_nan())]), []);
    appender.commit().await.unwrap();
    let all = histograms_of(&head).await;
    assert_eq!((all.len(), is_stale(all[1].1.sum)), (2, true));
    assert_eq!(head.stale_series(), 1);
    // prometheus#19183: it goes on as another kind.
    write(&head, &[("h", "1")], &[(T + 2, 1.0)]).await;
    assert_eq!(head.stale_series(), 0);
    write(&head, &[("h", "1")], &[(T + 3, stale_nan())]).await;
    assert_eq!(head.stale_series(), 1);
    head.truncate(T + 10);
    assert_eq!((head.stale_series(), head.series()), (0, 0));
}

/// prometheus#12874.
#[tokio::test]
async fn an_equal_sample_where_a_chunk_ends_is_a_duplicate() {
    let head = head(HeadOptions::default());
    for n in 0..700 {
        let sample = (T + n * 1_000, n as f64 * 1.37);
        assert_eq!(write(&head, &[("a", "1")], &[sample]).await.samples, 1);
        assert_eq!(write(&head, &[("a", "1")], &[sample]).await.samples, 0, "sample {n}");
    }
    assert_eq!(samples_of(&head, r#"{a="1"}"#).await.len(), 700);
}

/// Fails as it is told to.
#[derive(Debug, Default)]
struct Failing(Mutex<Option<JournalError>>);

impl Journal for Failing {
    fn log(&self, _: LogBatch) -> BoxFuture<'static, Result<(), JournalError>> {
        Box::pin(ready(self.0.lock().clone().map_or(Ok(()), Err)))
    }
}

/// A log that takes its time.
#[derive(Debug)]
struct Slow(Arc<tokio::sync::Semaphore>);

impl Journal for Slow {
    fn log(&self, _: LogBatch) -> BoxFuture<'static, Result<(), JournalError>> {
        let slow = self.0.clone();
        Box::pin(async move {
            slow.acquire().await.unwrap().forget();
            Ok(())
        })
    }
}

/// What is in the log and not yet in the series is not taken for saved.
#[tokio::test]
async fn a_commit_is_applied_when_its_series_have_it() {
    let slow = Arc::new(tokio::sync::Semaphore::new(0));
    let journal = Arc::new(Slow(slow.clone()));
    let head = Head::new(HeadParts { journal, ..parts(Arc::default()) }, HeadOptions::default());
    let begun = head.commits();
    assert!(head.is_applied(begun));
    let mut first = begin(&head);
    let series = resolve(&mut *first, &[("a", "1")]);
    assert_eq!(floats(&mut *first, &[(series, T, 1.0)]), []);
    let mut commit = Box::pin(first.commit());
    assert!(futures::poll!(&mut commit).is_pending());
    let mark = head.commits();
    assert!(head.is_applied(begun) && !head.is_applied(mark) && head.range().is_none());
    slow.add_permits(1);
    commit.await.unwrap();
    assert!(head.is_applied(mark) && head.range() == Some((T, T)));
    // One that is given up is no more under way.
    let mut second = begin(&head);
    assert_eq!(floats(&mut *second, &[(series, T + 1, 1.0)]), []);
    let mut commit = Box::pin(second.commit());
    assert!(futures::poll!(&mut commit).is_pending() && !head.is_applied(head.commits()));
    drop(commit);
    assert!(head.is_applied(head.commits()));
}

#[tokio::test]
async fn what_cannot_be_logged_is_not_visible() {
    let journal = Arc::new(Failing::default());
    let head = Head::new(HeadParts { journal: journal.clone(), ..parts(Arc::default()) }, HeadOptions::default());
    for (nothing_written, visible) in
        [(true, storage::append::Visible::Nothing), (false, storage::append::Visible::Unknown)]
    {
        *journal.0.lock() = Some(JournalError { message: "no space".to_owned(), nothing_written });
        let mut appender = begin(&head);
        let series = resolve(&mut *appender, &[("a", "1")]);
        assert_eq!(floats(&mut *appender, &[(series, T, 1.0)]), []);
        let failed = appender.commit().await.unwrap_err();
        assert_eq!(failed.visible, visible);
        assert!(failed.to_string().contains("no space"), "{failed}");
        assert!(read(&head).await.is_empty());
        assert_eq!((head.series(), head.range()), (0, None), "it leaves nothing");
    }
    assert!(head.delete(TimeRange::ALL, vec![]).await.is_ok(), "nothing to delete, nothing to log");
    *journal.0.lock() = None;
    write(&head, &[("a", "1")], &[(T, 1.0)]).await;
    *journal.0.lock() = Some(JournalError { message: "no space".to_owned(), nothing_written: true });
    assert!(head.delete(TimeRange::ALL, vec![]).await.is_err());
    assert_eq!(samples_of(&head, r#"{a="1"}"#).await, [(T, 1.0)]);
}

/// A clock that jumped: a sample of the far future is taken, and those of now go on being taken.
#[tokio::test]
async fn a_sample_of_the_future_does_not_shut_out_the_present() {
    let head = Head::new(
        HeadParts { clock: Arc::new(FakeClock::at(T)), ..parts(Arc::default()) },
        HeadOptions { out_of_order_window_ms: 0, ..HeadOptions::default() },
    );
    const YEAR: i64 = 365 * 86_400_000;
    write(&head, &[("a", "1")], &[(T, 1.0)]).await;
    write(&head, &[("jumped", "1")], &[(T + YEAR, 1.0)]).await;
    for n in 1..100 {
        write(&head, &[("a", "1")], &[(T + n * 15_000, 1.0)]).await;
    }
    write(&head, &[("new", "1")], &[(T + 100, 1.0)]).await;
    assert_eq!(read(&head).await.len(), 3);
}
