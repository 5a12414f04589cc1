//! Many discoverers, one view of what they found, which survives a change of the configuration.

mod metrics;
mod pace;
mod state;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use model::{Clock, TargetGroup};
use telemetry::Metrics;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::{Discoverer, Update, Updates};
use metrics::ManagerMetrics;
use pace::Pace;
use state::{Running, State};

/// How many messages of discoverers may wait; the next one's sender waits itself.
const WAITING_MAX: usize = 64;

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

/// Makes the discoverer of a configuration; `set` is the first of the sets that it is for.
pub type Build<C> = Box<dyn Fn(&str, &C) -> Result<Box<dyn Discoverer>, String> + Send + Sync>;

/// What a manager needs.
pub struct ManagerOptions<C> {
    /// Its name in metrics: `scrape` or `notify`.
    pub name: &'static str,
    /// Snapshots come at most this often while changes do not end; the first ones come sooner.
    pub interval: Duration,
    /// Tells when a set last changed.
    pub clock: Arc<dyn Clock>,
    /// Makes discoverers.
    pub build: Build<C>,
}

impl<C> fmt::Debug for ManagerOptions<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagerOptions").field("name", &self.name).field("interval", &self.interval).finish()
    }
}

struct Apply<C> {
    sets: BTreeMap<String, Vec<C>>,
    done: oneshot::Sender<Vec<String>>,
}

/// Gives a running manager another configuration.
#[derive(Debug, Clone)]
pub struct ManagerHandle<C>(mpsc::Sender<Apply<C>>);

impl<C: Send + 'static> ManagerHandle<C> {
    /// From now on there are these sets, each found by discoverers of these configurations. A discoverer of a configuration
    /// that was there before goes on, one for all sets that have an equal configuration. Others end. Their targets go at
    /// once where the set has nothing new; else they stay until what is new has looked once, or half a minute.
    ///
    /// Answers when the snapshot shows the new sets, with what is wrong with configurations that no discoverer can be made
    /// of; such a set has the failure in its snapshot.
    pub fn apply(&self, sets: BTreeMap<String, Vec<C>>) -> BoxFuture<'static, Vec<String>> {
        let sender = self.0.clone();
        Box::pin(async move {
            let (done, applied) = oneshot::channel();
            if sender.send(Apply { sets, done }).await.is_err() {
                return vec!["service discovery has ended".to_owned()];
            }
            applied.await.unwrap_or_default()
        })
    }
}

/// Runs discoverers and publishes what they found. `C` is the configuration of one.
pub struct Manager<C> {
    options: ManagerOptions<C>,
    state: State<C>,
    commands: mpsc::Receiver<Apply<C>>,
    published: watch::Sender<Arc<Snapshot>>,
    metrics: ManagerMetrics,
    tasks: JoinSet<()>,
}

impl<C> fmt::Debug for Manager<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<C: PartialEq + Send + 'static> Manager<C> {
    /// A manager of no sets, what gives it sets, and where its snapshots appear.
    pub fn new(
        options: ManagerOptions<C>,
        metrics: &Metrics,
    ) -> (Self, ManagerHandle<C>, watch::Receiver<Arc<Snapshot>>) {
        let (published, snapshots) = watch::channel(Arc::new(Snapshot::new()));
        let (commander, commands) = mpsc::channel(1);
        let metrics = ManagerMetrics::new(&metrics.with_labels(&[("name", options.name)]));
        let manager = Self { options, state: State::default(), commands, published, metrics, tasks: JoinSet::new() };
        (manager, ManagerHandle(commander), snapshots)
    }

    /// Runs until `shutdown`, then waits until all discoverers have ended.
    pub fn run(mut self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let (sender, mut inbox) = mpsc::channel(WAITING_MAX);
            let mut pace = Pace::new(self.options.interval);
            loop {
                let due = pace.due().into_iter().chain(self.state.leftovers_end()).min();
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => break,
                    Some(Apply { sets, done }) = self.commands.recv() => {
                        let failures = self.apply(sets, &sender, &shutdown);
                        self.publish();
                        pace.published();
                        // Whoever asked may have gone away meanwhile.
                        drop(done.send(failures));
                    }
                    () = until(due) => {
                        self.state.end_leftovers(tokio::time::Instant::now());
                        self.publish();
                        pace.published();
                    }
                    Some((provider, updates)) = inbox.recv() => {
                        self.take_in(provider, updates);
                        pace.changed();
                    }
                    Some(ended) = self.tasks.join_next() => {
                        if let Err(e) = ended && e.is_panic() {
                            error!(error = %e, "a discoverer has crashed: its targets stay as they are; restart");
                        }
                    }
                }
            }
            self.state.stop_all();
            drop(inbox);
            while self.tasks.join_next().await.is_some() {}
        })
    }

    fn apply(
        &mut self,
        sets: BTreeMap<String, Vec<C>>,
        sender: &mpsc::Sender<(usize, Vec<Update>)>,
        shutdown: &CancellationToken,
    ) -> Vec<String> {
        let mut failures = Vec::new();
        self.state.begin(sets.keys().cloned());
        for (set, configs) in sets {
            for config in configs {
                if self.state.share(&set, &config) {
                    continue;
                }
                match (self.options.build)(&set, &config) {
                    Ok(discoverer) => {
                        let (id, stop) = (self.state.next_id(), shutdown.child_token());
                        self.tasks.spawn(discoverer.run(Updates::new(id, sender.clone()), stop.clone()));
                        self.state.add(Running::new(id, config, set.clone(), stop));
                    }
                    Err(err) => {
                        error!(set, err, "cannot create service discovery: correct the configuration and reload");
                        failures.push(format!("{set}: {err}"));
                        self.state.failed(&set, err);
                    }
                }
            }
        }
        self.state.commit(tokio::time::Instant::now());
        self.metrics.failed_configs.set(failures.len() as f64);
        failures
    }

    fn take_in(&mut self, provider: usize, updates: Vec<Update>) {
        self.metrics.received.inc();
        // What a discoverer that was ended sends late is of no use.
        let Some(running) = self.state.running(provider) else { return };
        for update in &updates {
            if let Some(err) = &update.failure {
                let (set, kept) = (running.first_set(), update.group.targets.len());
                warn!(set, source = update.group.source, err, kept, "targets cannot be found out");
            }
        }
        running.take_in(updates);
        self.state.reported(provider);
    }

    fn publish(&mut self) {
        let now = self.state.snapshot();
        let before = self.published.borrow().clone();
        if *before == now {
            return;
        }
        self.metrics.show(&before, &now, self.options.clock.now_ms());
        self.published.send_replace(Arc::new(now));
        self.metrics.sent.inc();
    }
}

async fn until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
