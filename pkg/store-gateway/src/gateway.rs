//! The blocks of a bucket as one source of series.

use std::sync::Arc;
use std::time::Instant;

use bucket::flags::TimeLimits;
use futures::future::BoxFuture;
use futures::stream::{self, FuturesUnordered, StreamExt};
use labels::Matcher;
use model::TimeRange;
use parking_lot::RwLock;
use storage::{
    Answer, Ctx, Error, LabelQuery, PartialResponse, Projection, ReadStats, Result, Select, SeriesEvent, SeriesSource,
    SeriesStream, SourceInfo, merge_sorted_names, merge_streams,
};
use storeapi::{ComponentType, EndpointInfo, Served};
use tokio::sync::Semaphore;

use crate::bucket_block::BucketBlock;
use crate::error::BlockResult;
use crate::limits::{BatchSizes, Limits, Request};
use crate::loaded::Loaded;
use crate::metrics::GatewayMetrics;
use crate::read::{self, LabelsOf, Names, Wanted};
use crate::shared::Shared;
use crate::turn::Turn;

/// The store gateway's series. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StoreGateway {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) times: TimeLimits,
    limits: Limits,
    gate: Arc<Semaphore>,
    /// `None` before the first sync.
    loaded: RwLock<Option<Arc<Loaded>>>,
    /// Why the last sync failed.
    sync_failure: RwLock<Option<String>>,
}

impl StoreGateway {
    pub(crate) fn new(shared: Arc<Shared>, times: TimeLimits, limits: Limits, concurrency: usize) -> Self {
        let gate = Arc::new(Semaphore::new(concurrency.clamp(1, Semaphore::MAX_PERMITS)));
        Self {
            inner: Arc::new(Inner {
                shared,
                times,
                limits,
                gate,
                loaded: RwLock::new(None),
                sync_failure: RwLock::new(None),
            }),
        }
    }

    pub(crate) fn loaded(&self) -> Option<Arc<Loaded>> {
        self.inner.loaded.read().clone()
    }

    pub(crate) fn replace(&self, loaded: Loaded) {
        *self.inner.loaded.write() = Some(Arc::new(loaded));
    }

    /// Notes how the last sync ended: after one that failed, blocks may be missing that nobody knows of.
    pub(crate) fn synced(&self, failure: Option<String>) {
        *self.inner.sync_failure.write() = failure;
    }

    /// What may be missing from an answer: blocks that cannot be served, those that came since a sync failed.
    ///
    /// # Errors
    /// Where parts must not be missing.
    fn lacking(
        &self,
        loaded: &Loaded,
        range: TimeRange,
        asked: [&[Matcher]; 2],
        mode: PartialResponse,
    ) -> Result<Vec<String>> {
        let mut texts = loaded.lacking(range, asked);
        texts.extend(self.inner.sync_failure.read().clone());
        match (mode, texts.first()) {
            (PartialResponse::Abort, Some(text)) => Err(Error::Unavailable(text.clone())),
            _ => Ok(texts),
        }
    }

    /// The blocks that are served now, by id.
    pub fn blocks(&self) -> Vec<Arc<BucketBlock>> {
        self.loaded().map(|l| l.blocks.values().cloned().collect()).unwrap_or_default()
    }

    /// What the Info service tells; `None` before the first sync.
    pub fn endpoint_info(&self) -> Option<EndpointInfo> {
        let loaded = self.loaded()?;
        Some(EndpointInfo {
            component: ComponentType::Store,
            served: Served { store: true, ..Served::default() },
            source: self.info(),
            sets: loaded.tsdb_infos(self.time_limits(), self.is_unsure(&loaded)),
            evaluator: String::new(),
        })
    }

    /// Closes index-headers that nobody used for `idle_ms`; gives their number.
    pub fn close_unused(&self, idle_ms: i64) -> usize {
        let before = self.inner.shared.clock.now_ms().saturating_sub(idle_ms);
        let closed = self.blocks().iter().filter(|b| b.close_unused(before)).count();
        self.inner.shared.metrics.header_unloads.inc_by(closed as u64);
        closed
    }

    /// Whether there may be data of any time and any external labels beside what is served. Then other components
    /// must ask, so that they get the warning.
    fn is_unsure(&self, loaded: &Loaded) -> bool {
        loaded.lacks_anything() || self.inner.sync_failure.read().is_some()
    }

    fn time_limits(&self) -> TimeRange {
        self.inner.times.at(self.inner.shared.clock.now_ms())
    }

