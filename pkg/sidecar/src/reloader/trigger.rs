//! Making Prometheus reload: by its HTTP API, or by SIGHUP to the process of a name.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use promclient::PromClient;

use super::ReloaderOptions;

/// How long Prometheus may take to load its configuration after a signal.
const LOAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The same, when the configuration before was bad too: a second bad one does not show.
const STILL_BAD_TIMEOUT: Duration = Duration::from_secs(3);
/// From one question whether it has to the next.
const LOAD_POLL: Duration = Duration::from_millis(200);
/// The kernel keeps so many bytes of a process' name.
const COMM_BYTES: usize = 15;

/// How Prometheus is told to reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// POST `/-/reload`, which needs `--web.enable-lifecycle`.
    Http,
    /// SIGHUP to the process of this name; needs the same process namespace.
    Signal { process_name: String },
}

impl Method {
    /// As the flag spells it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Signal { .. } => "signal",
        }
    }
}

/// Reloads and waits until the new configuration is in force.
pub(super) async fn reload(options: &ReloaderOptions, client: &PromClient) -> Result<(), String> {
    match &options.method {
        Method::Http => client.reload().await.map_err(|e| e.to_string()),
        Method::Signal { process_name } => by_signal(&options.proc_root, process_name, client).await,
    }
}

async fn by_signal(proc_root: &Path, name: &str, client: &PromClient) -> Result<(), String> {
    let before = client.config_state().await.map_err(|e| e.to_string())?;
    let pid = find_process(proc_root, name)
        .ok_or_else(|| format!("no process called {name:?} is to be seen (--reloader.process-name)"))?;
    let target = rustix::process::Pid::from_raw(pid).ok_or_else(|| format!("process id {pid} makes no sense"))?;
    rustix::process::kill_process(target, rustix::process::Signal::HUP)
        .map_err(|e| format!("cannot signal process {pid} ({name}): {e}"))?;
    let began = Instant::now();
    loop {
        let now = client.config_state().await.map_err(|e| e.to_string())?;
        if now.good && now.loaded_at_s != before.loaded_at_s {
            return Ok(());
        }
        if !now.good && (before.good || began.elapsed() >= STILL_BAD_TIMEOUT) {
            return Err("prometheus found its configuration bad, see its log".to_owned());
        }
        if began.elapsed() >= LOAD_TIMEOUT {
            return Err(format!("prometheus got SIGHUP and did not reload within {LOAD_TIMEOUT:?}"));
        }
        tokio::time::sleep(LOAD_POLL).await;
    }
}

/// The lowest id of the processes whose executable is called `name`.
fn find_process(proc_root: &Path, name: &str) -> Option<i32> {
    let short = &name.as_bytes()[..name.len().min(COMM_BYTES)];
    let ids = fs::read_dir(proc_root).ok()?.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    ids.filter(|id| {
        let dir = proc_root.join(id.to_string());
        let comm = fs::read(dir.join("comm")).unwrap_or_default();
        if comm.trim_ascii_end() != short {
            return false;
        }
        // a cut name is looked up in full, where that is allowed
        name.len() <= COMM_BYTES
            || fs::read_link(dir.join("exe")).map_or(true, |exe| exe.file_name().is_some_and(|n| n == name))
    })
    .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for (id, comm) in [("7", "prometheus\n"), ("12", "prometheus\n"), ("3", "sh\n"), ("9", "a-very-long-nam\n")] {
            fs::create_dir(dir.path().join(id)).unwrap();
            fs::write(dir.path().join(id).join("comm"), comm).unwrap();
        }
        fs::create_dir(dir.path().join("self")).unwrap();
        std::os::unix::fs::symlink("/bin/a-very-long-name", dir.path().join("9/exe")).unwrap();
        assert_eq!(find_process(dir.path(), "prometheus"), Some(7));
        assert_eq!(find_process(dir.path(), "prom"), None);
        assert_eq!(find_process(dir.path(), "a-very-long-name"), Some(9));
        assert_eq!(find_process(dir.path(), "a-very-long-name2"), None);
    }
}
