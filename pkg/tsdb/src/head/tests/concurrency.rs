//! Several at a time: writers, readers and the background.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use ::model::TimeRange;
use labels::Matcher;
use storage::append::Refusal;

use super::common::{START_MS as T, begin, floats, parts, read, read_matching, resolve, write};
use crate::head::{Head, HeadOptions, MemoryChunks};

/// Readers see whole transactions while chunks are cut, go to disk and are given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_see_whole_transactions_whatever_goes_on() {
    const SERIES: usize = 12;
    let chunks = Arc::new(MemoryChunks::default());
    let options = HeadOptions { chunk_range_ms: 400, ..HeadOptions::default() };
    let head = Head::new(parts(chunks.clone()), options);
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    // What each reader has seen. It keeps that, however slow it is.
    let seen: [Arc<AtomicI64>; 2] = Default::default();
    for seen in &seen {
        let (head, over, seen) = (head.clone(), over.clone(), seen.clone());
        tasks.push(tokio::spawn(async move {
            let mut newest = 0;
            while !over.load(Ordering::Relaxed) {
                let all = read_matching(&head, TimeRange::ALL, vec![Matcher::equal("all", "yes")]).await;
                let ends: Vec<_> = all.values().map(|r| r.floats.last().map_or(0, |f| f.0)).collect();
                let end = ends.first().copied().unwrap_or(0);
                assert!(ends.iter().all(|e| *e == end), "a part of a transaction: {ends:?}");
                assert!(ends.is_empty() || ends.len() == SERIES, "{} series", ends.len());
                assert!(end >= newest, "what was seen is gone: {ends:?}, {newest} before");
                seen.store(end, Ordering::Relaxed);
                newest = end;
                tokio::task::yield_now().await;
            }
        }));
    }
    let (mapping, stop) = (head.clone(), over.clone());
    tasks.push(tokio::spawn(async move {
        while !stop.load(Ordering::Relaxed) {
            mapping.map_full_chunks(&*chunks).await.unwrap();
            if let Some((_, max)) = mapping.range() {
                let slowest = seen.iter().map(|seen| seen.load(Ordering::Relaxed)).fold(max, i64::min);
                mapping.truncate(slowest - 1_000);
            }
            tokio::task::yield_now().await;
        }
    }));
    for step in 0..400i64 {
        let mut appender = begin(&head);
        let rows: Vec<_> = (0..SERIES)
            .map(|n| (resolve(&mut *appender, &[("all", "yes"), ("n", &n.to_string())]), T + step * 10, step as f64))
            .collect();
        assert_eq!(floats(&mut *appender, &rows), []);
        assert_eq!(appender.commit().await.unwrap().samples, SERIES);
        // Series that come and go beside them.
        write(&head, &[("once", &step.to_string())], &[(T + step * 10, 1.0)]).await;
    }
    over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    head.truncate(T + 400 * 10 - 10);
    assert_eq!(head.chunks(), head.core.count_chunks());
    assert_eq!(head.series(), SERIES + 1);
}

/// prometheus#18629.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn first_appends_at_the_same_time_are_never_out_of_bounds() {
    for round in 0..20 {
        let head = Head::new(parts(Arc::default()), HeadOptions::default());
        let tasks: Vec<_> = (0..8i64)
            .map(|n| {
                let head = head.clone();
                tokio::spawn(async move {
                    let mut appender = begin(&head);
                    let series = resolve(&mut *appender, &[("n", &n.to_string())]);
                    let refused = floats(&mut *appender, &[(series, T + n * 1_000, 1.0)]);
                    assert!(!refused.iter().any(|r| r.why == Refusal::OutOfBounds), "round {round}");
                    appender.commit().await.unwrap().samples
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), 1);
        }
        assert_eq!(read(&head).await.len(), 8);
    }
}

/// prometheus#17538, for the head: labels that several resolve at once are one series with one record.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn labels_that_are_new_to_several_make_one_series() {
    let head = Head::new(parts(Arc::default()), HeadOptions::default());
    let tasks: Vec<_> = (0..16i64)
        .map(|n| {
            let head = head.clone();
            tokio::spawn(async move {
                for step in 0..50i64 {
                    let mut appender = begin(&head);
                    let series = resolve(&mut *appender, &[("name", &step.to_string())]);
                    floats(&mut *appender, &[(series, T + n, 1.0)]);
                    if n % 4 == 0 {
                        appender.rollback();
                    } else {
                        appender.commit().await.unwrap();
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!((head.series(), read(&head).await.len()), (50, 50));
}

/// The same of samples that come late, one transaction after the other, while their chunks are made and go to disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn late_transactions_are_seen_as_a_whole() {
    const SERIES: usize = 8;
    let chunks = Arc::new(MemoryChunks::default());
    let options =
        HeadOptions { out_of_order_window_ms: 3_600_000, out_of_order_samples_max: 8, ..HeadOptions::default() };
    let head = Head::new(parts(chunks.clone()), options);
    let over = Arc::new(AtomicBool::new(false));
    let (reading, stop) = (head.clone(), over.clone());
    let reader = tokio::spawn(async move {
        let mut newest = 0;
        while !stop.load(Ordering::Relaxed) {
            let counts: Vec<_> = read(&reading).await.values().map(|r| r.floats.len()).collect();
            let count = counts.first().copied().unwrap_or(0);
            assert!(counts.iter().all(|c| *c == count), "a part of a transaction: {counts:?}");
            assert!(count >= newest, "what was seen is gone");
            newest = count;
            tokio::task::yield_now().await;
        }
    });
    for step in 0..200i64 {
        let mut appender = begin(&head);
        let rows: Vec<_> = (0..SERIES)
            .map(|n| (resolve(&mut *appender, &[("n", &n.to_string())]), T - step * 10, step as f64))
            .collect();
        assert_eq!(floats(&mut *appender, &rows), []);
        assert_eq!(appender.commit().await.unwrap().samples, SERIES);
        if step % 7 == 0 {
            head.map_full_chunks(&*chunks).await.unwrap();
        }
    }
    over.store(true, Ordering::Relaxed);
    reader.await.unwrap();
    assert!(read(&head).await.values().all(|r| r.floats.len() == 200));
}
