//! A transaction is taken as a whole: visible at once, or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::common::{Store, begin, commit, float, floats, names, read, samples_of, series};
use storage::append::{AppendOptions, Refusal, SeriesRef, Visible};
use storage::{Budget, Ctx, Error};

use super::common::START_MS as T;

pub(super) async fn visible_at_once(store: impl Store) {
    let mut appender = begin(&store);
    let (a, b) = (series(&mut *appender, "a"), series(&mut *appender, "b"));
    assert_ne!(a, b, "two series have two references");
    assert_eq!(floats(&mut *appender, &[(a, T, 1.0), (b, T, 2.0), (a, T + 1, 3.0)]), []);
    assert!(read(&store).await.is_empty(), "samples are visible before commit");
    assert!(names(&store).await.is_empty(), "labels are visible before commit");
    let committed = commit(appender).await;
    assert_eq!((committed.samples, committed.refused.len()), (3, 0));
    assert_eq!(samples_of(&store, "a").await, [(T, 1.0), (T + 1, 3.0)]);
    assert_eq!(samples_of(&store, "b").await, [(T, 2.0)]);
    assert_eq!(names(&store).await, ["a", "b"]);
    assert_eq!(commit(begin(&store)).await.samples, 0, "an empty transaction");
}

pub(super) async fn given_up(store: impl Store) {
    for dropped in [false, true] {
        let mut appender = begin(&store);
        let a = series(&mut *appender, "a");
        assert_eq!(float(&mut *appender, a, T, 1.0), None);
        if dropped {
            drop(appender)
        } else {
            appender.rollback()
        }
        assert!(read(&store).await.is_empty() && names(&store).await.is_empty(), "dropped: {dropped}");
    }
    // A commit that nobody waits for never began.
    let mut appender = begin(&store);
    let a = series(&mut *appender, "a");
    assert_eq!(float(&mut *appender, a, T, 1.0), None);
    drop(appender.commit());
    assert!(read(&store).await.is_empty(), "a commit that was not polled");
    // What was given up leaves no trace that would refuse an older sample or another value.
    let mut appender = begin(&store);
    let a = series(&mut *appender, "a");
    assert_eq!(floats(&mut *appender, &[(a, T - 10, 7.0), (a, T, 8.0)]), []);
    commit(appender).await;
    assert_eq!(samples_of(&store, "a").await, [(T - 10, 7.0), (T, 8.0)]);
    // And of a series that has samples, these stay.
    let mut appender = begin(&store);
    let a = series(&mut *appender, "a");
    assert_eq!(float(&mut *appender, a, T + 1, 1.0), None);
    drop(appender);
    assert_eq!(samples_of(&store, "a").await, [(T - 10, 7.0), (T, 8.0)]);
}

/// Readers see a transaction in all series, or in none.
pub(super) async fn while_others_read(store: impl Store) {
    const SERIES: usize = 20;
    let store = Arc::new(store);
    let over = Arc::new(AtomicBool::new(false));
    let (reader, stop) = (store.clone(), over.clone());
    let reading = tokio::spawn(async move {
        let mut before = 0;
        while !stop.load(Ordering::Relaxed) {
            let all = read(&*reader).await;
            let counts: Vec<usize> = all.values().map(|r| r.floats.len()).collect();
            let count = counts.first().copied().unwrap_or(0);
            assert!(counts.iter().all(|c| *c == count), "a reader saw a part of a transaction: {counts:?}");
            assert!(counts.is_empty() || counts.len() == SERIES, "a reader saw {} series of {SERIES}", counts.len());
            assert!(count >= before, "samples were lost: {before}, then {count}");
            before = count;
            tokio::task::yield_now().await;
        }
    });
    for step in 0..30 {
        let mut appender = begin(&*store);
        for n in 0..SERIES {
            let one = series(&mut *appender, &format!("s{n}"));
            assert_eq!(float(&mut *appender, one, T + step, step as f64), None);
        }
        assert_eq!(commit(appender).await.samples, SERIES);
    }
    over.store(true, Ordering::Relaxed);
    reading.await.unwrap_or_else(|e| panic!("{e}"));
}

/// Each has a series of its own, and all write the same one.
pub(super) async fn several_writers(store: impl Store) {
    const WRITERS: usize = 8;
    let store = Arc::new(store);
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let (mut taken, mut refused) = (0, 0);
            for step in 0..20 {
                let mut appender = begin(&*store);
                let own = series(&mut *appender, &format!("own{writer}"));
                let shared = series(&mut *appender, "shared");
                assert_eq!(float(&mut *appender, own, T + step, writer as f64), None);
                // A value of its own: only one can win.
                let late = float(&mut *appender, shared, T + step, writer as f64);
                let committed = commit(appender).await;
                taken += committed.samples;
                refused += committed.refused.len() + usize::from(late.is_some());
                tokio::task::yield_now().await;
            }
            (taken, refused)
        }));
    }
    let (mut taken, mut refused) = (0, 0);
    for task in tasks {
        let (t, r) = task.await.unwrap_or_else(|e| panic!("{e}"));
        taken += t;
        refused += r;
    }
    assert_eq!(taken + refused, 2 * 20 * WRITERS, "each sample is taken or refused");
    let all = read(&*store).await;
    assert_eq!(all.values().map(|r| r.floats.len()).sum::<usize>(), taken, "what was counted can be read");
    for writer in 0..WRITERS {
        let own = samples_of(&*store, &format!("own{writer}")).await;
        assert_eq!(own, (0..20).map(|step| (T + step, writer as f64)).collect::<Vec<_>>());
    }
    let shared = samples_of(&*store, "shared").await;
    assert!(!shared.is_empty() && shared.is_sorted_by(|a, b| a.0 < b.0), "{shared:?}");
}

pub(super) async fn budgets_and_cancellation(store: impl Store) {
    let budget = Budget::new("this write", "--limit", 20_000, None);
    let ctx = Ctx { budget: budget.clone(), ..Ctx::background() };
    let mut appender = store.appender(&ctx, AppendOptions::default());
    let a = series(&mut *appender, "a");
    assert_eq!(float(&mut *appender, a, T, 1.0), None);
    let many: Vec<(SeriesRef, i64, f64)> = (1..10_000).map(|i| (a, T + i, 0.0)).collect();
    let (refs, times, values): (Vec<_>, Vec<_>, Vec<_>) =
        (many.iter().map(|r| r.0).collect(), many.iter().map(|r| r.1).collect(), many.iter().map(|r| r.2).collect());
    let rows = storage::append::Floats { series: &refs, times_ms: &times, values: &values, starts_ms: &[] };
    let error = appender.floats(rows).err();
    assert!(matches!(&error, Some(Error::Limit(text)) if text.contains("--limit")), "{error:?}");
    let committed = commit(appender).await;
    assert_eq!(committed.samples, 1, "of a batch over the budget nothing is taken, what was before stays");
    assert_eq!(budget.used_bytes(), 0, "a transaction gives its budget back");

    let ctx = Ctx::background();
    let mut appender = store.appender(&ctx, AppendOptions::default());
    let a = series(&mut *appender, "a");
    assert_eq!(float(&mut *appender, a, T, 2.0), Some(Refusal::Duplicate));
    assert_eq!(float(&mut *appender, a, T + 1, 2.0), None);
    ctx.cancel.cancel();
    let failed = appender.commit().await.err().map(|e| e.visible);
    assert_eq!(failed, Some(Visible::Nothing), "a commit whose caller went away");
    assert_eq!(samples_of(&store, "a").await, [(T, 1.0)]);
}
