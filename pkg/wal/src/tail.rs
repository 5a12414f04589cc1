//! The end of a log that a crash cut short.

use std::fs::File;
use std::io;

use crate::Disk;
use crate::page::Position;
use crate::scanner::{CUT_SHORT, Found, Scanner};
use crate::segments::Segment;

/// What was cut off the end of a log when it was opened for writing: the rest of a write that did not finish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// Where the log ends now.
    pub position: Position,
    /// How many bytes were cut off.
    pub bytes: u64,
    /// What was wrong with them.
    pub why: String,
    /// They are more than the begin of a write: bytes that were there have changed, and records may be lost that were
    /// acknowledged.
    pub is_damage: bool,
}

/// Cuts `segment` behind its last whole record, where what follows cannot be read: otherwise Prometheus would take it
/// for a corruption and drop all segments that follow. Bytes that a later version may have written stay.
pub(crate) fn cut(disk: &dyn Disk, segment: &Segment) -> io::Result<Option<Torn>> {
    let file = File::open(&segment.path)?;
    let len = file.metadata()?.len();
    let mut scanner = Scanner::new(file, 0);
    let mut torn = None;
    while let Some(found) = scanner.next()? {
        match found {
            Found::Record { .. } => torn = None,
            Found::Corrupt { unknown: true, .. } => return Ok(None),
            Found::Corrupt { why, .. } => {
                torn.get_or_insert(why);
            }
        }
    }
    let Some(why) = torn else { return Ok(None) };
    let is_damage = why != CUT_SHORT;
    let end = scanner.end();
    let file = disk.open(&segment.path)?;
    file.set_len(end)?;
    file.sync()?;
    let position = Position { segment: segment.number, offset: end };
    Ok(Some(Torn { position, bytes: len.saturating_sub(end), why, is_damage }))
}
