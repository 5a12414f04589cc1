//! The engine of this process behind the seam.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use chunkenc::Encoding;
use futures::StreamExt;
use futures::future::BoxFuture;
use labels::Labels;
use promql::conformance::{Source, run};
use promql::{Engine, EngineOptions, LocalEvaluator, Query, QueryError, QueryResult};
use storage::{
    Answer, Chunk, Ctx, LabelQuery, MemorySource, Select, Series, SeriesEvent, SeriesSource, SeriesStream, SourceInfo,
};

#[tokio::test]
async fn the_local_evaluator_conforms() {
    let source = Arc::new(Source::new());
    run(&LocalEvaluator::new(Engine::new(EngineOptions::default()), source.clone()), &source).await;
}

/// A source whose streams do the work in their polls; one fails or crashes after so many batches.
#[derive(Debug)]
struct Here {
    source: MemorySource,
    end: Option<(usize, bool)>,
    /// Those that polled.
    threads: Arc<Mutex<HashSet<ThreadId>>>,
}

impl Here {
    fn new(source: MemorySource, end: Option<(usize, bool)>) -> Self {
        Self { source, end, threads: Arc::default() }
    }
}

impl SeriesSource for Here {
    fn info(&self) -> SourceInfo {
        self.source.info()
    }

    fn select(&self, _: &Ctx, _: Select) -> SeriesStream {
        panic!("it is read here")
    }

    fn select_here(&self, ctx: &Ctx, want: &Select) -> Option<SeriesStream> {
        let (end, threads) = (self.end, self.threads.clone());
        let events = self.source.select(ctx, want.clone()).enumerate().map(move |(n, event)| {
            threads.lock().unwrap().insert(std::thread::current().id());
            match end {
                Some((at, true)) if at == n => panic!("on purpose"),
                Some((at, false)) if at == n => Err(storage::Error::Unavailable("gone".to_owned())),
                _ => event,
            }
        });
        let warning = futures::stream::iter([Ok(SeriesEvent::Warning("doubtful".to_owned()))]);
        Some(warning.chain(events).boxed())
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        self.source.label_names(ctx, want)
    }

    fn label_values(
        &self,
        ctx: &Ctx,
        name: &str,
        want: LabelQuery,
    ) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        self.source.label_values(ctx, name, want)
    }
}

fn many(series: usize) -> MemorySource {
    let one = |n: usize| {
        let data = chunkenc::encode_xor((0..10).map(|i| (i * 15_000, (i * n as i64) as f64))).unwrap();
        let chunks = vec![Chunk::raw(0, 135_000, Encoding::Xor, data.into())];
        let labels = [("__name__", "m".to_owned()), ("n", format!("{n:05}")), ("k", (n % 7).to_string())];
        Series { labels: Labels::from_pairs(labels), chunks }
    };
    MemorySource::new((0..series).map(one).collect())
}

async fn ask(source: Arc<dyn SeriesSource>, query: &str) -> Result<QueryResult, QueryError> {
    let engine = Engine::new(EngineOptions::default());
    engine.evaluate(&Ctx::background(), source, Query::instant(query, 135_000)).await
}

#[tokio::test]
async fn series_that_are_here_are_read_as_those_from_elsewhere() {
    for series in [0, 3, 64, 2000] {
        for query in [
            "m",
            "sum by (k) (rate(m[1m]))",
            "max_over_time(m[1h])",
            "m{k=\"1\"} / on(n) m",
            "limitk(3, m)",
            "count(m) + count(m{k=~\"2|3\"})",
        ] {
            let elsewhere = ask(Arc::new(many(series)), query).await.map(|r| format!("{:?}", r.value));
            let here = ask(Arc::new(Here::new(many(series), None)), query).await;
            let warned = here.as_ref().is_ok_and(|r| format!("{:?}", r.annotations).contains("doubtful"));
            let here = here.map(|r| format!("{:?}", r.value));
            assert_eq!(format!("{here:?}"), format!("{elsewhere:?}"), "{series} series, {query}");
            assert_eq!(warned, here.is_ok(), "{series} series, {query}");
        }
    }
}

/// Read by the query's own thread or, later, by another one.
#[tokio::test]
async fn a_source_that_fails_or_crashes_is_no_end() {
    for at in [0, 3, 25] {
        for crashes in [false, true] {
            for query in ["sum(m)", "sum(sum_over_time(m[1h]))"] {
                let outcome = ask(Arc::new(Here::new(many(2000), Some((at, crashes)))), query).await;
                assert!(outcome.is_err(), "{query} {at} {crashes}: {:?}", outcome.map(|r| r.value));
            }
        }
    }
}

#[tokio::test]
async fn what_an_instant_sees_is_read_by_the_thread_that_evaluates() {
    for (query, threads) in [("sum(m)", 1), ("sum(rate(m[1m]))", 1), ("sum(sum_over_time(m[1h]))", 2)] {
        let source = Here::new(many(2000), None);
        let seen = source.threads.clone();
        ask(Arc::new(source), query).await.unwrap();
        assert_eq!(seen.lock().unwrap().len(), threads, "{query}");
    }
}
