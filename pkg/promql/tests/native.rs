//! Native histograms through the engine: what is asked for at one time is what a range query shows there, whatever chunks
//! the samples come in.

use std::sync::Arc;

use chunkenc::{Appended, Encoding, FloatHistogramAppender, ResetFlag, encode_xor};
use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, ResetHint, Span};
use labels::Labels;
use model::Severity;
use promql::{Engine, EngineOptions, Points, Query, QueryError, Value};
use proptest::prelude::*;
use storage::{Budget, Chunk, Ctx, MemorySource, Series};

const SECOND: i64 = 1000;

/// A sample of either kind.
#[derive(Debug, Clone)]
enum Sample {
    Float(f64),
    Histogram(FloatHistogram),
}

fn floats(samples: &[(i64, f64)]) -> Chunk {
    let data = encode_xor(samples.iter().copied()).unwrap();
    Chunk::raw(samples[0].0, samples[samples.len() - 1].0, Encoding::Xor, data.into())
}

/// Histograms in as few chunks as they fit into.
fn histograms(samples: &[(i64, FloatHistogram)]) -> Vec<Chunk> {
    let (mut out, mut rest, mut flag) = (Vec::new(), samples, ResetFlag::Unknown);
    while !rest.is_empty() {
        let mut appender = FloatHistogramAppender::new(flag);
        let mut taken = 0;
        for (time, h) in rest {
            if let Appended::Cut(next) = appender.append(*time, h).unwrap() {
                flag = next;
                break;
            }
            taken += 1;
        }
        out.push(Chunk::raw(rest[0].0, rest[taken - 1].0, Encoding::FloatHistogram, appender.to_vec().into()));
        rest = &rest[taken..];
    }
    out
}

fn chunks(samples: &[(i64, Sample)]) -> Vec<Chunk> {
    let mut out = Vec::new();
    for run in samples.chunk_by(|a, b| matches!(a.1, Sample::Float(_)) == matches!(b.1, Sample::Float(_))) {
        match &run[0].1 {
            Sample::Float(_) => {
                let value = |s: &Sample| if let Sample::Float(v) = s { *v } else { f64::NAN };
                out.push(floats(&run.iter().map(|(t, s)| (*t, value(s))).collect::<Vec<_>>()));
            }
            Sample::Histogram(_) => {
                let value = |(t, s): &(i64, Sample)| match s {
                    Sample::Histogram(h) => Some((*t, h.clone())),
                    Sample::Float(_) => None,
                };
                out.extend(histograms(&run.iter().filter_map(value).collect::<Vec<_>>()));
            }
        }
    }
    out
}

fn series(name: &str, instance: &str, chunks: Vec<Chunk>) -> Series {
    Series { labels: Labels::from_pairs([("__name__", name), ("instance", instance)]), chunks }
}

fn engine() -> Engine {
    Engine::new(EngineOptions { parse: promql_syntax::ParseOptions::ALL, ..EngineOptions::default() })
}

fn histogram(counts: &[f64]) -> FloatHistogram {
    FloatHistogram {
        count: counts.iter().sum(),
        sum: counts.iter().enumerate().map(|(i, c)| i as f64 * c).sum(),
        positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
        positive_buckets: counts.to_vec(),
        ..FloatHistogram::default()
    }
}

