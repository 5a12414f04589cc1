//! What the engine does besides giving answers: limits, cancelling, sources that fail or send odd chunks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chunkenc::{Encoding, encode_xor};
use futures::StreamExt;
use futures::future::BoxFuture;
use labels::Labels;
use model::{Severity, TimeRange};
use promql::{Engine, EngineOptions, Query, QueryError, QueryResult, Value};
use storage::{
    AggrChunk, Aggregate, Answer, Budget, Chunk, ChunkData, Ctx, EncodedChunk, LabelQuery, MemorySource, Select,
    Series, SeriesEvent, SeriesSource, SeriesStream, SourceInfo,
};

fn encoded(samples: &[(i64, f64)]) -> EncodedChunk {
    EncodedChunk { encoding: Encoding::Xor, data: encode_xor(samples.iter().copied()).unwrap().into() }
}

fn chunk(samples: &[(i64, f64)]) -> Chunk {
    Chunk::raw(samples[0].0, samples[samples.len() - 1].0, Encoding::Xor, encoded(samples).data)
}

fn series(labels: &[(&str, &str)], chunks: Vec<Chunk>) -> Series {
    Series { labels: Labels::from_pairs(labels.iter().copied()), chunks }
}

/// `series` of `samples` each, a sample each 15 s, value = sample's number.
fn many(count: usize, samples: i64) -> Arc<MemorySource> {
    let list: Vec<(i64, f64)> = (0..samples).map(|i| (i * 15_000, i as f64)).collect();
    let chunks: Vec<Chunk> = list.chunks(120).map(chunk).collect();
    let all = (0..count).map(|i| series(&[("__name__", "m"), ("i", &format!("{i:06}"))], chunks.clone()));
    Arc::new(MemorySource::new(all.collect()))
}

fn engine() -> Engine {
    Engine::new(EngineOptions::default())
}

async fn instant(source: Arc<dyn SeriesSource>, query: &str, t: i64) -> Result<QueryResult, QueryError> {
    engine().evaluate(&Ctx::background(), source, Query::instant(query, t)).await
}

