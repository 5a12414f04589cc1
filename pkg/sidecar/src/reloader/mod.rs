//! Telling Prometheus to read its configuration again when files change.
//!
//! The configuration file may be gzipped and may hold `$(VARIABLE)`s; it is written, expanded, to the output file that
//! Prometheus reads. Directories of rules are watched. Changes are seen at once by the file system's notifications and,
//! where those are missing (network mounts), by looking again each interval.

mod files;
mod trigger;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::Clock;
use promclient::PromClient;
use telemetry::{Counter, Gauge, Metrics};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub use trigger::Method;
use watch::Watcher;

pub type Env = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What to watch and how to tell.
#[derive(Debug, Clone)]
pub struct ReloaderOptions {
    /// The configuration as it is written by people or a controller.
    pub config_file: Option<PathBuf>,
    /// Where the expanded form goes.
    pub output_file: Option<PathBuf>,
    /// Directories of files that the configuration names.
    pub rule_dirs: Vec<PathBuf>,
    /// How often to look again; zero = expand once, at the start, and never reload.
    pub watch_interval: Duration,
    /// How long to wait after a failed reload.
    pub retry_interval: Duration,
    /// How long no further change must come before one is acted upon.
    pub settle: Duration,
    /// A larger configuration, after decompression, is an error.
    pub config_bytes_max: u64,
    pub method: Method,
    /// Where processes are found by name.
    pub proc_root: PathBuf,
}

impl Default for ReloaderOptions {
    fn default() -> Self {
        Self {
            config_file: None,
            output_file: None,
            rule_dirs: Vec::new(),
            watch_interval: Duration::from_secs(180),
            retry_interval: Duration::from_secs(5),
            settle: Duration::from_millis(100),
            config_bytes_max: 256 << 20,
            method: Method::Http,
            proc_root: "/proc".into(),
        }
    }
}

/// Watches files and reloads Prometheus.
pub struct Reloader {
    options: ReloaderOptions,
    client: PromClient,
    env: Env,
    clock: Arc<dyn Clock>,
    metrics: ReloaderMetrics,
    /// What Prometheus has been told of.
    applied: Option<files::Fingerprint>,
}

struct ReloaderMetrics {
    reloads: Counter,
    reload_failures: Counter,
    last_success: Gauge,
    last_success_time: Gauge,
    applies: Counter,
    apply_failures: Counter,
    expansion_errors: Gauge,
    watches: Gauge,
    watch_events: Counter,
    watch_errors: Counter,
}

impl ReloaderMetrics {
    fn new(m: &Metrics, method: &str) -> Self {
        let name = |n: &str| format!("thanos_sidecar_reloader_{n}");
        let counter = |n: &str, help: &str| m.counter(&name(n), help);
        let gauge = |n: &str, help: &str| m.gauge(&name(n), help);
        m.gauges(
            &name("info"),
            "A metric with a constant '1' value labeled by reload method (either 'http' or 'signal').",
            &["method"],
        )
        .with(&[method])
        .set(1.0);
        Self {
            reloads: counter("reloads_total", "Total number of reload requests."),
            reload_failures: counter("reloads_failed_total", "Total number of reload requests that failed."),
            last_success: gauge("last_reload_successful", "Whether the last reload attempt was successful."),
            last_success_time: gauge(
                "last_reload_success_timestamp_seconds",
                "Timestamp of the last successful reload.",
            ),
            applies: counter("config_apply_operations_total", "Total number of config apply operations."),
            apply_failures: counter(
                "config_apply_operations_failed_total",
                "Total number of config apply operations that failed.",
            ),
            expansion_errors: gauge(
                "config_environment_variable_expansion_errors",
                "Number of environment variable expansions that failed during the last operation.",
            ),
            watches: gauge("watches", "Number of resources watched by the reloader."),
            watch_events: counter(
                "watch_events_total",
                "Total number of events received by the reloader from the watcher.",
            ),
            watch_errors: counter(
                "watch_errors_total",
                "Total number of errors received by the reloader from the watcher.",
            ),
        }
    }
}

impl Reloader {
    /// A reloader for the server behind `client`.
    pub fn new(
        options: ReloaderOptions,
        client: PromClient,
        env: Env,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Self {
        let metrics = ReloaderMetrics::new(metrics, options.method.name());
        Self { options, client, env, clock, metrics, applied: None }
    }

    /// Watches until `shutdown`.
    ///
    /// # Errors
    /// When the files cannot be read or expanded at the start; later failures are logged and tried again.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), String> {
        if self.options.config_file.is_none() && self.options.rule_dirs.is_empty() {
            shutdown.cancelled().await;
            return Ok(());
        }
        let first = self.prepare().await?;
        if self.options.watch_interval.is_zero() {
            info!("configuration expanded once, nothing is watched (--reloader.watch-interval=0)");
            shutdown.cancelled().await;
            return Ok(());
        }
        // before the first reload, so that no change is missed
        let mut watcher = Watcher::new(&self.options, &self.metrics.watches, &self.metrics.watch_errors);
        let mut reloaded = self.reload_if_new(first).await;
        loop {
            let wait = if reloaded { self.options.watch_interval } else { self.options.retry_interval };
            let changed = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = watcher.changed(self.options.settle) => true,
                () = tokio::time::sleep(wait) => false,
            };
            if changed {
                self.metrics.watch_events.inc();
            }
            self.metrics.applies.inc();
            reloaded = match self.prepare().await {
                Ok(now) => self.reload_if_new(now).await,
                Err(e) => {
                    self.metrics.apply_failures.inc();
                    error!(err = e, "configuration cannot be prepared, prometheus keeps the one before");
                    false
                }
            };
            watcher.refresh(&self.options);
        }
    }

    /// Expands the configuration and takes fingerprints.
    async fn prepare(&self) -> Result<files::Fingerprint, String> {
        let (options, env) = (self.options.clone(), self.env.clone());
        let outcome = tokio::task::spawn_blocking(move || files::prepare(&options, &env))
            .await
            .map_err(|e| format!("file work ended: {e}"))?;
        let unset = match &outcome {
            Err(files::FileError::Unset { count, .. }) => *count,
            _ => 0,
        };
        self.metrics.expansion_errors.set(unset as f64);
        outcome.map_err(|e| e.to_string())
    }

    /// False when Prometheus must be told once more.
    async fn reload_if_new(&mut self, now: files::Fingerprint) -> bool {
        if self.applied.as_ref() == Some(&now) {
            return true;
        }
        self.metrics.reloads.inc();
        match trigger::reload(&self.options, &self.client).await {
            Ok(()) => {
                info!(method = self.options.method.name(), "prometheus reloaded");
                self.metrics.last_success.set(1.0);
                self.metrics.last_success_time.set(self.clock.now_ms() as f64 / 1000.0);
                self.applied = Some(now);
                true
            }
            Err(e) => {
                warn!(err = e, "prometheus did not reload, trying again");
                self.metrics.reload_failures.inc();
                self.metrics.last_success.set(0.0);
                false
            }
        }
    }
}