/// `labels value` of each sample that the answer has at `time_ms`, sorted.
fn at(value: &Value, time_ms: i64) -> Vec<String> {
    let text = |labels: &Labels, v: f64, h: Option<&FloatHistogram>| match h {
        None => format!("{labels} {v:.9e}"),
        Some(h) => {
            let buckets: Vec<String> =
                h.positive_buckets.iter().chain(&h.negative_buckets).map(|v| format!("{v:.9e}")).collect();
            let spans = (&h.positive_spans, &h.negative_spans, &h.custom_values, h.schema);
            format!("{labels} {:.9e} {:.9e} {:.9e} {buckets:?} {spans:?}", h.count, h.sum, h.zero_count)
        }
    };
    let mut all = match value {
        Value::Vector { samples, .. } => {
            samples.iter().map(|s| text(&s.labels, s.value, s.histogram.as_deref())).collect::<Vec<_>>()
        }
        Value::Matrix(m) => {
            let floats = m.series.iter().flat_map(|s| s.floats(m.grid).map(move |(t, v)| (t, &s.labels, v, None)));
            let natives =
                m.series.iter().flat_map(|s| s.histograms(m.grid).map(move |(t, h)| (t, &s.labels, 0.0, Some(h))));
            let here = floats.chain(natives).filter(|(t, ..)| *t == time_ms);
            here.map(|(_, labels, v, h)| text(labels, v, h)).collect()
        }
        other => panic!("{other:?}"),
    };
    all.sort_unstable();
    all
}

const QUERIES: &[&str] = &[
    "m",
    "m offset 20s",
    "-m",
    "m * 2",
    "m / 3",
    "2 * m",
    "m + 1",
    "m </ 3",
    "m >/ 3",
    "m + m",
    "m - m offset 30s",
    "m == m",
    "m != bool m",
    "m and n",
    "m or n",
    "m unless n",
    "m + on (instance) n",
    "sum(m)",
    "avg(m)",
    "sum by (instance) ({__name__=~\"m|n\"})",
    "count(m)",
    "group(m)",
    "min(m)",
    "stddev(m)",
    "quantile(0.5, m)",
    "topk(1, m)",
    "limitk(1, m)",
    "count_values(\"v\", m)",
    "absent(m)",
    "timestamp(m)",
    "histogram_count(m)",
    "histogram_sum(rate(m[1m]))",
    "histogram_avg(m)",
    "histogram_stddev(m)",
    "histogram_quantile(0.9, m)",
    "histogram_quantile(0.2, rate(m[2m]))",
    "histogram_fraction(0, 3, m)",
    "histogram_quantiles(m, \"q\", 0.1, 0.9)",
    "rate(m[1m])",
    "increase(m[90s])",
    "delta(m[1m])",
    "irate(m[1m])",
    "idelta(m[1m])",
    "resets(m[2m])",
    "changes(m[2m])",
    "sum_over_time(m[1m])",
    "avg_over_time(m[1m])",
    "count_over_time(m[1m])",
    "last_over_time(m[1m])",
    "first_over_time(m[1m])",
    "present_over_time(m[1m])",
    "max_over_time(m[1m])",
    "quantile_over_time(0.3, m[1m])",
    "deriv(m[1m])",
    "ts_of_last_over_time(m[1m])",
    "rate(m[1m] anchored)",
    "increase(m[1m] smoothed)",
    "resets(m[1m] anchored)",
    "m smoothed",
    "rate(m[1m:15s])",
    "sum_over_time(rate(m[30s])[1m:10s])",
    "max_over_time(histogram_count(m)[1m:10s])",
    "label_replace(m, \"x\", \"$1\", \"instance\", \"(.*)\")",
    "sort_by_label(m, \"instance\")",
    "sort(m)",
    "sum(rate(m[1m])) / 2",
];

