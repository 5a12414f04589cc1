//! Following the Prometheus server: wait for it, check its flags, read external labels again and again.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use labels::Labels;
use model::{Clock, TimeRange};
use parking_lot::RwLock;
use promclient::{Flags, PromClient};
use remote::Identity;
use storage::Error;
use telemetry::{Gauge, Metrics};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use transport::http::Probe;

const TWO_HOURS_MS: i64 = 2 * 3_600_000;

/// Why a sidecar cannot work with its Prometheus.
#[derive(Debug, thiserror::Error)]
pub enum PrometheusError {
    /// It cannot be asked for now.
    #[error("{0}")]
    Unreachable(#[from] Error),
    /// Its blocks could not be told from other servers'.
    #[error(
        "prometheus {url} has no external labels: nothing could tell its blocks from those of other servers. Set labels \
         that no other server has in its configuration, for example\n  global:\n    external_labels:\n      cluster: \
         eu1\n      replica: a\nand reload it"
    )]
    NoExternalLabels { url: String },
    /// Its flags would lose blocks.
    #[error("{0}")]
    Flags(String),
}

#[derive(Debug, Clone)]
pub struct FollowOptions {
    /// From one poll to the next.
    pub interval: Duration,
    /// How long a poll may take.
    pub timeout: Duration,
    /// How long the server may take to start; only when `check_flags`.
    pub ready_timeout: Duration,
    /// RFC 3339 or relative to now.
    pub min_time: String,
    /// Whether blocks are uploaded, so that the server's flags matter.
    pub check_flags: Option<FlagCheck>,
}

/// What the server's flags must fit.
#[derive(Debug, Clone)]
pub struct FlagCheck {
    /// The list of uploaded blocks, `<tsdb.path>/<shipper.meta-file-name>`.
    pub shipped_file: PathBuf,
    /// Whether the server may compact blocks by itself.
    pub ignore_unequal_block_size: bool,
}

/// What is known of the server; shared by all who answer from it.
#[derive(Debug)]
pub struct PrometheusState {
    client: PromClient,
    clock: Arc<dyn Clock>,
    known: RwLock<Known>,
    up: Gauge,
    heartbeat: Gauge,
}

#[derive(Debug, Default)]
struct Known {
    identity: Option<Identity>,
    version: String,
    up: bool,
    last_error: Option<String>,
}

impl PrometheusState {
    pub fn new(client: PromClient, clock: Arc<dyn Clock>, metrics: &Metrics) -> Self {
        let up = metrics.gauge(
            "thanos_sidecar_prometheus_up",
            "Boolean indicator whether the sidecar can reach its Prometheus peer.",
        );
        let heartbeat = metrics.gauge(
            "thanos_sidecar_last_heartbeat_success_time_seconds",
            "Timestamp of the last successful heartbeat in seconds.",
        );
        Self { client, clock, known: RwLock::default(), up, heartbeat }
    }

    pub fn client(&self) -> &PromClient {
        &self.client
    }

    /// What is known, once it was reached.
    pub fn identity(&self) -> Option<Identity> {
        self.known.read().identity.clone()
    }

    /// Its external labels; empty until it was reached.
    pub fn external_labels(&self) -> Labels {
        self.known.read().identity.as_ref().map(|i| i.external.clone()).unwrap_or_default()
    }

    /// Whether the last poll succeeded.
    pub fn is_up(&self) -> bool {
        self.known.read().up
    }

    /// Its version; `""` until it was reached.
    pub fn version(&self) -> String {
        self.known.read().version.clone()
    }

    /// Why the last poll failed.
    pub fn last_error(&self) -> Option<String> {
        self.known.read().last_error.clone()
    }

