//! Series, and the kinds of rows.

use std::sync::Arc;

use histogram::{FloatHistogram, Histogram, ResetHint, Span};
use labels::{Labels, Matcher};
use model::{Exemplar, MetricMetadata, TimeRange, is_stale, stale_nan};

use super::common::{
    START_MS as T, Store, WINDOW_MS, begin, commit, float, floats, names, read, resolve, samples_of, series,
};
use storage::append::{
    AppendOptions, Exemplars, Floats, HistogramValue, Histograms, LabelLimits, Metadata, Refusal, Refused, SeriesRef,
    SeriesRefusal,
};
use storage::{Ctx, Error, ExemplarsQuery, MetadataQuery, PartialResponse};

pub(super) async fn references(store: impl Store) {
    let mut appender = begin(&store);
    let a = series(&mut *appender, "a");
    assert_eq!(float(&mut *appender, a, T, 1.0), None);
    commit(appender).await;
    // In a later transaction, without resolving it.
    let mut appender = begin(&store);
    let unknown = SeriesRef(u64::MAX);
    let refused = floats(&mut *appender, &[(unknown, T + 1, 1.0), (a, T + 1, 2.0)]);
    assert_eq!(refused, [Refused { row: 0, why: Refusal::UnknownSeries }]);
    assert_eq!(commit(appender).await.samples, 1);
    assert_eq!(samples_of(&store, "a").await, [(T, 1.0), (T + 1, 2.0)]);
    // After a rollback of a new series its reference is unknown, or still the same series'.
    let mut appender = begin(&store);
    let gone = series(&mut *appender, "gone");
    drop(appender);
    let mut appender = begin(&store);
    let b = series(&mut *appender, "b");
    assert!(b != gone, "a reference was used for another series");
    match float(&mut *appender, gone, T, 7.0) {
        None => {}
        other => assert_eq!(other, Some(Refusal::UnknownSeries)),
    }
    assert_eq!(float(&mut *appender, b, T, 1.0), None);
    commit(appender).await;
    assert_eq!(samples_of(&store, "b").await, [(T, 1.0)]);
}

