//! Components as child processes: ours, or with the same flags Thanos'.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, bail};
use testkit::{Process, free_port};

use crate::client::Api;
use crate::peer::{READY_WITHIN, ended, tail, terminate};

/// The `aion` binary of the profile that this test was built with, built when first asked for. `AION_BIN` names another.
///
/// # Panics
/// When it cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("AION_BIN") {
            return path.into();
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "-q", "-p", "aion"]).current_dir(crate::root());
        // What cargo tells this test about its own package would make build scripts run again (ring's looks at it), and nearly
        // all be compiled again: now, and once more at the next build outside of a test.
        let of_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        names.filter(|name| of_package(name)).for_each(|name| {
            build.env_remove(name);
        });
        // a test lies in <target>/<profile>/deps, another program in <target>/<profile>
        let own = std::env::current_exe().expect("a process knows its program");
        let folder = own.parent().expect("a program lies in a folder");
        let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
        if folder.ends_with("release") {
            build.arg("--release");
        }
        let status = build.status().expect("cargo can be started");
        assert!(status.success(), "cannot build aion: {status}");
        folder.join("aion")
    })
}

/// A running component. It is killed when dropped.
pub struct Component {
    process: Process,
    /// For messages: `aion store`, say.
    pub name: String,
    /// `host:port` of gRPC.
    pub grpc: String,
    /// Its HTTP API.
    pub api: Api,
    /// Its log.
    pub log: PathBuf,
}

impl Component {
    /// Starts `program subcommand` with `args`, its log in `dir`. Addresses and grace periods are added.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(
        program: &Path,
        subcommand: &str,
        dir: &Path,
        args: &[String],
        env: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let (http, grpc) = (format!("127.0.0.1:{}", free_port()?), format!("127.0.0.1:{}", free_port()?));
        let log = dir.join(format!("{subcommand}.log"));
        let mut command = Command::new(program);
        command
            .arg(subcommand)
            .args(args)
            .arg(format!("--http-address={http}"))
            .arg(format!("--grpc-address={grpc}"))
            .args(["--http-grace-period=1s", "--grpc-grace-period=1s"])
            .envs(env.iter().copied())
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(&log)?);
        let process = Process::start(&mut command).with_context(|| program.display().to_string())?;
        let name = format!("{} {subcommand}", program.file_name().unwrap_or_default().to_string_lossy());
        Ok(Self { process, name, grpc, api: Api::new(&format!("http://{http}"))?, log })
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// It ends before, or takes too long; the text has the end of its log.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + READY_WITHIN;
        while !self.api.ready().await {
            let gone = self.process.child().try_wait()?;
            if gone.is_some() || tokio::time::Instant::now() > deadline {
                bail!("{} is not ready ({gone:?}): {}", self.name, tail(&self.log));
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.process.child().try_wait(), Ok(None))
    }

    /// Waits for its end of its own accord.
    ///
    /// # Errors
    /// It does not end.
    pub async fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        ended(&mut self.process).await
    }

    /// Ends it in good order; the log's lines of level error that contain none of `expected`.
    ///
    /// # Errors
    /// It does not end, or not well.
    pub async fn stop(mut self, expected: &[&str]) -> anyhow::Result<Vec<String>> {
        terminate(self.process.id())?;
        let status = ended(&mut self.process).await?;
        if !status.success() {
            bail!("{} ended with {status}: {}", self.name, tail(&self.log));
        }
        Ok(self.errors(expected))
    }

    /// The log's lines of level error that contain none of `expected`, and panics.
    pub fn errors(&self, expected: &[&str]) -> Vec<String> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let bad = |line: &&str| line.contains("level=error") || line.contains("panicked at");
        let lines = text.lines().filter(bad).filter(|line| !expected.iter().any(|e| line.contains(e)));
        lines.map(|line| format!("{}: {line}", self.name)).collect()
    }
}