    /// Follows the server until `shutdown`. `probe` says ready while it is up.
    ///
    /// # Errors
    /// When it has no external labels, or (with uploads) is not fit within `ready_timeout`.
    pub async fn follow(
        &self,
        options: &FollowOptions,
        probe: &Probe,
        shutdown: &CancellationToken,
    ) -> Result<(), PrometheusError> {
        let began = Instant::now();
        let mut checked = options.check_flags.is_none();
        let mut pause = Duration::from_millis(200);
        // Until the first success polls are frequent: a server starts within seconds.
        loop {
            match self.begin(options, &mut checked).await {
                Ok(()) => break,
                Err(e @ PrometheusError::NoExternalLabels { .. }) => {
                    self.failed(&e, probe);
                    return Err(e);
                }
                Err(e) => {
                    self.failed(&e, probe);
                    if options.check_flags.is_some() && began.elapsed() >= options.ready_timeout {
                        return Err(e);
                    }
                    warn!(err = %e, "prometheus is not ready yet, trying again");
                }
            }
            if sleep(pause, shutdown).await {
                return Ok(());
            }
            pause = (pause * 2).min(options.interval.max(Duration::from_millis(10)));
        }
        info!(external_labels = %self.external_labels(), version = self.version(), "prometheus is ready");
        self.succeeded(probe);
        loop {
            if sleep(options.interval, shutdown).await {
                return Ok(());
            }
            match self.poll(options).await {
                Ok(()) => self.succeeded(probe),
                Err(e) => {
                    warn!(err = %e, "cannot get external labels and oldest time from prometheus");
                    self.failed(&e, probe);
                }
            }
        }
    }

    async fn begin(&self, options: &FollowOptions, checked: &mut bool) -> Result<(), PrometheusError> {
        if let Some(check) = options.check_flags.as_ref().filter(|_| !*checked) {
            match within(options.timeout, self.client.flags()).await {
                Ok(flags) => check_flags(&flags, check)?,
                Err(Error::Unsupported(e)) => warn!(err = e, "flags of this prometheus cannot be checked"),
                Err(e) => return Err(e.into()),
            }
            *checked = true;
        }
        let build = within(options.timeout, self.client.build_info()).await;
        let version = match build {
            Ok(build) => build.version,
            Err(Error::Unsupported(_)) => "unknown".to_owned(),
            Err(e) => return Err(e.into()),
        };
        self.known.write().version = version;
        self.poll(options).await
    }

    /// Reads external labels, oldest time and label names once.
    ///
    /// # Errors
    /// [`PrometheusError::Unreachable`] or [`PrometheusError::NoExternalLabels`]; what was known before stays.
    pub async fn poll(&self, options: &FollowOptions) -> Result<(), PrometheusError> {
        let asked = async {
            let (external, lowest, names) = tokio::join!(
                self.client.external_labels(),
                self.client.lowest_timestamp_ms(),
                self.client.label_names(TimeRange::ALL, &[], 0),
            );
            // without names answers are put in order the long way
            Ok((external?, lowest?, names.ok()))
        };
        let (external, lowest, names) = within(options.timeout, asked).await?;
        if external.is_empty() {
            return Err(PrometheusError::NoExternalLabels { url: self.client.shown_url().to_owned() });
        }
        let now = self.clock.now_ms();
        let limit_min_time = flags::parse_time_or_duration(&options.min_time, now).unwrap_or(i64::MIN);
        // an empty server says "never"; what it scrapes next is there from now on
        let range = TimeRange::new(lowest.min(now).max(limit_min_time), i64::MAX);
        let label_names = names.map(|n| Arc::new(n.value.into_iter().collect()));
        let mut known = self.known.write();
        if let Some(before) = known.identity.as_ref().filter(|i| i.external != external) {
            info!(before = %before.external, now = %external, "external labels have changed");
        }
        known.identity = Some(Identity { external, range, limit_min_time, label_names });
        Ok(())
    }

    fn succeeded(&self, probe: &Probe) {
        let mut known = self.known.write();
        known.up = true;
        known.last_error = None;
        drop(known);
        self.up.set(1.0);
        self.heartbeat.set(self.clock.now_ms() as f64 / 1000.0);
        probe.ready();
    }

