//! What every source of series must do, whatever it is made of. A failed expectation panics: this is for tests.
//!
//! A source is filled with [`series`] (and [`EXTERNAL`] as external labels) and handed to [`run`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chunkenc::{Column, Encoding, decode_floats};
use futures::StreamExt;
use labels::{Labels, MatchType, Matcher};
use model::TimeRange;

use crate::{
    Answer, Budget, Chunk, ChunkData, Ctx, Error, LabelQuery, PartialResponse, Result, Select, Series, SeriesSource,
    Shard, collect_series,
};

/// The external labels to give the source.
pub const EXTERNAL: [(&str, &str); 2] = [("cluster", "eu"), ("replica", "a")];
/// The first sample's time, ms.
pub const START_MS: i64 = 1_700_000_000_000;
/// Chunks of a whole series; each spans half an hour.
pub const CHUNKS: i64 = 3;

const CHUNK_MS: i64 = 30 * 60 * 1000;
const STEP_MS: i64 = 15_000;
const INSTANCES: usize = 70;

/// Where sources may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits {
    /// It reserves what it holds from the request's budget.
    pub budgeted: bool,
    /// Label names and values are exact for any time range; else they may be those of the whole.
    pub exact_label_times: bool,
}

/// When everything is.
pub fn range() -> TimeRange {
    TimeRange::new(START_MS, START_MS + CHUNKS * CHUNK_MS - STEP_MS)
}

fn chunk(number: i64, value: impl Fn(i64) -> f64) -> Chunk {
    let times = || (0..CHUNK_MS / STEP_MS).map(|i| START_MS + number * CHUNK_MS + i * STEP_MS);
    let data = chunkenc::encode_xor(times().map(|t| (t, value(t)))).unwrap_or_default();
    let first = START_MS + number * CHUNK_MS;
    Chunk::raw(first, first + CHUNK_MS - STEP_MS, Encoding::Xor, data.into())
}

/// The series to fill a source with, in label order, without external labels.
pub fn series() -> Vec<Series> {
    let one = |pairs: &[(&str, &str)], chunks: std::ops::Range<i64>, value: f64| Series {
        labels: Labels::from_pairs(pairs.iter().copied()),
        chunks: chunks.map(|n| chunk(n, |t| value + (t - START_MS) as f64 / 1000.0)).collect(),
    };
    let mut all = Vec::new();
    for (n, name) in ["a_total", "b_total"].into_iter().enumerate() {
        for i in 0..INSTANCES {
            let (instance, job) = (i.to_string(), format!("job-{}", i % 3));
            let labels = [("__name__", name), ("instance", &instance), ("job", &job)];
            all.push(one(&labels, 0..CHUNKS, (1000 * n + i) as f64));
        }
    }
    // One only at the beginning, one only at the end, labels on either side of the external ones, values beyond ASCII.
    all.push(one(&[("__name__", "early")], 0..1, 1.0));
    all.push(one(&[("__name__", "late"), ("zone", "süd")], CHUNKS - 1..CHUNKS, 2.0));
    all.push(one(&[("__name__", "edge"), ("a", "1"), ("zone", "\"quoted\"\n")], 0..CHUNKS, 3.0));
    all.push(one(&[("__name__", "edge"), ("a", "1")], 0..CHUNKS, 4.0));
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    all
}

/// As a source with the external labels has them.
fn expected() -> Vec<Series> {
    let external = Labels::from_pairs(EXTERNAL);
    let mut all: Vec<_> = series().into_iter().map(|s| Series { labels: s.labels.overlay(&external), ..s }).collect();
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    all
}

fn matcher(kind: MatchType, name: &str, value: &str) -> Matcher {
    Matcher::new(kind, name, value).unwrap_or_else(|e| panic!("{e}"))
}

/// Some sources must have a matcher on a series' own label.
fn any() -> Matcher {
    matcher(MatchType::Regex, "__name__", ".+")
}

fn want(range: TimeRange, matchers: &[Matcher]) -> Select {
    // A part that fails must not turn into a short answer.
    Select { partial_response: PartialResponse::Abort, ..Select::new(range, matchers.to_vec()) }
}

fn all() -> Select {
    want(TimeRange::ALL, &[any()])
}

