//! A query on several threads gives the answer that it gives on one, and its threads are free when it ends.

mod common;

use std::sync::Arc;
use std::time::Duration;

use chunkenc::{Encoding, encode_xor};
use common::answers::shown;
use common::random::{Writer, source};
use common::{MINUTE, Random};
use labels::Labels;
use promql::{Engine, EngineOptions, Query, QueryStats};
use proptest::prelude::*;
use storage::{Budget, Chunk, Ctx, MemorySource, PartialResponse, Series, SeriesSource};

fn engine(threads: usize) -> Engine {
    let parse = promql_syntax::ParseOptions::ALL;
    // Threads help from the first series on, which come one in a batch.
    Engine::new(EngineOptions { parse, threads, alone_bytes_max: 0, ..EngineOptions::default() })
}

type Counts = (u64, u64, u64, u64, Option<Vec<(i64, u64)>>);

fn counts(stats: &QueryStats) -> Counts {
    let QueryStats { total_samples, decoded_samples, series, chunk_bytes, samples_per_step, .. } = stats;
    (*total_samples, *decoded_samples, *series, *chunk_bytes, samples_per_step.clone())
}

async fn answer(engine: &Engine, ctx: &Ctx, source: &Arc<dyn SeriesSource>, query: &Query) -> (String, Option<Counts>) {
    let result = engine.evaluate(ctx, source.clone(), query.clone()).await;
    (shown(&query.text, &result), result.ok().map(|result| counts(&result.stats)))
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn no_answer_depends_on_the_number_of_threads(seed: u64) {
        let random = &mut Random(seed);
        let source = source(random);
        let text = Writer { random, vectors: Vec::new() }.vector(4);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (one, several) = (engine(1), engine(4));
        for query in [
            Query::instant(&text, 17 * MINUTE),
            Query { per_step_stats: true, ..Query::range(&text, 10 * MINUTE, 44 * MINUTE, MINUTE) },
        ] {
            let ctx = Ctx::background();
            let alone = runtime.block_on(answer(&one, &ctx, &source, &query));
            prop_assert_eq!(&runtime.block_on(answer(&several, &ctx, &source, &query)), &alone, "seed {}: {}", seed, text);
        }
    }
}

/// Counters with a sample each quarter of a minute for three hours; of `broken` the chunk does not decode.
fn counters(count: usize, broken: Option<usize>) -> Arc<dyn SeriesSource> {
    let one = |i: usize| {
        let samples = (0..720).map(|k| (k * 15_000, (k as f64) * (i + 1) as f64));
        let mut data = encode_xor(samples).unwrap();
        if broken == Some(i) {
            data.truncate(40);
        }
        let chunks = vec![Chunk::raw(0, 719 * 15_000, Encoding::Xor, data.into())];
        Series { labels: Labels::from_pairs([("__name__", "a_total"), ("i", &format!("{i:05}"))]), chunks }
    };
    Arc::new(MemorySource::new((0..count).map(one).collect()))
}

async fn all_free(engine: &Engine) {
    let free = async {
        while engine.helping() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), free).await.expect("threads are kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn corrupt_series_limits_and_little_memory() {
    let query = |text: &str| Query::range(text, 10 * MINUTE, 170 * MINUTE, MINUTE);
    let (one, several) = (engine(1), engine(3));
    for source in [counters(300, None), counters(300, Some(120))] {
        for partial_response in [PartialResponse::Warn, PartialResponse::Abort] {
            for (max_bytes, text) in [
                (0, "sum by (x) (rate(a_total[5m]))"),
                (0, "topk(3, increase(a_total[10m]))"),
                (0, "a_total > 100"),
                // A quarter of it is taken at once: nothing can be handed over.
                (4 << 20, "sum(rate(a_total[5m]))"),
            ] {
                let budget = Budget::new("the query", "--none", max_bytes, None);
                let taken = budget.reserve(max_bytes / 3).unwrap();
                let ctx = Ctx { budget, ..Ctx::background() };
                let mut query = query(text);
                query.read.partial_response = partial_response;
                let alone = answer(&one, &ctx, &source, &query).await;
                assert_eq!(answer(&several, &ctx, &source, &query).await, alone, "{text}");
                let kept = ctx.budget.used_bytes();
                assert_eq!(kept, taken.bytes(), "all is given back: {text}");
            }
        }
    }
}

/// The limit is one of the query, whichever thread made the samples: what is held is counted where all of it comes together.
#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_samples_holds_over_all_threads() {
    let source = counters(300, None);
    // 300 series at 161 steps.
    for (text, held) in [("a_total", 300 * 161), ("rate(a_total[5m])", 300 * 161), ("sum by (i) (a_total)", 300 * 161)]
    {
        for threads in [1, 4] {
            let engine = |max_samples| {
                Engine::new(EngineOptions { threads, max_samples, alone_bytes_max: 0, ..EngineOptions::default() })
            };
            let query = Query::range(text, 10 * MINUTE, 170 * MINUTE, MINUTE);
            let result = engine(held).evaluate(&Ctx::background(), source.clone(), query.clone()).await.unwrap();
            assert_eq!(result.stats.peak_samples, held as u64, "{text}");
            let error = engine(held - 1).evaluate(&Ctx::background(), source.clone(), query).await.unwrap_err();
            assert!(error.to_string().contains(&format!("limit {}", held - 1)), "{text}: {error}");
        }
    }
}

/// A query that ends early, for whatever reason, leaves its threads to others.
#[tokio::test(flavor = "multi_thread")]
async fn threads_are_free_when_a_query_ends() {
    let (source, several) = (counters(3000, None), engine(4));
    let text = "sum(rate(a_total[5m]))";
    let query = Query::range(text, 10 * MINUTE, 170 * MINUTE, MINUTE);
    let right = answer(&engine(1), &Ctx::background(), &source, &query).await;
    for wait_ms in [0, 1, 5, 20] {
        let ctx = Ctx::background();
        let asked = several.evaluate(&ctx, source.clone(), query.clone());
        _ = tokio::time::timeout(Duration::from_millis(wait_ms), asked).await;
        // More of them at one time than there are threads.
        let all = (0..6).map(|_| async {
            let ctx = Ctx::background();
            answer(&several, &ctx, &source, &query).await
        });
        for got in futures::future::join_all(all).await {
            assert_eq!(got, right);
        }
        all_free(&several).await;
    }
}
