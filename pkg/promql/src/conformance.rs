//! What every [`Evaluate`] must do, whatever it is made of. A failed expectation panics: this is for tests.
//!
//! An evaluator is built over a [`Source`], with an engine of default options, and handed to [`run`] together with it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chunkenc::Encoding;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use labels::{Labels, Matcher};
use model::Severity;
use promql_syntax::{parse, walk_mut};
use storage::{
    Answer, Budget, Chunk, Ctx, Error, LabelQuery, MemorySource, PartialResponse, Select, Series, SeriesEvent,
    SeriesSource, SeriesStream, Shard, SourceInfo,
};

use crate::{EngineChoice, Evaluate, Query, QueryError, QueryResult, QuerySource, ReadOptions, Value};

/// The first sample's time, ms.
const START_MS: i64 = 1_700_000_010_000;
const STEP_MS: i64 = 15_000;
const SAMPLES: i64 = 240;
/// A time at which all series but `early` have a sample.
const MIDDLE_MS: i64 = START_MS + 100 * STEP_MS;

/// How long an evaluator may take to find out that nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the source says of the series `doubtful`.
const WARNING: &str = "block 7 is missing";

/// The data that evaluators under test read. It keeps what it was asked.
#[derive(Debug)]
pub struct Source(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    series: MemorySource,
    asked: Mutex<Vec<ReadOptions>>,
    tenants: Mutex<Vec<Arc<str>>>,
    /// Streams of `stuck` that are open.
    stuck: AtomicUsize,
}

impl Source {
    /// A source with the series that [`run`] asks for.
    #[allow(clippy::new_without_default, reason = "a fixture, not a value")]
    pub fn new() -> Self {
        let inner = Inner {
            series: MemorySource::new(series()),
            asked: Mutex::default(),
            tenants: Mutex::default(),
            stuck: AtomicUsize::new(0),
        };
        Self(Arc::new(inner))
    }

    fn last(&self) -> ReadOptions {
        locked(&self.0.asked).last().cloned().unwrap_or_else(|| panic!("the source was not asked"))
    }

