//! The replicas at work: each serves the newest samples of its cluster as a sidecar beside a Prometheus would, and uploads
//! a block whenever two hours are over. Samples are made when they are asked for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use assembly::GrpcServices;
use axum::Router;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, StreamExt};
use labels::{Labels, Matcher};
use model::{Clock, TimeRange};
use objstore::Bucket;
use storage::{
    Answer, Budget, Chunk, Ctx, Inspect, LabelQuery, MemorySource, RulesSource, Select, Series, SeriesSource,
    SeriesStream, SourceInfo,
};
use storeapi::{ComponentType, EndpointInfo, Served, ServerOptions, StoreSet};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use transport::RequestLog;
use transport::http::Probe;

use crate::alerting::Alerting;
use crate::blocks::{Error, chunks};
use crate::fleet::fleet;
use crate::history::{BLOCK_MS, upload_since};
use crate::lanes::Lane;
use crate::record::Record;
use crate::story::Story;

/// How far back a replica serves: as long as a Prometheus that keeps a day.
const KEPT_MS: i64 = 24 * 3_600_000;
/// How often is looked whether two hours are over.
const UPLOAD_EVERY: Duration = Duration::from_secs(10);

/// One replica of one cluster.
#[derive(Debug, Clone)]
pub(crate) struct Replica {
    lane: Lane,
    story: Story,
    external: Labels,
    clock: Arc<dyn Clock>,
    /// Where history, which is in the bucket, ends; ms.
    since_ms: i64,
}

impl Replica {
    /// A replica that goes on where history ends, at `since_ms`.
    pub fn new(lane: Lane, story: Story, clock: Arc<dyn Clock>, since_ms: i64) -> Self {
        let external = Labels::from_pairs(lane.external());
        Self { lane, story, external, clock, since_ms }
    }

    fn range(&self) -> TimeRange {
        let now = self.clock.now_ms();
        // A block more than needed, until the store has noticed the last ones of history.
        TimeRange::new((self.since_ms - BLOCK_MS).max(now - KEPT_MS), now)
    }

    /// The series that match, with at most `samples_max` samples each.
    fn series(&self, range: TimeRange, matchers: &[Matcher], samples_max: usize) -> Result<MemorySource, Error> {
        let served = self.range();
        let (from, to) = (range.min.max(served.min), range.max.min(served.max));
        let until = to.saturating_add(1);
        let mut times = if from <= to { self.lane.scrapes(from, until, self.since_ms, &self.story) } else { vec![] };
        times.truncate(samples_max);
        let mut out = Vec::new();
        for invented in fleet(self.lane.cluster, &self.story, &(from..until)) {
            let labels = invented.labels.overlay(&self.external);
            if !matchers.iter().all(|m| m.matches(labels.value(m.name()))) {
                continue;
            }
            let raw = |c: chunkenc::TimedChunk| Chunk::raw(c.min_time, c.max_time, c.encoding, c.data);
            out.push(Series { labels, chunks: chunks(&invented, &times)?.into_iter().map(raw).collect() });
        }
        Ok(MemorySource::with_external_labels(out, self.external.clone()))
    }

    /// Makes series away from the threads that serve.
    fn made(
        &self,
        range: TimeRange,
        matchers: Arc<[Matcher]>,
        samples_max: usize,
    ) -> BoxFuture<'static, storage::Result<MemorySource>> {
        let replica = self.clone();
        let task = tokio::task::spawn_blocking(move || replica.series(range, &matchers, samples_max));
        let failed = |context: String| storage::Error::Other { context, source: None };
        async move { task.await.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string())) }.boxed()
    }
}

impl SeriesSource for Replica {
    fn info(&self) -> SourceInfo {
        SourceInfo {
            label_sets: vec![self.external.clone()],
            range: TimeRange::new(self.range().min, i64::MAX),
            supports_sharding: true,
            supports_without_replica_labels: true,
        }
    }

    fn select(&self, ctx: &Ctx, want: Select) -> SeriesStream {
        let samples_max = if want.skip_chunks { 1 } else { usize::MAX };
        let (made, ctx) = (self.made(want.range, want.matchers.clone(), samples_max), ctx.clone());
        let select = async move {
            match made.await {
                Ok(source) => source.select(&ctx, want),
                Err(e) => stream::iter([Err(e)]).boxed(),
            }
        };
        select.flatten_stream().boxed()
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        let (made, ctx) = (self.made(want.range, want.matchers.clone(), 1), ctx.clone());
        async move { made.await?.label_names(&ctx, want).await }.boxed()
    }

    fn label_values(
        &self,
        ctx: &Ctx,
        name: &str,
        want: LabelQuery,
    ) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        let (made, ctx, name) = (self.made(want.range, want.matchers.clone(), 1), ctx.clone(), name.to_owned());
        async move { made.await?.label_values(&ctx, &name, want).await }.boxed()
    }
}

