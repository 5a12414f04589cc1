//! The blocks of a bucket as one source of series.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use block::{BlockId, IndexHeader};
use bucket::flags::TimeLimits;
use futures::future::BoxFuture;
use futures::stream::{self, FuturesUnordered, StreamExt};
use labels::Labels;
use model::{Clock, TimeRange};
use objstore::Bucket;
use parking_lot::RwLock;
use storage::{
    Answer, Ctx, Error, LabelQuery, PartialResponse, Result, Select, SeriesEvent, SeriesSource, SeriesStream,
    SourceInfo, Work, merge_streams,
};
use storeapi::{ComponentType, EndpointInfo, Served, StoreSet};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::block_set::BlockSet;
use crate::bucket_block::BucketBlock;
use crate::chunk_cache::ChunkCache;
use crate::error::{BlockError, BlockResult};
use crate::index_cache::IndexCache;
use crate::limits::{BatchSizes, Data, Limits, Request};
use crate::mask::{Mask, masks};
use crate::metrics::GatewayMetrics;
use crate::read::{self, LabelsOf, Names, ReadOptions, Wanted};

/// What the reading of all blocks shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) bucket: Bucket,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cache: IndexCache,
    pub(crate) chunk_cache: Option<ChunkCache>,
    pub(crate) metrics: GatewayMetrics,
    pub(crate) read: ReadOptions,
    /// Told when a block turned out to be gone.
    pub(crate) resync: Notify,
}

impl Shared {
    /// The block's index-header.
    pub(crate) async fn header(&self, block: &BucketBlock) -> BlockResult<Arc<IndexHeader>> {
        block.header(&self.bucket, &*self.clock, &self.metrics, &self.read.header).await
    }

    /// Counts a read that was damaged.
    pub(crate) fn damaged(&self, data: Data) {
        self.metrics.damaged.with(&[data.name()]).inc();
    }

    /// The warning for a block that did not answer.
    ///
    /// # Errors
    /// Where parts must not be missing, and for what is not the block's fault.
    pub(crate) fn failed(&self, block: &BucketBlock, error: BlockError, mode: PartialResponse) -> Result<String> {
        if matches!(error, BlockError::Vanished(_)) {
            self.resync.notify_one();
        }
        if !matches!(error, BlockError::Fatal(_)) {
            tracing::warn!(block = %block.id, err = ?error, "block did not answer");
        }
        error.or_warning(mode, block.name())
    }
}

/// The blocks that are served.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) blocks: BTreeMap<BlockId, Arc<BucketBlock>>,
    /// What requests to delete leave out, by block.
    masks: BTreeMap<BlockId, Arc<Mask>>,
    sets: Vec<(Labels, BlockSet<Arc<BucketBlock>>)>,
}

impl Loaded {
    pub(crate) fn new(blocks: BTreeMap<BlockId, Arc<BucketBlock>>, deletions: &[bucket::deletions::Request]) -> Self {
        let masks = masks(deletions, blocks.values().map(|b| (&*b.meta, &b.labels)));
        let mut by_labels: BTreeMap<Labels, Vec<Arc<BucketBlock>>> = BTreeMap::new();
        for block in blocks.values() {
            by_labels.entry(block.labels.clone()).or_default().push(block.clone());
        }
        let sets = by_labels.into_iter().map(|(labels, blocks)| (labels, BlockSet::new(blocks))).collect();
        Self { blocks, masks, sets }
    }

    fn tsdb_infos(&self, limits: TimeRange) -> Vec<StoreSet> {
        let mut out: Vec<StoreSet> = Vec::new();
        for (labels, set) in &self.sets {
            let mut spans: Vec<(i64, i64)> =
                set.overlapping(TimeRange::ALL).map(|b| (b.meta.min_time, b.meta.max_time)).collect();
            spans.sort_unstable();
            let mut open: Option<TimeRange> = None;
            for (min, max) in spans {
                match &mut open {
                    Some(range) if min <= range.max => range.max = range.max.max(max),
                    _ => {
                        let done = open.replace(TimeRange::new(min, max));
                        out.extend(done.map(|range| StoreSet { labels: labels.clone(), range }));
                    }
                }
            }
            out.extend(open.map(|range| StoreSet { labels: labels.clone(), range }));
        }
        for set in &mut out {
            set.range = TimeRange::new(set.range.min.max(limits.min), set.range.max.min(limits.max));
        }
        out
    }
}

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
}

impl StoreGateway {
    pub(crate) fn new(shared: Arc<Shared>, times: TimeLimits, limits: Limits, concurrency: usize) -> Self {
        let gate = Arc::new(Semaphore::new(concurrency.clamp(1, Semaphore::MAX_PERMITS)));
        Self { inner: Arc::new(Inner { shared, times, limits, gate, loaded: RwLock::new(None) }) }
    }

    pub(crate) fn loaded(&self) -> Option<Arc<Loaded>> {
        self.inner.loaded.read().clone()
    }

