//! What queries read: the database, and the storages of the section `remote_read`.

use std::sync::Arc;

use assembly::Deps;
use config::Loaded;
use futures::StreamExt;
use futures::future::{BoxFuture, join_all};
use parking_lot::RwLock;
use promql::{QuerySource, ReadOptions};
use remote::{RemoteStore, RemoteStoreMetrics};
use storage::{
    Answer, Chunk, Ctx, LabelQuery, Result, Select, SeriesEvent, SeriesSource, SeriesStream, SourceInfo,
    merge_sorted_names, merge_streams, noted,
};
use tsdb::db::Tsdb;

/// The database and other storages, for every request. There are no replicas, tenants or shards to choose from.
#[derive(Debug, Clone)]
pub struct Local {
    tsdb: Arc<Tsdb>,
    remotes: Arc<RwLock<Arc<[RemoteStore]>>>,
    metrics: RemoteStoreMetrics,
}

impl Local {
    /// The database alone.
    pub fn new(tsdb: Arc<Tsdb>, deps: &Deps) -> Self {
        Self { tsdb, remotes: Arc::default(), metrics: RemoteStoreMetrics::new(&deps.metrics) }
    }

    /// The storages of `loaded`, to be put in force.
    ///
    /// # Errors
    /// A client that cannot be made.
    pub fn prepare(&self, loaded: &Loaded) -> std::result::Result<Arc<[RemoteStore]>, String> {
        let external = loaded.config.global.external_labels();
        let tsdb = self.tsdb.clone();
        let begin_ms: Arc<dyn Fn() -> Option<i64> + Send + Sync> = Arc::new(move || tsdb.oldest_ms());
        let one = |config: &config::RemoteReadConfig| {
            let store = RemoteStore::new(config.store(), external.clone(), begin_ms.clone(), self.metrics.clone());
            store.map_err(|why| format!("remote_read {}: {why}", model::redact_urls(&config.own.url)))
        };
        loaded.config.remote_read.iter().map(one).collect()
    }

    /// Reads these storages from now on.
    pub fn apply(&self, remotes: Arc<[RemoteStore]>) {
        *self.remotes.write() = remotes;
    }
}

impl QuerySource for Local {
    fn for_request(&self, _: &ReadOptions) -> Result<Arc<dyn SeriesSource>> {
        Ok(Arc::new(self.clone()))
    }
}

impl SeriesSource for Local {
    fn info(&self) -> SourceInfo {
        self.tsdb.info()
    }

    fn select(&self, ctx: &Ctx, mut want: Select) -> SeriesStream {
        let remotes = self.remotes.read().clone();
        if remotes.is_empty() {
            return self.database(ctx, want);
        }
        let limit = want.limit;
        // As the database does it: who asks is told so by `info`.
        want.without_replica_labels = Arc::from([]);
        want.labels = None;
        let mut inputs = vec![("the database".to_owned(), self.database(ctx, want.clone()))];
        let all = remotes.iter().enumerate();
        inputs.extend(all.map(|(n, remote)| {
            let name = format!("remote_read {}", n + 1);
            let stream = noted(ctx, &name, |_| "remote_read", |ctx| remote.select(ctx, want.clone()));
            (name, stream)
        }));
        let merged = merge_streams(inputs);
        if limit == 0 { merged } else { first(merged, limit) }
    }

    fn select_here(&self, ctx: &Ctx, want: &Select) -> Option<SeriesStream> {
        if !self.remotes.read().is_empty() {
            return None;
        }
        let select =
            |ctx: &Ctx| self.tsdb.select_here(ctx, want).unwrap_or_else(|| self.tsdb.select(ctx, want.clone()));
        Some(noted(ctx, "", self.kind(), select))
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        self.labels(want, |source, want| source.label_names(ctx, want))
    }

    fn label_values(&self, ctx: &Ctx, name: &str, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        self.labels(want, |source, want| source.label_values(ctx, name, want))
    }
}

impl Local {
    fn database(&self, ctx: &Ctx, want: Select) -> SeriesStream {
        noted(ctx, "", self.kind(), |ctx| self.tsdb.select(ctx, want))
    }

    /// What is of the head, what of blocks.
    fn kind(&self) -> impl Fn(Option<&Chunk>) -> &'static str + Send + 'static {
        let head_ms = self.tsdb.head().range().map_or(i64::MAX, |(min, _)| min);
        let is_block = move |chunk: Option<&Chunk>| chunk.is_some_and(|chunk| chunk.max_time < head_ms);
        move |chunk| if is_block(chunk) { "block" } else { "head" }
    }

    fn labels(
        &self,
        want: LabelQuery,
        ask: impl Fn(&dyn SeriesSource, LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>>,
    ) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        let remotes = self.remotes.read().clone();
        let limit = want.limit;
        let own = ask(&*self.tsdb, want.clone());
        if remotes.is_empty() {
            return own;
        }
        let others: Vec<_> = remotes.iter().map(|remote| ask(remote, want.clone())).collect();
        Box::pin(async move {
            let Answer { value, mut warnings } = own.await?;
            let mut lists = vec![value];
            for answer in join_all(others).await {
                let answer = answer?;
                warnings.extend(answer.warnings);
                lists.push(answer.value);
            }
            Ok(Answer { value: merge_sorted_names(lists, limit), warnings })
        })
    }
}

/// The first `limit` series.
fn first(stream: SeriesStream, limit: usize) -> SeriesStream {
    let cut = stream.scan(limit, |left, event| {
        let event = match event {
            _ if *left == 0 => None,
            Ok(SeriesEvent::Batch(mut batch)) => {
                batch.truncate(*left);
                *left -= batch.len();
                Some(Ok(SeriesEvent::Batch(batch)))
            }
            other => Some(other),
        };
        std::future::ready(event)
    });
    cut.boxed()
}