    fn ready(&self) -> Result<Arc<Loaded>> {
        self.loaded()
            .ok_or_else(|| Error::Unavailable("store gateway is not ready: the bucket was not read yet".to_owned()))
    }

    fn clip(&self, range: TimeRange) -> TimeRange {
        let limits = self.time_limits();
        TimeRange::new(range.min.max(limits.min), range.max.min(limits.max))
    }

    async fn start(self, ctx: Ctx, mut want: Select) -> Result<SeriesStream> {
        let loaded = self.ready()?;
        let shared = &self.inner.shared;
        let turn = Turn::wait(&self.inner.gate, &ctx, &shared.metrics).await?;
        want.range = self.clip(want.range);
        let asked = [&want.block_matchers[..], &want.matchers[..]];
        let lacking = self.lacking(&loaded, want.range, asked, want.partial_response)?;
        let mut chosen = Vec::new();
        for (_, set) in loaded.sets.iter().filter(|_| !want.range.is_empty()) {
            for (block, range) in
                set.get_for(want.range, want.max_resolution_ms, want.coarser.then_some(want.coarsest_ms))
            {
                if !block.matches(&want.block_matchers) {
                    continue;
                }
                if let Some(matchers) = block.narrow(&want.matchers) {
                    chosen.push((block, range, matchers));
                }
            }
        }
        if let Some(hints) = &ctx.hints {
            hints.add_blocks(chosen.iter().map(|(block, ..)| block.id.to_string()));
        }
        let tenant = ctx.tenant.to_string();
        shared.metrics.blocks_queried.with(&[&tenant]).observe(chosen.len() as f64);
        let batch = BatchSizes::of(chosen.len());
        let request = Request::new(ctx, self.inner.limits, shared.metrics.clone(), batch);
        let limit = if want.limit == 0 { usize::MAX } else { want.limit };
        // Blocks are merged by all labels.
        let labels = want.labels.clone().filter(|_| chosen.len() == 1);
        let inputs = chosen.into_iter().map(|(block, range, matchers)| {
            let tombstones = loaded.tombstones_by_block.get(&block.id).cloned();
            let select = Select { labels: labels.clone(), ..want.clone() };
            let wanted = Wanted { select, matchers, range, tombstones };
            (block.name(), read::stream(shared.clone(), block, wanted, request.clone(), turn.work()))
        });
        let lacking = stream::iter(lacking.into_iter().map(|text| Ok(SeriesEvent::Warning(text))));
        let merged = lacking.chain(Projection::of(&want, merge_streams(inputs.collect()))).boxed();
        let seen = Seen::new(shared.metrics.clone(), tenant, request);
        Ok(stream::unfold((merged, seen, limit), |(mut merged, mut seen, left)| async move {
            if left == 0 {
                return None;
            }
            let mut event = merged.next().await?;
            let mut left = left;
            if let Ok(SeriesEvent::Batch(batch)) = &mut event {
                batch.truncate(left);
                left -= batch.len();
                seen.batch(batch);
            }
            Some((event, (merged, seen, left)))
        })
        .boxed())
    }

    /// Asks each block that is concerned, side by side.
    async fn ask_all<F>(&self, ctx: &Ctx, want: &LabelQuery, ask: impl Fn(LabelsOf) -> F) -> Result<Answer<Vec<String>>>
    where
        F: Future<Output = BlockResult<Names>>,
    {
        let loaded = self.ready()?;
        let shared = &self.inner.shared;
        let range = self.clip(want.range);
        let request = Request::new(ctx.clone(), self.inner.limits, shared.metrics.clone(), BatchSizes::of(1));
        let mut asked = FuturesUnordered::new();
        for (_, set) in loaded.sets.iter().filter(|_| !range.is_empty()) {
            for block in set.overlapping(range).filter(|b| b.matches(&want.block_matchers)) {
                if let Some(matchers) = block.narrow(&want.matchers) {
                    if let Some(hints) = &ctx.hints {
                        hints.add_blocks([block.id.to_string()]);
                    }
                    let (shared, request) = (shared.clone(), request.clone());
                    let tombstones = loaded.tombstones_by_block.get(&block.id).cloned();
                    let want = want.clone();
                    let call = ask(LabelsOf { shared, block: block.clone(), want, matchers, request, tombstones });
                    asked.push(async move { (block, call.await) });
                }
            }
        }
        let asked_for = [&want.block_matchers[..], &want.matchers[..]];
        let warnings = self.lacking(&loaded, range, asked_for, want.partial_response)?;
        let mut answer = Answer { warnings, ..Answer::default() };
        let mut lists = Vec::new();
        while let Some((block, outcome)) = asked.next().await {
            match outcome {
                Ok(Names { texts, warnings }) => {
                    lists.push(texts);
                    answer.warnings.extend(warnings);
                }
                Err(e) => answer.warnings.push(shared.failed(block, e, want.partial_response)?),
            }
        }
        lists.iter_mut().for_each(|texts| texts.retain(|text| !text.is_empty()));
        answer.value = match lists.pop() {
            // Of one block they are in order, and there may be very many.
            Some(mut texts) if lists.is_empty() => {
                texts.truncate(if want.limit == 0 { usize::MAX } else { want.limit });
                texts
            }
            last => merge_sorted_names(lists.into_iter().chain(last).collect(), want.limit),
        };
        Ok(answer)
    }
}

