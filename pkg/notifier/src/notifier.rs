//! The notifier: alerts in, one queue for each Alertmanager out.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use discovery::Snapshot;
use futures::future::BoxFuture;
use labels::{Builder, Labels};
use model::Clock;
use parking_lot::Mutex;
use relabel::Rule;
use telemetry::{Metrics, Occasionally};
use tokio::sync::{Notify as Wake, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::address::{Found, find};
use crate::alert::{Alert, Notify};
use crate::config::{AlertmanagerSet, NotifierConfig, NotifierOptions};
use crate::endpoint::Endpoint;
use crate::metrics::NotifierMetrics;
use crate::sending::{Sending, longest_end};

/// Tells Alertmanagers of alerts. [`Notify::notify`] hands them on at any time; [`Notifier::run`] sends them.
pub struct Notifier {
    options: NotifierOptions,
    clock: Arc<dyn Clock>,
    metrics: NotifierMetrics,
    state: Mutex<State>,
    /// There is another configuration.
    applied: Wake,
}

/// Alertmanagers as `/api/v1/alertmanagers` shows them: URLs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Those that get alerts.
    pub active: Vec<String>,
    /// Those that relabelling dropped.
    pub dropped: Vec<String>,
}

#[derive(Default)]
struct State {
    config: Arc<NotifierConfig>,
    groups: Vec<Group>,
    dropped: Vec<String>,
    wrong: Vec<String>,
}

/// The Alertmanagers of one set.
struct Group {
    set: AlertmanagerSet,
    endpoints: Vec<Arc<Endpoint>>,
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Notifier {
    /// A notifier that knows no Alertmanager yet.
    pub fn new(options: NotifierOptions, clock: Arc<dyn Clock>, metrics: &Metrics) -> Self {
        let metrics = NotifierMetrics::new(metrics, options.queue_capacity, options.thanos_metrics);
        Self { options, clock, metrics, state: Mutex::default(), applied: Wake::new() }
    }

    /// Puts a configuration in force. What waits for Alertmanagers that stay is kept.
    pub fn apply(&self, config: NotifierConfig) {
        self.state.lock().config = Arc::new(config);
        self.applied.notify_one();
    }

    /// Which Alertmanagers there are.
    pub fn known(&self) -> Known {
        let state = self.state.lock();
        let active = state.groups.iter().flat_map(|group| &group.endpoints).map(|endpoint| endpoint.url.clone());
        Known { active: active.collect(), dropped: state.dropped.clone() }
    }

    /// How long [`Notifier::run`] may go on after the shutdown.
    pub fn longest_end(&self) -> Duration {
        longest_end(&self.options)
    }

    /// Sends alerts until `shutdown`, to the Alertmanagers that `snapshots` has under the names of the configured sets. Then
    /// sends what waits, if that is wanted.
    pub fn run(
        self: Arc<Self>,
        mut snapshots: watch::Receiver<Arc<Snapshot>>,
        shutdown: CancellationToken,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut tasks = JoinSet::new();
            let mut ended = false;
            loop {
                let snapshot = snapshots.borrow_and_update().clone();
                self.follow(&snapshot, &mut tasks);
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => break,
                    changed = snapshots.changed(), if !ended => ended = changed.is_err(),
                    () = self.applied.notified() => {}
                    Some(done) = tasks.join_next() => {
                        if done.is_err_and(|e| e.is_panic()) {
                            tracing::error!("the task of an Alertmanager has crashed: it gets no alerts, restart");
                        }
                    }
                }
            }
            let groups = std::mem::take(&mut self.state.lock().groups);
            groups.iter().flat_map(|group| &group.endpoints).for_each(|endpoint| endpoint.stop.cancel());
            while tasks.join_next().await.is_some() {}
        })
    }

    /// Makes the endpoints those of the configuration and of the snapshot. One whose URL stays keeps its queue.
    fn follow(&self, snapshot: &Snapshot, tasks: &mut JoinSet<()>) {
        let mut state = self.state.lock();
        let config = state.config.clone();
        let mut before: HashMap<String, Vec<Arc<Endpoint>>> = HashMap::new();
        for endpoint in std::mem::take(&mut state.groups).into_iter().flat_map(|group| group.endpoints) {
            before.entry(endpoint.url.clone()).or_default().push(endpoint);
        }
        let (mut dropped, mut wrong) = (Vec::new(), Vec::new());
        for set in &config.sets {
            let found = snapshot.get(&set.name).map(|targets| find(set, targets)).unwrap_or_default();
            let Found { urls, dropped: dropped_here, wrong: wrong_here } = found;
            dropped.extend(dropped_here);
            wrong.extend(wrong_here);
            let endpoints = urls.into_iter().map(|url| match before.get_mut(&url).and_then(Vec::pop) {
                Some(endpoint) => {
                    endpoint.follow(set);
                    endpoint
                }
                None => self.begin(url, set, tasks),
            });
            let endpoints = endpoints.collect();
            state.groups.push(Group { set: set.clone(), endpoints });
        }
        for why in wrong.iter().filter(|why| !state.wrong.contains(why)) {
            tracing::error!(why, "an Alertmanager that was discovered cannot be used, the others go on");
        }
        (state.dropped, state.wrong) = (dropped, wrong);
        let active: usize = state.groups.iter().map(|group| group.endpoints.len()).sum();
        self.metrics.discovered.set(active as f64);
        let stays = |url: &str| state.groups.iter().flat_map(|group| &group.endpoints).any(|other| other.url == url);
        for endpoint in before.into_values().flatten() {
            endpoint.stop.cancel();
            if !stays(&endpoint.url) {
                self.metrics.forget(&endpoint.url);
            }
        }
    }

    fn begin(&self, url: String, set: &AlertmanagerSet, tasks: &mut JoinSet<()>) -> Arc<Endpoint> {
        let metrics = self.metrics.of(&url);
        let endpoint =
            Arc::new(Endpoint::new(url, set, self.options.queue_capacity, metrics, CancellationToken::new()));
        let sending = Sending {
            endpoint: endpoint.clone(),
            options: self.options.clone(),
            clock: self.clock.clone(),
            told: Occasionally::minutely(),
        };
        tasks.spawn(sending.run());
        endpoint
    }
}

