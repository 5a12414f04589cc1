//! Checkpoints: what is still needed of old segments, in a log of its own.
//!
//! `checkpoint.00000012` replaces all segments up to number 12. It is made as `checkpoint.00000012.tmp` and renamed.

mod filter;
mod strays;
mod write;

pub(crate) use strays::hidden;
pub use strays::{Unhidden, unhide};
pub use write::{Request, Stats, write};

use std::io;
use std::path::{Path, PathBuf};

use crate::segments;

const PREFIX: &str = "checkpoint.";
const UNFINISHED: &str = ".tmp";

/// A checkpoint that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its directory, which holds segments.
    pub dir: PathBuf,
    /// The last segment that it replaces.
    pub segment: u64,
}

/// The checkpoints of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoints {
    /// The newest one, to be read before the segments behind it.
    pub last: Option<Checkpoint>,
    /// Directories without a segment, newer than `last`: something went wrong, and what they replaced may be missing.
    pub empty: Vec<PathBuf>,
}

/// Looks for the newest checkpoint in `dir`, the log's directory. One without segments is passed over and told: it must
/// not stop a start (prometheus#4705).
///
/// # Errors
/// The directory cannot be listed.
pub fn last(dir: &Path) -> io::Result<Checkpoints> {
    let mut found = Checkpoints::default();
    for checkpoint in all(dir)?.into_iter().rev() {
        if segments::list(&checkpoint.dir).is_ok_and(|s| !s.is_empty()) {
            found.last = Some(checkpoint);
            break;
        }
        found.empty.push(checkpoint.dir);
    }
    Ok(found)
}

/// Removes the checkpoints in `dir` that end below segment `below`, and those that were not finished.
///
/// # Errors
/// One of them cannot be removed.
pub fn remove_below(dir: &Path, below: u64) -> io::Result<()> {
    for checkpoint in all(dir)?.iter().take_while(|c| c.segment < below) {
        std::fs::remove_dir_all(&checkpoint.dir)?;
    }
    remove_unfinished(dir)
}

/// Removes what an interrupted writing of a checkpoint left in `dir`.
///
/// # Errors
/// It cannot be removed.
pub fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for (name, path) in names(dir)? {
        if name.starts_with(PREFIX) && name.ends_with(UNFINISHED) {
            std::fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

/// All checkpoints, ascending.
fn all(dir: &Path) -> io::Result<Vec<Checkpoint>> {
    let checkpoint = |(name, dir): (String, PathBuf)| {
        let number = name.strip_prefix(PREFIX)?;
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        Some(Checkpoint { dir, segment: digits.then(|| number.parse().ok())?? })
    };
    let mut found: Vec<_> = names(dir)?.into_iter().filter_map(checkpoint).collect();
    found.sort_unstable_by_key(|c| c.segment);
    Ok(found)
}

/// The directories in `dir` whose names are text.
fn names(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && entry.file_type()?.is_dir()
        {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}
