//! `aion server --agent`: what it scrapes arrives by remote write, and its log goes to Prometheus' agent and back.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use testkit::{Process, free_port, wait_for};
use tests::aion::binary;
use tests::client::Api;
use tests::peer::{Prometheus, PrometheusOptions, ended, prometheus, tail, terminate};

const LONG: Duration = Duration::from_secs(60);

/// An agent, ours or Prometheus', on a data directory and a configuration.
struct Agent {
    process: Process,
    api: Api,
    log: std::path::PathBuf,
}

impl Agent {
    async fn start(program: &Path, first: &[&str], dir: &Path) -> anyhow::Result<Self> {
        let port = free_port()?;
        let log = dir.join(format!("agent-{port}.log"));
        let mut command = Command::new(program);
        command
            .args(first)
            .arg(format!("--config.file={}", dir.join("agent.yml").display()))
            .arg(format!("--storage.agent.path={}", dir.join("data-agent").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let process = Process::start(&mut command)?;
        let api = Api::new(&format!("http://127.0.0.1:{port}"))?;
        wait_for("the agent", LONG, async || api.ready().await).await;
        Ok(Self { process, api, log })
    }

    async fn stop(mut self) -> anyhow::Result<String> {
        terminate(self.process.id())?;
        let status = ended(&mut self.process).await?;
        ensure!(status.success(), "{status}: {}", tail(&self.log));
        Ok(std::fs::read_to_string(&self.log)?)
    }
}

/// How many samples of `up` of the job the server has.
async fn arrived(server: &Prometheus, job: &str) -> anyhow::Result<f64> {
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs_f64();
    let answer = server.api.query(&format!("sum(count_over_time(up{{job=\"{job}\"}}[1h]))"), now_s).await?;
    let value = &answer["data"]["result"][0]["value"][1];
    value.as_str().context("no sample yet")?.parse().context("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_sends_what_it_scrapes_and_its_log_is_prometheus() -> anyhow::Result<()> {
    let test = "an_agent_sends_what_it_scrapes_and_its_log_is_prometheus";
    let Some(theirs) = prometheus(test) else { return Ok(()) };
    let dir = tempfile::Builder::new().prefix("aion-agent-").tempdir()?;
    let options = PrometheusOptions { subcommand: Some("server"), ..Default::default() };
    let server = Prometheus::start(binary(), &dir.path().join("server"), &options).await?;
    let target = server.base.trim_start_matches("http://").to_owned();
    std::fs::write(
        dir.path().join("agent.yml"),
        format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: agent\n  static_configs: [{{targets: ['{target}']}}]\n\
             remote_write: [{{url: 'http://{target}/api/v1/write'}}]\n"
        ),
    )?;
    let mut before = 0.0;
    let steps: [(&Path, &[&str]); 4] = [
        (&theirs, &["--enable-feature=agent"]),
        (binary(), &["server", "--agent"]),
        (&theirs, &["--enable-feature=agent"]),
        (binary(), &["server", "--agent"]),
    ];
    for (step, (program, args)) in steps.into_iter().enumerate() {
        let agent = Agent::start(program, args, dir.path()).await?;
        let more = async || arrived(&server, "agent").await.is_ok_and(|count| count >= before + 3.0);
        wait_for(&format!("samples of step {step}"), LONG, more).await;
        before = arrived(&server, "agent").await?;
        let (status, refused) = agent.api.post("/api/v1/query", &[("query", "up")]).await?;
        ensure!(status == 422 && refused["error"] == "unavailable with Prometheus Agent", "{status} {refused}");
        let log = agent.stop().await?;
        for wrong in ["corrupt", "non-existing series", "level=error", "panicked"] {
            ensure!(!log.contains(wrong), "step {step}: {wrong} in {log}");
        }
    }
    server.stop().await
}