/// The gRPC services of a replica: those of a sidecar that knows series and rules.
pub(crate) fn routes(replica: Replica, metrics: &Metrics) -> Router {
    let budget = Arc::new(Budget::unlimited);
    let options = ServerOptions { limits: Default::default(), budget, metrics: metrics.clone() };
    let rules: Arc<dyn RulesSource> =
        Arc::new(Alerting { external: replica.external.clone(), clock: replica.clock.clone() });
    let inspect = Inspect { rules: Some(rules), ..Inspect::default() };
    let (described, served) = (replica.clone(), Served { store: true, ..Served::of(&inspect) });
    let info = move || {
        let source = described.info();
        let sets = source.label_sets.iter().map(|labels| StoreSet { labels: labels.clone(), range: source.range });
        Some(EndpointInfo {
            component: ComponentType::Sidecar,
            served,
            sets: sets.collect(),
            source,
            evaluator: String::new(),
        })
    };
    let probe = Probe::new("starting");
    probe.ready();
    GrpcServices::new(served, info).store(Arc::new(replica), options).inspect(inspect).router(
        metrics,
        probe,
        RequestLog::default(),
    )
}

/// Uploads the blocks that are complete since `record` was made, as time goes on, until `shutdown`.
pub(crate) async fn upload(
    bucket: &Bucket,
    dir: &Path,
    scratch: &Path,
    clock: &dyn Clock,
    mut record: Record,
    shutdown: CancellationToken,
) {
    let story = record.story();
    while shutdown.run_until_cancelled(tokio::time::sleep(UPLOAD_EVERY)).await.is_some() {
        let until_ms = clock.now_ms().div_euclid(BLOCK_MS) * BLOCK_MS;
        if until_ms <= record.until_ms {
            continue;
        }
        let uploaded = upload_since(bucket, scratch, record.until_ms, until_ms, &story).await;
        let noted = match uploaded {
            Ok(_) => {
                record.until_ms = until_ms;
                record.save(dir).await
            }
            Err(e) => Err(e),
        };
        if let Err(e) = noted {
            warn!(err = %e, "the last two hours were not uploaded, trying again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use model::FakeClock;
    use storage::collect_series;

    use super::*;
    use crate::lanes::lanes;

    /// In the hour in which one replica's history has a gap.
    const START_MS: i64 = 1_795_132_800_000 + 15 * 3_600_000;

    /// The newest sample's time of each replica at `clock`'s time, over five minutes.
    async fn newest(replicas: &[Replica], clock: &FakeClock) -> Vec<i64> {
        let now = clock.now_ms();
        let mut out = Vec::new();
        for replica in replicas {
            let want = Select::new(TimeRange::new(now - 300_000, now), [Matcher::equal("__name__", "up")]);
            let found = collect_series(replica.select(&Ctx::background(), want)).await.unwrap().value;
            assert_eq!(found.len(), 6, "{replica:?}");
            out.extend(found.iter().filter_map(|s| s.chunks.last()).map(|c| c.max_time).min());
        }
        out
    }

    #[tokio::test]
    async fn each_replica_goes_on_after_the_start() {
        let clock = Arc::new(FakeClock::at(START_MS + 600_000));
        let replicas: Vec<_> =
            lanes().map(|lane| Replica::new(lane, Story::of(START_MS, 90), clock.clone(), START_MS)).collect();
        let sets: BTreeSet<String> =
            replicas.iter().map(|replica| format!("{:?}", replica.info().label_sets)).collect();
        assert_eq!(sets.len(), 4);
        let before = newest(&replicas, &clock).await;
        assert!(before.iter().all(|t| (clock.now_ms() - 30_000..=clock.now_ms()).contains(t)), "{before:?}");
        clock.advance(30_000);
        let after = newest(&replicas, &clock).await;
        assert!(before.len() == 4 && before.iter().zip(&after).all(|(b, a)| *a == b + 30_000), "{before:?} {after:?}");
    }

    #[tokio::test]
    async fn what_is_served_is_what_is_uploaded() {
        let clock = Arc::new(FakeClock::at(START_MS + 2 * BLOCK_MS));
        let lane = lanes().next().unwrap();
        let story = Story::of(START_MS, 90);
        let replica = Replica::new(lane.clone(), story.clone(), clock, START_MS);
        let until_ms = START_MS + BLOCK_MS;
        let want = Select::new(TimeRange::new(START_MS, until_ms - 1), [Matcher::equal("__name__", "node_load1")]);
        let served = collect_series(replica.select(&Ctx::background(), want)).await.unwrap().value;
        let times = lane.scrapes(START_MS, until_ms, START_MS, &story);
        let load = fleet(lane.cluster, &story, &(START_MS..until_ms))
            .into_iter()
            .find(|s| s.labels.metric_name() == "node_load1")
            .unwrap();
        let block = chunks(&load, &times).unwrap();
        let chunks: Vec<_> = served[0].chunks.iter().map(|c| chunkenc::TimedChunk::try_from(c).unwrap()).collect();
        assert_eq!((times.len(), chunks), (240, block));
    }
}