impl SeriesSource for StoreGateway {
    fn info(&self) -> SourceInfo {
        let loaded = self.loaded().unwrap_or_default();
        let limits = self.time_limits();
        let range = match self.is_unsure(&loaded) {
            true => limits,
            false => loaded.range(limits),
        };
        SourceInfo {
            label_sets: loaded.label_sets(),
            range,
            supports_sharding: true,
            supports_without_replica_labels: true,
        }
    }

    fn select(&self, ctx: &Ctx, want: Select) -> SeriesStream {
        let started = self.clone().start(ctx.clone(), want);
        stream::once(async move { started.await.unwrap_or_else(|e| stream::iter([Err(e)]).boxed()) }).flatten().boxed()
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        let (gateway, ctx) = (self.clone(), ctx.clone());
        Box::pin(async move {
            let want = LabelQuery { range: gateway.clip(want.range), ..want };
            let all = LabelQuery { limit: 0, ..want.clone() };
            let mut answer = gateway.ask_all(&ctx, &all, |of| async move { of.names().await }).await?;
            answer.value.retain(|n| !want.without_replica_labels.contains(n));
            if want.limit > 0 {
                answer.value.truncate(want.limit);
            }
            Ok(answer)
        })
    }

    fn label_values(&self, ctx: &Ctx, name: &str, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        let (gateway, ctx, name) = (self.clone(), ctx.clone(), name.to_owned());
        Box::pin(async move {
            if name.is_empty() {
                return Err(Error::Invalid("label name parameter cannot be empty".to_owned()));
            }
            if want.without_replica_labels.contains(&name) {
                return Ok(Answer::default());
            }
            let want = LabelQuery { range: gateway.clip(want.range), ..want };
            let name: &str = &name;
            gateway.ask_all(&ctx, &want, |of| async move { of.values(name).await }).await
        })
    }
}

/// Counts what a Series call sends; shows it when the call ends, however it ends.
#[derive(Debug)]
struct Seen {
    metrics: GatewayMetrics,
    tenant: String,
    request: Arc<Request>,
    began: Instant,
    first: Option<Instant>,
    series: u64,
    chunks: u64,
    chunk_bytes: telemetry::Histogram,
}

impl Seen {
    fn new(metrics: GatewayMetrics, tenant: String, request: Arc<Request>) -> Self {
        let chunk_bytes = metrics.sent_chunk_bytes.with(&[&tenant]);
        let began = Instant::now();
        Self { metrics, tenant, request, began, first: None, series: 0, chunks: 0, chunk_bytes }
    }

    fn batch(&mut self, batch: &[storage::Series]) {
        self.first.get_or_insert_with(Instant::now);
        self.series += batch.len() as u64;
        for chunk in batch.iter().flat_map(|s| &s.chunks) {
            self.chunks += 1;
            self.chunk_bytes.observe(chunk.size_bytes() as f64);
        }
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        let first = self.first.unwrap_or_else(Instant::now);
        let tenant = &[self.tenant.as_str()];
        let (get_all, merge) = (first - self.began, first.elapsed());
        if let Some(hints) = &self.request.ctx.hints {
            let (merged_series, merged_chunks) = (self.series, self.chunks);
            hints.set_stats(ReadStats { merged_series, merged_chunks, get_all, merge, ..self.request.stats() });
        }
        self.metrics.get_all_seconds.with(tenant).observe(get_all.as_secs_f64());
        self.metrics.merge_seconds.with(tenant).observe(merge.as_secs_f64());
        self.metrics.result_series.with(tenant).observe(self.series as f64);
        self.request.observe();
    }
}
