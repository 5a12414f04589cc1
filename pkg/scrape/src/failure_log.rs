//! `scrape_failure_log_file`: a line of JSON for each scrape that failed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::format_rfc3339_ms;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tracing::warn;

/// Lines that may wait for a slow disk; more are dropped, and a later line says how many.
const WAITING_MAX: usize = 1024;

/// A line, with the names that Prometheus gives.
#[derive(Debug, Serialize)]
struct Line<'a> {
    time: String,
    level: &'static str,
    msg: &'a str,
    job_name: &'a str,
    target: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    lines_dropped: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// A file that failures are written to, by a task of its own.
#[derive(Debug)]
pub(crate) struct FailureLog {
    sender: mpsc::Sender<String>,
    dropped: Mutex<u64>,
}

/// The files in use, by path.
#[derive(Debug, Default)]
pub(crate) struct FailureLogs {
    open: BTreeMap<PathBuf, Arc<FailureLog>>,
}

impl FailureLogs {
    /// The log at `path`, opened if it is not yet.
    pub(crate) fn open(&mut self, path: &Path, tracker: &TaskTracker) -> std::io::Result<Arc<FailureLog>> {
        if let Some(log) = self.open.get(path) {
            return Ok(log.clone());
        }
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
        let (sender, lines) = mpsc::channel(WAITING_MAX);
        tracker.spawn(write(tokio::fs::File::from_std(file), path.to_owned(), lines));
        let log = Arc::new(FailureLog { sender, dropped: Mutex::new(0) });
        self.open.insert(path.to_owned(), log.clone());
        Ok(log)
    }

    /// Closes the files that no job uses any more.
    pub(crate) fn close_unused(&mut self) {
        self.open.retain(|_, log| Arc::strong_count(log) > 1);
    }
}

impl FailureLog {
    /// Notes a failure; never waits.
    pub(crate) fn note(&self, time_ms: i64, job_name: &str, target: &str, error: &str) {
        let mut dropped = self.dropped.lock();
        let line = Line {
            time: format_rfc3339_ms(time_ms),
            level: "ERROR",
            msg: error,
            job_name,
            target,
            lines_dropped: *dropped,
        };
        let Ok(line) = serde_json::to_string(&line) else { return };
        match self.sender.try_send(line + "\n") {
            Ok(()) => *dropped = 0,
            Err(_) => *dropped += 1,
        }
    }
}

async fn write(mut file: tokio::fs::File, path: PathBuf, mut lines: mpsc::Receiver<String>) {
    let told = telemetry::Occasionally::minutely();
    while let Some(line) = lines.recv().await {
        let written = match file.write_all(line.as_bytes()).await {
            Ok(()) => file.flush().await,
            Err(e) => Err(e),
        };
        if let Err(e) = written
            && let Some(lines) = told.count()
        {
            warn!(path = %path.display(), lines, error = %e, "failed scrapes cannot be logged");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("failures.json");
        let (mut logs, tracker) = (FailureLogs::default(), TaskTracker::new());
        let log = logs.open(&path, &tracker).unwrap();
        log.note(1_700_000_000_123, "j", "http://a/", "say \"why\"");
        assert!(Arc::ptr_eq(&log, &logs.open(&path, &tracker).unwrap()));
        drop(log);
        logs.close_unused();
        tracker.close();
        tracker.wait().await;
        let text = std::fs::read_to_string(&path).unwrap();
        let want = "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"ERROR\",\"msg\":\"say \\\"why\\\"\",\
                    \"job_name\":\"j\",\"target\":\"http://a/\"}\n";
        assert_eq!(text, want);
        assert!(logs.open(&dir.path().join("none/x"), &tracker).is_err());
    }
}
