//! What of the write-ahead log is still needed: old segments become a checkpoint.

use std::collections::HashMap;
use std::path::PathBuf;

use parking_lot::Mutex;
use telemetry::{Counter, Metrics};

use super::error::{Error, Result};
use crate::journal::{JournalOptions, Log, LogJournal, log_dir};

/// The write-ahead log's old segments.
#[derive(Debug)]
pub(crate) struct OldSegments {
    dir: PathBuf,
    late_dir: PathBuf,
    options: JournalOptions,
    /// Numbers in the log that the head does not have (any more), and how long their labels are needed.
    left: Mutex<HashMap<u64, Needed>>,
    /// Numbers of series that left the head since segments were removed last.
    removed: Mutex<Vec<u64>>,
    metrics: OldSegmentsMetrics,
}

/// How long a number's labels are needed in the log.
#[derive(Debug, Clone, Copy)]
struct Needed {
    /// The last segment that may name it.
    segment: u64,
    /// Its samples may be as new as this; a checkpoint keeps those that are not older than the head, ms.
    until_ms: i64,
}

impl Needed {
    /// Whether a checkpoint up to `segment` for a head from `min_time_ms` on has to keep the labels.
    fn is_kept(self, segment: u64, min_time_ms: i64) -> bool {
        self.segment > segment || self.until_ms >= min_time_ms
    }
}

#[derive(Debug)]
struct OldSegmentsMetrics {
    truncations: Counter,
    truncations_failed: Counter,
    checkpoints: Counter,
    checkpoints_failed: Counter,
    deletions: Counter,
    deletions_failed: Counter,
    corruptions: Counter,
}

impl OldSegmentsMetrics {
    fn new(m: &Metrics) -> Self {
        Self {
            truncations: m.counter("prometheus_tsdb_wal_truncations_total", "Removals of old segments of the log."),
            truncations_failed: m
                .counter("prometheus_tsdb_wal_truncations_failed_total", "Removals of old segments that failed."),
            checkpoints: m.counter("prometheus_tsdb_checkpoint_creations_total", "Checkpoints of the log."),
            checkpoints_failed: m
                .counter("prometheus_tsdb_checkpoint_creations_failed_total", "Checkpoints that failed."),
            deletions: m.counter("prometheus_tsdb_checkpoint_deletions_total", "Deletions of old checkpoints."),
            deletions_failed: m
                .counter("prometheus_tsdb_checkpoint_deletions_failed_total", "Deletions of checkpoints that failed."),
            corruptions: m
                .counter("prometheus_tsdb_wal_corruptions_total", "Corrupt places that were found in the log."),
        }
    }
}

impl OldSegments {
    pub(crate) fn new(data: &std::path::Path, options: JournalOptions, metrics: &Metrics) -> Self {
        let metrics = OldSegmentsMetrics::new(metrics);
        let (dir, late_dir) = (log_dir(data, Log::Wal), log_dir(data, Log::Wbl));
        Self { dir, late_dir, options, left: Mutex::default(), removed: Mutex::default(), metrics }
    }

    /// Corrupt places found so far.
    pub(crate) fn corruptions(&self) -> u64 {
        self.metrics.corruptions.get()
    }

    /// Notes corrupt places that somebody else found.
    pub(crate) fn count_corruptions(&self, count: u64) {
        self.metrics.corruptions.inc_by(count);
    }

    /// Numbers that a replay found for series which have another number too. No segment behind `segment` has them, and no
    /// sample of theirs is newer than `until_ms`.
    pub(crate) fn note_other_numbers(&self, numbers: Vec<u64>, segment: u64, until_ms: i64) {
        self.left.lock().extend(numbers.into_iter().map(|number| (number, Needed { segment, until_ms })));
    }

    /// Numbers of series that left the head: the segments that there are may name them.
    pub(crate) fn note_removed(&self, numbers: Vec<u64>) {
        self.removed.lock().extend(numbers);
    }

