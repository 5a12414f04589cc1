//! The task of a group, in time that runs by itself.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use model::{Annotations, Clock};
use parking_lot::Mutex;
use promql::{Evaluate, Query, QueryError, QueryResult, Times, Value};
use rules::{Deps, Manager};
use storage::Ctx;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::world::{World, groups, settings};

/// The clock of the paused runtime.
#[derive(Debug)]
struct RuntimeClock {
    start: Instant,
    moved_ms: Mutex<i64>,
}

impl Clock for RuntimeClock {
    fn now_ms(&self) -> i64 {
        1_000_000_000 + *self.moved_ms.lock() + i64::try_from(self.start.elapsed().as_millis()).unwrap()
    }
}

/// Answers with 1, after a while; notes for which times it was asked.
#[derive(Debug, Default)]
struct Slow {
    asked_ms: Mutex<Vec<i64>>,
    takes: Mutex<Duration>,
}

#[derive(Debug, Clone)]
struct SlowEvaluator(Arc<Slow>);

impl Evaluate for SlowEvaluator {
    fn evaluate(&self, _: &Ctx, query: Query) -> BoxFuture<'static, Result<QueryResult, QueryError>> {
        let this = self.0.clone();
        Box::pin(async move {
            let Times::Instant(time_ms) = query.times else { panic!("instant queries only") };
            this.asked_ms.lock().push(time_ms);
            let takes = *this.takes.lock();
            tokio::time::sleep(takes).await;
            let value = Value::Scalar { time_ms, value: 1.0 };
            Ok(QueryResult { value, annotations: Annotations::new(), stats: Default::default(), held: None })
        })
    }
}

struct Run {
    slow: Arc<Slow>,
    clock: Arc<RuntimeClock>,
    metrics: telemetry::Metrics,
    manager: Arc<Manager>,
    shutdown: CancellationToken,
}

async fn run(text: &str) -> Run {
    let world = World::new();
    let slow = Arc::new(Slow::default());
    let clock = Arc::new(RuntimeClock { start: Instant::now(), moved_ms: Mutex::new(0) });
    let deps = Deps { evaluator: Arc::new(SlowEvaluator(slow.clone())), clock: clock.clone(), ..world.deps.clone() };
    let manager = Arc::new(Manager::new(world.options.clone(), deps));
    manager.update(groups(text), settings()).await;
    let shutdown = CancellationToken::new();
    tokio::spawn({
        let (manager, shutdown) = (manager.clone(), shutdown.clone());
        async move { manager.run(shutdown).await }
    });
    Run { slow, clock, metrics: world.metrics, manager, shutdown }
}

const ONE: &str = "groups: [{name: g, interval: 10s, rules: [{record: r, expr: '1'}]}]";

#[tokio::test(start_paused = true)]
async fn evaluations_are_an_interval_apart() {
    let run = run(ONE).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    let asked = run.slow.asked_ms.lock().clone();
    assert_eq!(asked.len(), 10);
    assert!(asked.windows(2).all(|w| w[1] - w[0] == 10_000), "{asked:?}");
    run.shutdown.cancel();
}

#[tokio::test(start_paused = true)]
async fn slow_evaluations_cost_others_and_are_counted() {
    let run = run(ONE).await;
    *run.slow.takes.lock() = Duration::from_secs(25);
    tokio::time::sleep(Duration::from_secs(300)).await;
    let asked = run.slow.asked_ms.lock().clone();
    assert!(asked.windows(2).all(|w| w[1] - w[0] == 20_000 || w[1] - w[0] == 30_000), "{asked:?}");
    let metrics = run.metrics.encode();
    let count = |name: &str| -> u64 {
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let missed = count("prometheus_rule_group_iterations_missed_total");
    let scheduled = count("prometheus_rule_group_iterations_total");
    assert!(missed >= 10, "{missed}");
    assert_eq!(scheduled, missed + asked.len() as u64);
    run.shutdown.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_put_back_or_forward_stops_nothing() {
    let run = run(ONE).await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    let hours = |hours: i64| hours * 3_600_000;
    for moved in [hours(-1), hours(2), hours(-49), hours(98), hours(-49)] {
        run.slow.asked_ms.lock().clear();
        *run.clock.moved_ms.lock() += moved;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let asked = run.slow.asked_ms.lock().clone();
        assert!((4..=7).contains(&asked.len()), "{asked:?}");
        let now = run.clock.now_ms();
        assert!(asked.iter().all(|at| (now - at).abs() <= 70_000), "{asked:?} {now}");
    }
    run.shutdown.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_group_that_goes_on_misses_nothing_at_a_reload() {
    let run = run(ONE).await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    run.manager.update(groups(ONE), settings()).await;
    let other = ONE.replace("expr: '1'", "expr: '2'");
    run.manager.update(groups(&other), settings()).await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    let asked = run.slow.asked_ms.lock().clone();
    assert_eq!(asked.len(), 10, "{asked:?}");
    assert!(asked.windows(2).all(|w| w[1] - w[0] == 10_000), "{asked:?}");
    run.shutdown.cancel();
}
