//! Series that are dead, and segments that are old.

use std::time::SystemTime;

use wal::Segment;

use super::store::{AgentStore, Inner};
use crate::db::{Error, Result};
use crate::journal::Log;

impl AgentStore {
    /// Forgets series without recent samples, and replaces segments that are sent, or too old or too many, by a checkpoint.
    /// `needed` is the first segment that somebody has to send yet; `None` = nobody sends.
    ///
    /// # Errors
    /// The file system refuses.
    pub async fn truncate(&self, needed: Option<u64>) -> Result<()> {
        let inner = self.0.clone();
        let failed = |e: crate::head::JournalError| Error::Head(format!("write-ahead log: {}", e.message));
        let Some(current) = inner.journal.cut(Log::Wal).await.map_err(failed)? else { return Ok(()) };
        let work = move || inner.truncate(current, needed.unwrap_or(current));
        tokio::task::spawn_blocking(work).await.map_err(|e| Error::Head(e.to_string()))?
    }
}

impl Inner {
    /// `current` is the segment that is written now, those below `sent` are sent.
    fn truncate(&self, current: u64, sent: u64) -> Result<()> {
        let now_ms = self.options.clock.now_ms();
        let oldest_ms = now_ms.saturating_sub(self.options.retention_max_ms);
        let min_time_ms = now_ms.saturating_sub(self.options.retention_min_ms);
        let dead = self.series.forget(|state| state.logged && state.newest_ms < min_time_ms);
        // A transaction may have handed over its rows after the cut: the current segment may name them, too.
        self.left.lock().extend(dead.into_iter().map(|number| (number, current)));
        self.metrics.series.set(self.series.len() as f64);
        let segments = wal::list_segments(&self.dir).map_err(Error::io("list", &self.dir))?;
        let ended: Vec<&Segment> = segments.iter().filter(|segment| segment.number < current).collect();
        let last = self.last_of(&ended, sent, oldest_ms);
        let Some(last) = last else {
            self.metrics.deleted.set(self.left.lock().len() as f64);
            return Ok(());
        };
        let unsent = ended.iter().filter(|s| s.number <= last && s.number >= sent).count();
        if unsent > 0 {
            self.metrics.unsent.inc_by(unsent as u64);
            tracing::warn!(
                segments = unsent,
                "segments are deleted that not all remote writes have sent: \
                they are older than --storage.agent.retention.max-time or more than --storage.agent.retention.size"
            );
        }
        self.checkpoint(last, min_time_ms)?;
        wal::remove_below(&self.dir, last + 1).map_err(Error::io("remove segments in", &self.dir))?;
        self.left.lock().retain(|_, segment| *segment > last);
        self.metrics.deleted.set(self.left.lock().len() as f64);
        self.metrics.deletions.inc();
        wal::checkpoint::remove_below(&self.dir, last).map_err(|e| {
            self.metrics.deletions_failed.inc();
            Error::io("remove checkpoints in", &self.dir)(e)
        })
    }

    /// The last segment that is to go: all before `sent`, and those that are too old or too many.
    fn last_of(&self, ended: &[&Segment], sent: u64, oldest_ms: i64) -> Option<u64> {
        let size = |segment: &Segment| segment.path.metadata().map_or(0, |m| m.len());
        let modified_ms = |segment: &Segment| {
            let modified = segment.path.metadata().and_then(|m| m.modified()).ok()?;
            i64::try_from(modified.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_millis()).ok()
        };
        let mut bytes: u64 = ended.iter().map(|s| size(s)).sum();
        let max = self.options.retention_bytes;
        let mut last = None;
        for segment in ended {
            let is_over = max > 0 && bytes > max;
            let is_old = modified_ms(segment).is_some_and(|time_ms| time_ms < oldest_ms);
            if segment.number >= sent && !is_over && !is_old {
                break;
            }
            bytes = bytes.saturating_sub(size(segment));
            last = Some(segment.number);
        }
        last
    }

    fn checkpoint(&self, last: u64, min_time_ms: i64) -> Result<()> {
        self.metrics.checkpoints.inc();
        let left = self.left.lock();
        let mut keep = |number| self.series.has(number) || left.get(&number).is_some_and(|segment| *segment > last);
        let options = self.options.journal.wal.clone();
        let deleted_min_ms = min_time_ms;
        let request = wal::checkpoint::Request { segment: last, min_time_ms, deleted_min_ms, keep: &mut keep, options };
        match wal::checkpoint::write(&self.dir, request) {
            Ok(None) => Ok(()),
            Ok(Some((_, stats))) => {
                self.metrics.corruptions.inc_by(stats.corruptions);
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
