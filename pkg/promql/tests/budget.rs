//! Whatever a query makes and holds counts against its budget, and every query ends when its time is over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chunkenc::{Encoding, encode_xor};
use labels::Labels;
use promql::{Engine, EngineOptions, Query, QueryError, QueryResult, Value};
use proptest::prelude::*;
use storage::{Budget, Chunk, Ctx, MemorySource, Series};

const LIMIT: u64 = 8 << 20;

/// Far beyond what any of these queries takes.
const HANG: Duration = Duration::from_secs(120);

fn chunk(value: f64) -> Chunk {
    let samples: Vec<(i64, f64)> = (0..40).map(|i| (i * 15_000, value + i as f64)).collect();
    let data = encode_xor(samples.iter().copied()).unwrap().into();
    Chunk::raw(0, samples[samples.len() - 1].0, Encoding::Xor, data)
}

/// `count` series of each metric, with a label `text` of `bytes` that is each series' own.
fn source(count: usize, bytes: usize) -> Arc<MemorySource> {
    let mut all = Vec::new();
    for name in ["target_info", "wide", "wide_bucket"] {
        for i in 0..count {
            let text = format!("{i:08}{}", "x".repeat(bytes));
            let le = if name == "wide_bucket" { "+Inf" } else { "" };
            let (i, text) = (format!("{i:06}"), text.as_str());
            let pairs = [("__name__", name), ("i", &i), ("instance", &i), ("job", "j"), ("le", le), ("text", text)];
            all.push(Series { labels: Labels::from_pairs(pairs), chunks: vec![chunk(i.len() as f64)] });
        }
    }
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    Arc::new(MemorySource::new(all))
}

fn engine() -> Engine {
    Engine::new(EngineOptions { parse: promql_syntax::ParseOptions::ALL, ..EngineOptions::default() })
}

struct Asked {
    outcome: Result<QueryResult, QueryError>,
    budget: Arc<Budget>,
}

async fn ask(source: &Arc<MemorySource>, query: &str, steps: i64, deadline: Option<Duration>) -> Asked {
    let budget = Budget::new("the request", "--query.max-bytes", LIMIT, None);
    let deadline = deadline.map(|d| Instant::now() + d);
    let ctx = Ctx { budget: budget.clone(), deadline, ..Ctx::background() };
    let began = Instant::now();
    let outcome = match steps {
        1 => engine().evaluate(&ctx, source.clone(), Query::instant(query, 585_000)).await,
        n => {
            engine().evaluate(&ctx, source.clone(), Query::range(query, 585_000 - (n - 1) * 1000, 585_000, 1000)).await
        }
    };
    assert!(began.elapsed() < HANG, "{query}");
    assert!(budget.peak_bytes() <= LIMIT, "{query}: {}", budget.peak_bytes());
    Asked { outcome, budget }
}