fn sample() -> impl Strategy<Value = Option<Sample>> {
    let count = 0u32..6;
    let counts = prop::collection::vec(count, 1..6);
    let hint = prop_oneof![3 => Just(ResetHint::Unknown), 1 => Just(ResetHint::Gauge), 1 => Just(ResetHint::Reset)];
    let exponential = (counts.clone(), -2i32..3, prop_oneof![Just(0.0), Just(0.001), Just(0.5)], hint).prop_map(
        |(counts, schema, zero_threshold, reset_hint)| {
            let counts: Vec<f64> = counts.iter().map(|c| f64::from(*c)).collect();
            let mut h = FloatHistogram { schema, zero_threshold, reset_hint, ..histogram(&counts) };
            h.zero_count = 1.0;
            h.count += 1.0;
            if counts.len().is_multiple_of(2) {
                h.negative_spans = vec![Span { offset: -1, length: 1 }];
                h.negative_buckets = vec![2.0];
                h.count += 2.0;
            }
            h
        },
    );
    let custom = counts.prop_map(|counts| {
        let counts: Vec<f64> = counts.iter().map(|c| f64::from(*c)).collect();
        let custom_values = (1..counts.len()).map(|i| i as f64 * 2.0).collect();
        FloatHistogram { schema: CUSTOM_BUCKETS_SCHEMA, custom_values, ..histogram(&counts) }
    });
    let stale = Just(FloatHistogram { sum: model::stale_nan(), ..FloatHistogram::default() });
    let nan = Just(FloatHistogram { sum: f64::NAN, count: 5.0, ..histogram(&[1.0, 2.0]) });
    prop_oneof![
        3 => Just(None),
        2 => (0u32..5).prop_map(|v| Some(Sample::Float(f64::from(v)))),
        8 => exponential.prop_map(|h| Some(Sample::Histogram(h))),
        4 => custom.prop_map(|h| Some(Sample::Histogram(h))),
        1 => stale.prop_map(|h| Some(Sample::Histogram(h))),
        1 => nan.prop_map(|h| Some(Sample::Histogram(h))),
        1 => Just(Some(Sample::Float(model::stale_nan()))),
    ]
}

