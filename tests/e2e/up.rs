//! `aion up` as a newcomer starts it: data of its own and of the host after seconds, in little memory, kept over a restart,
//! and a configuration that is the user's.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use testkit::{Process, free_port, wait_for};
use tests::aion::binary;
use tests::client::Api;
use tests::peer::{ended, tail, terminate};

const WITHIN: Duration = Duration::from_secs(120);
/// What the process may take; a build without optimisation takes more.
const RESIDENT_BYTES_MAX: u64 = if cfg!(debug_assertions) { 160 << 20 } else { 60 << 20 };

struct Up {
    process: Process,
    api: Api,
    log: std::path::PathBuf,
}

const ANY_PORT: &str = "--server.http-address=127.0.0.1:0";

fn up(dir: &Path, extra: &[&str]) -> anyhow::Result<Up> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let (log, said) = (dir.join("up.log"), dir.join("up.out"));
    let open = |path: &Path| std::fs::File::options().create(true).append(true).open(path);
    let mut command = Command::new(binary());
    command
        .args(["up", "--host.http-address=127.0.0.1:0"])
        .arg(format!("--http-address={address}"))
        .arg(format!("--dir={}", dir.join("data").display()))
        .args(extra)
        .stdin(Stdio::null())
        .stdout(open(&said)?)
        .stderr(open(&log)?);
    let process = Process::start(&mut command)?;
    Ok(Up { process, api: Api::new(&format!("http://{address}"))?, log })
}

impl Up {
    /// The jobs that are up, as a query now sees them.
    async fn jobs(&self) -> Vec<String> {
        let answer = self.api.get("/api/v1/query", &[("query", "up == 1")]).await.unwrap_or_default();
        let found = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        let mut jobs: Vec<_> = found.iter().filter_map(|s| Some(s["metric"]["job"].as_str()?.to_owned())).collect();
        jobs.sort();
        jobs
    }

    async fn wait_for_jobs(&mut self, want: &[&str]) -> anyhow::Result<()> {
        wait_for(&format!("jobs {want:?}"), WITHIN, async || self.jobs().await == want).await;
        ensure!(self.process.child().try_wait()?.is_none(), "it ended: {}", tail(&self.log));
        Ok(())
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        terminate(self.process.id())?;
        let status = ended(&mut self.process).await?;
        ensure!(status.success(), "it ended with {status}: {}", tail(&self.log));
        let log = std::fs::read_to_string(&self.log)?;
        let bad: Vec<_> = log.lines().filter(|l| l.contains("level=error") || l.contains("panicked at")).collect();
        ensure!(bad.is_empty(), "{}", bad.join("\n"));
        Ok(())
    }
}

fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
}

/// The oldest sample of `up{job="aion"}`, seconds.
async fn oldest(api: &Api) -> anyhow::Result<f64> {
    let query = r#"min_over_time(timestamp(up{job="aion"})[1h:1s])"#;
    let answer: Value = api.get("/api/v1/query", &[("query", query)]).await?;
    let value = answer["data"]["result"][0]["value"][1].as_str().with_context(|| answer.to_string())?;
    Ok(value.parse()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_up_and_keeps_its_data() -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("aion-up-").tempdir()?;
    let mut first = up(dir.path(), &[ANY_PORT])?;
    first.wait_for_jobs(&["aion", "node"]).await?;
    for metric in ["node_cpu_seconds_total", "node_uname_info", "prometheus_tsdb_head_series"] {
        let answer = first.api.get("/api/v1/query", &[("query", metric)]).await?;
        let found = answer["data"]["result"].as_array().map_or(0, Vec::len);
        ensure!(found > 0, "{metric}: {answer}");
    }
    let resident = resident_bytes(first.process.id())?;
    ensure!(resident < RESIDENT_BYTES_MAX, "{resident} bytes");
    // The steps of a subquery are whole seconds: the first sample may be younger than the last of them.
    wait_for("the first step with a sample", Duration::from_secs(30), async || oldest(&first.api).await.is_ok()).await;
    let begun = oldest(&first.api).await?;
    let said = std::fs::read_to_string(dir.path().join("up.out"))?;
    for part in ["Ready in ", "\n  aion server --", "\n  aion store --", "\n  aion query --", "\n  curl "] {
        ensure!(said.contains(part), "{part:?} is not in {said}");
    }
    first.stop().await?;

    let mut second = up(dir.path(), &[ANY_PORT, "--no-compact"])?;
    second.wait_for_jobs(&["aion", "node"]).await?;
    let still = oldest(&second.api).await?;
    ensure!(still == begun, "the oldest sample was of {begun}, is now of {still}");

    // The configuration is read again when it changes.
    let config = dir.path().join("data/prometheus.yml");
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, text.replace("job_name: node", "job_name: machine"))?;
    second.wait_for_jobs(&["aion", "machine"]).await?;
    second.stop().await
}

#[tokio::test]
async fn an_address_that_is_given_must_be_free() -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("aion-up-").tempdir()?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let mut up = up(dir.path(), &[&format!("--server.http-address={}", taken.local_addr()?)])?;
    let status = ended(&mut up.process).await?;
    let log = std::fs::read_to_string(&up.log)?;
    ensure!(status.code() == Some(1) && log.contains("--server.http-address: listen on"), "{status}: {log}");
    Ok(())
}