    /// Replaces the older two thirds of the segments by a checkpoint. `min_time_ms` is where the head begins, `in_head` gives
    /// the numbers of its series. `freed` are those of series that just left it and have no sample after `until_ms`: their
    /// labels are kept as long as the log may name them.
    pub(crate) async fn truncate(
        &self,
        journal: &LogJournal,
        min_time_ms: i64,
        freed: (Vec<u64>, i64),
        in_head: &(dyn Fn() -> Vec<u64> + Sync),
    ) -> Result<()> {
        let outcome = self.try_truncate(journal, min_time_ms, freed, in_head).await;
        if outcome.is_err() {
            self.metrics.truncations_failed.inc();
        }
        outcome
    }

    async fn try_truncate(
        &self,
        journal: &LogJournal,
        min_time_ms: i64,
        freed: (Vec<u64>, i64),
        in_head: &(dyn Fn() -> Vec<u64> + Sync),
    ) -> Result<()> {
        let failed = |e: crate::head::JournalError| Error::Head(format!("write-ahead log: {}", e.message));
        let Some(current) = journal.cut(Log::Wal).await.map_err(failed)? else { return Ok(()) };
        // A record that names one of them may be in the segment that was just ended.
        let ended = current.saturating_sub(1);
        self.note_other_numbers(freed.0, ended, freed.1);
        self.note_other_numbers(std::mem::take(&mut *self.removed.lock()), ended, freed.1);
        let first = wal::list_segments(&self.dir).map_err(Error::io("list", &self.dir))?.first().map(|s| s.number);
        let Some(first) = first else { return Ok(()) };
        let last = first + ended.saturating_sub(first) * 2 / 3;
        if last <= first {
            return Ok(());
        }
        self.checkpoint(last, min_time_ms, in_head)?;
        wal::remove_below(&self.dir, last + 1).map_err(Error::io("remove segments in", &self.dir))?;
        self.metrics.truncations.inc();
        self.left.lock().retain(|_, needed| needed.is_kept(last, min_time_ms));
        self.metrics.deletions.inc();
        wal::checkpoint::remove_below(&self.dir, last).map_err(|e| {
            self.metrics.deletions_failed.inc();
            Error::io("remove checkpoints in", &self.dir)(e)
        })
    }

    /// Removes the segments of the log of late samples before `segment`.
    pub(crate) fn truncate_late(&self, segment: Option<u64>) -> Result<()> {
        let Some(segment) = segment else { return Ok(()) };
        wal::remove_below(&self.late_dir, segment).map(drop).map_err(Error::io("remove segments in", &self.late_dir))
    }

    fn checkpoint(&self, last: u64, min_time_ms: i64, in_head: &(dyn Fn() -> Vec<u64> + Sync)) -> Result<()> {
        // Of series that are newer than this list no segment knows that is replaced now.
        let mut in_head = in_head();
        in_head.sort_unstable();
        let left = self.left.lock();
        let mut keep = |reference| {
            in_head.binary_search(&reference).is_ok()
                || left.get(&reference).is_some_and(|needed| needed.is_kept(last, min_time_ms))
        };
        let options = self.options.wal.clone();
        let request = wal::checkpoint::Request { segment: last, min_time_ms, keep: &mut keep, options };
        self.metrics.checkpoints.inc();
        match wal::checkpoint::write(&self.dir, request) {
            Ok(None) => Ok(()),
            Ok(Some((_, stats))) => {
                self.metrics.corruptions.inc_by(stats.corruptions);
                for corruption in &stats.corruptions_told {
                    tracing::warn!(%corruption, "corrupt place in the log, the checkpoint goes on behind it");
                }
                tracing::info!(segment = last, series = stats.series, samples = stats.samples, "wrote a checkpoint");
                Ok(())
            }
            Err(e) => {
                self.metrics.checkpoints_failed.inc();
                Err(e.into())
            }
        }
    }
}
