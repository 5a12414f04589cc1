//! A live Prometheus for the demo, when one is on PATH.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

/// A running Prometheus; ended by [`Live::stop`], killed if dropped.
#[derive(Debug)]
pub(crate) struct Live {
    child: Child,
    /// Its data, for the sidecar.
    pub data: PathBuf,
    pub address: String,
    /// The command line, to show.
    pub shown: String,
}

/// The program called `name`, if it is in a folder of `path`, which is written as in the environment.
pub(crate) fn on_path(path: &str, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path).map(|dir| dir.join(name)).find(|p| p.is_file())
}

/// Starts Prometheus on `port`, scraping itself and `targets` each five seconds.
///
/// # Errors
/// When its files cannot be written or it cannot be started.
pub(crate) fn start(program: &Path, dir: &Path, port: u16, targets: &[String]) -> std::io::Result<Live> {
    std::fs::create_dir_all(dir)?;
    let (config, data) = (dir.join("prometheus.yml"), dir.join("data"));
    let address = format!("127.0.0.1:{port}");
    let list = |t: &[String]| t.iter().map(|t| format!("{t:?}")).collect::<Vec<_>>().join(", ");
    std::fs::write(
        &config,
        format!(
            "global:\n  scrape_interval: 5s\n  external_labels: {{cluster: live, replica: a}}\nscrape_configs:\n\
             - job_name: prometheus\n  static_configs: [{{targets: [{address:?}]}}]\n\
             - job_name: aion\n  static_configs: [{{targets: [{}]}}]\n",
            list(targets)
        ),
    )?;
    let args = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", data.display()),
        format!("--web.listen-address={address}"),
        "--web.enable-lifecycle".to_owned(),
        "--storage.tsdb.min-block-duration=2h".to_owned(),
        "--storage.tsdb.max-block-duration=2h".to_owned(),
    ];
    let log = std::fs::File::create(dir.join("prometheus.log"))?;
    let child = Command::new(program)
        .args(&args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::from(log))
        // Ctrl-C at the terminal is for the demo, which ends its children itself.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let shown = format!("{} {}", program.display(), args.join(" "));
    Ok(Live { child, data, address, shown })
}

impl Live {
    /// Asks it to end, and kills it when it does not.
    pub async fn stop(mut self) {
        if let Some(pid) = self.child.id() {
            let asked = Command::new("kill").arg(pid.to_string()).status().await;
            let ended = tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await;
            if asked.is_ok_and(|s| s.success()) && ended.is_ok() {
                return;
            }
        }
        let _ = self.child.kill().await;
    }
}
