//! A store, an engine over it, a clock and whoever takes alerts.

use std::sync::Arc;

use labels::Labels;
use memory_store::MemoryStore;
use model::FakeClock;
use notifier::{Alert, Notify};
use parking_lot::Mutex;
use promql::{Engine, EngineOptions, LocalEvaluator, Query, QuerySource, ReadOptions, Value};
use rules::{Deps, Group, GroupSettings, GroupSpec, Metrics, Options, ParseOptions};
use storage::append::{AppendOptions, Appendable, Floats};
use storage::{Budget, Ctx, SeriesSource};
use tokio::sync::Semaphore;

/// The store for every request.
#[derive(Debug)]
struct Source(MemoryStore);

impl QuerySource for Source {
    fn for_request(&self, _: &ReadOptions) -> storage::Result<Arc<dyn SeriesSource>> {
        Ok(Arc::new(self.0.clone()))
    }
}

/// Keeps the alerts that it is given.
#[derive(Debug, Default)]
pub struct Taken(pub Mutex<Vec<Arc<Alert>>>);

impl Notify for Taken {
    fn notify(&self, alerts: Vec<Arc<Alert>>) {
        self.0.lock().extend(alerts);
    }
}

pub struct World {
    pub store: MemoryStore,
    pub clock: Arc<FakeClock>,
    pub taken: Arc<Taken>,
    pub metrics: telemetry::Metrics,
    pub deps: Deps,
    pub options: Options,
}

impl World {
    pub fn new() -> Self {
        let store = MemoryStore::default();
        let clock = Arc::new(FakeClock::at(0));
        let taken = Arc::new(Taken::default());
        let metrics = telemetry::Metrics::new();
        let engine = Engine::new(EngineOptions::default());
        let deps = Deps {
            evaluator: Arc::new(LocalEvaluator::new(engine, Arc::new(Source(store.clone())))),
            appendable: Arc::new(store.clone()),
            notify: taken.clone(),
            clock: clock.clone(),
            budget: Budget::unlimited(),
            metrics: Metrics::new(&metrics),
        };
        let options = Options { external_url: "http://prom".to_owned(), ..Options::default() };
        Self { store, clock, taken, metrics, deps, options }
    }

    /// Appends a sample; `series` is a metric's name and labels.
    pub async fn append(&self, series: &str, time_ms: i64, value: f64) {
        let labels = promql_syntax::parse_metric_labels(series).unwrap();
        let pairs: Vec<(&str, &str)> = labels.iter().collect();
        let mut appender = self.store.appender(&Ctx::background(), AppendOptions::default());
        let series_ref = appender.resolve(&[&pairs]).unwrap()[0].clone().unwrap();
        let floats = Floats { series: &[series_ref], times_ms: &[time_ms], values: &[value], starts_ms: &[] };
        assert_eq!(appender.floats(floats).unwrap(), []);
        appender.commit().await.unwrap();
    }

    /// A group that has nothing to restore.
    pub fn group(&self, text: &str) -> Group {
        self.group_with(text, true)
    }

    pub fn group_with(&self, text: &str, restored: bool) -> Group {
        let spec = groups(text).remove(0);
        let places = Arc::new(Semaphore::new(self.options.concurrent_max));
        Group::new(spec, settings(), Arc::new(self.options.clone()), self.deps.clone(), places, restored)
    }

    /// What a query gives: `series value`, sorted.
    pub async fn query(&self, text: &str, time_ms: i64) -> Vec<String> {
        let result = self.deps.evaluator.evaluate(&Ctx::background(), Query::instant(text, time_ms)).await.unwrap();
        let Value::Vector { samples, .. } = result.value else { panic!("no vector") };
        let mut shown: Vec<String> = samples.iter().map(|s| format!("{} {}", s.labels, s.value)).collect();
        shown.sort();
        shown
    }

    /// The alerts taken since the last call: `labels annotations starts ends`.
    pub fn alerts(&self) -> Vec<String> {
        let taken = std::mem::take(&mut *self.taken.0.lock());
        let seconds = |ms: i64| ms / 1000;
        let shown = |a: &Arc<Alert>| {
            format!("{} {} {} {}", a.labels, a.annotations, seconds(a.starts_at_ms), seconds(a.ends_at_ms))
        };
        taken.iter().map(shown).collect()
    }
}

pub fn groups(text: &str) -> Vec<GroupSpec> {
    rules::parse("f.yml", text, &ParseOptions::default()).unwrap()
}

pub fn settings() -> GroupSettings {
    GroupSettings { interval_ms: 60_000, query_offset_ms: 0, external_labels: Labels::from_pairs([("cluster", "eu")]) }
}

pub const MINUTE: i64 = 60_000;
