//! Which samples are in time.

use super::common::{Rules, START_MS as T, Store, WINDOW_MS, begin, commit, float, floats, samples_of, series};
use storage::Ctx;
use storage::append::{AppendOptions, Refusal, Refused};

/// Within a transaction and after it the same rules hold.
pub(super) async fn of_samples(store: impl Store, rules: Rules) {
    for (name, commit_between) in [("one", false), ("two", true)] {
        let mut appender = begin(&store);
        let one = series(&mut *appender, name);
        assert_eq!(float(&mut *appender, one, T, 1.0), None);
        if commit_between {
            assert_eq!(commit(std::mem::replace(&mut appender, begin(&store))).await.samples, 1);
        }
        let late = if rules.out_of_order { None } else { Some(Refusal::OutOfOrder { newest_ms: T + 10 }) };
        let far = T + 9 - WINDOW_MS;
        let too_old = match rules.out_of_order {
            true => Refusal::TooOld { oldest_ms: T + 10 - WINDOW_MS },
            false => Refusal::OutOfOrder { newest_ms: T + 10 },
        };
        for (time_ms, value, want, why) in [
            (T, 1.0, None, "the same once more"),
            (T, 2.0, Some(Refusal::Duplicate), "another value"),
            (T + 10, 3.0, None, "newer"),
            (T + 5, 4.0, late, "older"),
            (far, 5.0, Some(too_old), "older than any window"),
            (T + 10, f64::NAN, Some(Refusal::Duplicate), "another value, which is NaN"),
        ] {
            assert_eq!(float(&mut *appender, one, time_ms, value), want, "{name}: {why}");
        }
        commit(appender).await;
        let right: &[_] =
            if rules.out_of_order { &[(T, 1.0), (T + 5, 4.0), (T + 10, 3.0)] } else { &[(T, 1.0), (T + 10, 3.0)] };
        assert_eq!(samples_of(&store, name).await, right, "{name}");
    }
    // In a batch each row is judged by itself, and refused by its index.
    let mut appender = begin(&store);
    let batch = series(&mut *appender, "batch");
    let rows = [(batch, T, 1.0), (batch, T, 2.0), (batch, T + 1, 3.0), (batch, T + 1, 4.0), (batch, T + 2, 5.0)];
    let duplicate = |row| Refused { row, why: Refusal::Duplicate };
    assert_eq!(floats(&mut *appender, &rows), [duplicate(1), duplicate(3)]);
    assert_eq!(commit(appender).await.samples, 3);
    assert_eq!(samples_of(&store, "batch").await, [(T, 1.0), (T + 1, 3.0), (T + 2, 5.0)]);
}

/// What another transaction committed in between decides at commit.
pub(super) async fn across_transactions(store: impl Store) {
    let (mut first, mut second) = (begin(&store), begin(&store));
    let (a, b) = (series(&mut *first, "a"), series(&mut *second, "a"));
    assert_eq!(a, b, "one series has one reference, in all transactions");
    let own = series(&mut *second, "own");
    assert_eq!(floats(&mut *first, &[(a, T, 1.0), (a, T + 1, 1.0)]), []);
    assert_eq!(floats(&mut *second, &[(own, T, 9.0), (b, T, 1.0), (b, T + 1, 2.0), (b, T + 2, 2.0)]), []);
    assert_eq!(commit(first).await.samples, 2);
    let committed = commit(second).await;
    let late = Refused { row: 2, why: Refusal::Duplicate };
    assert_eq!(committed.refused, [(storage::append::Column::Floats, late)], "rows count over the whole transaction");
    assert_eq!(committed.samples, 2, "a sample that was there as it is does not count");
    assert_eq!(samples_of(&store, "a").await, [(T, 1.0), (T + 1, 1.0), (T + 2, 2.0)]);
    assert_eq!(samples_of(&store, "own").await, [(T, 9.0)]);
}

/// [`AppendOptions::reject_out_of_order`].
pub(super) async fn rules_write_in_order(store: impl Store, rules: Rules) {
    let options = AppendOptions { reject_out_of_order: true, ..AppendOptions::default() };
    let mut appender = store.appender(&Ctx::background(), options);
    let one = series(&mut *appender, "one");
    assert_eq!(float(&mut *appender, one, T, 1.0), None);
    let late = float(&mut *appender, one, T - 1, 1.0);
    assert_eq!(late, Some(Refusal::OutOfOrder { newest_ms: T }));
    commit(appender).await;
    let mut appender = begin(&store);
    let one = series(&mut *appender, "one");
    assert_eq!(float(&mut *appender, one, T - 1, 1.0).is_none(), rules.out_of_order, "others are not held to it");
}
