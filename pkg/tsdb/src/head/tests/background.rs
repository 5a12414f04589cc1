//! What is done to a head in the background: chunks go to disk and into blocks, old data is given up.

use std::sync::Arc;

use ::model::TimeRange;
use labels::{MatchType, Matcher};
use storage::append::Refusal;

use super::common::{START_MS as T, begin, floats, head, parts, read, read_matching, resolve, samples_of, write};
use crate::head::{Head, HeadOptions, MemoryChunks};

const RANGE: i64 = 7_200_000;
/// The begin of a chunk range.
const BEGIN: i64 = T - T % RANGE;

fn mapping(options: HeadOptions) -> (Head, Arc<MemoryChunks>) {
    let chunks = Arc::new(MemoryChunks::default());
    (Head::new(parts(chunks.clone()), options), chunks)
}

fn steady(from: i64, count: i64) -> Vec<(i64, f64)> {
    (0..count).map(|n| (from + n * 15_000, n as f64)).collect()
}

#[tokio::test]
async fn full_chunks_go_to_disk_and_are_read_from_there() {
    let (head, chunks) = mapping(HeadOptions::default());
    let samples = steady(BEGIN, 1000);
    write(&head, &[("a", "1")], &samples).await;
    let before = head.memory_bytes();
    let mapped = head.map_full_chunks(&*chunks).await.unwrap();
    assert!((8..=11).contains(&mapped), "{mapped} chunks of about 120 samples");
    assert_eq!(head.map_full_chunks(&*chunks).await.unwrap(), 0, "once");
    assert!(head.memory_bytes() < before, "{before} bytes, then {}", head.memory_bytes());
    assert_eq!(samples_of(&head, r#"{a="1"}"#).await, samples);
    let range = TimeRange::new(BEGIN + 15_000 * 300, BEGIN + 15_000 * 301);
    let read = read_matching(&head, range, vec![]).await;
    assert_eq!(read[r#"{a="1"}"#].floats.len(), 2);
}

#[tokio::test]
async fn cuts_hold_exactly_what_is_inside() {
    let (head, chunks) = mapping(HeadOptions::default());
    let samples = steady(BEGIN - 450_000, 1200);
    write(&head, &[("a", "2")], &samples[..10]).await;
    write(&head, &[("a", "1")], &samples).await;
    write(&head, &[("a", "0")], &samples[1000..]).await;
    head.map_full_chunks(&*chunks).await.unwrap();
    head.settle_before(BEGIN + RANGE).await;
    let cut: Vec<_> = head.cut(BEGIN, BEGIN + RANGE).map(Result::unwrap).collect();
    let labels: Vec<String> = cut.iter().map(|(labels, _)| labels.to_string()).collect();
    assert_eq!(labels, [r#"{a="1"}"#], "in label order, and only with samples");
    let mut times = Vec::new();
    for chunk in &cut[0].1 {
        let mut column = chunkenc::Column::new();
        chunkenc::decode_floats(chunk.encoding, &chunk.data, &mut column).unwrap();
        assert_eq!((Some(&chunk.min_time), Some(&chunk.max_time)), (column.times.first(), column.times.last()));
        times.extend(column.times);
    }
    let right: Vec<i64> = samples.iter().map(|s| s.0).filter(|t| (BEGIN..BEGIN + RANGE).contains(t)).collect();
    assert_eq!(times, right);
    assert_eq!(head.cut(BEGIN + 100 * RANGE, BEGIN + 101 * RANGE).count(), 0, "an empty head makes no block");
}

#[tokio::test]
async fn a_cut_waits_for_transactions_that_may_write_into_it() {
    let head = head(HeadOptions::default());
    write(&head, &[("a", "1")], &[(BEGIN, 1.0)]).await;
    let mut open = begin(&head);
    let series = resolve(&mut *open, &[("a", "2")]);
    let settled = tokio::spawn(head.settle_before(BEGIN + RANGE));
    tokio::task::yield_now().await;
    assert!(!settled.is_finished());
    // Whoever begins now is held to the new floor.
    let mut late = begin(&head);
    let refused = floats(&mut *late, &[(series, BEGIN + 1, 1.0)]);
    assert_eq!(refused[0].why, Refusal::OutOfBounds);
    assert_eq!(floats(&mut *open, &[(series, BEGIN + 1, 1.0)]), []);
    open.commit().await.unwrap();
    settled.await.unwrap();
    assert_eq!(head.cut(BEGIN, BEGIN + RANGE).count(), 2);
}

#[tokio::test]
async fn truncation_drops_old_chunks_and_idle_series() {
    let (head, chunks) = mapping(HeadOptions::default());
    write(&head, &[("a", "old")], &steady(BEGIN, 10)).await;
    write(&head, &[("a", "new")], &steady(BEGIN, 1000)).await;
    let mut open = begin(&head);
    resolve(&mut *open, &[("a", "held")]);
    head.map_full_chunks(&*chunks).await.unwrap();
    let memory = head.memory_bytes();
    let gone = head.truncate(BEGIN + RANGE);
    assert_eq!(gone.series_removed, [1], "numbers in the log begin at 1");
    assert!(gone.chunks_removed >= 4 && gone.min_time_ms >= BEGIN + RANGE, "{gone:?}");
    assert!(head.memory_bytes() < memory);
    assert_eq!(head.range().map(|r| r.0), Some(gone.min_time_ms));
    let all = read(&head).await;
    assert_eq!(all.keys().collect::<Vec<_>>(), [r#"{a="new"}"#]);
    assert_eq!(all[r#"{a="new"}"#].floats.len(), 1000 - 480);
    assert_eq!(head.series(), 2, "one is in use by a transaction");
    drop(open);
    assert_eq!(head.series(), 1);
    // It comes again under a number of its own.
    write(&head, &[("a", "old")], &[(BEGIN + 2 * RANGE, 5.0)]).await;
    assert_eq!(samples_of(&head, r#"{a="old"}"#).await, [(BEGIN + 2 * RANGE, 5.0)]);
    assert_eq!(head.next_number(), 5);
    head.truncate(BEGIN + 100 * RANGE);
    assert_eq!((head.series(), head.range(), head.chunks()), (0, None, 0));
}

#[tokio::test]
async fn deleted_samples_are_gone_and_new_ones_are_not() {
    let head = head(HeadOptions::default());
    write(&head, &[("a", "1")], &steady(BEGIN, 200)).await;
    write(&head, &[("a", "2")], &steady(BEGIN, 3)).await;
    let one = vec![Matcher::equal("a", "1")];
    let some = TimeRange::new(BEGIN + 15_000, BEGIN + 150 * 15_000);
    assert_eq!(head.delete(some, one.clone()).await.unwrap(), 1);
    let left = samples_of(&head, r#"{a="1"}"#).await;
    assert_eq!((left.len(), left[0].0, left[1].0), (50, BEGIN, BEGIN + 151 * 15_000));
    assert_eq!(head.delete(TimeRange::ALL, one).await.unwrap(), 1);
    assert_eq!(samples_of(&head, r#"{a="1"}"#).await, []);
    assert_eq!(read(&head).await.keys().collect::<Vec<_>>(), [r#"{a="2"}"#]);
    assert_eq!(head.cut(BEGIN, BEGIN + RANGE).count(), 1);
    write(&head, &[("a", "1")], &[(BEGIN + 300 * 15_000, 1.0)]).await;
    assert_eq!(samples_of(&head, r#"{a="1"}"#).await.len(), 1);
}

#[tokio::test]
async fn late_samples_are_cut_apart_and_later_ones_stay() {
    let options = HeadOptions { out_of_order_window_ms: 10 * RANGE, ..HeadOptions::default() };
    let (head, chunks) = mapping(options);
    write(&head, &[("a", "1")], &[(BEGIN + 3 * RANGE, 1.0)]).await;
    let late: Vec<_> = (0..100).rev().map(|n| (BEGIN + n * 60_000, n as f64)).collect();
    write(&head, &[("a", "1")], &late).await;
    write(&head, &[("a", "late only")], &late[..3]).await;
    head.map_full_chunks(&*chunks).await.unwrap();
    assert_eq!(samples_of(&head, r#"{a="1"}"#).await.len(), 101);
    let cut = head.cut_out_of_order().unwrap();
    assert_eq!(cut.times(), Some((BEGIN, BEGIN + 99 * 60_000)));
    // After it began, and before it is finished.
    write(&head, &[("a", "1")], &[(BEGIN + 1, 7.0)]).await;
    head.map_full_chunks(&*chunks).await.unwrap();
    let samples = |from: i64, to: i64| {
        let series: Vec<_> = cut.range(from, to).map(Result::unwrap).collect();
        let count = |chunks: &Vec<chunkenc::TimedChunk>| chunks.iter().map(|c| c.num_samples().unwrap()).sum::<usize>();
        series.iter().map(|(labels, chunks)| (labels.to_string(), count(chunks))).collect::<Vec<_>>()
    };
    assert_eq!(samples(BEGIN, BEGIN + 50 * 60_000), [(r#"{a="1"}"#.to_owned(), 50)]);
    let (one, other) = ((r#"{a="1"}"#.to_owned(), 50), (r#"{a="late only"}"#.to_owned(), 3));
    assert_eq!(samples(BEGIN + 50 * 60_000, BEGIN + RANGE), [one, other]);
    assert_eq!(samples(BEGIN + RANGE, BEGIN + 9 * RANGE), []);
    cut.finish();
    assert_eq!(samples_of(&head, r#"{a="1"}"#).await, [(BEGIN + 1, 7.0), (BEGIN + 3 * RANGE, 1.0)]);
    let gone = head.truncate(BEGIN);
    assert_eq!(gone.series_removed.len(), 0, "a series that gets late samples only is kept for a while");
    assert_eq!(head.series(), 2);
}

#[tokio::test]
async fn a_rejected_sample_leaves_no_empty_series() {
    let head = head(HeadOptions::default());
    write(&head, &[("a", "1")], &[(T + RANGE, 1.0)]).await;
    let mut appender = begin(&head);
    let series = resolve(&mut *appender, &[("a", "2")]);
    assert_eq!(floats(&mut *appender, &[(series, T - RANGE, 1.0)]).len(), 1);
    appender.commit().await.unwrap();
    assert_eq!(head.series(), 1);
    assert_eq!(head.next_number(), 3);
}

#[tokio::test]
async fn matchers_of_all_kinds_find_what_they_mean() {
    let head = head(HeadOptions::default());
    for n in 0..300 {
        let (n, odd) = (n.to_string(), if n % 2 == 0 { "" } else { "yes" });
        write(&head, &[("__name__", "m"), ("n", &n), ("odd", odd)], &[(T, 1.0)]).await;
    }
    let matcher = |kind, name: &str, value: &str| Matcher::new(kind, name, value).unwrap();
    use MatchType::{Equal, NotEqual, NotRegex, Regex};
    for (matchers, count) in [
        (vec![], 300),
        (vec![matcher(Equal, "odd", "")], 150),
        (vec![matcher(NotEqual, "odd", "")], 150),
        (vec![matcher(Regex, "n", "1|2|3|x")], 3),
        (vec![matcher(Regex, "n", "1.")], 10),
        (vec![matcher(NotRegex, "n", "1.*"), matcher(Equal, "odd", "yes")], 150 - 56),
        (vec![matcher(Regex, "none", ".*")], 300),
        (vec![matcher(Regex, "none", ".+")], 0),
        (vec![matcher(NotRegex, "odd", "y.*")], 150),
        (vec![matcher(NotEqual, "n", "7"), matcher(NotEqual, "none", "x")], 299),
    ] {
        let found = read_matching(&head, TimeRange::ALL, matchers.clone()).await;
        assert_eq!(found.len(), count, "{matchers:?}");
    }
}
