//! Up to where in the log open chunks are saved, and when that is to be done again.

use std::path::Path;

use wal::Position;

use super::error::{Error, Result};
use crate::head::Head;

/// The log has to be so many times longer than the chunks before they are saved again, so that this costs the disk little.
const LOG_BY_CHUNKS: u64 = 3;
/// At the end a log is worth it that is shorter by this: what is not saved is replayed for certain.
const MORE_AT_END: u64 = 6;

/// What is saved, and what is to be.
#[derive(Debug, Default)]
pub(crate) struct Saving {
    /// Up to where in the log chunks were to be saved last, and the bytes of those that were.
    pub(crate) last: Option<(Position, u64)>,
    pub(crate) next: Option<Next>,
    /// Up to where the log was measured.
    seen: Position,
}

/// A place in the log, to be saved once all that was logged before it is in the series.
#[derive(Debug)]
pub(crate) struct Next {
    pub(crate) position: Position,
    pub(crate) commits: u64,
    pub(crate) next_number: u64,
}

impl Next {
    /// The end of the log, which was read before.
    fn at(end: Position, head: &Head) -> Self {
        // What was logged before the end was read belongs to commits and series before these.
        Self { position: end, commits: head.commits(), next_number: head.next_number() }
    }
}

impl Saving {
    /// As [`Self::choose`], where nothing is logged behind `end` any more.
    pub(crate) fn choose_last(&mut self, end: Position, wal_dir: &Path, unsaved_bytes: u64, head: &Head) -> Result<()> {
        self.next = None;
        let (unsaved, chunk_bytes) = self.unsaved(wal_dir)?;
        if unsaved >= unsaved_bytes.max(LOG_BY_CHUNKS * chunk_bytes) / MORE_AT_END {
            self.next = Some(Next::at(end, head));
        }
        Ok(())
    }

    /// Chooses `end`, the end of the log, if `unsaved_bytes` were logged since the last time.
    ///
    /// # Errors
    /// The log cannot be listed.
    pub(crate) fn choose(&mut self, end: Position, wal_dir: &Path, unsaved_bytes: u64, head: &Head) -> Result<()> {
        if end == self.seen {
            return Ok(());
        }
        self.seen = end;
        let (unsaved, chunk_bytes) = self.unsaved(wal_dir)?;
        if unsaved >= unsaved_bytes.max(LOG_BY_CHUNKS * chunk_bytes) {
            self.next = Some(Next::at(end, head));
        }
        Ok(())
    }

    /// Bytes of the log since the last time, and of the chunks that were saved then.
    fn unsaved(&self, wal_dir: &Path) -> Result<(u64, u64)> {
        let segments = wal::list_segments(wal_dir).map_err(Error::io("list", wal_dir))?;
        // A checkpoint may have replaced the segment.
        let last = self.last.filter(|(last, _)| segments.first().is_some_and(|first| first.number <= last.segment));
        let (from, chunk_bytes) = last.unwrap_or_default();
        let unread = segments.iter().filter(|segment| segment.number >= from.segment);
        let unread: u64 = unread.filter_map(|segment| Some(std::fs::metadata(&segment.path).ok()?.len())).sum();
        Ok((unread.saturating_sub(from.offset), chunk_bytes))
    }
}