    pub(crate) fn replace(&self, loaded: Loaded) {
        *self.inner.loaded.write() = Some(Arc::new(loaded));
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
            sets: loaded.tsdb_infos(self.time_limits()),
        })
    }

    /// Closes index-headers that nobody used for `idle_ms`; gives their number.
    pub fn close_unused(&self, idle_ms: i64) -> usize {
        let before = self.inner.shared.clock.now_ms().saturating_sub(idle_ms);
        let closed = self.blocks().iter().filter(|b| b.close_unused(before)).count();
        self.inner.shared.metrics.header_unloads.inc_by(closed as u64);
        closed
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

    async fn enter(&self, ctx: &Ctx) -> Result<Entered> {
        let metrics = &self.inner.shared.metrics;
        let began = Instant::now();
        let wait = self.inner.gate.clone().acquire_owned();
        let permit = match ctx.deadline {
            None => wait.await.ok(),
            Some(deadline) => match tokio::time::timeout_at(deadline.into(), wait).await {
                Ok(permit) => permit.ok(),
                Err(_) => {
                    let text = "query timed out while waiting for its turn, see --store.grpc.series-max-concurrency";
                    return Err(Error::Timeout(text.to_owned()));
                }
            },
        };
        metrics.gate_seconds.observe(began.elapsed().as_secs_f64());
        metrics.gate_in_flight.inc();
        Ok(Entered { metrics: metrics.clone(), _permit: permit })
    }

    async fn start(self, ctx: Ctx, mut want: Select) -> Result<SeriesStream> {
        let loaded = self.ready()?;
        let entered = self.enter(&ctx).await?;
        let shared = &self.inner.shared;
        want.range = self.clip(want.range);
        let mut chosen = Vec::new();
        for (_, set) in loaded.sets.iter().filter(|_| !want.range.is_empty()) {
            for (block, range) in set.get_for(want.range, want.max_resolution_ms, want.coarser) {
                if !block.matches(&want.block_matchers) {
                    continue;
                }
                if let Some(matchers) = block.narrow(&want.matchers) {
                    chosen.push((block, range, matchers));
                }
            }
        }
        if let Some(report) = &ctx.report {
            report.blocks(chosen.iter().map(|(block, ..)| block.id.to_string()));
        }
        let tenant = ctx.tenant.to_string();
        shared.metrics.blocks_queried.with(&[&tenant]).observe(chosen.len() as f64);
        let batch = BatchSizes::of(chosen.len());
        let request = Request::new(ctx, self.inner.limits, shared.metrics.clone(), batch);
        let limit = if want.limit == 0 { usize::MAX } else { want.limit };
        let inputs = chosen.into_iter().map(|(block, range, matchers)| {
            let mask = loaded.masks.get(&block.id).cloned();
            let wanted = Wanted { select: want.clone(), matchers, range, mask };
            (block.name(), read::stream(shared.clone(), block, wanted, request.clone()))
        });
        let merged = merge_streams(inputs.collect());
        let seen = Seen::new(shared.metrics.clone(), tenant, request, entered);
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
                    if let Some(report) = &ctx.report {
                        report.blocks([block.id.to_string()]);
                    }
                    let (shared, request) = (shared.clone(), request.clone());
                    let mask = loaded.masks.get(&block.id).cloned();
                    let want = want.clone();
                    let call = ask(LabelsOf { shared, block: block.clone(), want, matchers, request, mask });
                    asked.push(async move { (block, call.await) });
                }
            }
        }
        let mut answer = Answer::default();
        let mut all = BTreeSet::new();
        while let Some((block, outcome)) = asked.next().await {
            match outcome {
                Ok(Names { texts, warnings }) => {
                    all.extend(texts);
                    answer.warnings.extend(warnings);
                }
                Err(e) => answer.warnings.push(shared.failed(block, e, want.partial_response)?),
            }
        }
        let limit = if want.limit == 0 { usize::MAX } else { want.limit };
        answer.value = all.into_iter().filter(|t| !t.is_empty()).take(limit).collect();
        Ok(answer)
    }
}

impl SeriesSource for StoreGateway {
    fn info(&self) -> SourceInfo {
        let loaded = self.loaded().unwrap_or_default();
        let limits = self.time_limits();
        let spans = || loaded.blocks.values().map(|b| &b.meta);
        SourceInfo {
            label_sets: loaded.sets.iter().map(|(l, _)| l.clone()).filter(|l| !l.is_empty()).collect(),
            range: TimeRange::new(
                spans().map(|m| m.min_time).min().unwrap_or(i64::MAX).max(limits.min),
                spans().map(|m| m.max_time).max().unwrap_or(i64::MIN).min(limits.max),
            ),
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

/// A call's place behind the gate.
#[derive(Debug)]
struct Entered {
    metrics: GatewayMetrics,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.metrics.gate_in_flight.dec();
    }
}

/// Counts what a Series call sends; shows it when the call ends, however it ends.
#[derive(Debug)]
struct Seen {
    metrics: GatewayMetrics,
    tenant: String,
    request: Arc<Request>,
    _entered: Entered,
    began: Instant,
    first: Option<Instant>,
    series: u64,
    chunks: u64,
    chunk_bytes: telemetry::Histogram,
}

impl Seen {
    fn new(metrics: GatewayMetrics, tenant: String, request: Arc<Request>, entered: Entered) -> Self {
        let chunk_bytes = metrics.sent_chunk_bytes.with(&[&tenant]);
        let began = Instant::now();
        Self { metrics, tenant, request, _entered: entered, began, first: None, series: 0, chunks: 0, chunk_bytes }
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
        if let Some(report) = &self.request.ctx.report {
            let (merged_series, merged_chunks) = (self.series, self.chunks);
            report.work(Work { merged_series, merged_chunks, get_all, merge, ..self.request.work() });
        }
        self.metrics.get_all_seconds.with(tenant).observe(get_all.as_secs_f64());
        self.metrics.merge_seconds.with(tenant).observe(merge.as_secs_f64());
        self.metrics.result_series.with(tenant).observe(self.series as f64);
        self.request.observe();
    }
}