fn samples() -> impl Strategy<Value = Vec<(i64, Sample)>> {
    let all = prop::collection::vec(sample(), 30);
    all.prop_map(|all| {
        let timed = all.into_iter().enumerate().filter_map(|(i, s)| Some((i as i64 * 10 * SECOND + 1, s?)));
        timed.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn instants_are_steps_of_ranges(a in samples(), b in samples(), c in samples()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let all = [("m", "a", &a), ("m", "b", &b), ("n", "a", &c)];
        let list: Vec<Series> = all.iter().map(|(name, instance, s)| series(name, instance, chunks(s))).collect();
        let source = Arc::new(MemorySource::new(list));
        let (from, to, step) = (60 * SECOND, 330 * SECOND, 45 * SECOND);
        for query in QUERIES {
            let ask = |query: Query| runtime.block_on(engine().evaluate(&Ctx::background(), source.clone(), query));
            // Labels may collide at a step; then the whole range fails.
            let Ok(range) = ask(Query::range(*query, from, to, step)) else { continue };
            for time in (from..=to).step_by(step as usize) {
                let instant = ask(Query::instant(*query, time)).unwrap();
                prop_assert_eq!(at(&instant.value, time), at(&range.value, time), "{} at {}", query, time);
            }
        }
    }

    #[test]
    fn overlapping_chunks_give_each_sample_once(a in samples()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let plain = Arc::new(MemorySource::new(vec![series("m", "a", chunks(&a))]));
        let half = a.len() / 2;
        // The middle comes twice.
        let mut twice = chunks(&a);
        twice.extend(chunks(&a[half / 2..half + half / 2]));
        twice.sort_by_key(|c| (c.min_time, c.max_time));
        let doubled = Arc::new(MemorySource::new(vec![series("m", "a", twice)]));
        for query in ["m", "count_over_time(m[2m])", "sum_over_time(m[2m])", "changes(m[2m])", "increase(m[2m])", "histogram_count(rate(m[90s]))", "histogram_count(last_over_time(m[1m]))"] {
            let ask = |source: &Arc<MemorySource>| {
                let query = Query::range(query, 30 * SECOND, 300 * SECOND, 30 * SECOND);
                runtime.block_on(engine().evaluate(&Ctx::background(), source.clone(), query)).unwrap()
            };
            let (one, two) = (ask(&plain), ask(&doubled));
            for time in (30 * SECOND..=300 * SECOND).step_by(30 * SECOND as usize) {
                prop_assert_eq!(at(&one.value, time), at(&two.value, time), "{} at {}", query, time);
            }
        }
    }
}

async fn ask(chunks: Vec<Chunk>, query: &str, time_ms: i64) -> promql::QueryResult {
    let source = Arc::new(MemorySource::new(vec![series("m", "a", chunks)]));
    engine().evaluate(&Ctx::background(), source, Query::instant(query, time_ms)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_selector_shows_both_kinds() {
    let samples = [
        (SECOND, Sample::Float(1.0)),
        (2 * SECOND, Sample::Histogram(histogram(&[1.0]))),
        (3 * SECOND, Sample::Histogram(histogram(&[2.0]))),
    ];
    let result = ask(chunks(&samples), "m[10s]", 5 * SECOND).await;
    let Value::Matrix(matrix) = &result.value else { panic!("{:?}", result.value) };
    let Points::Samples(points) = &matrix.series[0].points else { panic!("{:?}", matrix.series[0]) };
    assert_eq!(points.floats.times, [SECOND]);
    let counts: Vec<_> = points.histograms.iter().map(|(t, h)| (*t, h.count)).collect();
    assert_eq!(counts, [(2 * SECOND, 1.0), (3 * SECOND, 2.0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_selector_extends_floats_only() {
    let both = chunks(&[(SECOND, Sample::Float(1.0)), (2 * SECOND, Sample::Histogram(histogram(&[1.0])))]);
    for (query, want) in [
        ("m[10s] anchored", "anchored modifier is not supported with histograms"),
        ("m[1s] smoothed", "smoothed modifier is not supported with histograms"),
    ] {
        let source = Arc::new(MemorySource::new(vec![series("m", "a", both.clone())]));
        let outcome = engine().evaluate(&Ctx::background(), source, Query::instant(query, 5 * SECOND)).await;
        assert!(matches!(&outcome, Err(QueryError::Execution(text)) if text == want), "{query}: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrupt_chunk_is_named_and_left_out() {
    let good = histograms(&[(SECOND, histogram(&[1.0])), (2 * SECOND, histogram(&[2.0]))]);
    let bad = Chunk::raw(3 * SECOND, 4 * SECOND, Encoding::FloatHistogram, vec![0, 9, 0, 1].into());
    let mut all = good.clone();
    all.push(bad);
    let result = ask(all, "histogram_count(m)", 5 * SECOND).await;
    assert_eq!(at(&result.value, 0), ["{instance=\"a\"} 2.000000000e0"]);
    let warnings = result.annotations.texts(Severity::Warning, 0);
    assert!(warnings.len() == 1 && warnings[0].contains("is corrupt and left out"), "{warnings:?}");
    // Samples of other times than the chunk says.
    let mut moved = good;
    moved[0].max_time = SECOND;
    let result = ask(moved, "m", 5 * SECOND).await;
    assert!(result.annotations.texts(Severity::Warning, 0)[0].contains("samples of other times"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histograms_count_in_the_budget() {
    let wide = |i: i64| histogram(&vec![i as f64; 2000]);
    let samples: Vec<_> = (1..=100).map(|i| (i * SECOND, wide(i))).collect();
    let chunks = histograms(&samples);
    for query in ["m", "rate(m[10s])", "sum(m)", "sum_over_time(m[20s])", "m * 2", "m + m", "m[100s]", "avg by (x) (m)"]
    {
        let budget = Budget::new("the request", "--query.max-bytes", 1 << 20, None);
        let ctx = Ctx { budget: budget.clone(), ..Ctx::background() };
        let source = Arc::new(MemorySource::new(vec![series("m", "a", chunks.clone())]));
        let query = match query {
            "m[100s]" => Query::instant(query, 100 * SECOND),
            _ => Query::range(query, SECOND, 100 * SECOND, SECOND),
        };
        let text = query.text.clone();
        let outcome = engine().evaluate(&ctx, source, query).await;
        assert!(matches!(&outcome, Err(QueryError::Limit(_))), "{text}: {outcome:?}");
        assert_eq!(budget.used_bytes(), 0, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quantiles_hold_no_histograms() {
    let samples: Vec<_> = (1..=20).map(|i| (i * SECOND, histogram(&vec![i as f64; 500]))).collect();
    let chunks = histograms(&samples);
    let all: Vec<_> = (0..50).map(|i| series("m", &format!("{i:02}"), chunks.clone())).collect();
    for query in
        ["histogram_quantile(0.5, m)", "histogram_fraction(0, 1, m)", "histogram_quantiles(m, \"q\", 0.5, 0.9)"]
    {
        // All of them would take 4 MB.
        let budget = Budget::new("the request", "--query.max-bytes", 1 << 20, None);
        let ctx = Ctx { budget: budget.clone(), ..Ctx::background() };
        let source = Arc::new(MemorySource::new(all.clone()));
        let query = Query::range(query, SECOND, 20 * SECOND, SECOND);
        let text = query.text.clone();
        let result = engine().evaluate(&ctx, source, query).await.unwrap_or_else(|e| panic!("{text}: {e}"));
        let Value::Matrix(matrix) = &result.value else { panic!("{text}: {:?}", result.value) };
        assert!(matrix.series.len() >= 50, "{text}: {}", matrix.series.len());
        drop(result);
        assert_eq!(budget.used_bytes(), 0, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn factors_out_of_range_are_an_error_of_histograms_too() {
    let chunks = histograms(&[(SECOND, histogram(&[1.0])), (2 * SECOND, histogram(&[2.0]))]);
    for (query, want) in [
        (
            "double_exponential_smoothing(m[10s], 1, 0.5)",
            "invalid smoothing factor. Expected: 0 < sf < 1, got: 1.000000",
        ),
        ("double_exponential_smoothing(m[10s], 0.5, 0)", "invalid trend factor. Expected: 0 < tf < 1, got: 0.000000"),
    ] {
        let source = Arc::new(MemorySource::new(vec![series("m", "a", chunks.clone())]));
        let outcome = engine().evaluate(&Ctx::background(), source, Query::instant(query, 5 * SECOND)).await;
        assert!(matches!(&outcome, Err(QueryError::Execution(text)) if text == want), "{query}: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_timestamp_of_a_smoothed_selector_is_a_samples() {
    let source = Arc::new(MemorySource::new(vec![series("m", "a", vec![floats(&[(SECOND, 7.0), (9 * SECOND, 8.0)])])]));
    let query = Query::instant("timestamp(m smoothed)", 5 * SECOND);
    let result = engine().evaluate(&Ctx::background(), source, query).await.unwrap();
    assert_eq!(at(&result.value, 0), ["{instance=\"a\"} 1.000000000e0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_resets_lost_is_summed_before_it_is_added() {
    let with_zero = |threshold: f64, zero: f64, at: i32, count: f64| FloatHistogram {
        zero_threshold: threshold,
        zero_count: zero,
        count: zero + count,
        positive_spans: vec![Span { offset: at, length: 1 }],
        ..histogram(&[count])
    };
    // Two resets. The zero bucket of the second histogram ends within the bucket that the first one fills, so their sum has
    // a wider one; the rise from first to last alone would have that bucket empty.
    let samples =
        [(0, with_zero(0.1, 0.0, 1, 3.0)), (4, with_zero(1.5, 1.0, 9, 0.0)), (8, with_zero(0.1, 0.0, 5, 1.0))];
    let samples: Vec<_> = samples.into_iter().map(|(t, h)| (t * SECOND, Sample::Histogram(h))).collect();
    let result = ask(chunks(&samples), "increase(m[10s] anchored)", 10 * SECOND).await;
    let Value::Vector { samples, .. } = &result.value else { panic!("{:?}", result.value) };
    let h = samples[0].histogram.as_ref().unwrap();
    assert_eq!((h.zero_threshold, h.zero_count, h.count), (2.0, 1.0, 2.0));
}
