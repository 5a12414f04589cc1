//! The queue before an evaluator: it is an evaluator, it bounds what tenants hold, and ends with who asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chunkenc::{Encoding, encode_xor};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use labels::Labels;
use promql::conformance::{Source, run};
use promql::{
    Engine, EngineOptions, Evaluate, LocalEvaluator, Query, QueryError, QueryLimits, QuerySource, ReadOptions,
};
use queryapi::{Queue, QueueOptions, TenantLimits, Tenants};
use storage::{
    Answer, Budget, Chunk, Ctx, Error, LabelQuery, MemorySource, Select, Series, SeriesEvent, SeriesSource,
    SeriesStream, SourceInfo,
};
use telemetry::Metrics;

const MIB: u64 = 1 << 20;

/// The same series for every request.
#[derive(Debug)]
struct Of(Arc<dyn SeriesSource>);

impl QuerySource for Of {
    fn for_request(&self, _: &ReadOptions) -> storage::Result<Arc<dyn SeriesSource>> {
        Ok(self.0.clone())
    }
}

fn tenants(limits: TenantLimits) -> Arc<Tenants> {
    Arc::new(Tenants::new(limits))
}

fn queue(source: Arc<dyn QuerySource>, options: QueueOptions, process: &Arc<Budget>, metrics: &Metrics) -> Queue {
    let parse = promql_syntax::ParseOptions::ALL;
    let engine =
        EngineOptions { max_concurrent: 0, max_query_bytes: 16 * MIB, timeout_ms: 0, parse, ..Default::default() };
    let local = LocalEvaluator::new(Engine::new(engine), source);
    Queue::new(Arc::new(local), options, process.clone(), metrics)
}

fn ctx(tenant: &str, budget: &Arc<Budget>) -> Ctx {
    Ctx { tenant: tenant.into(), budget: budget.clone(), ..Ctx::background() }
}

fn one(i: usize, samples: i64) -> Series {
    let number = i.to_string();
    let labels = Labels::from_pairs([("__name__", "m"), ("i", &number), ("job", &i.to_string()[..1])]);
    let data = encode_xor((0..samples).map(|t| (t * 15_000, (t * i as i64 % 97) as f64))).unwrap();
    let chunks = vec![Chunk::raw(0, (samples - 1) * 15_000, Encoding::Xor, data.into())];
    Series { labels, chunks }
}

