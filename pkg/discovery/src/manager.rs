//! Many discoverers, one view of what they found.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::TargetGroup;
use telemetry::{Counter, GaugeVec, Metrics};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{Discoverer, Update, Updates};

/// How many messages of discoverers may wait; the next one's sender waits itself.
const WAITING_MAX: usize = 64;

/// A discoverer and the set of targets that it adds to.
#[derive(Debug)]
pub struct Provider {
    /// The name of the set, such as the scrape job's.
    pub set: String,
    /// See [`Discoverer`].
    pub discoverer: Box<dyn Discoverer>,
}

/// All that is known of one set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetSet {
    /// Groups with targets, by provider and source.
    pub groups: Vec<Arc<TargetGroup>>,
    /// Sources that could not be read at the latest attempt, with the reason. Their groups from before are in `groups`.
    pub failures: Vec<(String, String)>,
}

/// All sets by name. A set that nothing was found for yet is there and empty.
pub type Snapshot = BTreeMap<String, TargetSet>;

/// What is known of a source: the group is empty until it could be read.
#[derive(Debug)]
struct Source {
    group: Arc<TargetGroup>,
    failure: Option<String>,
}

/// Runs discoverers and publishes what they found.
#[derive(Debug)]
pub struct Manager {
    sets: Vec<String>,
    sources: BTreeMap<(usize, String), Source>,
    debounce: Duration,
    published: watch::Sender<Arc<Snapshot>>,
    received: Counter,
    updates: Counter,
    targets: GaugeVec,
}

impl Manager {
    /// A manager, and where its snapshots appear. Changes within `debounce` of the first one make one snapshot.
    pub fn new(debounce: Duration, metrics: &Metrics) -> (Self, watch::Receiver<Arc<Snapshot>>) {
        let (published, snapshots) = watch::channel(Arc::new(Snapshot::new()));
        let manager = Self {
            sets: Vec::new(),
            sources: BTreeMap::new(),
            debounce,
            published,
            received: metrics.counter("prometheus_sd_received_updates_total", "Updates received from discoverers."),
            updates: metrics.counter("prometheus_sd_updates_total", "Snapshots of all targets handed on."),
            targets: metrics.gauges("prometheus_sd_discovered_targets", "Targets found.", &["config"]),
        };
        (manager, snapshots)
    }

    /// Runs `providers` until `shutdown`, then waits until all have ended.
    pub async fn run(mut self, providers: Vec<Provider>, shutdown: CancellationToken) {
        let (sender, mut inbox) = mpsc::channel(WAITING_MAX);
        let mut tasks = JoinSet::new();
        for (i, Provider { set, discoverer }) in providers.into_iter().enumerate() {
            tasks.spawn(discoverer.run(Updates::new(i, sender.clone()), shutdown.clone()));
            self.sets.push(set);
        }
        drop(sender);
        self.publish();
        while let Some(message) = next(&mut inbox, &shutdown).await {
            self.take_in(message);
            let until = tokio::time::Instant::now() + self.debounce;
            while let Ok(Some(message)) = tokio::time::timeout_at(until, next(&mut inbox, &shutdown)).await {
                self.take_in(message);
            }
            if !shutdown.is_cancelled() {
                self.publish();
            }
        }
        shutdown.cancelled().await;
        drop(inbox);
        while tasks.join_next().await.is_some() {}
    }

    fn take_in(&mut self, (provider, updates): (usize, Vec<Update>)) {
        self.received.inc();
        let set = self.sets.get(provider).map_or("", String::as_str);
        for update in updates {
            let key = (provider, update.group.source.clone());
            if let Some(err) = &update.failure {
                warn!(set, source = key.1, err, kept = update.group.targets.len(), "targets cannot be found out");
            }
            if update.is_gone() {
                self.sources.remove(&key);
            } else {
                self.sources.insert(key, Source { group: Arc::new(update.group), failure: update.failure });
            }
        }
    }

    fn publish(&self) {
        let mut now: Snapshot = self.sets.iter().map(|set| (set.clone(), TargetSet::default())).collect();
        for ((provider, name), source) in &self.sources {
            let Some(set) = self.sets.get(*provider).and_then(|set| now.get_mut(set)) else { continue };
            if !source.group.targets.is_empty() {
                set.groups.push(source.group.clone());
            }
            set.failures.extend(source.failure.iter().map(|why| (name.clone(), why.clone())));
        }
        self.targets.clear();
        for (name, set) in &now {
            let count: usize = set.groups.iter().map(|group| group.targets.len()).sum();
            self.targets.with(&[name]).set(count as f64);
        }
        let changed = self.published.send_if_modified(|before| {
            let changed = **before != now;
            if changed {
                *before = Arc::new(now);
            }
            changed
        });
        if changed {
            self.updates.inc();
        }
    }
}

/// The next message; `None` at shutdown, or when all discoverers have ended.
async fn next<T>(inbox: &mut mpsc::Receiver<T>, shutdown: &CancellationToken) -> Option<T> {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => None,
        message = inbox.recv() => message,
    }
}
