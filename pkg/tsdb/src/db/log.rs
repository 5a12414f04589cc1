//! What of the write-ahead log is still needed: old segments become a checkpoint.

use std::collections::HashMap;
use std::path::PathBuf;

use parking_lot::Mutex;
use telemetry::{Counter, Metrics};

use super::error::{Error, Result};
use crate::journal::{Before, JournalOptions, Log, LogJournal, log_dir};

/// The write-ahead log's old segments.
#[derive(Debug)]
pub(crate) struct OldSegments {
    dir: PathBuf,
    late_dir: PathBuf,
    options: JournalOptions,
    /// Numbers in the log that the head does not have (any more), and how long their labels are needed.
    left: Mutex<HashMap<u64, Needed>>,
    /// How long any number's labels are needed, since the log that may name it was not read.
    unread: Mutex<Option<Needed>>,
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
    /// The last segment of the log of late samples that may name it. Late samples of any time are there until they are cut.
    late_segment: Option<u64>,
}

/// What a checkpoint leaves.
#[derive(Debug, Clone, Copy)]
struct Kept {
    /// The last segment that it replaces.
    segment: u64,
    /// Where the head begins, ms.
    min_time_ms: i64,
    /// Deletions of older samples are needed no more, ms.
    deleted_min_ms: i64,
    /// The first segment of the log of late samples.
    first_late: Option<u64>,
}

impl Needed {
    /// Whether a checkpoint has to keep the labels.
    fn is_kept(self, kept: Kept) -> bool {
        let is_late = self.late_segment.zip(kept.first_late).is_some_and(|(last, first)| first <= last);
        self.segment > kept.segment || self.until_ms >= kept.min_time_ms || is_late
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
        Self {
            dir,
            late_dir,
            options,
            left: Mutex::default(),
            unread: Mutex::default(),
            removed: Mutex::default(),
            metrics,
        }
    }

    /// Corrupt places found so far.
    pub(crate) fn corruptions(&self) -> u64 {
        self.metrics.corruptions.get()
    }

    /// Notes corrupt places that somebody else found.
    pub(crate) fn count_corruptions(&self, count: u64) {
        self.metrics.corruptions.inc_by(count);
    }

    /// Numbers that a replay found for series which have another number too. No segment behind the `last` ones of the two
    /// logs has them, and no sample of theirs that came in order is newer than `until_ms`. `is_read` tells that there are no
    /// others: a snapshot is read in place of the log, and names those numbers only that it needs itself.
    pub(crate) fn note_replayed(&self, numbers: Vec<u64>, last: Before, until_ms: i64, is_read: bool) {
        let needed = Needed { segment: last.wal.unwrap_or(0), until_ms, late_segment: last.wbl };
        self.left.lock().extend(numbers.into_iter().map(|number| (number, needed)));
        *self.unread.lock() = (!is_read).then_some(needed);
    }

    fn note_freed(&self, numbers: Vec<u64>, segment: u64, until_ms: i64) {
        // What was late of theirs is in blocks.
        let needed = Needed { segment, until_ms, late_segment: None };
        self.left.lock().extend(numbers.into_iter().map(|number| (number, needed)));
    }

    /// Numbers of series that left the head: the segments that there are may name them.
    pub(crate) fn note_removed(&self, numbers: Vec<u64>) {
        self.removed.lock().extend(numbers);
    }

    /// Replaces the older two thirds of the segments by a checkpoint. `min_time_ms` is where the head begins, and
    /// `oldest_late_ms` its oldest late sample, whose deletion must not be forgotten before it is in a block; `in_head` gives
    /// the numbers of its series. `freed` are those of series that just left it and have no sample after `until_ms`: their
    /// labels are kept as long as the log may name them.
    pub(crate) async fn truncate(
        &self,
        journal: &LogJournal,
        (min_time_ms, oldest_late_ms): (i64, Option<i64>),
        freed: (Vec<u64>, i64),
        in_head: &(dyn Fn() -> Vec<u64> + Sync),
    ) -> Result<()> {
        let outcome = self.try_truncate(journal, (min_time_ms, oldest_late_ms), freed, in_head).await;
        if outcome.is_err() {
            self.metrics.truncations_failed.inc();
        }
        outcome
    }

    async fn try_truncate(
        &self,
        journal: &LogJournal,
        (min_time_ms, oldest_late_ms): (i64, Option<i64>),
        freed: (Vec<u64>, i64),
        in_head: &(dyn Fn() -> Vec<u64> + Sync),
    ) -> Result<()> {
        let failed = |e: crate::head::JournalError| Error::Head(format!("write-ahead log: {}", e.message));
        let Some(current) = journal.cut(Log::Wal).await.map_err(failed)? else { return Ok(()) };
        // A record that names one of them may be in the segment that was just ended.
        let ended = current.saturating_sub(1);
        self.note_freed(freed.0, ended, freed.1);
        self.note_freed(std::mem::take(&mut *self.removed.lock()), ended, freed.1);
        let first = wal::list_segments(&self.dir).map_err(Error::io("list", &self.dir))?.first().map(|s| s.number);
        let Some(first) = first else { return Ok(()) };
        let last = first + ended.saturating_sub(first) * 2 / 3;
        if last <= first {
            return Ok(());
        }
        let late = wal::list_segments(&self.late_dir).map_err(Error::io("list", &self.late_dir))?;
        let deleted_min_ms = oldest_late_ms.map_or(min_time_ms, |late_ms| late_ms.min(min_time_ms));
        let kept = Kept { segment: last, min_time_ms, deleted_min_ms, first_late: late.first().map(|s| s.number) };
        self.checkpoint(kept, in_head)?;
        wal::remove_below(&self.dir, last + 1).map_err(Error::io("remove segments in", &self.dir))?;
        self.metrics.truncations.inc();
        self.left.lock().retain(|_, needed| needed.is_kept(kept));
        self.unread.lock().take_if(|needed| !needed.is_kept(kept));
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

    fn checkpoint(&self, kept: Kept, in_head: &(dyn Fn() -> Vec<u64> + Sync)) -> Result<()> {
        let Kept { segment: last, min_time_ms, deleted_min_ms, .. } = kept;
        // Of series that are newer than this list no segment knows that is replaced now.
        let mut in_head = in_head();
        in_head.sort_unstable();
        let left = self.left.lock();
        let any = self.unread.lock().is_some_and(|needed| needed.is_kept(kept));
        let mut keep = |reference| {
            any || in_head.binary_search(&reference).is_ok()
                || left.get(&reference).is_some_and(|needed| needed.is_kept(kept))
        };
        let options = self.options.wal.clone();
        let request = wal::checkpoint::Request { segment: last, min_time_ms, deleted_min_ms, keep: &mut keep, options };
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