impl Notify for Notifier {
    fn notify(&self, alerts: Vec<Arc<Alert>>) {
        let state = self.state.lock();
        let config = &state.config;
        let alerts = relabelled(&alerts, &config.external_labels, &config.alert_relabel);
        if alerts.is_empty() {
            return;
        }
        let now_ms = self.clock.now_ms();
        for group in &state.groups {
            let of_set = match group.set.alert_relabel.is_empty() {
                true => None,
                false => Some(relabelled(&alerts, &Labels::empty(), &group.set.alert_relabel)),
            };
            let alerts = of_set.as_ref().unwrap_or(&alerts);
            group.endpoints.iter().filter(|_| !alerts.is_empty()).for_each(|endpoint| endpoint.push(alerts, now_ms));
        }
        if !config.sets.is_empty() && state.groups.iter().all(|group| group.endpoints.is_empty()) {
            self.metrics.without_alertmanager.inc_by(alerts.len() as u64);
        }
    }
}

/// Copies with other labels, of those alerts that are left. An alert that stays as it is is shared.
fn relabelled(alerts: &[Arc<Alert>], external: &Labels, rules: &[Rule]) -> Vec<Arc<Alert>> {
    if external.is_empty() && rules.is_empty() {
        return alerts.to_vec();
    }
    let mut labels = Builder::new();
    let mut out = Vec::with_capacity(alerts.len());
    for alert in alerts {
        labels.reset(&alert.labels);
        for (name, value) in external {
            if labels.value(name).is_empty() {
                labels.set(name, value);
            }
        }
        if !relabel::apply_to(rules, &mut labels) {
            continue;
        }
        let labels = labels.build();
        out.push(match labels == alert.labels {
            true => alert.clone(),
            false => Arc::new(Alert { labels, ..Alert::clone(alert) }),
        });
    }
    out
}