fn vector(result: &QueryResult) -> String {
    let Value::Vector { samples, .. } = &result.value else { panic!("{:?}", result.value) };
    samples.iter().map(|s| format!("{} {}", s.labels, s.value)).collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn overlapping_chunks_count_each_time_once() {
    let chunks = vec![
        chunk(&[(0, 0.0), (20_000, 2.0), (40_000, 4.0)]),
        chunk(&[(10_000, 1.0), (20_000, 99.0), (30_000, 3.0)]),
        chunk(&[(40_000, 99.0), (50_000, 5.0)]),
    ];
    let source = Arc::new(MemorySource::new(vec![series(&[("a", "1")], chunks)]));
    for (query, want) in [
        ("count_over_time({a=\"1\"}[2m])", "{a=\"1\"} 6"),
        ("sum_over_time({a=\"1\"}[2m])", "{a=\"1\"} 15"),
        ("{a=\"1\"}", "{a=\"1\"} 5"),
        ("{a=\"1\"} offset 5s", "{a=\"1\"} 4"),
        ("{a=\"1\"} offset 25s", "{a=\"1\"} 2"),
    ] {
        let result = instant(source.clone(), query, 50_000).await.unwrap();
        assert_eq!(vector(&result), want, "{query}");
    }
}

#[tokio::test]
async fn downsampled_chunks_answer_by_function() {
    let part = |values: &[(i64, f64)]| Some(encoded(values));
    let (t1, t2) = (299_999, 599_999);
    let mut aggr = AggrChunk::default();
    aggr.parts[Aggregate::Count as usize] = part(&[(t1, 20.0), (t2, 10.0)]);
    aggr.parts[Aggregate::Sum as usize] = part(&[(t1, 100.0), (t2, 40.0)]);
    aggr.parts[Aggregate::Min as usize] = part(&[(t1, 1.0), (t2, 2.0)]);
    aggr.parts[Aggregate::Max as usize] = part(&[(t1, 9.0), (t2, 8.0)]);
    // First true sample, totals at the window ends, then the last true value (the counter was reset: 30 is all).
    aggr.parts[Aggregate::Counter as usize] = part(&[(1000, 50.0), (t1, 100.0), (t2, 130.0), (t2, 30.0)]);
    let c = Chunk { data: ChunkData::Aggr(Box::new(aggr)), ..chunk(&[(1000, 0.0), (t2, 0.0)]) };
    let source = Arc::new(MemorySource::new(vec![series(&[("__name__", "m")], vec![c])]));
    for (query, want) in [
        ("min_over_time(m[10m])", "{} 1"),
        ("max_over_time(m[10m])", "{} 9"),
        ("sum_over_time(m[10m])", "{} 140"),
        // Of all 30 samples, not of two averages.
        ("avg_over_time(m[10m])", "{} 4.666666666666667"),
        ("count_over_time(m[10m])", "{} 30"),
        ("count_over_time(m[5m])", "{} 10"),
        ("sum(m)", "{} 4"),
        ("resets(m[10m])", "{} 0"),
    ] {
        let result = instant(source.clone(), query, t2).await.unwrap();
        assert_eq!(vector(&result), want, "{query}");
    }
}

#[tokio::test]
async fn a_counter_goes_on_from_downsampled_into_raw_data() {
    let mut aggr = AggrChunk::default();
    // The true value at the end is 30, after a reset; the total is 130. Raw data goes on from 30.
    aggr.parts[Aggregate::Counter as usize] =
        Some(encoded(&[(1000, 50.0), (299_999, 100.0), (599_999, 130.0), (599_999, 30.0)]));
    let aggr = Chunk::aggr(1000, 599_999, aggr);
    let raw = chunk(&[(615_000, 35.0), (630_000, 40.0)]);
    let source = Arc::new(MemorySource::new(vec![series(&[("__name__", "m")], vec![aggr, raw])]));
    for (query, want) in [("irate(m[20m])", "{} 0.3333333333333333"), ("increase(m[20m])", "{} 90")] {
        let result = instant(source.clone(), query, 630_000).await.unwrap();
        assert_eq!(vector(&result), want, "{query}");
    }
}

#[tokio::test]
async fn limits_name_figures() {
    let options = |change: fn(&mut EngineOptions)| {
        let mut options = EngineOptions::default();
        change(&mut options);
        Engine::new(options)
    };
    let ctx = Ctx::background();

    let few = options(|o| o.max_samples = 50);
    let e = few.evaluate(&ctx, many(51, 1), Query::instant("m", 0)).await.unwrap_err();
    assert!(matches!(&e, QueryError::Limit(t) if t.contains("51 held, limit 50")), "{e}");
    // Folded series are not held.
    assert_eq!(vector(&few.evaluate(&ctx, many(500, 1), Query::instant("count(m)", 0)).await.unwrap()), "{} 500");

    let small = options(|o| o.max_query_bytes = 10_000);
    let e = small.evaluate(&ctx, many(500, 1), Query::instant("m", 0)).await.unwrap_err();
    assert!(e.to_string().contains("over its limit of 10000"), "{e}");

    for huge in ["count_over_time(m[290y:1ms])", "m[290y:1ms]", "sum(max_over_time(vector(1)[290y:1ms]))"] {
        let e = engine().evaluate(&ctx, many(1, 1), Query::instant(huge, 0)).await.unwrap_err();
        assert!(matches!(&e, QueryError::Limit(t) if t.contains("steps of a subquery, limit 50000000")), "{huge}: {e}");
    }
    let no_limits = options(|o| (o.max_samples, o.max_points_per_series) = (0, 0));
    let e = no_limits.evaluate(&ctx, many(1, 1), Query::range("m", 0, i64::MAX / 2000, 1)).await.unwrap_err();
    assert!(matches!(&e, QueryError::Limit(t) if t.contains("steps, limit 268435456")), "{e}");
    let e = few.evaluate(&ctx, many(1, 60), Query::instant("sum_over_time(m[1h])", 3_600_000)).await.unwrap_err();
    assert!(matches!(&e, QueryError::Limit(t) if t.contains("60 samples of one series, limit 50")), "{e}");

    let e = engine().evaluate(&ctx, many(1, 1), Query::range("m", 0, 11_001_000, 1000)).await.unwrap_err();
    assert!(matches!(&e, QueryError::Bad(t) if t.contains("11001 asked for")), "{e}");
    assert_eq!(e.error_type(), "bad_data");
}

#[tokio::test]
async fn budgets_are_given_back() {
    let budget = Budget::new("test", "--x", 0, None);
    let ctx = Ctx { budget: budget.clone(), ..Ctx::background() };
    for query in ["m", "topk(3, m)", "quantile(0.5, m)", "m + m", "sum by (i) (m)", "sort(m)", "bogus("] {
        let _ = engine().evaluate(&ctx, many(100, 10), Query::instant(query, 0)).await;
        assert_eq!(budget.used_bytes(), 0, "{query}");
    }
    assert!(budget.peak_bytes() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_query_ends_it_soon() {
    let source = many(3000, 5000);
    let ctx = Ctx::background();
    let budget = Budget::new("test", "--x", 0, None);
    let ctx = Ctx { budget: budget.clone(), ..ctx };
    let query = "quantile_over_time(0.5, m[10h])";
    let engine = engine();
    let running = engine.evaluate(&ctx, source.clone(), Query::range(query, 0, 75_000_000, 15_000));
    let none = tokio::time::timeout(Duration::from_millis(100), running).await;
    assert!(none.is_err(), "the query is too quick for this test");
    let dropped = Instant::now();
    // The source is let go when the evaluation's thread ends.
    while Arc::strong_count(&source) > 1 {
        assert!(dropped.elapsed() < Duration::from_secs(5), "still running");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timeouts_and_cancels_have_their_kinds() {
    let ctx = Ctx::background();
    let quick = Engine::new(EngineOptions { timeout_ms: 30, ..EngineOptions::default() });
    let e = quick.evaluate(&ctx, Arc::new(Stuck), Query::instant("m", 0)).await.unwrap_err();
    assert!(matches!(e, QueryError::Timeout(_)), "{e}");
    assert_eq!(e.to_string(), "query timed out in expression evaluation");

    let cancel = ctx.cancel.clone();
    let stuck = engine();
    let running = stuck.evaluate(&ctx, Arc::new(Stuck), Query::instant("m", 0));
    let (outcome, ()) = tokio::join!(running, async { cancel.cancel() });
    assert!(matches!(outcome, Err(QueryError::Canceled(_))), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_wait_for_a_place() {
    let ctx = Ctx::background();
    let one = Engine::new(EngineOptions { max_concurrent: 1, ..EngineOptions::default() });
    let first = one.evaluate(&ctx, Arc::new(Stuck), Query::instant("m", 0));
    let hurried = Ctx { deadline: Some(Instant::now() + Duration::from_millis(50)), ..Ctx::background() };
    let second = async {
        let outcome = one.evaluate(&hurried, many(1, 1), Query::instant("m", 0)).await;
        ctx.cancel.cancel();
        outcome
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(second.unwrap_err().to_string(), "query timed out in query queue");
    assert!(matches!(first, Err(QueryError::Canceled(_))), "{first:?}");
    // The place is free again.
    assert_eq!(
        vector(&one.evaluate(&Ctx::background(), many(1, 1), Query::instant("m", 0)).await.unwrap()),
        "{__name__=\"m\", i=\"000000\"} 0"
    );
}

#[tokio::test]
async fn a_query_reads_no_more_series_than_it_may() {
    let few = Engine::new(EngineOptions { max_series: 10, ..EngineOptions::default() });
    let ctx = Ctx::background();
    assert!(few.evaluate(&ctx, many(6, 2), Query::instant("count(m)", 15_000)).await.is_ok());
    let twice = Query::instant("count(m) + count(m offset 1s)", 15_000);
    let error = few.evaluate(&ctx, many(6, 2), twice).await.map(|r| r.stats.series).unwrap_err();
    assert!(matches!(&error, QueryError::Limit(text) if text.contains("--query.max-series")), "{error}");
}

#[tokio::test]
async fn warnings_of_sources_pass() {
    let result = instant(Arc::new(Warns), "sum(m)", 0).await.unwrap();
    assert_eq!(result.annotations.texts(Severity::Warning, 0), ["store a:10901 is gone"]);
}

#[tokio::test]
async fn statistics_count_what_steps_look_at() {
    let ctx = Ctx::background();
    for (query, per_step, total, decoded) in [
        ("m", vec![2, 2, 2], 6, 240),
        ("sum(rate(m[1m]))", vec![8, 8, 8], 24, 240),
        ("max_over_time(sum(m)[1m:30s])", vec![2, 2, 2], 6 + 2 * 4, 240),
        ("1", vec![0, 0, 0], 0, 0),
    ] {
        let result = engine()
            .evaluate(
                &ctx,
                many(2, 120),
                Query { per_step_stats: true, ..Query::range(query, 600_000, 660_000, 30_000) },
            )
            .await
            .unwrap();
        let counts: Vec<u64> = result.stats.samples_per_step.iter().flatten().map(|(_, n)| *n).collect();
        assert_eq!(
            (counts, result.stats.total_samples, result.stats.decoded_samples),
            (per_step, total, decoded),
            "{query}"
        );
        assert_eq!(result.stats.samples_per_step.as_ref().unwrap()[2].0, 660_000);
    }
}

#[tokio::test]
async fn times_far_out_are_harmless() {
    let source = many(1, 1);
    for query in [
        "m @ 9e15",
        "m @ -9e15",
        "rate(m[290y])",
        "m offset 290y",
        "m offset -290y",
        "sum_over_time(m[1m] @ 9e15 offset -290y)",
        "max_over_time(m[290y:290y] @ 9e15)",
        "predict_linear(m[1m] @ -9e15, 1e300)",
    ] {
        for t in [0, model::MIN_TIME_MS, model::MAX_TIME_MS] {
            let result = instant(source.clone(), query, t).await;
            assert!(result.is_ok(), "{query} at {t}: {result:?}");
        }
    }
}

#[tokio::test]
async fn the_highest_trees_evaluate() {
    let source = many(1, 1);
    let depth = promql_syntax::ParseOptions::STABLE.max_depth - 1;
    for part in ["m", "1", "vector(1)"] {
        let query = vec![part; depth].join(" + ");
        let result = instant(source.clone(), &query, 0).await.unwrap();
        assert!(!matches!(result.value, Value::Matrix(_)), "{part}");
    }
    let nested = promql_syntax::ParseOptions::STABLE.max_nesting - 1;
    let query = format!("{}m{}", "abs(".repeat(nested), ")".repeat(nested));
    assert_eq!(vector(&instant(source, &query, 0).await.unwrap()), "{i=\"000000\"} 0");
}

#[tokio::test]
async fn names_dropped_at_once_clash() {
    let one = |name: &str| series(&[("__name__", name)], vec![chunk(&[(0, 1.0), (15_000, 2.0)])]);
    let source = Arc::new(MemorySource::new(vec![one("a_total"), one("b_total")]));
    for query in ["-{__name__=~\".+\"}", "sum(rate({__name__=~\".+\"}[1m]))", "abs({__name__=~\".+\"})"] {
        let e = instant(source.clone(), query, 15_000).await.unwrap_err();
        assert_eq!(e.to_string(), "vector cannot contain metrics with the same labelset", "{query}");
    }
    let result = instant(source.clone(), "sum({__name__=~\".+\"} * 1)", 15_000).await;
    assert!(result.is_err());
    // No name is shown here.
    assert!(instant(source, "absent_over_time({__name__=~\".+\"}[1m])", 15_000).await.is_ok());

    let of = |name: &str, le: &str| series(&[("__name__", name), ("le", le)], vec![chunk(&[(0, 1.0), (15_000, 2.0)])]);
    let buckets = [of("a", "+Inf"), of("a", "1"), of("b", "+Inf"), of("b", "1")];
    let source = Arc::new(MemorySource::new(buckets.to_vec()));
    for function in ["histogram_quantile(0.5,", "histogram_fraction(0, 1,"] {
        for query in ["%({__name__=~\".+\"})", "sum(%({__name__=~\".+\"}))", "absent(%({__name__=~\".+\"}))"] {
            let query = query.replace("%(", &format!("{function} "));
            let outcome = instant(source.clone(), &query, 15_000).await;
            assert!(outcome.is_err_and(|e| e.to_string().ends_with("the same labelset")), "{query}");
        }
        assert!(instant(source.clone(), &format!("sum({function} {{__name__=\"a\"}}))"), 15_000).await.is_ok());
    }
}

/// Never answers.
#[derive(Debug)]
struct Stuck;

/// Answers with a warning only.
#[derive(Debug)]
struct Warns;

macro_rules! no_labels {
    () => {
        fn info(&self) -> SourceInfo {
            SourceInfo {
                label_sets: vec![],
                range: TimeRange::ALL,
                supports_sharding: false,
                supports_without_replica_labels: false,
            }
        }

        fn label_names(&self, _: &Ctx, _: LabelQuery) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
            Box::pin(std::future::ready(Ok(Vec::new().into())))
        }

        fn label_values(
            &self,
            _: &Ctx,
            _: &str,
            _: LabelQuery,
        ) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
            Box::pin(std::future::ready(Ok(Vec::new().into())))
        }
    };
}

impl SeriesSource for Stuck {
    no_labels!();

    fn select(&self, _: &Ctx, _: Select) -> SeriesStream {
        futures::stream::pending().boxed()
    }
}

impl SeriesSource for Warns {
    no_labels!();

    fn select(&self, _: &Ctx, _: Select) -> SeriesStream {
        futures::stream::iter([Ok(SeriesEvent::Warning("store a:10901 is gone".to_owned()))]).boxed()
    }
}
