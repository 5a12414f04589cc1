//! Discoverers that look again and again.

use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use model::TargetGroup;
use telemetry::{Counter, CounterVec, Histogram, HistogramVec, Metrics};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Changes, Discoverer, Update, Updates};

/// What is looked at.
pub trait Lookup: fmt::Debug + Send + Sync {
    /// All that is there now, each source as it is; or, for a source that cannot be looked at, why. `Err`: nothing can be
    /// looked at.
    fn look(&self) -> BoxFuture<'_, Result<Vec<Update>, String>>;

    /// A name for the whole, which failures are told under.
    fn name(&self) -> &str;
}

/// Counts of all discoverers that look again and again.
#[derive(Debug, Clone)]
pub struct RefreshMetrics {
    failures: CounterVec,
    duration: HistogramVec,
}

impl RefreshMetrics {
    /// Under Prometheus' names.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            failures: metrics.counters(
                "prometheus_sd_refresh_failures_total",
                "Looks for targets that failed.",
                &["mechanism", "config"],
            ),
            duration: metrics.histograms(
                "prometheus_sd_refresh_duration_histogram_seconds",
                "Time of a look for targets.",
                &["mechanism"],
                &[0.01, 0.1, 1.0, 10.0],
            ),
        }
    }

    fn of(&self, mechanism: &'static str, set: &str) -> Counts {
        let (all, labels) = (self.failures.clone(), [mechanism.to_owned(), set.to_owned()]);
        Counts { failures: all.with(&[mechanism, set]), duration: self.duration.with(&[mechanism]), all, labels }
    }
}

/// The counts of one discoverer. They go with it.
#[derive(Debug)]
struct Counts {
    failures: Counter,
    duration: Histogram,
    all: CounterVec,
    labels: [String; 2],
}

impl Drop for Counts {
    fn drop(&mut self) {
        let [mechanism, set] = &self.labels;
        self.all.remove(&[mechanism, set]);
    }
}

/// Looks every `interval` and sends what has changed. A look that takes longer than the interval has failed. What cannot be
/// looked at keeps the targets that were found before.
#[derive(Debug)]
pub struct RefreshDiscoverer {
    lookup: Box<dyn Lookup>,
    interval: Duration,
    counts: Counts,
    changes: Changes,
    /// What is known, by the latest looks that did not fail.
    known: Vec<Update>,
}

impl RefreshDiscoverer {
    /// A discoverer of a mechanism for a set, as metrics have them.
    pub fn new(
        lookup: Box<dyn Lookup>,
        interval: Duration,
        metrics: &RefreshMetrics,
        mechanism: &'static str,
        set: &str,
    ) -> Self {
        let counts = metrics.of(mechanism, set);
        Self { lookup, interval, counts, changes: Changes::default(), known: Vec::new() }
    }

    async fn look(&mut self) -> Vec<Update> {
        let begin = Instant::now();
        let found = tokio::time::timeout(self.interval, self.lookup.look()).await;
        self.counts.duration.observe(begin.elapsed().as_secs_f64());
        let failure = match found {
            Ok(Ok(all)) => {
                if all.iter().any(|update| update.failure.is_some()) {
                    self.counts.failures.inc();
                }
                let before = std::mem::take(&mut self.known);
                self.known = all.into_iter().map(|update| keep(update, &before)).collect();
                None
            }
            Ok(Err(why)) => Some(why),
            Err(_) => Some(format!("{}: no answer within {:?}", self.lookup.name(), self.interval)),
        };
        let mut all = self.known.clone();
        if let Some(why) = failure {
            self.counts.failures.inc();
            let group = TargetGroup { source: self.lookup.name().to_owned(), ..TargetGroup::default() };
            all.push(Update { group, failure: Some(why) });
        }
        self.changes.of(all)
    }
}

/// A source that cannot be looked at keeps what it had.
fn keep(update: Update, before: &[Update]) -> Update {
    if update.failure.is_none() {
        return update;
    }
    let had = before.iter().find(|known| known.group.source == update.group.source);
    Update { group: had.map_or(update.group, |known| known.group.clone()), ..update }
}

impl Discoverer for RefreshDiscoverer {
    fn run(mut self: Box<Self>, updates: Updates, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let looking = async {
                let mut ticks = tokio::time::interval(self.interval);
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    let changed = self.look().await;
                    if !updates.send(changed).await {
                        return;
                    }
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = updates.closed() => {}
                () = looking => {}
            }
        })
    }
}