async fn ask(source: &dyn SeriesSource, want: Select) -> Vec<Series> {
    let text = format!("{want:?}");
    let here = source.select_here(&Ctx::background(), &want);
    let answer = collect_series(source.select(&Ctx::background(), want)).await;
    if let Some(here) = here {
        let here = collect_series(here).await;
        assert_eq!(format!("{here:?}"), format!("{answer:?}"), "{text}: another answer of `select_here`");
    }
    let answer = answer.unwrap_or_else(|e| panic!("{text}: {e}"));
    assert!(answer.warnings.is_empty(), "{text}: {:?}", answer.warnings);
    let labels: Vec<_> = answer.value.iter().map(|s| &s.labels).collect();
    assert!(labels.is_sorted_by(|a, b| a < b), "{text}: series out of order or twice");
    for series in &answer.value {
        let chunks = &series.chunks;
        assert!(chunks.is_sorted_by_key(|c| c.min_time), "{text}: {}: chunks out of order", series.labels);
        assert!(chunks.iter().all(|c| c.min_time <= c.max_time), "{text}: {}: times of chunks", series.labels);
    }
    answer.value
}

/// The samples inside `range`.
fn samples(series: &Series, range: TimeRange) -> Vec<(i64, f64)> {
    let mut column = Column::new();
    for chunk in &series.chunks {
        match &chunk.data {
            ChunkData::Raw(raw) => {
                decode_floats(raw.encoding, &raw.data, &mut column)
                    .unwrap_or_else(|e| panic!("{}: {e}", series.labels));
            }
            ChunkData::Decoded(decoded) => decoded.iter().for_each(|(t, v)| column.push(t, v)),
            ChunkData::Aggr(_) => panic!("{}: downsampled where raw data was asked for", series.labels),
        }
    }
    column.iter().filter(|(t, _)| range.min <= *t && *t <= range.max).collect()
}

/// The same series, and the same samples inside `range`.
fn assert_same(got: &[Series], want: &[Series], range: TimeRange, what: &str) {
    let labels = |list: &[Series]| list.iter().map(|s| s.labels.to_string()).collect::<Vec<_>>();
    assert_eq!(labels(got), labels(want), "{what}");
    for (got, want) in got.iter().zip(want) {
        assert_eq!(samples(got, range), samples(want, range), "{what}: {}", got.labels);
    }
}

fn matching(matchers: &[Matcher]) -> Vec<Series> {
    let matches = |s: &Series| matchers.iter().all(|m| m.matches(s.labels.value(m.name())));
    expected().into_iter().filter(matches).collect()
}

/// Runs everything.
///
/// # Panics
/// With what did not hold.
pub async fn run(source: &dyn SeriesSource, traits: Traits) {
    info(source);
    matchers(source).await;
    times(source).await;
    labels_only(source).await;
    limits(source).await;
    shards(source).await;
    replicas(source).await;
    label_names_and_values(source).await;
    label_times(source, traits).await;
    given_up(source).await;
    if traits.budgeted {
        budgets(source).await;
    }
}

fn info(source: &dyn SeriesSource) {
    let info = source.info();
    assert!(info.range.min <= range().min && range().max <= info.range.max, "info: {:?}", info.range);
    if !info.label_sets.is_empty() {
        assert_eq!(info.label_sets, [Labels::from_pairs(EXTERNAL)], "info");
    }
}

async fn matchers(source: &dyn SeriesSource) {
    use MatchType::{Equal, NotEqual, NotRegex, Regex};
    let cases: &[&[(MatchType, &str, &str)]] = &[
        &[(Regex, "__name__", ".+")],
        &[(Equal, "__name__", "a_total")],
        &[(Equal, "__name__", "a_total"), (Equal, "instance", "7")],
        &[(Regex, "__name__", "a_total|late"), (NotEqual, "job", "job-1")],
        &[(Regex, "__name__", ".+"), (Equal, "instance", "")],
        &[(Equal, "__name__", "edge"), (Equal, "zone", "")],
        &[(Equal, "__name__", "b_total"), (Regex, "instance", "1.*")],
        &[(Equal, "__name__", "b_total"), (NotRegex, "instance", "[1-6].*")],
        &[(Regex, "__name__", ".+"), (Equal, "zone", "süd")],
        &[(Equal, "zone", "\"quoted\"\n")],
        // External labels are labels of the series.
        &[(Equal, "__name__", "early"), (Equal, "cluster", "eu")],
        &[(Equal, "__name__", "early"), (Regex, "replica", "a|b"), (NotEqual, "cluster", "us")],
        &[(Equal, "__name__", "early"), (Equal, "cluster", "us")],
        &[(Equal, "__name__", "early"), (Equal, "cluster", "")],
        // Nothing.
        &[(Equal, "__name__", "no_such")],
        &[(Equal, "__name__", "a_total"), (Equal, "instance", "no-such")],
        &[(Equal, "__name__", "a_total"), (Equal, "__name__", "b_total")],
    ];
    for case in cases {
        let matchers: Vec<_> = case.iter().map(|(kind, name, value)| matcher(*kind, name, value)).collect();
        let got = ask(source, want(TimeRange::ALL, &matchers)).await;
        assert_same(&got, &matching(&matchers), TimeRange::ALL, &format!("{matchers:?}"));
    }
}

