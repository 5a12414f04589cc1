//! What one request reads of a source: with replicas put together, within limits.

use std::sync::Arc;

use dedup::{DedupOptions, Method, dedup_stream};
use futures::future::BoxFuture;
use promql::{QuerySource, ReadOptions};
use storage::{Answer, Ctx, LabelQuery, Result, Select, SeriesSource, SeriesStream, SourceInfo};
use storeapi::{StoreLimits, limited};

/// Makes a source for each request.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Where the series come from.
    pub source: Arc<dyn SeriesSource>,
    /// The labels that tell replicas apart, where a request names none.
    pub replica_labels: Arc<[String]>,
    /// How replicas are put together.
    pub method: Method,
    /// Of what is read for one selector, as of a Series call.
    pub limits: StoreLimits,
}

impl QuerySource for Reading {
    fn for_request(&self, options: &ReadOptions) -> Result<Arc<dyn SeriesSource>> {
        let replica_labels = match &options.replica_labels {
            Some(labels) => labels.clone().into(),
            None => self.replica_labels.clone(),
        };
        let dedup = options.dedup && !replica_labels.is_empty();
        let (source, method, limits, options) = (self.source.clone(), self.method, self.limits, options.clone());
        Ok(Arc::new(RequestSource { source, replica_labels, dedup, method, limits, options }))
    }
}

/// The source of one request.
#[derive(Debug)]
struct RequestSource {
    source: Arc<dyn SeriesSource>,
    replica_labels: Arc<[String]>,
    dedup: bool,
    method: Method,
    limits: StoreLimits,
    options: ReadOptions,
}

impl RequestSource {
    /// Replica labels show among names and values, as they do in Thanos: dashboards let one choose a replica.
    fn labels(&self, want: LabelQuery) -> LabelQuery {
        LabelQuery { partial_response: self.options.partial_response, ..want }
    }
}

impl SeriesSource for RequestSource {
    fn info(&self) -> SourceInfo {
        self.source.info()
    }

    fn select(&self, ctx: &Ctx, mut want: Select) -> SeriesStream {
        want.partial_response = self.options.partial_response;
        // The engine sets a limit for each selector; who asks for labels only sets none.
        if want.skip_chunks {
            want.max_resolution_ms = want.max_resolution_ms.max(self.options.max_resolution_ms);
        }
        if want.shard.is_none() {
            want.shard = self.options.shard.clone();
        }
        if !self.dedup {
            return limited(self.source.select(ctx, want), self.limits);
        }
        want.without_replica_labels = self.replica_labels.clone();
        let options = DedupOptions {
            method: self.method,
            lookback_ms: self.options.lookback_ms,
            function: want.function.as_deref().map(str::to_owned),
            end_ms: want.range.max,
        };
        let skip_chunks = want.skip_chunks;
        let stream = limited(self.source.select(ctx, want), self.limits);
        if skip_chunks { stream } else { dedup_stream(stream, options) }
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        self.source.label_names(ctx, self.labels(want))
    }

    fn label_values(&self, ctx: &Ctx, name: &str, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        self.source.label_values(ctx, name, self.labels(want))
    }
}
