//! A real Prometheus for tests: one that scrapes itself each second, with external labels.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use assembly::{Deps, Listeners};
use promclient::{ClientOptions, PromClient};
use sidecar::{Config, PrometheusState, Sidecar};
use telemetry::Metrics;
pub use testkit::prometheus::have_prometheus;
use testkit::{Process, free_port, wait_for};
use tokio_util::sync::CancellationToken;
use transport::http::{ClientConfig, Probe};

/// How long things may take before a test fails.
pub const LONG: Duration = Duration::from_secs(60);

/// A server on a loopback port; killed when dropped.
pub struct Prometheus {
    pub dir: tempfile::TempDir,
    pub port: u16,
    process: Process,
}

/// A configuration that scrapes the server itself.
pub fn config_text(port: u16, external_labels: &[(&str, &str)]) -> String {
    let labels: String = external_labels.iter().map(|(n, v)| format!("    {n}: \"{v}\"\n")).collect();
    let external = if labels.is_empty() { String::new() } else { format!("  external_labels:\n{labels}") };
    format!(
        "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\n{external}\
         rule_files: [rules/*.yml]\n\
         scrape_configs:\n- job_name: self\n  static_configs:\n  - targets: ['127.0.0.1:{port}']\n"
    )
}

impl Prometheus {
    /// Starts one with its data in `<dir>/data`; `prepare` may put files into `<dir>` before.
    pub async fn start(external_labels: &[(&str, &str)], flags: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port().unwrap();
        std::fs::create_dir_all(dir.path().join("rules")).unwrap();
        std::fs::create_dir_all(dir.path().join("data")).unwrap();
        std::fs::write(dir.path().join("prometheus.yml"), config_text(port, external_labels)).unwrap();
        prepare(dir.path());
        let process = Self::spawn(dir.path(), port, flags);
        let this = Self { dir, port, process };
        let client = this.client();
        wait_for("prometheus to be ready", LONG, async || client.build_info().await.is_ok()).await;
        wait_for("a head with samples", LONG, async || client.lowest_timestamp_ms().await.is_ok_and(|t| t < i64::MAX))
            .await;
        this
    }

    fn spawn(dir: &Path, port: u16, flags: &[&str]) -> Process {
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(flags)
            .stdout(Stdio::null())
            .stderr(log);
        Process::start(&mut command).unwrap()
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn client(&self) -> PromClient {
        PromClient::new(&self.url(), ClientConfig::default().build().unwrap(), ClientOptions::default())
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Kills it; its data stay.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

/// Flags that keep blocks as they are, which uploads need.
pub const FIXED_BLOCKS: [&str; 2] = ["--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=2h"];

/// A configuration from flags.
pub fn config(args: &[String]) -> Config {
    assembly::configured::<sidecar::Sidecar>(args.iter().cloned(), &Deps::isolated(Metrics::new())).unwrap()
}

/// A sidecar on ports of its own.
pub struct Running {
    pub grpc: std::net::SocketAddr,
    pub http: std::net::SocketAddr,
    pub state: Arc<PrometheusState>,
    pub metrics: Metrics,
    pub shutdown: CancellationToken,
    pub task: tokio::task::JoinHandle<Result<(), assembly::Error>>,
}

/// Starts one; quick looks, so that tests are.
pub async fn start(mut config: Config) -> Running {
    config.config_interval = Duration::from_millis(200);
    config.ship_interval = Duration::from_millis(200);
    let metrics = Metrics::new();
    let sidecar = Sidecar::new(config, Deps::isolated(metrics.clone()), Probe::new("starting")).unwrap();
    let listeners = Listeners::loopback().await.unwrap();
    let (http, grpc) = (listeners.http_address().unwrap(), listeners.grpc_address().unwrap().unwrap());
    let state = sidecar.state();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(assembly::serve(sidecar, listeners, shutdown.clone()));
    Running { grpc, http, state, metrics, shutdown, task }
}

impl Running {
    /// Stops it and waits.
    pub async fn stop(self) -> Result<(), assembly::Error> {
        self.shutdown.cancel();
        self.task.await.unwrap()
    }
}

/// The body of `url`.
pub async fn get(url: &str) -> String {
    let client = ClientConfig::default().build().unwrap();
    client.get(url).unwrap().send().await.unwrap().text().await.unwrap()
}
