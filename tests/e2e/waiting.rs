//! A compactor that goes on until it is ended, and what its status tells.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{bail, ensure};
use serde_json::Value as Json;
use testkit::{Process, free_port};
use tests::aion::binary;
use tests::client::Api;
use tests::peer::tail;

/// Until something is seen on a busy machine.
const WITHIN: Duration = Duration::from_secs(120);

/// The configuration of a bucket in a directory.
pub(crate) fn folder(bucket: &Path) -> String {
    format!("{{type: FILESYSTEM, config: {{directory: {:?}}}}}", bucket.display().to_string())
}

/// `aion compact --wait`, in a hurry.
pub(crate) struct Compactor {
    process: Process,
    pub(crate) api: Api,
    log: PathBuf,
}

impl Compactor {
    /// `bucket` as in Thanos' configuration; `shell` is run by the shell that becomes the compactor.
    pub(crate) fn start(bucket: &str, data: &Path, shell: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(data)?;
        let (http, log) = (format!("127.0.0.1:{}", free_port()?), data.join("compact.log"));
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!(r#"{shell} exec "$0" "$@""#)])
            .arg(binary())
            .args(["compact", "--wait", "--wait-interval=1s", "--consistency-delay=0s", "--delete-delay=0s"])
            .args(["--compact.quarantine-backoff=1s", "--compact.quarantine-backoff-max=3s"])
            .args(["--deduplication.replica-label=replica", "--compact.cleanup-interval=2s"])
            .arg(format!("--objstore.config={bucket}"))
            .arg(format!("--data-dir={}", data.display()))
            .arg(format!("--http-address={http}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?);
        let process = Process::start(&mut command)?;
        Ok(Self { process, api: Api::new(&format!("http://{http}"))?, log })
    }

    pub(crate) async fn status(&self) -> anyhow::Result<Json> {
        let mut status = self.api.get("/api/v1/compact/status", &[]).await?;
        Ok(if status["data"].is_object() { status["data"].take() } else { status })
    }

    /// Waits until `is` holds of the status.
    pub(crate) async fn until(&mut self, what: &str, is: impl Fn(&Json) -> Result<(), String>) -> anyhow::Result<Json> {
        let deadline = tokio::time::Instant::now() + WITHIN;
        let mut why = "no status".to_owned();
        loop {
            if let Some(status) = self.process.child().try_wait()? {
                bail!("it ended ({status}): {}", tail(&self.log));
            }
            if let Ok(status) = self.status().await {
                match is(&status) {
                    Ok(()) => return Ok(status),
                    Err(e) => why = e,
                }
            }
            ensure!(tokio::time::Instant::now() < deadline, "{what}: {why}: {}", tail(&self.log));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Whether all groups but those of `besides` have nothing left to do.
pub(crate) fn is_done(status: &Json, besides: &BTreeSet<&str>) -> Result<(), String> {
    let groups = status["groups"].as_array().ok_or("no groups")?;
    let of = |g: &Json| g["labels"]["cluster"].as_str().unwrap_or_default().to_owned();
    match groups.iter().find(|g| !besides.contains(of(g).as_str()) && g["state"] != "idle") {
        _ if groups.is_empty() => Err("no groups".to_owned()),
        Some(group) => Err(format!("{} at {} is {}", of(group), group["resolution"], group["state"])),
        None => Ok(()),
    }
}