pub(super) async fn label_sets(store: impl Store) {
    let limits = LabelLimits { labels_max: 3, name_bytes_max: 10, value_bytes_max: 20 };
    let options = AppendOptions { labels: limits, ..AppendOptions::default() };
    let mut appender = store.appender(&Ctx::background(), options);
    let long = "x".repeat(21);
    let sets: [&[(&str, &str)]; 8] = [
        &[("__name__", "a"), ("job", "j")],
        &[("job", "j"), ("none", ""), ("__name__", "a")],
        &[("__name__", "a"), ("job", "j"), ("job", "k")],
        &[("__name__", "")],
        &[("__name__", "a"), ("", "v")],
        &[("__name__", "a"), ("b", "1"), ("c", "1"), ("d", "1")],
        &[("__name__", &long)],
        &[("__name__", "b")],
    ];
    let found = appender.resolve(&sets).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(found.len(), sets.len());
    assert!(found[0].is_ok() && found[0] == found[1], "order and empty values do not matter: {found:?}");
    assert_eq!(found[2], Err(SeriesRefusal::DuplicateName("job".to_owned())));
    assert_eq!(found[3], Err(SeriesRefusal::Empty));
    assert_eq!(found[4], Err(SeriesRefusal::EmptyName));
    assert_eq!(found[5], Err(SeriesRefusal::TooManyLabels { labels: 4, max: 3 }));
    assert!(matches!(found[6], Err(SeriesRefusal::TooLong { what: "value", bytes: 21, max: 20, .. })), "{found:?}");
    let Ok(b) = found[7] else { panic!("{found:?}") };
    let Ok(a) = found[0] else { panic!("{found:?}") };
    assert_eq!(floats(&mut *appender, &[(a, T, 1.0), (b, T, 2.0)]), []);
    commit(appender).await;
    let all: Vec<String> = read(&store).await.into_keys().collect();
    assert_eq!(all, [r#"{__name__="a", job="j"}"#, r#"{__name__="b"}"#]);
}

pub(super) async fn stale_markers(store: impl Store) {
    let mut appender = begin(&store);
    let (a, never) = (series(&mut *appender, "a"), series(&mut *appender, "never"));
    let rows = [(never, T, stale_nan()), (a, T, 1.0), (a, T + 1, stale_nan()), (a, T + 2, f64::NAN), (a, T + 3, 2.0)];
    let refused = floats(&mut *appender, &rows);
    assert_eq!(refused, [Refused { row: 0, why: Refusal::NothingToMark }], "a marker alone does not make a series");
    commit(appender).await;
    assert_eq!(names(&store).await, ["a"]);
    let stale: Vec<bool> = samples_of(&store, "a").await.iter().map(|(_, v)| is_stale(*v)).collect();
    assert_eq!(stale, [false, true, false, false], "the marker's bits are kept, and no other NaN becomes one");
    let mut appender = begin(&store);
    assert_eq!(float(&mut *appender, a, T + 1, stale_nan()), None, "the same marker once more");
    assert_eq!(float(&mut *appender, a, T + 4, stale_nan()), None, "of a series committed before");
    assert_eq!(commit(appender).await.samples, 1);
}

pub(super) async fn start_times(store: impl Store) {
    let mut appender = begin(&store);
    let a = series(&mut *appender, "a");
    let rows = Floats {
        series: &[a; 4],
        times_ms: &[T, T + 1, T + 2, T + 3],
        values: &[1.0, 2.0, 3.0, 4.0],
        starts_ms: &[T - 5, T + 1, 0, T - 5],
    };
    let refused = appender.floats(rows).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(refused, [Refused { row: 1, why: Refusal::StartAfterSample }]);
    commit(appender).await;
    assert_eq!(samples_of(&store, "a").await, [(T, 1.0), (T + 2, 3.0), (T + 3, 4.0)]);
}

fn ints(count: u64, sum: f64) -> Histogram {
    Histogram {
        reset_hint: ResetHint::Unknown,
        schema: 0,
        zero_threshold: 0.001,
        zero_count: 0,
        count,
        sum,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_deltas: vec![1, count as i64 - 2],
        ..Histogram::default()
    }
}

pub(super) async fn histograms(store: impl Store) {
    let mut appender = begin(&store);
    let (a, b) = (series(&mut *appender, "a"), series(&mut *appender, "b"));
    let int = |count, sum| HistogramValue::Int(Arc::new(ints(count, sum)));
    let float_value = |count, sum| HistogramValue::Float(Arc::new(ints(count, sum).to_float()));
    let invalid = FloatHistogram { positive_buckets: Vec::new(), ..ints(5, 1.0).to_float() };
    let values = [
        int(4, 1.0),
        int(6, 2.0),
        // A reset.
        int(3, 0.5),
        int(3, 0.75),
        float_value(4, 1.0),
        HistogramValue::Float(Arc::new(invalid)),
        float_value(7, 3.0),
        int(5, stale_nan()),
    ];
    let rows = Histograms {
        series: &[a, a, a, a, b, b, b, a],
        times_ms: &[T, T + 1, T + 2, T + 2, T, T + 1, T + 2, T + 3],
        values: &values,
        starts_ms: &[],
    };
    let refused = appender.histograms(rows).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(refused.iter().map(|r| r.row).collect::<Vec<_>>(), [3, 5], "{refused:?}");
    assert_eq!(refused[0].why, Refusal::Duplicate);
    assert!(matches!(refused[1].why, Refusal::InvalidHistogram(_)), "{refused:?}");
    // One series may turn from histograms to floats, at another time.
    assert_eq!(float(&mut *appender, b, T + 2, 1.0), Some(Refusal::Duplicate));
    assert_eq!(float(&mut *appender, b, T + 5, 1.0), None);
    assert_eq!(commit(appender).await.samples, 7);
    let all = read(&store).await;
    let shown = |name: &str| {
        let series = &all[&format!("{{__name__=\"{name}\"}}")];
        let histograms = series.histograms.iter().filter(|(_, h)| !is_stale(h.sum));
        histograms.map(|(t, h)| (*t - T, h.count, h.sum, h.positive_buckets.clone())).collect::<Vec<_>>()
    };
    assert_eq!(
        shown("a"),
        [(0, 4.0, 1.0, vec![1.0, 3.0]), (1, 6.0, 2.0, vec![1.0, 5.0]), (2, 3.0, 0.5, vec![1.0, 2.0])]
    );
    assert_eq!(shown("b"), [(0, 4.0, 1.0, vec![1.0, 3.0]), (2, 7.0, 3.0, vec![1.0, 6.0])]);
    let last = all[r#"{__name__="a"}"#].histograms.last().map(|(t, h)| (*t - T, is_stale(h.sum)));
    assert_eq!(last, Some((3, true)), "a stale histogram");
    assert_eq!(samples_of(&store, "b").await, [(T + 5, 1.0)]);
}

pub(super) async fn unequal_columns(store: impl Store) {
    let mut appender = begin(&store);
    let a = series(&mut *appender, "a");
    let rows = Floats { series: &[a, a], times_ms: &[T, T + 1], values: &[1.0], starts_ms: &[] };
    assert!(matches!(appender.floats(rows), Err(Error::Invalid(_))));
    let rows = Floats { series: &[a], times_ms: &[T], values: &[1.0], starts_ms: &[0, 0] };
    assert!(matches!(appender.floats(rows), Err(Error::Invalid(_))));
    let rows = Histograms { series: &[a], times_ms: &[T], values: &[], starts_ms: &[] };
    assert!(matches!(appender.histograms(rows), Err(Error::Invalid(_))));
    assert!(matches!(appender.exemplars(Exemplars { series: &[a], exemplars: &[] }), Err(Error::Invalid(_))));
    assert_eq!(commit(appender).await.samples, 0);
}

pub(super) async fn exemplars(store: impl Store) {
    let mut appender = begin(&store);
    let a = resolve(&mut *appender, &[("__name__", "a"), ("job", "j")]);
    assert_eq!(float(&mut *appender, a, T, 1.0), None);
    let one = |trace: &str, value: f64, time_ms: i64| Exemplar {
        labels: Labels::from_pairs([("trace_id", trace)]),
        value,
        timestamp_ms: time_ms,
    };
    let list = [
        one("1", 1.0, T),
        one("1", 1.0, T),
        one("2", 2.0, T + 5),
        one("3", 3.0, T + 5 - WINDOW_MS),
        one(&"x".repeat(130), 1.0, T + 6),
    ];
    let rows = Exemplars { series: &[a, a, a, a, a], exemplars: &list };
    let refused = appender.exemplars(rows).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert_eq!(refused[0], Refused { row: 3, why: Refusal::ExemplarOutOfOrder });
    assert!(matches!(refused[1], Refused { row: 4, why: Refusal::ExemplarTooLong { .. } }), "{refused:?}");
    let query = |range| ExemplarsQuery {
        query: "a".to_owned(),
        selectors: vec![vec![Matcher::equal("job", "j")]],
        range,
        partial_response: PartialResponse::Abort,
    };
    let ask = async |range| {
        let answer = store.exemplars(&Ctx::background(), query(range)).await.unwrap_or_else(|e| panic!("{e}"));
        answer.value.into_iter().flat_map(|s| s.exemplars).map(|e| e.timestamp_ms - T).collect::<Vec<_>>()
    };
    assert!(ask(TimeRange::ALL).await.is_empty(), "exemplars are visible before commit");
    commit(appender).await;
    assert_eq!(ask(TimeRange::ALL).await, [0, 5]);
    assert_eq!(ask(TimeRange::new(T + 1, T + 9)).await, [5]);
}

pub(super) async fn metadata(store: impl Store) {
    let one =
        |help: &str| MetricMetadata { metric_type: "counter".to_owned(), help: help.to_owned(), unit: String::new() };
    let ask = async || {
        let answer = store.metadata(&Ctx::background(), MetadataQuery::default()).await;
        let found = answer.unwrap_or_else(|e| panic!("{e}")).value;
        found
            .into_iter()
            .map(|(name, list)| (name, list.into_iter().map(|m| m.help).collect::<Vec<_>>()))
            .collect::<Vec<_>>()
    };
    for (help, time_ms) in [("first", T), ("second", T + 1)] {
        let mut appender = begin(&store);
        let a = series(&mut *appender, "a_total");
        assert_eq!(float(&mut *appender, a, time_ms, 1.0), None);
        let rows =
            Metadata { series: &[a, SeriesRef(u64::MAX)], families: &["a", "b"], metadata: &[one(help), one("none")] };
        let refused = appender.metadata(rows).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(refused, [Refused { row: 1, why: Refusal::UnknownSeries }]);
        assert!(ask().await.iter().all(|(_, list)| !list.contains(&help.to_owned())), "visible before commit");
        commit(appender).await;
    }
    assert_eq!(ask().await, [("a".to_owned(), vec!["second".to_owned()])], "the newest stands");
}
