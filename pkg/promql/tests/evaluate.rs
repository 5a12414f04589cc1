//! The engine of this process behind the seam.

use std::sync::Arc;

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
struct Here(MemorySource, Option<(usize, bool)>);

impl SeriesSource for Here {
    fn info(&self) -> SourceInfo {
        self.0.info()
    }

    fn select(&self, _: &Ctx, _: Select) -> SeriesStream {
        panic!("it is read here")
    }

    fn select_here(&self, ctx: &Ctx, want: &Select) -> Option<SeriesStream> {
        let end = self.1;
        let events = self.0.select(ctx, want.clone()).enumerate().map(move |(n, event)| match end {
            Some((at, true)) if at == n => panic!("on purpose"),
            Some((at, false)) if at == n => Err(storage::Error::Unavailable("gone".to_owned())),
            _ => event,
        });
        let warning = futures::stream::iter([Ok(SeriesEvent::Warning("doubtful".to_owned()))]);
        Some(warning.chain(events).boxed())
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        self.0.label_names(ctx, want)
    }

    fn label_values(
        &self,
        ctx: &Ctx,
        name: &str,
        want: LabelQuery,
    ) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        self.0.label_values(ctx, name, want)
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
        for query in
            ["m", "sum by (k) (rate(m[1m]))", "m{k=\"1\"} / on(n) m", "limitk(3, m)", "count(m) + count(m{k=~\"2|3\"})"]
        {
            let elsewhere = ask(Arc::new(many(series)), query).await.map(|r| format!("{:?}", r.value));
            let here = ask(Arc::new(Here(many(series), None)), query).await;
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
            let outcome = ask(Arc::new(Here(many(2000), Some((at, crashes)))), "sum(m)").await;
            assert!(outcome.is_err(), "{at} {crashes}: {:?}", outcome.map(|r| r.value));
        }
    }
}
