//! A manager with a store, and a server of targets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use discovery::{Snapshot, TargetSet};
use labels::{Labels, MatchType, Matcher};
use memory_store::MemoryStore;
use model::{SystemClock, TargetGroup, TimeRange, is_stale};
use scrape::config::{GlobalConfig, ScrapeConfig};
use scrape::{Deps, Manager, Options};
use storage::{
    ActiveTarget, Budget, ChunkData, Ctx, PartialResponse, Select, SeriesSource, TargetHealth, TargetsQuery,
    TargetsSource, collect_series,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const SOON: Duration = Duration::from_secs(20);

pub struct Harness {
    pub manager: Manager,
    pub store: MemoryStore,
    pub metrics: telemetry::Metrics,
    targets: watch::Sender<Arc<Snapshot>>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

pub fn configs(jobs: &[&str]) -> Vec<ScrapeConfig> {
    let global = GlobalConfig::default();
    let read = |text: &&str| {
        let times =
            if text.contains("scrape_interval") { "" } else { "scrape_interval: 100ms, scrape_timeout: 100ms, " };
        let text = format!("{{{times}{text}}}");
        ScrapeConfig::from_node(&yaml::parse(&text).unwrap(), &global).unwrap()
    };
    jobs.iter().map(read).collect()
}

/// Serves `routes` on a port of its own.
pub async fn serve(routes: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

impl Harness {
    pub fn new(jobs: &[&str]) -> Self {
        Self::with(Options::default(), jobs)
    }

    pub fn with(options: Options, jobs: &[&str]) -> Self {
        let (store, metrics) = (MemoryStore::default(), telemetry::Metrics::new());
        let deps = Deps {
            appendable: Arc::new(store.clone()),
            clock: Arc::new(SystemClock),
            metrics: metrics.clone(),
            budget: Budget::unlimited(),
        };
        let manager = Manager::new(options, deps);
        manager.apply(configs(jobs)).unwrap();
        let (targets, inbox) = watch::channel(Arc::new(Snapshot::new()));
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(manager.run(inbox, shutdown.clone()));
        Self { manager, store, metrics, targets, shutdown, task }
    }

    /// Tells what was discovered: addresses and labels by job.
    pub fn discover(&self, jobs: &[(&str, &[&[(&str, &str)]])]) {
        let set = |targets: &&[&[(&str, &str)]]| {
            let targets = targets.iter().map(|pairs| Labels::from_pairs(pairs.iter().copied())).collect();
            let group = TargetGroup { source: "0".to_owned(), targets, ..TargetGroup::default() };
            TargetSet { groups: vec![Arc::new(group)], failures: Vec::new() }
        };
        let snapshot = jobs.iter().map(|(job, targets)| ((*job).to_owned(), set(targets))).collect();
        self.targets.send_replace(Arc::new(snapshot));
    }

    pub async fn targets(&self) -> Vec<ActiveTarget> {
        let answer = self.manager.targets(&Ctx::background(), TargetsQuery::default()).await;
        answer.unwrap().value.active
    }

    pub async fn wait_for_health(&self, health: TargetHealth) -> ActiveTarget {
        testkit::wait_for("the target's health", SOON, async || {
            self.targets().await.first().is_some_and(|target| target.health == health)
        })
        .await;
        self.targets().await.remove(0)
    }

    /// The samples of a metric, by its other labels.
    pub async fn samples(&self, name: &str) -> BTreeMap<String, Vec<(i64, f64)>> {
        let matcher = Matcher::new(MatchType::Equal, "__name__", name).unwrap();
        let want = Select { partial_response: PartialResponse::Abort, ..Select::new(TimeRange::ALL, vec![matcher]) };
        let answer = collect_series(self.store.select(&Ctx::background(), want)).await.unwrap();
        let mut out = BTreeMap::new();
        for series in answer.value {
            let mut column = chunkenc::Column::new();
            for chunk in &series.chunks {
                let ChunkData::Raw(raw) = &chunk.data else { panic!("a raw chunk") };
                chunkenc::decode_floats(raw.encoding, &raw.data, &mut column).unwrap();
            }
            let labels = series.labels.without(&["__name__", "instance", "job"]).to_string();
            out.insert(labels, column.iter().collect());
        }
        out
    }

    /// The labels of all series.
    pub async fn series(&self) -> Vec<Labels> {
        let any = Matcher::new(MatchType::Regex, "__name__", ".+").unwrap();
        let want = Select { partial_response: PartialResponse::Abort, ..Select::new(TimeRange::ALL, vec![any]) };
        let answer = collect_series(self.store.select(&Ctx::background(), want)).await.unwrap();
        answer.value.into_iter().map(|series| series.labels).collect()
    }

    pub async fn wait_for_samples(&self, name: &str, count: usize) -> BTreeMap<String, Vec<(i64, f64)>> {
        testkit::wait_for(name, SOON, async || {
            let samples = self.samples(name).await;
            !samples.is_empty() && samples.values().all(|samples| samples.len() >= count)
        })
        .await;
        self.samples(name).await
    }

    pub async fn wait_for_marker(&self, name: &str) {
        testkit::wait_for("a stale marker", SOON, async || {
            let samples = self.samples(name).await;
            samples.values().all(|samples| samples.last().is_some_and(|(_, v)| is_stale(*v))) && !samples.is_empty()
        })
        .await;
    }

    pub fn counted(&self, metric: &str) -> u64 {
        let text = self.metrics.encode();
        let line = text.lines().find(|line| line.starts_with(metric)).unwrap_or_default();
        line.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    pub async fn stop(self) -> MemoryStore {
        self.shutdown.cancel();
        tokio::time::timeout(SOON, self.task).await.unwrap().unwrap();
        self.store
    }
}