    async fn wait_for_stuck(&self, count: usize) {
        let began = Instant::now();
        while self.0.stuck.load(Ordering::SeqCst) != count {
            assert!(began.elapsed() < PATIENCE, "not {count} open streams but {:?}", self.0.stuck);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl QuerySource for Source {
    fn for_request(&self, options: &ReadOptions) -> storage::Result<Arc<dyn SeriesSource>> {
        locked(&self.0.asked).push(options.clone());
        Ok(Arc::new(Request(self.0.clone())))
    }
}

/// The source of one request.
#[derive(Debug)]
struct Request(Arc<Inner>);

impl SeriesSource for Request {
    fn info(&self) -> SourceInfo {
        self.0.series.info()
    }

    fn select(&self, ctx: &Ctx, want: Select) -> SeriesStream {
        locked(&self.0.tenants).push(ctx.tenant.clone());
        let named = |name: &str| want.matchers.iter().any(|m| m.name() == "__name__" && m.value() == name);
        if named("stuck") {
            let open = Open::new(self.0.clone());
            return stream::pending().inspect(move |_: &storage::Result<SeriesEvent>| _ = &open).boxed();
        }
        if named("doubtful") {
            let event = match want.partial_response {
                PartialResponse::Warn => Ok(SeriesEvent::Warning(WARNING.to_owned())),
                PartialResponse::Abort => Err(Error::Unavailable(WARNING.to_owned())),
            };
            return stream::once(async { event }).chain(self.0.series.select(ctx, want)).boxed();
        }
        self.0.series.select(ctx, want)
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        self.0.series.label_names(ctx, want)
    }

    fn label_values(
        &self,
        ctx: &Ctx,
        name: &str,
        want: LabelQuery,
    ) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        self.0.series.label_values(ctx, name, want)
    }
}

/// Counts a stream of `stuck` for as long as somebody holds it.
struct Open(Arc<Inner>);

impl Open {
    fn new(inner: Arc<Inner>) -> Self {
        inner.stuck.fetch_add(1, Ordering::SeqCst);
        Self(inner)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.stuck.fetch_sub(1, Ordering::SeqCst);
    }
}

fn series() -> Vec<Series> {
    let one = |pairs: &[(&str, &str)], samples: i64, value: &dyn Fn(i64) -> f64| {
        let samples: Vec<_> = (0..samples).map(|i| (START_MS + i * STEP_MS, value(i))).collect();
        let (min, max) = (START_MS, START_MS + (samples.len() as i64 - 1) * STEP_MS);
        let data = chunkenc::encode_xor(samples).unwrap_or_else(|e| panic!("{e}"));
        let chunks = vec![Chunk::raw(min, max, Encoding::Xor, data.into())];
        Series { labels: Labels::from_pairs(pairs.iter().copied()), chunks }
    };
    vec![
        one(&[("__name__", "m"), ("job", "a")], SAMPLES, &|i| i as f64),
        one(&[("__name__", "m"), ("job", "b"), ("zone", "süd \"1\"\n")], SAMPLES, &|i| 1000.0 - i as f64),
        one(&[("__name__", "early"), ("job", "a")], 21, &|i| i as f64),
        one(&[("__name__", "odd"), ("kind", "inf")], SAMPLES, &|_| f64::INFINITY),
        one(&[("__name__", "odd"), ("kind", "nan")], SAMPLES, &|_| f64::NAN),
        one(&[("__name__", "odd"), ("kind", "zero")], SAMPLES, &|_| -0.0),
        one(&[("__name__", "doubtful")], SAMPLES, &|_| 1.0),
    ]
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the suite on an evaluator that reads from `source`; panics at the first expectation that fails.
pub async fn run(evaluator: &dyn Evaluate, source: &Source) {
    values_at_one_time(evaluator).await;
    values_over_a_range(evaluator).await;
    parsed_queries(evaluator).await;
    read_options(evaluator, source).await;
    warnings(evaluator).await;
    errors(evaluator).await;
    budgets(evaluator).await;
    several(evaluator).await;
    ends(evaluator, source).await;
}

async fn ask(evaluator: &dyn Evaluate, query: Query) -> QueryResult {
    let text = query.text.clone();
    evaluator.evaluate(&Ctx::background(), query).await.unwrap_or_else(|e| panic!("{text}: {e}"))
}

async fn fails(evaluator: &dyn Evaluate, query: Query) -> QueryError {
    let text = query.text.clone();
    let outcome = evaluator.evaluate(&Ctx::background(), query).await;
    outcome.err().unwrap_or_else(|| panic!("{text}: does not fail"))
}

/// One line a series: labels, then times relative to [`START_MS`] in s, and values.
fn shown(value: &Value) -> Vec<String> {
    let seconds = |ms: i64| (ms - START_MS) as f64 / 1000.0;
    match value {
        Value::Scalar { time_ms, value } => vec![format!("scalar {value} at {}", seconds(*time_ms))],
        Value::String { time_ms, value } => vec![format!("string {value} at {}", seconds(*time_ms))],
        Value::Vector { time_ms, samples } => {
            let line = |s: &crate::InstantSample| format!("{} {} at {}", s.labels, s.value, seconds(*time_ms));
            samples.iter().map(line).collect()
        }
        Value::Matrix(matrix) => {
            let line = |s: &crate::MatrixSeries| {
                let points: Vec<_> = s.floats(matrix.grid).map(|(t, v)| format!("{v}@{}", seconds(t))).collect();
                format!("{} {}", s.labels, points.join(" "))
            };
            matrix.series.iter().map(line).collect()
        }
    }
}

async fn values_at_one_time(evaluator: &dyn Evaluate) {
    let zone = r#"zone="süd \"1\"\n""#;
    let second = format!(r#"{{__name__="m", job="b", {zone}}} 900 at 1500"#);
    let all: &[(&str, &[&str])] = &[
        ("m", &[r#"{__name__="m", job="a"} 100 at 1500"#, &second]),
        ("sort_desc(sum by (job) (m))", &[r#"{job="b"} 900 at 1500"#, r#"{job="a"} 100 at 1500"#]),
        ("sum(m)", &["{} 1000 at 1500"]),
        ("m == 3", &[]),
        ("early", &[]),
        ("-odd", &[r#"{kind="inf"} -inf at 1500"#, r#"{kind="nan"} NaN at 1500"#, r#"{kind="zero"} 0 at 1500"#]),
        ("scalar(m{job=\"a\"}) * 2", &["scalar 200 at 1500"]),
        ("scalar(m)", &["scalar NaN at 1500"]),
        (r#""a \"text\"""#, &[r#"string a "text" at 1500"#]),
        ("m{job=\"a\"}[30s]", &[r#"{__name__="m", job="a"} 99@1485 100@1500"#]),
        ("sum(m)[30s:15s]", &["{} 1000@1485 1000@1500"]),
    ];
    for (query, want) in all {
        let result = ask(evaluator, Query::instant(*query, MIDDLE_MS)).await;
        assert_eq!(shown(&result.value), *want, "{query}");
        assert!(result.annotations.is_empty(), "{query}: {:?}", result.annotations);
    }
    let result = ask(evaluator, Query::instant("sum(m)", MIDDLE_MS)).await;
    assert!(result.stats.total_samples >= 2, "{:?}", result.stats);
}

async fn values_over_a_range(evaluator: &dyn Evaluate) {
    let range = |text: &str| Query::range(text, START_MS + 240_000, START_MS + 300_000, 30_000);
    let all: &[(&str, &[&str])] = &[
        ("m{job=\"a\"}", &[r#"{__name__="m", job="a"} 16@240 18@270 20@300"#]),
        ("early > 17", &[r#"{__name__="early", job="a"} 18@270 20@300"#]),
        ("sum by (job) (m)", &[r#"{job="a"} 16@240 18@270 20@300"#, r#"{job="b"} 984@240 982@270 980@300"#]),
        ("7", &["{} 7@240 7@270 7@300"]),
        ("m == 3", &[]),
    ];
    for (query, want) in all {
        let result = ask(evaluator, range(query)).await;
        assert!(matches!(result.value, Value::Matrix(_)), "{query}: {:?}", result.value);
        assert_eq!(shown(&result.value), *want, "{query}");
    }
}

/// A parsed query is what is evaluated, whatever the text says.
async fn parsed_queries(evaluator: &dyn Evaluate) {
    let mut expr = parse("sum(m)").unwrap_or_else(|e| panic!("{e}"));
    walk_mut(&mut expr, &mut |e| {
        if let promql_syntax::Expr::Vector(v) = e {
            v.matchers = v.matchers.iter().cloned().chain([Matcher::equal("job", "b")]).collect();
        }
    });
    let query = Query { expr: Some(Arc::new(expr)), ..Query::instant("sum(m)", MIDDLE_MS) };
    assert_eq!(shown(&ask(evaluator, query).await.value), ["{} 900 at 1500"]);
}

async fn read_options(evaluator: &dyn Evaluate, source: &Source) {
    ask(evaluator, Query::instant("m", MIDDLE_MS)).await;
    let default = source.last();
    assert_eq!(default, ReadOptions { lookback_ms: 300_000, ..ReadOptions::default() }, "filled with defaults");

    let read = ReadOptions {
        dedup: false,
        replica_labels: Some(vec!["a".to_owned(), "b".to_owned()]),
        store_matchers: vec![vec![Matcher::equal("cluster", "eu")], vec![Matcher::equal("__address__", "h:1")]],
        partial_response: PartialResponse::Abort,
        max_resolution_ms: 3_600_000,
        lookback_ms: 60_000,
        shard: Some(Shard { index: 1, total: 3, by: true, labels: vec!["job".to_owned()] }),
        ..ReadOptions::default()
    };
    for engine in [EngineChoice::Default, EngineChoice::Prometheus, EngineChoice::Thanos] {
        let query = Query { engine, ..Query::instant("m", MIDDLE_MS).reading(read.clone()) };
        ask(evaluator, query).await;
        assert_eq!(source.last(), read, "{engine:?}");
        ask(evaluator, Query::range("m", MIDDLE_MS, MIDDLE_MS + 60_000, 30_000).reading(read.clone())).await;
        assert_eq!(source.last(), read);
    }
    // A sample five minutes old is too old for a lookback of one.
    let late = Query::instant("early", START_MS + 20 * STEP_MS + 120_000);
    assert_eq!(ask(evaluator, late.clone()).await.value_len(), 1);
    assert_eq!(ask(evaluator, late.reading(ReadOptions { lookback_ms: 60_000, ..default })).await.value_len(), 0);

    let ctx = Ctx { tenant: "team-a".into(), ..Ctx::background() };
    let outcome = evaluator.evaluate(&ctx, Query::instant("m", MIDDLE_MS)).await;
    outcome.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(locked(&source.0.tenants).last().map(|t| t.to_string()).as_deref(), Some("team-a"));
}

impl QueryResult {
    fn value_len(&self) -> usize {
        shown(&self.value).len()
    }
}

async fn warnings(evaluator: &dyn Evaluate) {
    let result = ask(evaluator, Query::instant("doubtful", MIDDLE_MS)).await;
    assert_eq!(result.value_len(), 1);
    let texts = result.annotations.texts(Severity::Warning, 0);
    assert!(texts.len() == 1 && texts[0].contains(WARNING), "{texts:?}");
    let strict = ReadOptions { partial_response: PartialResponse::Abort, ..ReadOptions::default() };
    let error = fails(evaluator, Query::instant("doubtful", MIDDLE_MS).reading(strict)).await;
    assert!(matches!(error, QueryError::Storage(Error::Unavailable(_))), "{error:?}");
    assert!(error.to_string().contains(WARNING), "{error}");
    let result = ask(evaluator, Query::range("quantile(7, m)", MIDDLE_MS, MIDDLE_MS, 1000)).await;
    let texts = result.annotations.texts(Severity::Warning, 0);
    assert!(texts.len() == 1 && texts[0].starts_with("PromQL warning: quantile value"), "{texts:?}");
}

async fn errors(evaluator: &dyn Evaluate) {
    let at = |text: &str| Query::instant(text, MIDDLE_MS);
    for (query, kind, says) in [
        (at("sum("), "bad_data", "invalid parameter \"query\""),
        (at(""), "bad_data", "no expression found"),
        (Query::range("m[1m]", START_MS, MIDDLE_MS, 1000), "bad_data", "invalid expression type"),
        (Query::range("m", MIDDLE_MS, START_MS, 1000), "bad_data", "end timestamp"),
        (Query::range("m", START_MS, MIDDLE_MS, 0), "bad_data", "step"),
        (Query::range("m", START_MS, START_MS + 11_001_000, 1000), "bad_data", "maximum resolution"),
        (at("m / on() group_left m"), "execution", "duplicate"),
        (at("label_replace(m, \"job\", \"x\", \"job\", \"(\")"), "execution", "regular expression"),
    ] {
        let text = query.text.clone();
        let error = fails(evaluator, query).await;
        assert_eq!(error.error_type(), kind, "{text}: {error}");
        assert!(error.to_string().contains(says), "{text}: {error}");
    }
}

/// An answer counts in the request's budget until it is dropped; one that does not fit is refused.
async fn budgets(evaluator: &dyn Evaluate) {
    let query = || Query::range("m", START_MS, START_MS + (SAMPLES - 1) * STEP_MS, STEP_MS);
    let budget = Budget::unlimited();
    let ctx = Ctx { budget: budget.clone(), ..Ctx::background() };
    let result = evaluator.evaluate(&ctx, query()).await.unwrap_or_else(|e| panic!("{e}"));
    assert!(budget.used_bytes() >= 2 * SAMPLES as u64 * 8, "{}", budget.used_bytes());
    drop(result);
    assert_eq!(budget.used_bytes(), 0);
    let small = Budget::new("the test", "--test.max-bytes", 1000, None);
    let ctx = Ctx { budget: small.clone(), ..Ctx::background() };
    let error = evaluator.evaluate(&ctx, query()).await.err().unwrap_or_else(|| panic!("fits"));
    assert!(matches!(error, QueryError::Limit(_)), "{error:?}");
    assert!(error.to_string().contains("--test.max-bytes"), "{error}");
    assert_eq!(small.used_bytes(), 0);
}

/// Several queries have the answers and the errors that each has alone.
async fn several(evaluator: &dyn Evaluate) {
    let at = |text: &str| Query::instant(text, MIDDLE_MS);
    let bad = Query::range("m", MIDDLE_MS, START_MS, 1000);
    let queries = [at("sum(m)"), at("sum("), at("m"), at("m / on() group_left m"), bad, at("scalar(m{job=\"a\"}) * 2")];
    let told = |outcome: Result<QueryResult, QueryError>| outcome.map(|r| shown(&r.value)).map_err(|e| e.to_string());
    let budget = Budget::unlimited();
    let ctx = Ctx { budget: budget.clone(), ..Ctx::background() };
    let together = evaluator.evaluate_all(&ctx, queries.to_vec()).await;
    assert_eq!(together.len(), queries.len());
    for (query, answer) in queries.into_iter().zip(together) {
        let text = query.text.clone();
        assert_eq!(told(answer), told(evaluator.evaluate(&ctx, query).await), "{text}");
    }
    assert_eq!(budget.used_bytes(), 0);
    assert!(evaluator.evaluate_all(&ctx, Vec::new()).await.is_empty());
}

/// Work ends with the deadline, with the cancellation, and with the one who asked.
async fn ends(evaluator: &dyn Evaluate, source: &Source) {
    let query = || Query::instant("stuck", MIDDLE_MS);
    let deadline = Some(Instant::now() + Duration::from_millis(200));
    let error = evaluator.evaluate(&Ctx { deadline, ..Ctx::background() }, query()).await.err();
    assert!(matches!(error, Some(QueryError::Timeout(_))), "{error:?}");
    source.wait_for_stuck(0).await;

    let ctx = Ctx::background();
    let cancel = async {
        source.wait_for_stuck(1).await;
        ctx.cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(evaluator.evaluate(&ctx, query()), cancel);
    assert!(matches!(outcome, Err(QueryError::Canceled(_))), "{:?}", outcome.err());
    source.wait_for_stuck(0).await;

    let ctx = Ctx::background();
    tokio::select! {
        outcome = evaluator.evaluate(&ctx, query()) => panic!("ended: {:?}", outcome.err()),
        () = source.wait_for_stuck(1) => {}
    }
    source.wait_for_stuck(0).await;
    tokio::select! {
        _ = evaluator.evaluate_all(&ctx, vec![query(), query()]) => panic!("several ended"),
        () = source.wait_for_stuck(1) => {}
    }
    source.wait_for_stuck(0).await;
}
