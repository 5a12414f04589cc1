//! The store as a whole.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::{Mutex, RwLock};
use storage::append::{AppendOptions, Appendable, Appender};
use storage::{Ctx, ReplayProgress, TsdbView};
use telemetry::Metrics;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::appender::AgentAppender;
use super::metrics::AgentMetrics;
use super::options::AgentOptions;
use super::replay;
use super::series::SeriesMap;
use crate::db::{DirLock, Error, Result};
use crate::journal::{Log, LogJournal, log_dir, unhide};

/// Numbers that the log may still name and that no series has (any more), and the last segment that may name them.
pub(super) type Left = HashMap<u64, u64>;

/// A write-ahead log that samples are appended to. Clones are one.
#[derive(Debug, Clone)]
pub struct AgentStore(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub dir: PathBuf,
    pub options: AgentOptions,
    pub series: SeriesMap,
    pub journal: LogJournal,
    pub left: Mutex<Left>,
    /// Held while the labels of new series and their samples are handed to the log, so that labels come first.
    pub order: Mutex<()>,
    pub metrics: AgentMetrics,
    pub newest_ms: AtomicI64,
    /// Why no new series are taken, while that is so.
    pub closed: RwLock<Option<String>>,
    _lock: Option<DirLock>,
}

impl AgentStore {
    /// Opens the directory `data` and reads its log. It blocks.
    ///
    /// # Errors
    /// Another process has it open, or the file system refuses.
    pub fn open(data: &Path, options: AgentOptions, metrics: &Metrics) -> Result<Self> {
        std::fs::create_dir_all(data).map_err(Error::io("create", data))?;
        let lock = if options.no_lockfile { None } else { Some(DirLock::take(data)?) };
        let series = SeriesMap::new(options.seed);
        let own = AgentMetrics::new(metrics);
        let begin = tokio::time::Instant::now();
        // Before the log is opened for writing, which begins a segment.
        unhide(&log_dir(data, Log::Wal))?;
        let replayed = replay::read(&log_dir(data, Log::Wal), &series)?;
        own.replay_seconds.set(begin.elapsed().as_secs_f64());
        own.corruptions.inc_by(replayed.corruptions);
        own.series.set(series.len() as f64);
        own.deleted.set(replayed.left.len() as f64);
        let journal = LogJournal::open(data, options.journal.clone(), metrics)?;
        Ok(Self(Arc::new(Inner {
            dir: log_dir(data, Log::Wal),
            options,
            series,
            journal,
            left: Mutex::new(replayed.left),
            order: Mutex::new(()),
            metrics: own,
            newest_ms: AtomicI64::new(replayed.newest_ms),
            closed: RwLock::default(),
            _lock: lock,
        })))
    }

    /// The directory of the log.
    pub fn log_dir(&self) -> &Path {
        &self.0.dir
    }

    /// How many series there are.
    pub fn series(&self) -> usize {
        self.0.series.len()
    }

    /// Refuses new series for this reason, or takes them again. Samples of known ones are taken.
    pub fn refuse_new_series(&self, why: Option<String>) {
        *self.0.closed.write() = why;
    }

    /// Up to where the log is written: for those who follow it.
    pub fn written(&self) -> watch::Receiver<wal::Position> {
        self.0.journal.written()
    }

    /// The newest sample, ms; `None` = there is none yet.
    pub fn newest_ms(&self) -> Option<i64> {
        let newest_ms = self.0.newest_ms.load(Ordering::Relaxed);
        (newest_ms > i64::MIN).then_some(newest_ms)
    }

    /// Removes what is old until `shutdown`. `needed` tells the first segment that somebody has to send yet; `None` = nobody
    /// sends.
    pub async fn run(self, needed: impl Fn() -> Option<u64> + Send + Sync + 'static, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(self.0.options.truncate_interval)).await.is_some() {
            if let Err(error) = self.truncate(needed()).await {
                tracing::warn!(%error, "old segments of the log cannot be removed, it is tried again later");
            }
        }
    }

    /// Brings everything to disk and ends the work on the log. It blocks.
    pub fn close(&self) {
        self.0.journal.close();
    }
}

impl Appendable for AgentStore {
    fn appender(&self, ctx: &Ctx, options: AppendOptions) -> Box<dyn Appender> {
        Box::new(AgentAppender::new(self.0.clone(), ctx.clone(), options))
    }
}

impl TsdbView for AgentStore {
    fn blocks(&self) -> Vec<String> {
        Vec::new()
    }

    fn replay(&self) -> ReplayProgress {
        ReplayProgress { done: true, ..ReplayProgress::default() }
    }

    fn corruptions(&self) -> u64 {
        self.0.metrics.corruptions.get()
    }
}
