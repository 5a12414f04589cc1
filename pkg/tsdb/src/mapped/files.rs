//! The files of the directory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

/// One file, mapped as far as it was needed.
#[derive(Debug)]
pub(super) struct MappedFile {
    pub(super) path: PathBuf,
    /// Bytes of whole chunks.
    pub(super) len: AtomicU64,
    map: Mutex<Bytes>,
}

impl MappedFile {
    pub(super) fn new(path: PathBuf, len: u64) -> Arc<Self> {
        Arc::new(Self { path, len: AtomicU64::new(len), map: Mutex::new(Bytes::new()) })
    }

    /// All that was written, if more than `offset` bytes are; the file is mapped again when it grew.
    pub(super) fn bytes(&self, offset: u64, to_its_end: bool) -> block::Result<Bytes> {
        let len = self.len.load(Ordering::Acquire);
        let mut map = self.map.lock();
        let wanted = if to_its_end { len } else { len.min(offset + 1) };
        if (map.len() as u64) < wanted {
            let whole = block::map_file(&self.path)?;
            let whole_bytes = usize::try_from(len).map_or(whole.len(), |len| len.min(whole.len()));
            *map = whole.slice(..whole_bytes);
        }
        Ok(map.clone())
    }

    /// Gives up the mapping until somebody asks for bytes again.
    pub(super) fn unmap(&self) {
        *self.map.lock() = Bytes::new();
    }
}

/// The files in `dir` with their numbers and lengths, ascending; none if there is no such directory.
pub(super) fn list(dir: &Path) -> io::Result<Vec<(u32, PathBuf, u64)>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let digits = name.to_str().filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
        if let Some(number) = digits.and_then(|n| n.parse().ok()) {
            let metadata = entry.metadata()?;
            if metadata.is_file() {
                found.push((number, entry.path(), metadata.len()));
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}
