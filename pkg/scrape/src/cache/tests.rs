//! Markers as a plain set of names gives them, and what memory is given back.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use proptest::prelude::*;

/// A scrape of series by name; true = it succeeds. Gives the references of the gone ones.
fn scrape(cache: &mut Cache, names: &[u8], succeeds: bool) -> BTreeSet<u64> {
    cache.begin(Format::Text);
    for name in names {
        let key = cache.digest(&[*name], 0);
        let found = cache.look_up(key);
        if cache.known(found.id) == Known::Unresolved {
            cache.set_series(found.id, SeriesRef(u64::from(*name)));
        }
        assert_eq!(cache.known(found.id), Known::Series(SeriesRef(u64::from(*name))));
        cache.note(found.id, false, true);
        cache.keep(found.id);
    }
    let gone = if succeeds { cache.succeed() } else { cache.fail() };
    gone.into_iter().map(|gone| gone.series.0).collect()
}

proptest! {
    /// The markers are those that a plain set of the names before gives, whatever order bodies have.
    #[test]
    fn markers(scrapes in proptest::collection::vec(
        (proptest::collection::vec(0u8..40, 0..60), proptest::bool::weighted(0.8)), 1..30
    )) {
        let mut cache = Cache::new(7);
        let mut live = BTreeSet::new();
        let mut known = BTreeSet::new();
        for (names, succeeds) in scrapes {
            let gone = scrape(&mut cache, &names, succeeds);
            let now: BTreeSet<u64> = names.iter().map(|n| u64::from(*n)).collect();
            if succeeds {
                let want: BTreeSet<u64> = live.difference(&now).copied().collect();
                prop_assert_eq!(gone, want);
                prop_assert_eq!(cache.len(), now.len());
                live = now.clone();
                known = now;
            } else {
                prop_assert_eq!(gone, live.clone());
                known.extend(now);
                prop_assert_eq!(cache.len(), known.len());
                live.clear();
            }
        }
    }
}

#[test]
fn repeated_new_and_known() {
    let mut cache = Cache::new(1);
    cache.begin(Format::Text);
    let (a, b) = (cache.digest(b"a", 0), cache.digest(b"b", 0));
    assert_ne!(a, cache.digest(b"a", 1));
    let first = cache.look_up(a);
    assert!(first.is_new && !first.is_repeated);
    let again = cache.look_up(a);
    assert!(!again.is_new && again.is_repeated && again.id == first.id);
    cache.set_dropped(first.id);
    cache.look_up(b);
    assert!(cache.succeed().is_empty());
    cache.begin(Format::Text);
    let known = cache.look_up(a);
    assert!(!known.is_new && !known.is_repeated);
    assert_eq!(cache.known(known.id), Known::Dropped);
    // What was dropped, or is in no store, gets no marker.
    cache.succeed();
    cache.begin(Format::Text);
    assert!(cache.succeed().is_empty());
    assert_eq!(cache.len(), 0);
}

/// How many series of a scrape that fails are new; those from the one at `beyond` on are over a limit.
fn new_of_failed(cache: &mut Cache, names: std::ops::Range<u64>, beyond: u64) -> usize {
    cache.begin(Format::Text);
    let mut new = 0;
    for name in names {
        let key = cache.digest(&name.to_le_bytes(), 0);
        let found = cache.look_up(key);
        new += usize::from(found.is_new);
        if found.is_new && name < beyond {
            cache.keep(found.id);
        }
    }
    cache.fail();
    new
}

#[test]
fn series_of_scrapes_that_fail_are_new_once() {
    let mut cache = Cache::new(1);
    assert_eq!(new_of_failed(&mut cache, 0..5, 3), 5);
    assert_eq!(new_of_failed(&mut cache, 0..5, 3), 2);
    assert_eq!(cache.len(), 3);
    // Other ones each time do not pile up.
    for scrape in 0..20 {
        let from = 1000 + scrape * 400;
        assert_eq!(new_of_failed(&mut cache, from..from + 400, u64::MAX), 400);
        assert!(cache.len() <= LEFT_MAX + 400, "{}", cache.len());
    }
    cache.begin(Format::Text);
    cache.succeed();
    assert_eq!(cache.len(), 0);
}

#[test]
fn histograms_and_untracked_series() {
    let mut cache = Cache::new(1);
    cache.begin(Format::Text);
    for (name, is_histogram, is_tracked) in [(b"a", true, true), (b"b", false, false)] {
        let key = cache.digest(name, 0);
        let id = cache.look_up(key).id;
        cache.set_series(id, SeriesRef(u64::from(name[0])));
        cache.note(id, is_histogram, is_tracked);
    }
    cache.succeed();
    assert_eq!(cache.fail(), [Gone { series: SeriesRef(97), is_histogram: true }]);
}

#[test]
fn a_target_that_gets_small_gives_memory_back() {
    let mut cache = Cache::new(1);
    let all: Vec<u8> = (0..=255).collect();
    let mut refs = BTreeMap::new();
    for names in [&all[..], &all[..60], &all[..], &all[..65], &all[..65]] {
        cache.begin(Format::Text);
        for name in names {
            let key = cache.digest(&[*name], 0);
            let found = cache.look_up(key);
            refs.insert(*name, found.id);
        }
        cache.succeed();
    }
    assert!(cache.entries.len() <= 256 && cache.len() == 65);
}

#[test]
fn what_is_expected_next() {
    let mut cache = Cache::new(1);
    let (long, longer) = ([b'x'; BYTES_MAX - 1], [b'x'; BYTES_MAX + 1]);
    let names = [&b"a"[..], b"bc", &long, &longer, b"d"];
    let scrape = |cache: &mut Cache, format, succeeds: bool| -> Vec<(usize, bool)> {
        cache.begin(format);
        let expected = names.iter().map(|name| {
            let key = cache.digest(name, 0);
            let expected = (cache.expected_bytes(), cache.expects(key));
            let found = cache.look_up(key);
            cache.set_series(found.id, SeriesRef(u64::from(name[0])));
            expected
        });
        let expected = expected.collect();
        if succeeds {
            cache.succeed()
        } else {
            cache.fail()
        };
        expected
    };
    let bytes = |expected: Vec<(usize, bool)>| expected.into_iter().map(|(bytes, _)| bytes).collect::<Vec<_>>();
    let in_order = [(1, true), (2, true), (BYTES_MAX - 1, true), (0, true), (1, true)];
    assert_eq!(scrape(&mut cache, Format::Text, true), [(0, false); 5]);
    assert_eq!(scrape(&mut cache, Format::Text, true), in_order);
    // The bytes of a body of another format mean nothing; one that failed leaves all as it was.
    assert_eq!(bytes(scrape(&mut cache, Format::OpenMetrics, false)), [0; 5]);
    assert_eq!(scrape(&mut cache, Format::Text, true), in_order);
    assert_eq!(bytes(scrape(&mut cache, Format::OpenMetrics, true)), [0; 5]);
    assert_eq!(scrape(&mut cache, Format::OpenMetrics, true), in_order);
    cache.forget_all();
    assert!(scrape(&mut cache, Format::OpenMetrics, true).iter().all(|(_, expected)| !expected));
}
