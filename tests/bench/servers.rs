//! The servers that are compared: Prometheus, VictoriaMetrics, aion. One at a time, each on a folder of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use testkit::{Process, free_port};
use tests::client::Api;
use tests::peer::{ended, on_path, terminate};

use crate::measure::{cpu_s, peak_mib};

/// How long a server may take until it is ready, replay included.
const READY_WITHIN: Duration = Duration::from_secs(600);

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Prometheus,
    Victoria,
    Aion,
}

impl Kind {
    /// All, the reference first.
    pub const ALL: [Self; 3] = [Self::Prometheus, Self::Victoria, Self::Aion];

    /// As tables show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prometheus => "Prometheus",
            Self::Victoria => "VictoriaMetrics",
            Self::Aion => "aion",
        }
    }

    /// The program, if it is there.
    pub fn program(self) -> Option<PathBuf> {
        match self {
            Self::Prometheus => {
                std::env::var_os("AION_PROMETHEUS_BIN").map(PathBuf::from).or_else(|| on_path("prometheus"))
            }
            Self::Victoria => {
                std::env::var_os("AION_VICTORIA_BIN").map(PathBuf::from).or_else(|| on_path("victoria-metrics"))
            }
            Self::Aion => Some(tests::aion::binary().to_owned()),
        }
    }
}

/// A server that runs. It is killed when dropped.
pub struct Server {
    pub kind: Kind,
    process: Process,
    dir: PathBuf,
    /// Scrape configuration and further flags, as it was started with.
    scrapes: String,
    flags: Vec<&'static str>,
    pub api: Api,
    /// `http://host:port`.
    pub base: String,
    /// From its start until it was ready.
    pub ready_s: f64,
    /// CPU until then.
    pub ready_cpu_s: f64,
}

impl Server {
    /// Starts it on `dir`, whose data it keeps, with these `scrape_configs`, and waits until it is ready.
    ///
    /// # Errors
    /// It is not there, or does not start; the text names its log.
    pub async fn start(kind: Kind, dir: &Path, scrapes: &str) -> anyhow::Result<Self> {
        Self::start_with(kind, dir, scrapes, &[]).await
    }

    /// As [`Server::start`], with further flags, which mean nothing to VictoriaMetrics.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_with(kind: Kind, dir: &Path, scrapes: &str, flags: &[&'static str]) -> anyhow::Result<Self> {
        let program = kind.program().with_context(|| format!("{} is not on PATH", kind.name()))?;
        std::fs::create_dir_all(dir)?;
        let config = dir.join("prometheus.yml");
        std::fs::write(&config, scrapes)?;
        let port = free_port()?;
        let data = dir.join("data").display().to_string();
        let log = dir.join("log");
        let is_set = |flag: &str| flags.iter().any(|set| set.split('=').next() == flag.split('=').next());
        let mut command = Command::new(program);
        match kind {
            Kind::Victoria => {
                command
                    .arg(format!("-storageDataPath={data}"))
                    .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
                    .args(["-retentionPeriod=100y", "-search.disableCache=true", "-search.latencyOffset=0s"])
                    .args(["-search.maxUniqueTimeseries=2000000", "-search.maxSeries=2000000"])
                    .args(["-search.maxSamplesPerQuery=2000000000", "-search.maxQueryDuration=10m"])
                    .args(["-search.maxPointsPerTimeseries=100000"]);
                if !scrapes.is_empty() {
                    command.arg(format!("-promscrape.config={}", config.display()));
                }
            }
            Kind::Prometheus | Kind::Aion => {
                if kind == Kind::Aion {
                    command.arg("server");
                }
                command
                    .arg(format!("--config.file={}", config.display()))
                    .arg(format!("--storage.tsdb.path={data}"))
                    .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                    .args(["--web.enable-remote-write-receiver", "--web.enable-admin-api"])
                    .arg("--storage.tsdb.retention.time=100y")
                    .args(["--query.max-samples=500000000", "--query.timeout=10m"].iter().filter(|f| !is_set(f)))
                    .args(flags);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::options().create(true).append(true).open(&log)?);
        let begun = Instant::now();
        let process = Process::start(&mut command)?;
        let base = format!("http://127.0.0.1:{port}");
        let mut server = Self {
            kind,
            process,
            dir: dir.to_owned(),
            scrapes: scrapes.to_owned(),
            flags: flags.to_vec(),
            api: Api::new(&base)?,
            base,
            ready_s: 0.0,
            ready_cpu_s: 0.0,
        };
        while !server.is_ready().await {
            let gone = server.process.child().try_wait()?;
            if gone.is_some() || begun.elapsed() > READY_WITHIN {
                bail!("{} is not ready ({gone:?}), see {}", kind.name(), log.display());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.ready_s = begun.elapsed().as_secs_f64();
        server.ready_cpu_s = server.cpu_s()?;
        Ok(server)
    }

    /// Whether it answers queries. VictoriaMetrics has no probe of this name; its start page says as much.
    async fn is_ready(&self) -> bool {
        match self.kind {
            Kind::Victoria => self.api.get_bytes("/health", &[]).await.is_ok_and(|body| body.starts_with(b"OK")),
            Kind::Prometheus | Kind::Aion => self.api.ready().await,
        }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Forgets the most memory so far: from now on [`Server::peak_mib`] tells of what comes.
    ///
    /// # Errors
    /// It is gone, or of another user.
    pub fn reset_peak(&self) -> anyhow::Result<()> {
        let path = format!("/proc/{}/clear_refs", self.process.id());
        std::fs::write(&path, "5").with_context(|| path)
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

    /// CPU seconds so far.
    ///
    /// # Errors
    /// It is gone.
    pub fn cpu_s(&self) -> anyhow::Result<f64> {
        cpu_s(&[self.process.id()])
    }

    /// The most memory so far, MiB.
    ///
    /// # Errors
    /// It is gone.
    pub fn peak_mib(&self) -> anyhow::Result<f64> {
        peak_mib(self.process.id())
    }

    /// Kills it with SIGKILL and starts it again on its data.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn crash_and_restart(mut self) -> anyhow::Result<Self> {
        self.process.kill()?;
        Self::start_with(self.kind, &self.dir, &self.scrapes, &self.flags).await
    }

    /// Bytes of the write-ahead log, head chunks and blocks.
    pub fn disk_bytes(&self, below: &str) -> u64 {
        fn size(path: &Path) -> u64 {
            let Ok(meta) = std::fs::symlink_metadata(path) else { return 0 };
            if !meta.is_dir() {
                return meta.len();
            }
            std::fs::read_dir(path).map_or(0, |entries| entries.flatten().map(|e| size(&e.path())).sum())
        }
        size(&self.dir.join("data").join(below))
    }

    /// The value of an instant query with one number as its answer; NaN where there is none.
    ///
    /// # Errors
    /// No answer.
    pub async fn number(&self, query: &str, time_s: f64) -> anyhow::Result<f64> {
        let answer = self.api.query(query, time_s).await?;
        Ok(answer["data"]["result"][0]["value"][1].as_str().and_then(|v| v.parse().ok()).unwrap_or(f64::NAN))
    }
}