async fn times(source: &dyn SeriesSource) {
    let whole = range();
    let second = START_MS + CHUNK_MS;
    for (min, max) in [
        (whole.min, whole.max),
        (i64::MIN, i64::MAX),
        (second, second),
        (second + 1, second + CHUNK_MS / 2),
        (whole.min - 10, whole.min),
        (whole.max, whole.max + 10),
        (second - 1, second),
        // Nothing.
        (i64::MIN, whole.min - 1),
        (whole.max + 1, i64::MAX),
        (0, 0),
    ] {
        let range = TimeRange::new(min, max);
        let inside = |c: &Chunk| range.overlaps(TimeRange::new(c.min_time, c.max_time));
        let overlapping = |s: Series| {
            let chunks: Vec<_> = s.chunks.into_iter().filter(inside).collect();
            (!chunks.is_empty()).then_some(Series { labels: s.labels, chunks })
        };
        let right: Vec<_> = expected().into_iter().filter_map(overlapping).collect();
        let got = ask(source, want(range, &[any()])).await;
        assert!(got.iter().flat_map(|s| &s.chunks).all(inside), "{range:?}: chunks that were not asked for");
        assert_same(&got, &right, range, &format!("{range:?}"));
    }
}

async fn labels_only(source: &dyn SeriesSource) {
    let matchers = [matcher(MatchType::Equal, "job", "job-2")];
    let got = ask(source, Select { skip_chunks: true, ..want(range(), &matchers) }).await;
    assert!(got.iter().all(|s| s.chunks.is_empty()), "chunks where only labels were asked for");
    let labels: Vec<_> = got.into_iter().map(|s| s.labels).collect();
    let right: Vec<_> = matching(&matchers).into_iter().map(|s| s.labels).collect();
    assert_eq!(labels, right, "labels only");
}

async fn limits(source: &dyn SeriesSource) {
    let right = expected();
    for skip_chunks in [false, true] {
        for limit in [1, 2, 65, right.len(), right.len() + 1] {
            let got = ask(source, Select { limit, skip_chunks, ..all() }).await;
            assert_eq!(got.len(), limit.min(right.len()), "limit {limit}");
            assert!(got.iter().all(|s| right.iter().any(|r| r.labels == s.labels)), "limit {limit}");
            if !skip_chunks {
                // Whole series, none cut by the limit.
                let right: Vec<_> =
                    got.iter().flat_map(|s| right.iter().find(|r| r.labels == s.labels)).cloned().collect();
                assert_same(&got, &right, TimeRange::ALL, &format!("limit {limit}"));
            }
        }
    }
}

async fn shards(source: &dyn SeriesSource) {
    if !source.info().supports_sharding {
        return;
    }
    for (by, labels) in [(true, vec!["instance".to_owned()]), (false, vec!["instance".to_owned()])] {
        let mut parts = Vec::new();
        for index in 0..3 {
            let shard = Shard { index, total: 3, by, labels: labels.clone() };
            let got = ask(source, Select { shard: Some(shard.clone()), ..all() }).await;
            let stray = got.iter().find(|s| !shard.matches(&s.labels));
            assert!(stray.is_none(), "{shard:?}: {stray:?}");
            parts.extend(got);
        }
        parts.sort_by(|a, b| a.labels.cmp(&b.labels));
        assert_same(&parts, &expected(), TimeRange::ALL, &format!("shards by={by}"));
    }
}

