//! Open chunks are saved now and then, so that a start after a kill need not make them of the log again.

use wal::Position;

use super::error::{Error, Result};
use super::tsdb::Tsdb;
use crate::journal::{Log, log_dir};
use crate::open_chunks::SavedWriter;

/// The log has to be so many times longer than the chunks before they are saved again, so that this costs the disk little.
const LOG_BY_CHUNKS: u64 = 3;

/// What is saved, and what is to be.
#[derive(Debug, Default)]
pub(crate) struct Saving {
    /// Up to where in the log chunks were to be saved last, and the bytes of those that were.
    last: Option<(Position, u64)>,
    next: Option<Next>,
    /// Up to where the log was measured.
    seen: Position,
}

/// A place in the log, to be saved once all that was logged before it is in the series.
#[derive(Debug)]
struct Next {
    position: Position,
    commits: u64,
    next_number: u64,
}

impl Tsdb {
    /// To be called again and again: chooses a place in the log, and saves the open chunks for it with a later call.
    ///
    /// # Errors
    /// The disk refuses. It is tried again when the log is longer.
    pub(crate) async fn save_open_chunks(&self) -> Result<()> {
        if !self.replay.borrow().progress.done {
            return Ok(());
        }
        // Nobody else saves, and no file of chunks is removed.
        let _mapping = self.mapping.lock().await;
        let mut saving = self.saving.lock();
        let Some(next) = &saving.next else {
            saving.next = self.choose(&mut saving)?;
            return Ok(());
        };
        if !self.head.is_applied(next.commits) {
            return Ok(());
        }
        let Next { position, next_number, .. } = *next;
        saving.next = None;
        // If it fails, the disk may be full: it is left alone for a while.
        saving.last = Some((position, saving.last.map_or(0, |(_, bytes)| bytes)));
        let failed = |e| Error::Head(format!("saved open chunks: {e}"));
        let (wal_dir, disk) = (log_dir(&self.blocks.dir, Log::Wal), &self.blocks.options.journal.wal.disk);
        let Some(mut writer) = SavedWriter::create(&wal_dir, &**disk, position, next_number).map_err(failed)? else {
            return Ok(());
        };
        self.head.save_open_chunks(&mut writer).map_err(failed)?;
        self.blocks.deps.failpoints.hit("tsdb.saving.before_rename")?;
        let bytes = writer.finish().map_err(failed)?;
        saving.last = Some((position, bytes));
        tracing::debug!(%position, bytes, "saved the open chunks of the head");
        Ok(())
    }

    /// The end of the log, if enough was logged since the last time.
    fn choose(&self, saving: &mut Saving) -> Result<Option<Next>> {
        let position = *self.journal.written().borrow();
        if position == saving.seen {
            return Ok(None);
        }
        saving.seen = position;
        let wal_dir = log_dir(&self.blocks.dir, Log::Wal);
        let segments = wal::list_segments(&wal_dir).map_err(Error::io("list", &wal_dir))?;
        // A checkpoint may have replaced the segment.
        let last = saving.last.filter(|(last, _)| segments.first().is_some_and(|first| first.number <= last.segment));
        let (from, chunk_bytes) = last.unwrap_or_default();
        let unread = segments.iter().filter(|segment| segment.number >= from.segment);
        let unread: u64 = unread.filter_map(|segment| Some(std::fs::metadata(&segment.path).ok()?.len())).sum();
        if unread.saturating_sub(from.offset) < self.blocks.options.unsaved_bytes.max(LOG_BY_CHUNKS * chunk_bytes) {
            return Ok(None);
        }
        // What was logged before the place was read belongs to commits and series before these.
        Ok(Some(Next { position, commits: self.head.commits(), next_number: self.head.next_number() }))
    }
}
