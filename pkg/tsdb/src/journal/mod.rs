//! The logs of the head on disk. A commit is written at once while nobody else writes, which saves two changes of threads;
//! otherwise by one thread, as many at a time as wait for it. Another thread makes them durable every now and then, while the
//! others go on.

mod log;
mod metrics;
mod queue;
mod sync;
mod write;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use futures::future::{BoxFuture, FutureExt, ready};
use parking_lot::Mutex;
use telemetry::Metrics;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{oneshot, watch};

pub use self::log::{JournalOptions, Log, log_dir};
use self::metrics::LogMetrics;
use self::queue::{Queue, Request};
use self::write::Logs;
use crate::head::{Journal, JournalError, LogBatch};

/// Both logs of a data directory: `wal` and, for samples that came late, `wbl`.
pub struct LogJournal {
    queue: Arc<Queue>,
    logs: Arc<Mutex<Logs>>,
    dir: PathBuf,
    /// What of the logs was there before.
    before: Before,
    corrupt: u64,
    threads: Mutex<Vec<JoinHandle<()>>>,
    written: watch::Receiver<wal::Position>,
}

impl fmt::Debug for LogJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogJournal").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// The last segments that an earlier process wrote; `None` where it wrote none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Before {
    /// Of `wal`.
    pub wal: Option<u64>,
    /// Of `wbl`.
    pub wbl: Option<u64>,
    /// Segments of `wal` stand behind a checkpoint that was not written after them.
    pub unhidden: bool,
}

impl LogJournal {
    /// Opens the logs in `data`, behind what is there. Blocks on the disk.
    ///
    /// # Errors
    /// The first segment cannot be made: see [`wal::Error`].
    pub fn open(data: &Path, options: JournalOptions, metrics: &Metrics) -> Result<Self, wal::Error> {
        let last = |log| wal::list_segments(&log_dir(data, log)).ok().and_then(|s| Some(s.last()?.number));
        let unhidden = unhide(&log_dir(data, Log::Wal))?;
        let before = Before { wal: last(Log::Wal), wbl: last(Log::Wbl), unhidden };
        let metrics = LogMetrics::new(metrics);
        let logs = Logs::open(data, &options, metrics.clone())?;
        let written = logs.written();
        let corrupt = logs.corrupt;
        let logs = Arc::new(Mutex::new(logs));
        let queue = Arc::new(Queue::default());
        let writing = (queue.clone(), logs.clone());
        let mut threads = vec![spawn("wal-write", move || write::run(&writing.0, &writing.1))?];
        if !options.sync_interval.is_zero() {
            let syncing = queue.clone();
            let every = options.sync_interval;
            let logs = logs.clone();
            threads.push(spawn("wal-sync", move || sync::run(&syncing, &logs, every, &metrics))?);
        }
        Ok(Self { queue, logs, dir: data.to_owned(), before, corrupt, threads: Mutex::new(threads), written })
    }

    /// What an earlier process wrote, for the replay.
    pub fn before(&self) -> Before {
        self.before
    }

    /// Up to where the write-ahead log is written: for those who follow it.
    pub fn written(&self) -> watch::Receiver<wal::Position> {
        self.written.clone()
    }

    /// How many logs ended with bytes that had changed, and lost what those were. The end of a write that a crash cut short is
    /// no such.
    pub fn corrupt(&self) -> u64 {
        self.corrupt
    }

    /// Begins a new segment of a log; its number. `None` if there is no such log.
    pub fn cut(&self, log: Log) -> BoxFuture<'static, Result<Option<u64>, JournalError>> {
        let (answer, answered) = oneshot::channel();
        self.queue.push(Request::Cut(log, answer));
        answered.map(|answer| answer.unwrap_or_else(|_| Err(closed()))).boxed()
    }

    /// Makes all that was logged so far durable.
    pub fn sync(&self) -> BoxFuture<'static, Result<(), JournalError>> {
        let (answer, answered) = oneshot::channel();
        self.queue.push(Request::Sync(answer));
        answered.map(|answer| answer.unwrap_or_else(|_| Err(closed()))).boxed()
    }

    /// Writes a batch now, if nobody else writes and that is quick; `None` otherwise. A disk that is slow all the same holds one
    /// thread of the runtime up, as all others go through the queue then: there must be another one.
    fn try_now(&self, batch: &LogBatch) -> Option<Result<(), JournalError>> {
        let is_one_of_several = |runtime: &Handle| {
            runtime.runtime_flavor() == RuntimeFlavor::MultiThread && runtime.metrics().num_workers() > 1
        };
        // Late samples are logged with a lock held, which others wait for.
        if !batch.wbl.is_empty() || !Handle::try_current().as_ref().is_ok_and(is_one_of_several) {
            return None;
        }
        let _turn = self.queue.try_turn()?;
        let mut logs = self.logs.lock();
        logs.is_quick(batch.wal.size_bytes()).then(|| logs.write_one(batch))
    }

    /// Writes what waits, makes it durable and ends. What is logged afterwards is refused. Blocks on the disk.
    pub fn close(&self) {
        self.queue.close();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the write-ahead log panicked");
            }
        }
    }
}

impl Drop for LogJournal {
    fn drop(&mut self) {
        self.close();
    }
}

impl Journal for LogJournal {
    fn log(&self, batch: LogBatch) -> BoxFuture<'static, Result<(), JournalError>> {
        if batch.wal.is_empty() && batch.wbl.is_empty() {
            return ready(Ok(())).boxed();
        }
        if let Some(outcome) = self.try_now(&batch) {
            return ready(outcome).boxed();
        }
        let (answer, answered) = oneshot::channel();
        self.queue.push(Request::Batch(batch, answer));
        answered.map(|answer| answer.unwrap_or_else(|_| Err(closed()))).boxed()
    }
}

/// Makes segments readable that a checkpoint hides, and tells; whether there were any.
///
/// # Errors
/// The file system refuses.
pub(crate) fn unhide(dir: &Path) -> Result<bool, wal::Error> {
    let unhidden = wal::checkpoint::unhide(dir)?;
    if let Some(wal::checkpoint::Unhidden { checkpoint, segments, first }) = &unhidden {
        tracing::warn!(
            checkpoint = %checkpoint.display(),
            segments,
            first,
            "the checkpoint's number is beyond segments of the log that it does not replace: they got new numbers behind \
             it and are read, nothing is lost"
        );
    }
    Ok(unhidden.is_some())
}

fn closed() -> JournalError {
    JournalError { message: "the database is closed".to_owned(), nothing_written: true }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, wal::Error> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map_err(|source: io::Error| wal::Error::Io { what: "start the thread of", path: name.into(), source })
}

#[cfg(test)]
mod tests;
