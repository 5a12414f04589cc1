//! Snapshots of the head at a shutdown: the open chunk of each series, so that a start need not replay the log before.
//!
//! `chunk_snapshot.000012.0000032768` holds what the write-ahead log says up to offset 32768 of segment 12, in records of
//! that log's framing. Whatever is wrong with a snapshot, the log still has all of it: it is then ignored.

mod format;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use format::{LastSample, OpenChunk, SeriesState};
pub use read::{Found, Record, SnapshotReader, last, verify};
pub use write::SnapshotWriter;

use std::io;
use std::path::{Path, PathBuf};

use wal::Position;

const PREFIX: &str = "chunk_snapshot.";
const UNFINISHED: &str = ".tmp";

/// Why a snapshot could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refuses.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The log of the snapshot cannot be written.
    #[error(transparent)]
    Log(#[from] wal::Error),
    /// The bytes are not what was written: ignore the snapshot and replay the log.
    #[error("snapshot {}: {why}", dir.display())]
    Corrupt {
        /// The snapshot's directory.
        dir: PathBuf,
        /// What is wrong where.
        why: String,
    },
}

impl Error {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

fn name(position: Position) -> String {
    format!("{PREFIX}{:06}.{:010}", position.segment, position.offset)
}

/// The place in the log that a directory's name tells.
fn parse_name(name: &str) -> Option<Position> {
    let (segment, offset) = name.strip_prefix(PREFIX)?.split_once('.')?;
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    Some(Position { segment: number(segment)?, offset: number(offset)? })
}

/// Directories in `data` whose names begin as those of snapshots.
fn directories(data: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(data)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && name.starts_with(PREFIX)
            && entry.file_type()?.is_dir()
        {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}

/// Removes all snapshots in `data` but the one of `keep`, and those that were not finished. A snapshot is of no use once
/// a start has read it, since the log goes on.
///
/// # Errors
/// One cannot be removed.
pub fn remove_all_but(data: &Path, keep: Option<Position>) -> io::Result<()> {
    for (name, dir) in directories(data)? {
        if keep.is_none() || parse_name(&name) != keep {
            std::fs::remove_dir_all(dir)?;
        }
    }
    Ok(())
}
