//! Follows a log while it is written.

use std::io;
use std::path::{Path, PathBuf};

use crate::page::{Corruption, Position};
use crate::reader::{Entry, Reader};
use crate::segments;

/// Reads the records of a log as they come, from a place on. What it keeps between two looks is that place alone, so that
/// it can be stored, and following goes on from there after a restart.
#[derive(Debug, Clone)]
pub struct Follower {
    dir: PathBuf,
    position: Position,
}

impl Follower {
    /// Follows the log in `dir` from `position`, where a record ends or a segment begins.
    pub fn new(dir: &Path, position: Position) -> Self {
        Self { dir: dir.to_owned(), position }
    }

    /// Behind the last record that was given.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Gives what was written since the last call to `visit`, up to `until` ([`crate::Writer::position`]), or as far as it is
    /// whole: the end of a write that is under way is left for the next call. `visit` also gets where each record ends, and
    /// stops it by returning false: it has had that record. Returns how many records there were.
    ///
    /// Without `until` records may be seen of a batch that the writer then cannot finish and takes back.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn read(
        &mut self,
        until: Option<Position>,
        visit: &mut dyn FnMut(Entry<'_>, Position) -> bool,
    ) -> io::Result<u64> {
        let first = segments::list(&self.dir)?.first().map(|s| s.number);
        let mut goes_on = true;
        if let Some(first) = first.filter(|first| *first > self.position.segment) {
            let why = format!("segments up to {} were removed before they were read", first - 1);
            let path = self.dir.join(segments::segment_name(self.position.segment));
            let corruption = Corruption { path, position: self.position, why, torn: false };
            goes_on = visit(Entry::Corrupt(corruption), self.position);
            self.position = Position { segment: first, offset: 0 };
        }
        let mut reader = Reader::from_position(&self.dir, self.position)?;
        if let Some(until) = until {
            reader.stop_at(until, &self.dir);
        }
        let mut records = 0;
        while goes_on {
            match reader.read_at() {
                // The end of a write, or of the log.
                Some((Entry::Corrupt(corruption), _)) if corruption.torn => return Ok(records),
                None => {
                    self.position = self.position.max(until.unwrap_or_default());
                    return Ok(records);
                }
                Some((entry, end)) => {
                    records += u64::from(matches!(entry, Entry::Record(_)));
                    goes_on = visit(entry, end);
                }
            }
            self.position = self.position.max(reader.position());
        }
        Ok(records)
    }
}
