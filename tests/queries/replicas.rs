//! A world as two replicas scraped it, each with gaps that the other one fills.

use std::sync::Arc;

use dedup::{DedupOptions, Method, dedup_stream};
use futures::future::BoxFuture;
use labels::Labels;
use memory_store::{MemoryStore, MemoryStoreOptions};
use storage::{
    Answer, Ctx, LabelQuery, MemorySource, Result, Select, SeriesSource, SeriesStream, SourceInfo, merge_streams,
};

use crate::random::Random;
use crate::sides::{LOOKBACK_MS, all_series};
use crate::world::{Sample, Series, TICK_MS, World};

const LABEL: &str = "replica";

/// Ticks with samples that are before and behind each gap, in both replicas.
const WHOLE: usize = 20;
/// How far behind the last sample that a query reads its data goes on, ms.
const BEYOND_MS: i64 = 600_000;
/// The longest gap in one replica, ticks.
const GAP_MAX: usize = 18;

/// Both replicas, deduplicated as a querier does it.
#[derive(Debug)]
pub struct Replicas {
    replicas: [MemorySource; 2],
    label: Arc<[String]>,
}

impl Replicas {
    /// Two replicas of `world`. Every sample of it is in one of them at least, and in both around gaps and stale markers: so
    /// together they show neither less nor more.
    pub async fn of(world: &World, seed: u64) -> Self {
        let mut parts = [World::default(), World::default()];
        for series in &world.0 {
            // Whatever other series there are, a smaller world keeps its gaps.
            let gaps = gaps(series, &mut Random(seed ^ series.labels.stable_hash()));
            for (at, part) in parts.iter_mut().enumerate() {
                let missing = |i: usize| gaps.iter().any(|(replica, gap)| *replica == at && gap.contains(&i));
                let kept = series.samples.iter().enumerate().filter(|(i, _)| !missing(*i));
                let samples = kept.map(|(_, sample)| sample.clone()).collect();
                part.0.push(Series { labels: series.labels.clone(), samples });
            }
        }
        let [one, other] = parts;
        let replicas = [source(&one, "a").await, source(&other, "b").await];
        Self { replicas, label: Arc::from([LABEL.to_owned()]) }
    }
}

async fn source(world: &World, replica: &str) -> MemorySource {
    let memory = MemoryStore::new(MemoryStoreOptions::default());
    world.write(&memory).await;
    MemorySource::with_external_labels(all_series(&memory).await, Labels::from_pairs([(LABEL, replica)]))
}

/// Which samples which replica lacks, ascending.
fn gaps(series: &Series, random: &mut Random) -> Vec<(usize, std::ops::Range<usize>)> {
    let samples = &series.samples;
    let regular = |i: usize| samples[i + 1].0 - samples[i].0 == TICK_MS && !samples[i].1.is_stale();
    let mut gaps = Vec::new();
    let mut at = WHOLE;
    while at + GAP_MAX + WHOLE < samples.len() {
        let gap = at..at + 1 + random.below(GAP_MAX);
        if random.one_in(2) && (gap.start - WHOLE..gap.end + WHOLE).all(regular) {
            at = gap.end + WHOLE;
            gaps.push((random.below(2), gap));
        } else {
            at += 1 + random.below(WHOLE);
        }
    }
    gaps
}

impl Sample {
    fn is_stale(&self) -> bool {
        use storage::append::HistogramValue as H;
        let value = match self {
            Self::Float(v) => *v,
            Self::Histogram(H::Int(h)) => h.sum,
            Self::Histogram(H::Float(h)) => h.sum,
        };
        model::is_stale(value)
    }
}

impl SeriesSource for Replicas {
    fn info(&self) -> SourceInfo {
        self.replicas[0].info()
    }

    fn select(&self, ctx: &Ctx, mut want: Select) -> SeriesStream {
        want.without_replica_labels = self.label.clone();
        // Before its end a replica's last scrape is not shown again as the other one saw it: that end lies elsewhere here.
        want.range.max = want.range.max.saturating_add(BEYOND_MS);
        let options = DedupOptions {
            method: Method::Penalty,
            lookback_ms: LOOKBACK_MS,
            function: want.function.as_deref().map(str::to_owned),
            end_ms: want.range.max,
        };
        let streams = self.replicas.iter().zip(["a", "b"]);
        let streams = streams.map(|(source, name)| (name.to_owned(), source.select(ctx, want.clone()))).collect();
        dedup_stream(merge_streams(streams), options)
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        self.replicas[0].label_names(ctx, want)
    }

    fn label_values(&self, ctx: &Ctx, name: &str, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        self.replicas[0].label_values(ctx, name, want)
    }
}