fn many(series: usize) -> Arc<dyn QuerySource> {
    Arc::new(Of(Arc::new(MemorySource::new((0..series).map(|i| one(i, 240)).collect()))))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_is_an_evaluator() {
    let source = Arc::new(Source::new());
    let tenants = tenants(TenantLimits { running_max: 1, ..Default::default() });
    let options = QueueOptions { running_max: 1, waiting_max: 1, tenants, ..Default::default() };
    let local = LocalEvaluator::new(Engine::new(EngineOptions::default()), source.clone());
    run(&Queue::new(Arc::new(local), options, Budget::unlimited(), &Metrics::new()), &source).await;
}

/// Each would take more than there is, if nobody counted.
const OF_DEATH: [&str; 10] = [
    "m * on (job) group_left () label_replace(m, \"x\", \"$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1\", \"i\", \"(.*)\")",
    "max_over_time(m[100y:1ms])",
    "sum_over_time(sum_over_time(m[30d:1s])[30d:1s])",
    "m[100y]",
    "label_join(label_join(m, \"a\", \"-\", \"i\", \"i\", \"i\"), \"b\", \"-\", \"a\", \"a\", \"a\", \"a\")",
    "count_values(\"v\", m + ignoring (i) group_left () max by (job) (m))",
    "quantile_over_time(0.5, m[1h])",
    "sort_desc({__name__=~\".+\"} or {i!=\"\"})",
    "topk(100000, m) or topk(100000, m * 2)",
    "m ^ m ^ m ^ m ^ m ^ m ^ m ^ m",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_queries_of_death_stay_within_the_budget() {
    let process = Budget::new("the process", "--query.max-bytes-total", 24 * MIB, None);
    let options = QueueOptions {
        running_max: 4,
        waiting_max: 200,
        timeout_ms: 120_000,
        tenants: tenants(TenantLimits { bytes_max: 12 * MIB, ..Default::default() }),
    };
    let metrics = Metrics::new();
    let queue = queue(many(2000), options, &process, &metrics);
    let mut asked = Vec::new();
    for i in 0..100 {
        let query = OF_DEATH[i % OF_DEATH.len()];
        let tenant = ["a", "b", "c"][i % 3];
        let query =
            if i % 2 == 0 { Query::instant(query, 3_600_000) } else { Query::range(query, 0, 3_600_000, 15_000) };
        asked.push(queue.evaluate(&ctx(tenant, &process), query));
    }
    let (mut limits, mut others) = (0, 0);
    // Answers that fit are dropped at once, as one that was sent is.
    let outcomes: Vec<_> =
        stream::iter(asked).map(|asked| async { asked.await.map(|_| ()) }).buffered(100).collect().await;
    for outcome in outcomes {
        match outcome {
            Err(QueryError::Limit(text)) => {
                limits += 1;
                assert!(text.contains("--query."), "{text}");
            }
            Ok(()) | Err(QueryError::Bad(_) | QueryError::Execution(_)) => others += 1,
            Err(e) => panic!("{e}"),
        }
    }
    assert!(limits > 10, "{limits} met a limit, {others} did not");
    assert!(process.peak_bytes() <= 24 * MIB && process.peak_bytes() > MIB, "{}", process.peak_bytes());
    assert_eq!(process.used_bytes(), 0);
    let result = queue.evaluate(&ctx("a", &process), Query::instant("count(m)", 3_600_000)).await.unwrap();
    assert!(result.stats.series == 2000, "{:?}", result.stats);
    let text = metrics.encode();
    assert!(
        text.contains("aion_query_queue_length 0.0\n") && text.contains("aion_query_queue_running 0.0\n"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_has_its_own_bytes() {
    let process = Budget::unlimited();
    let options =
        QueueOptions { tenants: tenants(TenantLimits { bytes_max: MIB, ..Default::default() }), ..Default::default() };
    let queue = queue(many(500), options, &process, &Metrics::new());
    let query = || Query::range("m", 0, 3_000_000, 15_000);
    let held = queue.evaluate(&ctx("a", &process), query()).await.unwrap();
    let error = queue.evaluate(&ctx("a", &process), query()).await.unwrap_err();
    assert!(
        error.to_string().contains("all queries of tenant \"a\"")
            && error.to_string().contains("--query.tenant-max-bytes"),
        "{error}"
    );
    queue.evaluate(&ctx("b", &process), query()).await.unwrap();
    drop(held);
    queue.evaluate(&ctx("a", &process), query()).await.unwrap();
    assert_eq!(process.used_bytes(), 0);
}

/// Series without end. Counts what is taken, and the streams that are open.
#[derive(Debug, Clone, Default)]
struct Endless {
    taken: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl SeriesSource for Endless {
    fn info(&self) -> SourceInfo {
        MemorySource::default().info()
    }

    fn select(&self, _: &Ctx, _: Select) -> SeriesStream {
        self.open.fetch_add(1, Ordering::SeqCst);
        let (open, taken) = (Open(self.open.clone()), self.taken.clone());
        stream::iter(10_000_usize..)
            .map(move |i| {
                let _ = &open;
                taken.fetch_add(1, Ordering::SeqCst);
                Ok(SeriesEvent::Batch(vec![one(i, 10)]))
            })
            .boxed()
    }

    fn label_names(&self, _: &Ctx, _: LabelQuery) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        Box::pin(std::future::ready(Ok(Answer::default())))
    }

    fn label_values(
        &self,
        _: &Ctx,
        _: &str,
        _: LabelQuery,
    ) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        Box::pin(std::future::ready(Ok(Answer::default())))
    }
}

/// Series that are read after nobody waits any more; reading ahead counts too.
const AFTER_MAX: usize = 2000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_ends_with_who_asked() {
    let source = Endless::default();
    let process = Budget::unlimited();
    let queue = queue(Arc::new(Of(Arc::new(source.clone()))), QueueOptions::default(), &process, &Metrics::new());
    let taken = async |n: usize| {
        until(|| source.taken.load(Ordering::SeqCst) >= n).await;
    };
    for drops in [false, true] {
        let already = source.taken.load(Ordering::SeqCst);
        let ctx = ctx("a", &process);
        let mut asked = queue.evaluate(&ctx, Query::instant("sum(m)", 60_000));
        let at_the_end = tokio::select! {
            outcome = &mut asked => panic!("ended: {outcome:?}"),
            () = taken(already + 5000) => source.taken.load(Ordering::SeqCst),
        };
        if drops {
            drop(asked);
        } else {
            ctx.cancel.cancel();
            assert!(matches!(asked.await, Err(QueryError::Canceled(_))));
        }
        until(|| source.open.load(Ordering::SeqCst) == 0).await;
        let after = source.taken.load(Ordering::SeqCst) - at_the_end;
        assert!(after < AFTER_MAX, "{after} series were read after the end");
    }
    until(|| process.used_bytes() == 0).await;
}

async fn until(done: impl Fn() -> bool) {
    while !done() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_says_so() {
    let source = Arc::new(Source::new());
    let options = QueueOptions { running_max: 1, waiting_max: 1, ..Default::default() };
    let (process, metrics) = (Budget::unlimited(), Metrics::new());
    let queue = queue(source, options, &process, &metrics);
    let stuck = ctx("a", &process);
    let mut first = queue.evaluate(&stuck, Query::instant("stuck", 0));
    let mut second = queue.evaluate(&stuck, Query::instant("m", 0));
    assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending());
    let error = queue.evaluate(&stuck, Query::instant("m", 0)).await.unwrap_err();
    assert!(matches!(&error, QueryError::Storage(Error::Unavailable(_))), "{error:?}");
    assert!(error.to_string().contains("--query.max-queued"), "{error}");
    let text = metrics.encode();
    assert!(
        text.contains("aion_query_queue_length 1.0\n") && text.contains("aion_query_queue_refused_total 1\n"),
        "{text}"
    );
    drop(first);
    assert!(second.await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_at_its_own_limit_is_told_so() {
    let source = Arc::new(Source::new());
    let tenants = tenants(TenantLimits { waiting_max: 1, ..Default::default() });
    let options = QueueOptions { running_max: 1, tenants, ..Default::default() };
    let (process, metrics) = (Budget::unlimited(), Metrics::new());
    let queue = queue(source, options, &process, &metrics);
    let ask = |tenant, text| queue.evaluate(&ctx(tenant, &process), Query::instant(text, 0));
    let (mut first, mut second, mut other) = (ask("a", "stuck"), ask("a", "m"), ask("b", "m"));
    assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending());
    let error = ask("a", "m").await.unwrap_err();
    assert!(matches!(&error, QueryError::TooMany(text) if text.contains("--query.tenant-max-queued")), "{error:?}");
    assert!(futures::poll!(&mut other).is_pending(), "there is room for others");
    drop(first);
    assert!(second.await.is_ok() && other.await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_a_tenant_are_those_of_its_queries() {
    let tenants = tenants(TenantLimits::default());
    let limits = |query| TenantLimits { query, ..TenantLimits::default() };
    let named = [
        ("series", QueryLimits { max_series: Some(10), ..QueryLimits::default() }),
        ("samples", QueryLimits { max_samples: Some(10), ..QueryLimits::default() }),
        ("bytes", QueryLimits { max_query_bytes: Some(1000), ..QueryLimits::default() }),
    ];
    tenants
        .replace(TenantLimits::default(), named.iter().map(|(name, query)| ((*name).into(), limits(*query))).collect());
    let process = Budget::unlimited();
    let options = QueueOptions { tenants: tenants.clone(), ..Default::default() };
    let queue = queue(many(500), options, &process, &Metrics::new());
    let ask = |tenant: &str| queue.evaluate(&ctx(tenant, &process), Query::range("m", 0, 3_000_000, 15_000));
    for (tenant, text) in
        [("series", "--query.max-series"), ("samples", "--query.max-samples"), ("bytes", "--query.max-bytes")]
    {
        let error = ask(tenant).await.unwrap_err();
        assert!(matches!(&error, QueryError::Limit(said) if said.contains(text)), "{error:?}");
        assert!(error.to_string().contains(&format!("tenant {tenant:?}")), "{error}");
    }
    assert!(ask("another").await.is_ok());
    tenants.replace(TenantLimits::default(), Default::default());
    assert!(ask("series").await.is_ok(), "limits may change");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_has_its_own_time() {
    let query = QueryLimits { timeout_ms: Some(20), ..QueryLimits::default() };
    let tenants = tenants(TenantLimits::default());
    tenants.replace(TenantLimits::default(), [("hurried".into(), TenantLimits { query, ..Default::default() })].into());
    let (source, process) = (Endless::default(), Budget::unlimited());
    let options = QueueOptions { tenants, ..Default::default() };
    let queue = queue(Arc::new(Of(Arc::new(source.clone()))), options, &process, &Metrics::new());
    let error = queue.evaluate(&ctx("hurried", &process), Query::instant("sum(m)", 60_000)).await.unwrap_err();
    assert!(matches!(error, QueryError::Timeout(_)), "{error:?}");
    until(|| source.open.load(Ordering::SeqCst) == 0).await;
}
