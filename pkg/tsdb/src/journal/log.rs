//! Which logs there are, and how they are written.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// How logs are written.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// Segments, compression and file system.
    pub wal: wal::Options,
    /// How often what was written is made durable; zero = with each commit. A killed process loses nothing in either
    /// case: this is about the end of the whole machine.
    pub sync_interval: Duration,
}

impl Default for JournalOptions {
    /// Prometheus' segments, made durable each second.
    fn default() -> Self {
        Self { wal: wal::Options::default(), sync_interval: Duration::from_secs(1) }
    }
}

/// One of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// The write-ahead log.
    Wal,
    /// The log of late samples.
    Wbl,
}

/// The directory of a log in a data directory.
pub fn log_dir(data: &Path, log: Log) -> PathBuf {
    data.join(match log {
        Log::Wal => "wal",
        Log::Wbl => "wbl",
    })
}