async fn replicas(source: &dyn SeriesSource) {
    if !source.info().supports_without_replica_labels {
        return;
    }
    // One that all series share, one that tells them apart.
    for names in [vec!["replica".to_owned()], vec!["instance".to_owned(), "job".to_owned()]] {
        let got = ask(source, Select { without_replica_labels: names.clone().into(), ..all() }).await;
        let mut right: BTreeMap<Labels, Vec<(i64, u64)>> = BTreeMap::new();
        for series in expected() {
            let samples = samples(&series, TimeRange::ALL).into_iter().map(|(t, v)| (t, v.to_bits()));
            right.entry(series.labels.without(&names)).or_default().extend(samples);
        }
        let labels: Vec<_> = got.iter().map(|s| &s.labels).collect();
        assert_eq!(labels, right.keys().collect::<Vec<_>>(), "without {names:?}");
        for (got, mut right) in got.iter().zip(right.into_values()) {
            let mut samples: Vec<_> = samples(got, TimeRange::ALL).into_iter().map(|(t, v)| (t, v.to_bits())).collect();
            samples.sort_unstable();
            right.sort_unstable();
            assert!(samples == right, "without {names:?}: {}: other samples", got.labels);
        }
    }
}

async fn names(source: &dyn SeriesSource, query: LabelQuery) -> Vec<String> {
    let text = format!("names: {query:?}");
    unique(source.label_names(&Ctx::background(), query).await, &text)
}

async fn values(source: &dyn SeriesSource, name: &str, query: LabelQuery) -> Vec<String> {
    let text = format!("values of {name}: {query:?}");
    unique(source.label_values(&Ctx::background(), name, query).await, &text)
}

fn unique(answer: Result<Answer<Vec<String>>>, text: &str) -> Vec<String> {
    let answer = answer.unwrap_or_else(|e| panic!("{text}: {e}"));
    assert!(answer.warnings.is_empty(), "{text}: {:?}", answer.warnings);
    assert!(answer.value.is_sorted_by(|a, b| a < b), "{text}: out of order or twice: {:?}", answer.value);
    answer.value
}

fn query(range: TimeRange, matchers: &[Matcher]) -> LabelQuery {
    LabelQuery { partial_response: PartialResponse::Abort, ..LabelQuery::new(range, matchers.to_vec()) }
}

async fn label_names_and_values(source: &dyn SeriesSource) {
    let cases: [&[Matcher]; 6] = [
        &[],
        &[matcher(MatchType::Equal, "__name__", "late")],
        &[matcher(MatchType::Equal, "cluster", "eu"), matcher(MatchType::Regex, "instance", "1.")],
        &[matcher(MatchType::Equal, "job", "")],
        &[matcher(MatchType::Equal, "cluster", "us")],
        &[matcher(MatchType::Equal, "__name__", "no_such")],
    ];
    for matchers in cases {
        let found = matching(matchers);
        let right: BTreeSet<_> = found.iter().flat_map(|s| s.labels.iter().map(|(n, _)| n.to_owned())).collect();
        let right: Vec<_> = right.into_iter().collect();
        let got = names(source, query(range(), matchers)).await;
        assert_eq!(got, right, "names of {matchers:?}");
        for limit in [1, 3] {
            let got = names(source, LabelQuery { limit, ..query(range(), matchers) }).await;
            assert_eq!(got, right[..limit.min(right.len())], "names of {matchers:?}, limit {limit}");
        }
        for name in ["__name__", "instance", "job", "zone", "cluster", "replica", "no_such"] {
            let right: BTreeSet<_> = found.iter().filter_map(|s| s.labels.get(name)).collect();
            let right: Vec<_> = right.into_iter().collect();
            let got = values(source, name, query(range(), matchers)).await;
            assert_eq!(got, right, "values of {name}, {matchers:?}");
            let got = values(source, name, LabelQuery { limit: 2, ..query(range(), matchers) }).await;
            assert_eq!(got, right[..right.len().min(2)], "values of {name}, {matchers:?}, limit 2");
        }
    }
    if source.info().supports_without_replica_labels {
        let hidden = |matchers: &[Matcher]| LabelQuery {
            without_replica_labels: Arc::from(["replica".to_owned()]),
            ..query(range(), matchers)
        };
        assert!(!names(source, hidden(&[])).await.contains(&"replica".to_owned()), "names show a replica label");
        assert!(values(source, "replica", hidden(&[])).await.is_empty(), "values show a replica label");
        let by_it = [matcher(MatchType::Equal, "replica", "a"), matcher(MatchType::Equal, "__name__", "early")];
        assert_eq!(values(source, "__name__", hidden(&by_it)).await, ["early"], "a replica label can be matched on");
    }
}

