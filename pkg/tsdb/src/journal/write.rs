//! The thread that writes.

use std::path::PathBuf;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::log::{JournalOptions, Log, log_dir};
use super::metrics::LogMetrics;
use super::queue::{Answer, Queue, Request};
use crate::head::{JournalError, LogBatch, Records};

/// The writers of both logs.
pub(super) struct Logs {
    wal: wal::Writer,
    /// Opened with the first late sample.
    wbl: Option<wal::Writer>,
    wbl_dir: PathBuf,
    options: JournalOptions,
    metrics: LogMetrics,
    /// The end of the write-ahead log, for those who follow it.
    written: watch::Sender<wal::Position>,
    /// Logs whose end was corrupt when they were opened.
    pub(super) corrupt: u64,
}

type Waiting = (LogBatch, Answer<()>);

impl Logs {
    pub(super) fn open(
        data: &std::path::Path,
        options: &JournalOptions,
        metrics: LogMetrics,
    ) -> Result<Self, wal::Error> {
        let (wal, wal_corrupt) = open(&log_dir(data, Log::Wal), options)?;
        let wbl_dir = log_dir(data, Log::Wbl);
        // One that is there is opened at once: its end may be torn.
        let wbl = if wbl_dir.is_dir() { Some(open(&wbl_dir, options)?) } else { None };
        let wbl_corrupt = wbl.as_ref().is_some_and(|(_, corrupt)| *corrupt);
        let corrupt = u64::from(wal_corrupt) + u64::from(wbl_corrupt);
        let wbl = wbl.map(|(writer, _)| writer);
        let (written, _) = watch::channel(wal.position());
        Ok(Self { wal, wbl, wbl_dir, options: options.clone(), metrics, written, corrupt })
    }

    pub(super) fn written(&self) -> watch::Receiver<wal::Position> {
        self.written.subscribe()
    }

    /// What is not durable yet, of both.
    pub(super) fn unsynced(&mut self) -> Vec<wal::Unsynced> {
        std::iter::once(&mut self.wal).chain(&mut self.wbl).map(wal::Writer::unsynced).collect()
    }

    /// Goes on in new segments, since the old ones may have lost something.
    pub(super) fn leave_segments(&mut self) {
        for writer in std::iter::once(&mut self.wal).chain(&mut self.wbl) {
            if let Err(error) = writer.cut() {
                tracing::warn!(%error, "no new segment of the log can be made; it is tried again with the next commit");
            }
        }
    }

    fn sync(&mut self) -> Result<(), wal::Error> {
        let begin = tokio::time::Instant::now();
        let synced = self.unsynced().into_iter().try_for_each(wal::Unsynced::sync);
        self.metrics.sync_seconds.observe(begin.elapsed().as_secs_f64());
        if synced.is_err() {
            self.leave_segments();
        }
        synced
    }

    fn wbl(&mut self) -> Result<&mut wal::Writer, wal::Error> {
        if self.wbl.is_none() {
            self.wbl = Some(open(&self.wbl_dir, &self.options)?.0);
        }
        match &mut self.wbl {
            Some(writer) => Ok(writer),
            None => unreachable!("it was opened above"),
        }
    }

    fn cut(&mut self, log: Log) -> Result<Option<u64>, wal::Error> {
        let writer = match (log, &mut self.wbl) {
            (Log::Wal, _) => &mut self.wal,
            (Log::Wbl, Some(writer)) => writer,
            (Log::Wbl, None) => return Ok(None),
        };
        writer.cut()?;
        Ok(Some(writer.position().segment))
    }

    /// Writes batches in one go. If that fails, each one alone, so that one that can never be written costs no other.
    fn write(&mut self, waiting: Vec<Waiting>) {
        let batches: Vec<&LogBatch> = waiting.iter().map(|(batch, _)| batch).collect();
        match self.try_write(&batches) {
            Err(Failed { error: wal::Error::TooLarge { .. }, written: false }) if waiting.len() > 1 => {
                for one in waiting {
                    self.write(vec![one]);
                }
            }
            written => {
                let outcome = self.outcome(written);
                answer(waiting, &outcome);
            }
        }
    }

    /// Writes one batch.
    pub(super) fn write_one(&mut self, batch: &LogBatch) -> Result<(), JournalError> {
        let written = self.try_write(&[batch]);
        self.outcome(written)
    }

