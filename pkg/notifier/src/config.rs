//! Where alerts go, and how.

use std::sync::Arc;
use std::time::Duration;

use cloud_auth::Signer;
use labels::Labels;
use relabel::Rule;
use transport::http::HttpClient;

/// What does not change while the notifier runs.
#[derive(Debug, Clone)]
pub struct NotifierOptions {
    /// Alerts that wait for one Alertmanager (`--alertmanager.notification-queue-capacity`).
    pub queue_capacity: usize,
    /// Alerts of one request (`--alertmanager.notification-batch-size`).
    pub batch_size: usize,
    /// Whether what waits is sent at the end (`--alertmanager.drain-notification-queue-on-shutdown`).
    pub drain: bool,
    /// The pause after the first failure; it doubles with each further one.
    pub backoff_min: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
    /// How long sending at the end may take.
    pub drain_timeout: Duration,
    /// Whether `thanos_alert_sender_…` are counted too, for the dashboards and alerts of Thanos' ruler.
    pub thanos_metrics: bool,
}

impl Default for NotifierOptions {
    /// Prometheus' defaults.
    fn default() -> Self {
        Self {
            queue_capacity: 10_000,
            batch_size: 256,
            drain: true,
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(20),
            thanos_metrics: false,
        }
    }
}

/// What the configuration says.
#[derive(Debug, Clone, Default)]
pub struct NotifierConfig {
    /// Labels that each alert gets unless it has one of that name.
    pub external_labels: Labels,
    /// Rules for the labels of all alerts.
    pub alert_relabel: Arc<[Rule]>,
    /// Sets of Alertmanagers.
    pub sets: Vec<AlertmanagerSet>,
}

/// Alertmanagers that are found and spoken to in one way.
#[derive(Debug, Clone)]
pub struct AlertmanagerSet {
    /// Its name in the snapshots of discovery, unique.
    pub name: String,
    /// `http` or `https`, where no label says otherwise.
    pub scheme: String,
    /// Path before the API's own.
    pub path_prefix: String,
    /// Time for a request.
    pub timeout: Duration,
    /// Rules for the labels of Alertmanagers.
    pub relabel: Arc<[Rule]>,
    /// Rules for the labels of alerts that go to this set.
    pub alert_relabel: Arc<[Rule]>,
    /// Makes requests.
    pub client: HttpClient,
    /// Signs them, if they are to be signed.
    pub signer: Option<Arc<Signer>>,
}
