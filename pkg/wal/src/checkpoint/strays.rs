//! Segments that a checkpoint replaces by its number only.
//!
//! A checkpoint up to segment N is written while segment N + 1 is there already, and what it replaces is removed from the
//! oldest on. So where segments up to N are left, the one behind them follows without a gap. Where it does not, their
//! numbers were begun anew, by hand or because a copy of the directory lacked some: the checkpoint knows nothing of them,
//! and hides them.

use std::io;
use std::path::{Path, PathBuf};

use super::last;
use crate::segments::{self, Segment, segment_name};
use crate::writer::Error;

/// Segments that got new numbers, so that the newest checkpoint hides them no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unhidden {
    /// The directory of the checkpoint.
    pub checkpoint: PathBuf,
    /// How many segments.
    pub segments: usize,
    /// The number of the first of them now.
    pub first: u64,
}

/// The segments up to number `checkpoint` that it does not replace.
pub(crate) fn hidden(found: &[Segment], checkpoint: u64) -> &[Segment] {
    let up_to = found.partition_point(|segment| segment.number <= checkpoint);
    let (before, behind) = found.split_at(up_to);
    let follows = behind.first().is_some_and(|segment| segment.number == checkpoint + 1);
    if follows { &[] } else { before }
}

/// Gives the segments of `dir` that its newest checkpoint hides the numbers behind it, in their order. `None` where there
/// are none. When it is interrupted, the next call goes on. To be called before the log is opened for writing.
///
/// # Errors
/// [`Error::Io`]: the directory cannot be listed, or a segment not be renamed.
pub fn unhide(dir: &Path) -> Result<Option<Unhidden>, Error> {
    let list = || Ok::<_, io::Error>((last(dir)?.last, segments::list(dir)?));
    let (checkpoint, found) = list().map_err(Error::io("list", dir))?;
    let Some(checkpoint) = checkpoint else { return Ok(None) };
    let hidden = hidden(&found, checkpoint.segment);
    if hidden.is_empty() {
        return Ok(None);
    }
    // From the last on: as long as one is left, the number that follows the checkpoint's is free, which tells it.
    let first = checkpoint.segment + 1;
    let mut end = first + hidden.len() as u64;
    for (place, segment) in found.iter().enumerate().skip(hidden.len()).rev() {
        end = segment.number.max(first + place as u64);
        rename(dir, segment, end)?;
    }
    for (segment, number) in hidden.iter().rev().zip((first..end).rev()) {
        rename(dir, segment, number)?;
    }
    let sync = || std::fs::File::open(dir)?.sync_all();
    sync().map_err(Error::io("sync", dir))?;
    Ok(Some(Unhidden { checkpoint: checkpoint.dir, segments: hidden.len(), first: end - hidden.len() as u64 }))
}

fn rename(dir: &Path, segment: &Segment, number: u64) -> Result<(), Error> {
    if segment.number == number {
        return Ok(());
    }
    std::fs::rename(&segment.path, dir.join(segment_name(number))).map_err(Error::io("rename", &segment.path))
}