fn is_limit(error: &QueryError) -> bool {
    matches!(error, QueryError::Limit(text) if text.contains("--query.max-"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_operators_hold_counts() {
    // 18 MiB of labels for each metric, 25 MiB of columns at 11 000 steps.
    let source = source(300, 60_000);
    for query in [
        "wide",
        "wide[5m]",
        "wide[5m:1m]",
        "abs({__name__=\"wide\", text!=\"\"}) + 1",
        "sum by (text) (wide)",
        "sum without (i) (wide)",
        "stddev by (text) (wide)",
        "count_values(\"v\", wide) by (text)",
        "count_values without () (\"v\", wide)",
        "quantile by (text) (0.5, wide)",
        "quantile(0.5, wide) by (text)",
        "count(topk(1000, wide))",
        "count(topk by (text) (1, wide))",
        "count(limitk by (text) (1, wide))",
        "count(wide + on (text) wide)",
        "count(wide + ignoring (i) wide)",
        "count(label_replace(vector(1), \"x\", \"y\", \"\", \"\") * on () group_right () wide)",
        "count(wide and on (text) wide)",
        "count(wide unless on (text) target_info)",
        "count(wide or target_info)",
        "count(sort(wide))",
        "count(sort_desc(wide))",
        "count(sort_by_label(wide, \"text\"))",
        "count(label_replace(wide, \"a\", \"$1$1\", \"text\", \"(.*)\"))",
        "count(label_join(wide, \"a\", \"-\", \"text\", \"text\"))",
        "histogram_quantile(0.5, wide_bucket)",
        "count(histogram_quantiles(wide_bucket, \"q\", 0.5, 0.9))",
        "histogram_fraction(0, 1, wide_bucket)",
        "count(info(wide))",
        "max_over_time((wide or wide)[5m:1m])",
        "count(max_over_time(vector(1)[1000000s:1s]))",
        "count(-{text!=\"\"})",
    ] {
        let asked = ask(&source, query, 1, None).await;
        let error = asked.outcome.expect_err(query);
        assert!(is_limit(&error), "{query}: {error}");
        assert_eq!(asked.budget.used_bytes(), 0, "{query}");
    }
    // What is folded at once is not held.
    for query in
        ["count(wide)", "sum(rate(wide[5m]))", "absent(wide)", "scalar(wide)", "count(wide * 2)", "group(wide)"]
    {
        let asked = ask(&source, query, 1, None).await;
        assert!(asked.outcome.is_ok(), "{query}: {:?}", asked.outcome);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_count() {
    let source = source(150, 10);
    for query in [
        "wide",
        "sum by (i) (wide)",
        "count_values(\"v\", vector(time()))",
        "count_values by (i) (\"v\", wide)",
        "count(quantile(0.5, wide))",
        "topk(1, label_replace(vector(time()), \"a\", \"b\", \"\", \"\") or wide) > 1e300 or count(topk by (i) (1, wide))",
        "count(wide + on (i) wide)",
        "count(info(wide))",
        "histogram_quantile(0.5, wide_bucket)",
        "histogram_quantiles(vector(1), \"q\", time()) or histogram_quantiles(sum by (le) (wide_bucket), \"q\", time())",
    ] {
        let asked = ask(&source, query, 11_000, None).await;
        let error = asked.outcome.expect_err(query);
        assert!(is_limit(&error), "{query}: {error}");
    }
    let depth = 98;
    let scalars = format!("{}1{}", "(time() + ".repeat(depth), ")".repeat(depth));
    let outcome = ask(&source, &format!("vector({scalars})"), 11_000, None).await.outcome;
    assert!(outcome.as_ref().is_err_and(is_limit), "{:?}", outcome.err());
}

fn nested(times: usize, head: &str, inner: &str, tail: &str) -> String {
    format!("count({}{inner}{})", head.repeat(times), tail.repeat(times))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_that_grow_end_at_a_limit() {
    let source = source(3, 10);
    let base = "label_replace(vector(1), \"i\", \"0123456789\", \"\", \"\")";
    let replace = "label_replace(";
    let many = format!(", \"i\", \"{}\", \"i\", \"(.*)\")", "$1".repeat(1000));
    let joined = format!(", \"i\", \"\"{})", ", \"i\"".repeat(200));
    let queries = [
        nested(15, replace, base, ", \"i\", \"$1$1$1$1\", \"i\", \"(.*)\")"),
        nested(24, replace, base, ", \"i\", \"$1$1\", \"i\", \"(.*)\")"),
        nested(24, replace, base, ", \"i\", \"${n}-$n\", \"i\", \"(?P<n>.*)\")"),
        nested(5, replace, base, &many),
        nested(6, "label_join(", base, &joined),
        format!("count_values(\"i\", {})", nested(24, replace, base, ", \"j\", \"$1$1$1$1\", \"i\", \"(.*)\")")),
    ];
    for query in &queries[..5] {
        let error = ask(&source, query, 1, None).await.outcome.unwrap_err();
        assert!(is_limit(&error), "{error}");
    }
    // One label is made again and again, of the same length.
    assert!(ask(&source, &queries[5], 1, None).await.outcome.is_ok());
    // Several at once, in one budget each.
    let all = futures::future::join_all(queries[..5].iter().map(|q| ask(&source, q, 1, None))).await;
    assert!(all.iter().all(|a| a.outcome.as_ref().is_err_and(is_limit)));

    let ctx = Ctx::background();
    let short = Engine::new(EngineOptions { max_label_bytes: 1000, ..EngineOptions::default() });
    for query in &queries[..5] {
        let error = short.evaluate(&ctx, source.clone(), Query::instant(query, 0)).await.unwrap_err().to_string();
        assert!(error.contains("label \"i\"") && error.contains("limit of 1000 (--query.max-label-bytes)"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_that_would_not_end_are_not_begun() {
    let source = source(1, 4_000_000);
    let query = "count(label_replace(wide, \"a\", \"$1\", \"text\", \"(\\\\pL{0,60}x*)\"))";
    let error = ask(&source, query, 1, None).await.outcome.unwrap_err().to_string();
    assert!(error.contains("label_replace() would search a value of 4000008 bytes"), "{error}");
    let plain = "count(label_replace(wide, \"a\", \"$1\", \"text\", \"([0-9]*)y\"))";
    let asked = ask(&source, plain, 1, None).await;
    assert!(asked.outcome.is_ok(), "{:?}", asked.outcome);
}

#[tokio::test]
async fn regular_expressions_of_a_query_have_a_limit() {
    let source = source(1, 10);
    let large = "(\\\\pL{0,100})";
    let selectors = vec![format!("wide{{i=~\"{large}\"}}"); 100].join(" or ");
    let replaced = nested(100, "label_replace(", "wide", &format!(", \"i\", \"$1\", \"i\", \"{large}\")"));
    for (query, kind) in [(selectors, "bad_data"), (replaced, "execution")] {
        let error = ask(&source, &query, 1, None).await.outcome.unwrap_err();
        assert_eq!(error.error_type(), kind, "{error}");
        assert!(error.to_string().contains("when compiled (--query.max-regex-bytes)"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_and_annotations_do_not_repeat_long_labels() {
    let source = source(2, 100_000);
    for query in ["wide + on (job) wide", "wide + ignoring (i, text, instance) group_left () wide"] {
        let error = ask(&source, query, 1, None).await.outcome.unwrap_err().to_string();
        assert!(error.contains("xxx…") && error.len() < 8000, "{query}: {} bytes", error.len());
    }
    let query = "histogram_quantile(0.5, label_replace(wide, \"le\", \"$1\", \"text\", \"(.*)\"))";
    let result = ask(&source, query, 1, None).await.outcome.unwrap();
    let texts: Vec<_> = result.annotations.iter().map(|a| a.text.len()).collect();
    assert!(!texts.is_empty() && texts.iter().all(|len| *len < 2000), "{texts:?}");
}

/// Expressions that grow.
fn growing() -> impl Strategy<Value = String> {
    let long = "l".repeat(2000);
    let leaf = prop_oneof![
        Just("wide".to_owned()),
        Just("vector(1)".to_owned()),
        Just("wide_bucket".to_owned()),
        Just(format!("label_replace(vector(1), \"i\", \"{long}\", \"\", \"\")")),
    ];
    leaf.prop_recursive(12, 24, 2, |inner| {
        let one = (inner.clone(), 0..14_usize).prop_map(|(e, how)| match how {
            0..=2 => format!("label_replace({e}, \"i\", \"$1$1$1$1$1$1$1$1\", \"i\", \"(.*)\")"),
            3 => format!("label_replace({e}, \"text\", \"$1$1\", \"i\", \"(.*)\")"),
            4 | 5 => format!("label_join({e}, \"i\", \"--\", \"i\", \"text\", \"i\", \"text\", \"i\")"),
            6 => format!("count_values by (i, text) (\"v\", {e})"),
            7 => format!("count_values(\"i\", {e})"),
            8 => format!("max_over_time(({e})[5m:10s])"),
            9 => format!("info({e})"),
            10 => format!("topk by (i) (2, {e})"),
            11 => format!("sort_by_label({e}, \"i\", \"text\")"),
            12 => format!("quantile by (text, i) (0.5, {e})"),
            _ => format!("histogram_quantile(0.5, {e})"),
        });
        let two = (inner.clone(), inner, 0..4_usize).prop_map(|(a, b, how)| match how {
            0 => format!("({a} or {b})"),
            1 => format!("({a} + on (job, instance) group_left (i, text) {b})"),
            2 => format!("({a} * on () group_left (text) count_values(\"text\", {b}))"),
            _ => format!("({a} unless on (i, text) {b})"),
        });
        prop_oneof![3 => one, 1 => two]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 50, ..ProptestConfig::default() })]

    #[test]
    fn growing_queries_stay_within_budget_and_time(query in growing(), steps in prop_oneof![Just(1_i64), Just(200)]) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let source = source(5, 3000);
        runtime.block_on(async {
            let asked = ask(&source, &query, steps, None).await;
            match &asked.outcome {
                Ok(_) | Err(QueryError::Execution(_)) => {}
                Err(e) => assert!(is_limit(e), "{query}: {e}"),
            }
            drop(asked.outcome);
            assert_eq!(asked.budget.used_bytes(), 0, "{query}");
            let hurried = ask(&source, &query, steps, Some(Duration::from_millis(5))).await;
            let known = match &hurried.outcome {
                Ok(_) | Err(QueryError::Execution(_) | QueryError::Timeout(_)) => true,
                Err(e) => is_limit(e),
            };
            assert!(known, "{query}: {:?}", hurried.outcome.err());
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_loops_end_at_the_deadline() {
    let source = source(100, 10);
    let unlimited = |timeout_ms| {
        let parse = promql_syntax::ParseOptions::ALL;
        Engine::new(EngineOptions { timeout_ms, parse, max_samples: 0, ..EngineOptions::default() })
    };
    let natural = format!("label_replace(wide, \"i\", \"{}$1\", \"i\", \"(.*)\")", "a1".repeat(20_000));
    for query in [
        "quantile_over_time(0.5, vector(time())[100000000s:1s])".to_owned(),
        "sum_over_time(time()[3000000s:1s]) + sum_over_time(time()[3000000s:1s])".replace("time()[", "vector(time())["),
        format!("sort_by_label({natural}, \"i\")"),
        "count(wide[9m:1s] offset 1ms)"
            .replace("count(wide", "sum(quantile_over_time(0.1, wide")
            .replace("1ms)", "1ms))"),
    ] {
        let began = Instant::now();
        let ctx = Ctx::background();
        let (start, end) = (0, 10_000_000);
        let run = unlimited(300).evaluate(&ctx, source.clone(), Query::range(&query, start, end, 1000)).await;
        assert!(began.elapsed() < HANG, "{query}");
        if let Err(e) = run {
            assert!(matches!(e, QueryError::Timeout(_)), "{}: {e}", &query[..80.min(query.len())]);
        }
    }
}

#[tokio::test]
async fn answers_count_until_they_are_dropped() {
    let source = source(10, 1000);
    let asked = ask(&source, "wide", 100, None).await;
    let result = asked.outcome.unwrap();
    let Value::Matrix(matrix) = &result.value else { panic!() };
    let labels: usize = matrix.series.iter().map(|s| s.labels.size_bytes()).sum();
    assert!(asked.budget.used_bytes() as usize >= labels + 10 * 100 * 8);
    drop(result);
    assert_eq!(asked.budget.used_bytes(), 0);
}