    fn failed(&self, e: &PrometheusError, probe: &Probe) {
        let mut known = self.known.write();
        known.up = false;
        known.last_error = Some(e.to_string());
        drop(known);
        self.up.set(0.0);
        probe.not_ready(&e.to_string());
    }
}

async fn within<T>(timeout: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = |_| Error::Timeout(format!("no answer within {timeout:?} (--prometheus.get_config_timeout)"));
    tokio::time::timeout(timeout, work).await.map_err(late)?
}

/// True when `shutdown` came first.
async fn sleep(time: Duration, shutdown: &CancellationToken) -> bool {
    tokio::select! {
        () = shutdown.cancelled() => true,
        () = tokio::time::sleep(time) => false,
    }
}

/// Whether the server keeps each block until it is uploaded.
fn check_flags(flags: &Flags, check: &FlagCheck) -> Result<(), PrometheusError> {
    const DELAY: &str = "storage.tsdb.delay-compact-file.path";
    const MIN: &str = "storage.tsdb.min-block-duration";
    const MAX: &str = "storage.tsdb.max-block-duration";
    let delay = flags.get(DELAY);
    let ours = &check.shipped_file;
    if !delay.is_empty() && clean(Path::new(delay)) != clean(ours) {
        return Err(PrometheusError::Flags(format!(
            "prometheus waits for uploads listed in --{DELAY}={delay}, but this sidecar lists them in {}: give both the \
             same path (--tsdb.path and --shipper.meta-file-name here)",
            ours.display()
        )));
    }
    let (min, max) = (flags.get(MIN), flags.get(MAX));
    if min != max && delay.is_empty() {
        if !check.ignore_unequal_block_size {
            return Err(PrometheusError::Flags(format!(
                "prometheus compacts its blocks (--{MIN}={min}, --{MAX}={max}), and could do so before they are uploaded: \
                 set both to 2h, or from Prometheus 3.3 on let it wait for uploads with --{DELAY}={}",
                ours.display()
            )));
        }
        warn!(
            min,
            max, "prometheus compacts its blocks: one that is not uploaded within 2h may be missing in the bucket"
        );
    }
    if flags::parse_go_duration(min).is_ok_and(|ms| ms != TWO_HOURS_MS) {
        warn!(block_time = min, "prometheus' blocks are not of 2h, which is what compaction here is made for");
    }
    Ok(())
}

/// Without `.` parts and trailing slashes; `..` is taken back. Nothing is asked of the file system, which may be mounted
/// elsewhere for Prometheus.
fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(flags: &[(&str, &str)], ignore: bool) -> Result<(), String> {
        let flags = Flags(flags.iter().map(|(n, v)| (format!("storage.tsdb.{n}"), (*v).to_owned())).collect());
        let check =
            FlagCheck { shipped_file: PathBuf::from("./data/thanos.shipper.json"), ignore_unequal_block_size: ignore };
        check_flags(&flags, &check).map_err(|e| e.to_string())
    }

    #[test]
    fn flags_that_keep_blocks() {
        let (two, long) = (("min-block-duration", "2h"), ("max-block-duration", "36h"));
        assert!(verdict(&[two, ("max-block-duration", "2h")], false).is_ok());
        assert!(verdict(&[two, long], false).unwrap_err().contains("set both to 2h"));
        assert!(verdict(&[two, long], true).is_ok());
        let delay = |path: &'static str| ("delay-compact-file.path", path);
        assert!(verdict(&[two, long, delay("data/../data//thanos.shipper.json")], false).is_ok());
        let other = verdict(&[two, long, delay("/prometheus/thanos.shipper.json")], false).unwrap_err();
        assert!(other.contains("/prometheus/thanos.shipper.json") && other.contains("same path"), "{other}");
    }
}
