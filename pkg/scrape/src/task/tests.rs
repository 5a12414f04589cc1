//! When loops scrape and how they end, on a clock that the tests move.

use std::sync::Arc;

use labels::Labels;
use memory_store::MemoryStore;
use model::{Clock, TargetGroup, is_stale};
use storage::Budget;
use tokio::task::JoinHandle;

use super::*;
use crate::config::{GlobalConfig, ScrapeConfig};
use crate::job::{Job, Shared};
use crate::metrics::ScrapeMetrics;
use crate::options::{Deps, Options};
use crate::status::Status;
use crate::target::{Relabelled, relabel};
use crate::testing::dump;

const T0: i64 = 1_700_000_000_000;
const INTERVAL_MS: i64 = 10_000;

/// Goes with tokio's clock, which the tests hold still.
#[derive(Debug)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now_ms(&self) -> i64 {
        T0 + self.0.elapsed().as_millis() as i64
    }
}

struct World {
    store: MemoryStore,
    shared: Arc<Shared>,
    job: Arc<Job>,
    metrics: telemetry::Metrics,
}

impl World {
    fn new() -> Self {
        let (store, metrics) = (MemoryStore::default(), telemetry::Metrics::new());
        let deps = Deps {
            appendable: Arc::new(store.clone()),
            clock: Arc::new(TokioClock(Instant::now())),
            metrics: metrics.clone(),
            budget: Budget::unlimited(),
        };
        let shared = Shared {
            options: Options::default(),
            deps,
            metrics: ScrapeMetrics::new(&metrics),
            interner: Arc::default(),
            shutdown: CancellationToken::new(),
        };
        let text = "{job_name: j, scrape_interval: 10s}";
        let config = ScrapeConfig::from_node(&yaml::parse(text).unwrap(), &GlobalConfig::default()).unwrap();
        let shared = Arc::new(shared);
        let client = Job::http(&config).build().unwrap();
        let job = Arc::new(Job::new(config, client, shared.clone(), None));
        Self { store, shared, job, metrics }
    }

    /// A loop of a target that fails without being asked, so that no network is needed.
    fn start(&self, address: &str) -> (watch::Sender<Order>, JoinHandle<Option<Worker>>) {
        let labels = Labels::from_pairs([("__address__", address)]);
        let Relabelled::Target(target) = relabel(&self.job.config, &labels, &TargetGroup::default()) else {
            panic!("a target")
        };
        let status = Arc::new(Status::default());
        *status.forced_error.lock() = Some("never asked".into());
        let schedule = Schedule::new(&target.labels, &target.url, 0, target.interval_ms);
        let worker = Worker::new(self.job.clone(), Arc::new(target), status);
        let (orders, inbox) = watch::channel(Order::Run);
        let metrics = &self.shared.metrics;
        let intervals = Intervals::new(metrics, "10s");
        (orders, tokio::spawn(run(worker, schedule, inbox, intervals)))
    }

    async fn up(&self) -> Vec<Vec<(i64, f64)>> {
        dump(&self.store, "up").await.into_values().collect()
    }
}

async fn pass(ms: i64) {
    tokio::time::sleep(Duration::from_millis(ms.unsigned_abs())).await;
}

#[tokio::test(start_paused = true)]
async fn scrapes_are_due_at_the_same_times_for_ever() {
    let world = World::new();
    let _running = world.start("a:1");
    pass(5 * INTERVAL_MS).await;
    let up = world.up().await.remove(0);
    assert_eq!(up.len(), 5);
    assert!(up.windows(2).all(|pair| pair[1].0 - pair[0].0 == INTERVAL_MS), "{up:?}");
    // Another process begins at another time, and scrapes at the same times.
    let other = World::new();
    pass(1234).await;
    let _running = other.start("a:1");
    pass(2 * INTERVAL_MS).await;
    assert_eq!((other.up().await[0][0].0 - T0).rem_euclid(INTERVAL_MS), (up[0].0 - T0).rem_euclid(INTERVAL_MS));
}

#[tokio::test(start_paused = true)]
async fn many_targets_and_none_is_late() {
    let world = World::new();
    let running: Vec<_> = (0..2000).map(|i| world.start(&format!("a{i}:1"))).collect();
    pass(3 * INTERVAL_MS).await;
    let up = world.up().await;
    assert_eq!(up.len(), 2000);
    for samples in &up {
        assert!((2..=3).contains(&samples.len()));
        assert!(samples.windows(2).all(|pair| pair[1].0 - pair[0].0 == INTERVAL_MS), "{samples:?}");
    }
    assert!(world.metrics.encode().contains("aion_scrapes_skipped_total 0"));
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_gone_is_marked_two_intervals_later() {
    let world = World::new();
    let (orders, task) = world.start("a:1");
    pass(2 * INTERVAL_MS).await;
    let last = world.up().await[0].last().copied().unwrap();
    orders.send_replace(Order::End);
    drop(orders);
    pass(INTERVAL_MS).await;
    assert!(!task.is_finished(), "another target may go on with the series");
    pass(INTERVAL_MS + INTERVAL_MS / 5).await;
    assert!(task.await.unwrap().is_none());
    let up = world.up().await.remove(0);
    let (time_ms, value) = up.last().copied().unwrap();
    assert!(is_stale(value));
    assert_eq!(time_ms, last.0 + INTERVAL_MS, "at the time of the scrape that was not made any more");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_marks_nothing() {
    let world = World::new();
    let (orders, task) = world.start("a:1");
    let (gone, ending) = world.start("b:1");
    pass(2 * INTERVAL_MS).await;
    gone.send_replace(Order::End);
    pass(1).await;
    orders.send_replace(Order::Shutdown);
    world.shared.shutdown.cancel();
    assert!(task.await.unwrap().is_none() && ending.await.unwrap().is_none());
    let up = world.up().await;
    assert!(up.len() == 2 && up.iter().flatten().all(|(_, v)| !is_stale(*v)), "{up:?}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_handed_over() {
    let world = World::new();
    let (orders, task) = world.start("a:1");
    pass(INTERVAL_MS).await;
    orders.send_replace(Order::HandOver);
    assert!(task.await.unwrap().is_some());
}
