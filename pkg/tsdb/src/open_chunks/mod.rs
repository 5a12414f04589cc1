//! The chunks that are in no file yet, saved now and then: a start need not make them of the log again, and reads no samples
//! of the log up to where they were saved.
//!
//! `wal/open_chunks` is ours; Prometheus passes it over. The log has all that is in it, so it is not synced, and whatever is
//! wrong with it, it is ignored. It belongs to a log whose bytes before a place are what they were, which their checksum
//! tells, and to the chunks on disk that it names.

mod format;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use format::{SavedChunk, SavedData};
pub use read::Saved;
pub use write::SavedWriter;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use wal::Position;

const NAME: &str = "open_chunks";
const UNFINISHED: &str = "open_chunks.tmp";

/// Bytes of the log by which it is known again.
const KNOWN_BYTES: usize = 4096;

/// The checksum of the bytes before a place of the log; `None` where there are too few of them.
fn checksum_before(wal_dir: &Path, position: Position) -> io::Result<Option<u32>> {
    let Some(from) = position.offset.checked_sub(KNOWN_BYTES as u64) else { return Ok(None) };
    let mut bytes = [0; KNOWN_BYTES];
    File::open(wal_dir.join(wal::segment_name(position.segment)))?.read_exact_at(&mut bytes, from)?;
    Ok(Some(encoding::crc32c(&bytes)))
}

/// Why they cannot be saved or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refuses.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The open chunk of a series cannot be read.
    #[error("series {0}: {1}")]
    Series(u64, chunkenc::Error),
    /// The bytes are not what was written, or a chunk cannot be taken.
    #[error("{}: {why}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl Error {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}