    /// Whether the operating system's cache most likely takes so many bytes at once: no file is to be begun or made durable.
    pub(super) fn is_quick(&self, bytes: usize) -> bool {
        const QUICK_BYTES: usize = 256 << 10;
        let behind = self.wal.position().offset + 2 * bytes as u64;
        bytes <= QUICK_BYTES && !self.options.sync_interval.is_zero() && behind < self.options.wal.segment_bytes
    }

    fn outcome(&mut self, written: Result<(), Failed>) -> Result<(), JournalError> {
        match written {
            Ok(()) => {
                self.metrics.segment.set(self.wal.position().segment as f64);
                let sync_each = self.options.sync_interval.is_zero();
                if sync_each { self.sync().map_err(|e| failed(&e, false)) } else { Ok(()) }
            }
            Err(Failed { error, written }) => {
                self.metrics.writes_failed.inc();
                if let Some(times) = self.metrics.occasionally.count() {
                    tracing::error!(%error, times, "the log cannot be written, commits are refused");
                }
                Err(failed(&error, !written))
            }
        }
    }

    fn try_write(&mut self, batches: &[&LogBatch]) -> Result<(), Failed> {
        let records = |of: fn(&LogBatch) -> &Records| batches.iter().flat_map(move |batch| of(batch).iter());
        let wal: Vec<&[u8]> = records(|batch| &batch.wal).collect();
        let wbl: Vec<&[u8]> = records(|batch| &batch.wbl).collect();
        if !wal.is_empty() {
            self.wal.log(&wal).map_err(|error| Failed { error, written: false })?;
            self.written.send_replace(self.wal.position());
        }
        if !wbl.is_empty() {
            let written = !wal.is_empty();
            self.wbl().and_then(|writer| writer.log(&wbl)).map_err(|error| Failed { error, written })?;
        }
        Ok(())
    }
}

struct Failed {
    error: wal::Error,
    /// Something of the batches is in a log.
    written: bool,
}

fn failed(error: &wal::Error, nothing_written: bool) -> JournalError {
    let advice = if error.is_out_of_space() { "; the disk is full: free space, or lower the retention" } else { "" };
    JournalError { message: format!("{error}{advice}"), nothing_written }
}

/// Those who gave up waiting are no concern.
fn answer(waiting: Vec<Waiting>, outcome: &Result<(), JournalError>) {
    for (_, answer) in waiting {
        let _ = answer.send(outcome.clone());
    }
}

/// Also whether the end of the log was corrupt.
fn open(dir: &std::path::Path, options: &JournalOptions) -> Result<(wal::Writer, bool), wal::Error> {
    let (writer, torn) = wal::Writer::open(dir, options.wal.clone())?;
    match &torn {
        Some(torn) if torn.is_damage => tracing::warn!(
            path = %dir.display(), at = %torn.position, bytes = torn.bytes, why = torn.why,
            "the end of the log is corrupt and was cut off: its samples are missing from answers; check the disk"
        ),
        Some(torn) => tracing::info!(
            path = %dir.display(), at = %torn.position, bytes = torn.bytes, why = torn.why,
            "cut off the end of the log, which a crash left unfinished"
        ),
        None => {}
    }
    Ok((writer, torn.is_some_and(|torn| torn.is_damage)))
}

/// Works until the queue is closed and empty.
pub(super) fn run(queue: &Queue, logs: &Mutex<Logs>) {
    let mut requests = Vec::new();
    while queue.take(&mut requests) {
        let mut logs = logs.lock();
        let mut waiting = Vec::new();
        for request in requests.drain(..) {
            if let Request::Batch(batch, answer) = request {
                waiting.push((batch, answer));
                continue;
            }
            if !waiting.is_empty() {
                logs.write(std::mem::take(&mut waiting));
            }
            match request {
                Request::Cut(log, answer) => {
                    let cut = logs.cut(log).map_err(|e| failed(&e, true));
                    let _ = answer.send(cut);
                }
                Request::Sync(answer) => {
                    let synced = logs.sync().map_err(|e| failed(&e, false));
                    let _ = answer.send(synced);
                }
                Request::Batch(..) => {}
            }
        }
        if !waiting.is_empty() {
            logs.write(waiting);
        }
    }
    if let Err(error) = logs.lock().sync() {
        tracing::error!(%error, "the log could not be made durable at the end");
    }
}
