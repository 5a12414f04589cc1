//! Alerts on their way to Alertmanagers: real ones, and servers that hang, refuse and fail.

mod alertmanagers;
mod faults;
mod servers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use discovery::{Snapshot, TargetSet};
use labels::Labels;
use model::{ADDRESS_LABEL, Clock, SystemClock, TargetGroup};
use notifier::{Alert, AlertmanagerSet, Notifier, NotifierConfig, NotifierOptions};
use relabel::parse_rules;
use telemetry::Metrics;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use transport::http::ClientConfig;

/// A notifier that runs, and what it is fed with.
struct Rig {
    notifier: Arc<Notifier>,
    metrics: Metrics,
    snapshots: watch::Sender<Arc<Snapshot>>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Rig {
    fn new(options: NotifierOptions, config: NotifierConfig, sets: &[&[String]]) -> Self {
        let metrics = Metrics::new();
        let notifier = Arc::new(Notifier::new(options, Arc::new(SystemClock), &metrics));
        notifier.apply(config);
        let (snapshots, watched) = watch::channel(Arc::new(snapshot(sets)));
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(notifier.clone().run(watched, shutdown.clone()));
        Self { notifier, metrics, snapshots, shutdown, task }
    }

    /// Waits until so many Alertmanagers are active.
    async fn active(&self, count: usize) {
        let known = async || self.notifier.known().active.len() == count;
        testkit::wait_for("Alertmanagers", Duration::from_secs(10), known).await;
    }

    /// A counter or gauge of the Alertmanager at `address`.
    fn of(&self, metric: &str, address: &str) -> u64 {
        let wanted = format!("prometheus_notifications_{metric}{{alertmanager=\"http://{address}/");
        let text = self.metrics.encode();
        let line = text.lines().find(|line| line.starts_with(&wanted));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0) as u64
    }

    async fn counts(&self, metric: &str, address: &str, count: u64) {
        let what = format!("{metric} of {address} to be {count}");
        testkit::wait_for(&what, Duration::from_secs(20), async || self.of(metric, address) == count).await;
    }

    /// Ends it, as at a shutdown.
    async fn end(self) -> Metrics {
        self.shutdown.cancel();
        self.task.await.unwrap();
        self.metrics
    }
}

/// Sets `config-0` and so on with these addresses.
fn snapshot(sets: &[&[String]]) -> Snapshot {
    let targets = |addresses: &[String]| TargetGroup {
        source: "0".to_owned(),
        targets: addresses.iter().map(|address| Labels::from_pairs([(ADDRESS_LABEL, address)])).collect(),
        labels: Labels::empty(),
    };
    let set = |addresses: &[String]| TargetSet { groups: vec![Arc::new(targets(addresses))], failures: Vec::new() };
    sets.iter().enumerate().map(|(n, addresses)| (format!("config-{n}"), set(addresses))).collect::<BTreeMap<_, _>>()
}

/// A set with rules for alerts.
fn set(number: usize, client: &str, alert_rules: &str) -> AlertmanagerSet {
    let client = ClientConfig::from_section(&yaml::parse(client).unwrap()).unwrap();
    AlertmanagerSet {
        name: format!("config-{number}"),
        scheme: "http".to_owned(),
        path_prefix: String::new(),
        timeout: Duration::from_millis(500),
        relabel: Arc::default(),
        alert_relabel: parse_rules(alert_rules).unwrap().into(),
        client: client.build().unwrap(),
        signer: None,
    }
}

fn config(sets: Vec<AlertmanagerSet>) -> NotifierConfig {
    NotifierConfig { sets, ..NotifierConfig::default() }
}

/// Fast, for tests.
fn options() -> NotifierOptions {
    NotifierOptions {
        backoff_min: Duration::from_millis(10),
        backoff_max: Duration::from_millis(50),
        drain_timeout: Duration::from_secs(5),
        ..NotifierOptions::default()
    }
}

/// Alerts that fire for some minutes yet.
fn firing(names: std::ops::Range<usize>) -> Vec<Arc<Alert>> {
    let now_ms = SystemClock.now_ms();
    names.map(|name| alert(&format!("alert-{name}"), now_ms + 240_000)).collect()
}

fn alert(name: &str, ends_at_ms: i64) -> Arc<Alert> {
    Arc::new(Alert {
        labels: Labels::from_pairs([("alertname", name), ("severity", "page")]),
        annotations: Labels::from_pairs([("summary", "for a test: \"é\"")]),
        starts_at_ms: SystemClock.now_ms() - 60_000,
        ends_at_ms,
        generator_url: "http://localhost/graph".to_owned(),
    })
}
