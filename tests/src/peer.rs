//! Programs of others: a real Prometheus, and Thanos.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use testkit::{Process, free_port};

use crate::client::Api;

/// How long a program may take to be ready on a busy machine.
pub const READY_WITHIN: Duration = Duration::from_secs(60);

/// The program called `name` on PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|p| p.is_file())
}

/// The real Prometheus: `AION_PROMETHEUS_BIN`, or the one on PATH. `None`, said aloud, where there is none; in CI that
/// is a failure.
pub fn prometheus(test: &str) -> Option<PathBuf> {
    let found = std::env::var_os("AION_PROMETHEUS_BIN").map(PathBuf::from).or_else(|| on_path("prometheus"));
    if found.is_none() {
        testkit::skip_without("prometheus on PATH", test);
    }
    found
}

/// Stock Thanos: `AION_THANOS_BIN`, or the one on PATH. `None`, said aloud, where there is none: it is no part of CI.
pub fn thanos(test: &str) -> Option<PathBuf> {
    let found = std::env::var_os("AION_THANOS_BIN").map(PathBuf::from).or_else(|| on_path("thanos"));
    if found.is_none() {
        eprintln!("=== SKIPPED {test}: set AION_THANOS_BIN or put thanos on PATH to run it ===");
    }
    found
}

/// Asks the process `pid` to end (SIGTERM).
///
/// # Errors
/// There is no such process.
pub fn terminate(pid: u32) -> anyhow::Result<()> {
    let status = Command::new("kill").arg(pid.to_string()).stderr(Stdio::null()).status()?;
    ensure!(status.success(), "no process {pid}");
    Ok(())
}

/// Waits until `process` has ended, and kills it when it does not within 30 s.
///
/// # Errors
/// When it had to be killed.
pub async fn ended(process: &mut Process) -> anyhow::Result<std::process::ExitStatus> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(status) = process.child().try_wait()? {
            return Ok(status);
        }
        if tokio::time::Instant::now() > deadline {
            process.kill()?;
            bail!("process {} did not end within 30 s", process.id());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a Prometheus is started with.
#[derive(Debug, Clone, Default)]
pub struct PrometheusOptions {
    /// A word before all flags: `server` makes `aion` take the place of a Prometheus.
    pub subcommand: Option<&'static str>,
    /// `global.external_labels`.
    pub external_labels: Vec<(String, String)>,
    /// Its whole configuration, in place of the one that is made of the fields below.
    pub config: Option<String>,
    /// Where it listens; `None` = any free port.
    pub port: Option<u16>,
    /// A rule file; its groups should have an interval that no test sees the end of.
    pub rules: Option<PathBuf>,
    /// Further flags.
    pub flags: Vec<String>,
}

impl PrometheusOptions {
    /// A configuration with which nothing is scraped within the time of a test.
    fn idle(&self) -> String {
        let mut config = String::from("global:\n  scrape_interval: 1000h\n");
        if !self.external_labels.is_empty() {
            config.push_str("  external_labels:\n");
        }
        for (name, value) in &self.external_labels {
            config.push_str(&format!("    {name}: {value:?}\n"));
        }
        config.push_str("scrape_configs:\n- job_name: idle\n  static_configs: [{targets: [\"127.0.0.1:1\"]}]\n");
        if let Some(rules) = &self.rules {
            config.push_str(&format!("rule_files: [{:?}]\n", rules.display().to_string()));
        }
        config
    }
}

/// A running Prometheus that scrapes nothing within the time of a test and takes remote write. It is killed when dropped.
pub struct Prometheus {
    process: Process,
    /// Its folder; `data` is below it.
    pub dir: PathBuf,
    /// `http://host:port`.
    pub base: String,
    /// Its API.
    pub api: Api,
}

impl Prometheus {
    /// Starts `program` with everything below `dir`, and waits until it is ready. A folder used before keeps its data.
    ///
    /// # Errors
    /// It does not start; the text has the end of its log.
    pub async fn start(program: &Path, dir: &Path, options: &PrometheusOptions) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let config = options.config.clone().unwrap_or_else(|| options.idle());
        std::fs::write(dir.join("prometheus.yml"), config)?;
        let port = options.port.map_or_else(free_port, Ok)?;
        let log = dir.join("prometheus.log");
        let mut command = Command::new(program);
        command
            .args(options.subcommand)
            .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--web.enable-remote-write-receiver", "--web.enable-admin-api", "--web.enable-lifecycle"])
            .args(["--storage.tsdb.retention.time=100y", "--query.max-samples=500000000", "--query.timeout=10m"])
            .args(["--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=2h"])
            .args(&options.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(&log)?);
        let process = Process::start(&mut command).with_context(|| program.display().to_string())?;
        let base = format!("http://127.0.0.1:{port}");
        let mut prometheus = Self { process, dir: dir.to_owned(), api: Api::new(&base)?, base };
        let deadline = tokio::time::Instant::now() + READY_WITHIN;
        while !prometheus.api.ready().await {
            let gone = prometheus.process.child().try_wait()?;
            if gone.is_some() || tokio::time::Instant::now() > deadline {
                bail!("prometheus is not ready ({gone:?}): {}", tail(&log));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(prometheus)
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The blocks in its data folder, by name.
    pub fn blocks(&self) -> Vec<String> {
        blocks_in(&self.data())
    }

    /// Ends it at once (SIGKILL).
    ///
    /// # Errors
    /// From the system.
    pub fn crash(mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        Ok(())
    }

    /// Ends it in good order.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        terminate(self.process.id())?;
        ended(&mut self.process).await?;
        Ok(())
    }
}

/// The names of the whole blocks in a folder, in order.
pub fn blocks_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .filter(|e| e.path().join("meta.json").exists())
        .filter_map(|e| e.file_name().into_string().ok())
        .filter(|name| name.len() == 26)
        .collect();
    names.sort();
    names
}

/// The end of a file, for messages.
pub fn tail(path: &Path) -> String {
    let text = std::fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