async fn label_times(source: &dyn SeriesSource, traits: Traits) {
    for outside in [TimeRange::new(0, 1000), TimeRange::new(range().max + CHUNK_MS * 100, i64::MAX)] {
        assert!(names(source, query(outside, &[])).await.is_empty(), "names of {outside:?}");
        assert!(values(source, "job", query(outside, &[])).await.is_empty(), "values of {outside:?}");
    }
    let first = TimeRange::new(START_MS, START_MS + CHUNK_MS / 2);
    let got = values(source, "__name__", query(first, &[])).await;
    assert!(["a_total", "b_total", "early", "edge"].iter().all(|n| got.contains(&(*n).to_owned())), "{got:?}");
    if traits.exact_label_times {
        assert!(!got.contains(&"late".to_owned()), "values of {first:?}");
    }
}

/// A request that is cancelled or too late ends with the error that says so, or is still in time; it never ends short.
async fn given_up(source: &dyn SeriesSource) {
    let cancelled = Ctx::background();
    cancelled.cancel.cancel();
    let late = Ctx { deadline: Some(Instant::now()), ..Ctx::background() };
    for (ctx, what) in [(cancelled, "cancelled"), (late, "late")] {
        let fits = |e: &Error| match what {
            "cancelled" => matches!(e, Error::Cancelled),
            _ => matches!(e, Error::Timeout(_)),
        };
        let ended = tokio::time::timeout(Duration::from_secs(20), collect_series(source.select(&ctx, all()))).await;
        match ended.unwrap_or_else(|_| panic!("{what}: no end")) {
            Err(e) => assert!(fits(&e), "{what}: {e:?}"),
            Ok(answer) => assert_same(&answer.value, &expected(), TimeRange::ALL, what),
        }
        let labels = source.label_values(&ctx, "job", query(range(), &[]));
        let ended = tokio::time::timeout(Duration::from_secs(20), labels).await;
        match ended.unwrap_or_else(|_| panic!("{what}: no end of values")) {
            Err(e) => assert!(fits(&e), "{what}: {e:?}"),
            Ok(answer) => assert_eq!(answer.value, ["job-0", "job-1", "job-2"], "{what}"),
        }
    }
    // Asked, and left after the first event: all memory comes back.
    let ctx = Ctx { budget: Budget::new("this request", "--none", 0, None), ..Ctx::background() };
    let mut stream = source.select(&ctx, all());
    assert!(stream.next().await.is_some_and(|event| event.is_ok()), "no first event");
    drop(stream);
    given_back(&ctx).await;
}

async fn given_back(ctx: &Ctx) {
    let began = Instant::now();
    while ctx.budget.used_bytes() > 0 {
        let held = ctx.budget.used_bytes();
        assert!(began.elapsed() < Duration::from_secs(20), "{held} bytes are still reserved");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn budgets(source: &dyn SeriesSource) {
    let ctx =
        |max_bytes| Ctx { budget: Budget::new("this request", "--the-flag", max_bytes, None), ..Ctx::background() };
    // Less than any series takes: a source that streams may hold little at a time.
    let tight = ctx(10);
    match collect_series(source.select(&tight, all())).await {
        Err(Error::Limit(text)) => assert!(text.contains("--the-flag"), "the flag to raise is not named: {text}"),
        other => panic!("a budget of 10 bytes: {other:?}"),
    }
    given_back(&tight).await;
    let ample = ctx(1 << 30);
    let got = collect_series(source.select(&ample, all())).await.unwrap_or_else(|e| panic!("an ample budget: {e}"));
    assert_same(&got.value, &expected(), TimeRange::ALL, "an ample budget");
    assert!(ample.budget.peak_bytes() > 10, "nothing was reserved");
    given_back(&ample).await;
}
