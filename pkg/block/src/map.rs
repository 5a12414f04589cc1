//! Files mapped into memory as [`Bytes`].

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use memmap2::{Mmap, UncheckedAdvice};

use crate::{Error, Result};

/// The kernel maps so many bytes around a page that is read, where it has them (`fault_around_bytes`).
const AROUND_BYTES: u64 = 64 << 10;
/// So much of a file may stay mapped between two reads.
const RESIDENT_BYTES_MAX: u64 = 2 << 20;

/// Maps `path` read-only. The mapping lives as long as any slice of it.
///
/// # Errors
/// [`Error::Io`] if the operating system refuses.
pub fn map_file(path: &Path) -> Result<Bytes> {
    Ok(map(path)?.map_or_else(Bytes::new, Bytes::from_owner))
}

/// None of an empty file: an empty mapping is an error on some systems.
fn map(path: &Path) -> Result<Option<Mmap>> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let len = file.metadata().map_err(Error::io("stat", path))?.len();
    if len == 0 {
        return Ok(None);
    }
    // SAFETY: the files of a block are written under another directory name and renamed, and never change afterwards;
    // removing them keeps the mapping valid. Should someone else shrink such a file in place, the process gets a bus
    // error, as every reader of mapped blocks does.
    #[allow(unsafe_code)]
    let map = unsafe { Mmap::map(&file) }.map_err(Error::io("map", path))?;
    Ok(Some(map))
}

/// A file of a block, mapped. What was read of it can be given back: it then no longer counts as this process' memory, and
/// stays in the system's cache of files, from where the next read maps it again. Of chunks, which are read in the order in
/// which they lie, that is done whenever [`RESIDENT_BYTES_MAX`] were read.
#[derive(Debug, Clone)]
pub struct MappedFile {
    bytes: Bytes,
    pages: Option<Arc<Pages>>,
}

#[derive(Debug)]
struct Pages {
    map: Arc<Mmap>,
    /// The part of [`AROUND_BYTES`] that was read last.
    last: AtomicU64,
    /// Parts read since pages were given back. One that is come back to counts again.
    read: AtomicU64,
}

impl MappedFile {
    /// Maps `path` read-only. The mapping lives as long as any slice of it.
    ///
    /// # Errors
    /// [`Error::Io`] if the operating system refuses.
    pub fn open(path: &Path) -> Result<Self> {
        let Some(map) = map(path)?.map(Arc::new) else { return Ok(Bytes::new().into()) };
        let bytes = Bytes::from_owner(Shared(map.clone()));
        let pages = Pages { map, last: AtomicU64::new(u64::MAX), read: AtomicU64::new(0) };
        Ok(Self { bytes, pages: Some(Arc::new(pages)) })
    }

    /// All of it.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// To be called before a chunk at `offset` is read.
    pub fn will_read(&self, offset: u64) {
        let Some(pages) = &self.pages else { return };
        let part = offset / AROUND_BYTES;
        if pages.last.load(Ordering::Relaxed) != part {
            pages.last.store(part, Ordering::Relaxed);
            if pages.read.fetch_add(1, Ordering::Relaxed) == RESIDENT_BYTES_MAX / AROUND_BYTES {
                pages.read.store(0, Ordering::Relaxed);
                pages.give_back();
            }
        }
    }

    /// Gives back what was read.
    pub fn give_back(&self) {
        if let Some(pages) = &self.pages {
            pages.give_back();
        }
    }
}

impl Pages {
    fn give_back(&self) {
        // SAFETY: the mapping is of a file and shared: what is read next is what the file has, as it was before.
        #[allow(unsafe_code)]
        let done = unsafe { self.map.unchecked_advise(UncheckedAdvice::DontNeed) };
        // Pages that stay cost memory, no answer.
        _ = done;
    }
}

impl From<Bytes> for MappedFile {
    /// Bytes that are memory already.
    fn from(bytes: Bytes) -> Self {
        Self { bytes, pages: None }
    }
}

/// [`Bytes`] take what is owned.
struct Shared(Arc<Mmap>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Bytes of `path` that count as this process' memory.
    fn resident_bytes(path: &Path) -> u64 {
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut of_file = smaps.lines().skip_while(|line| !line.ends_with(path.to_str().unwrap()));
        let rss = of_file.find_map(|line| line.strip_prefix("Rss:")).unwrap();
        rss.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
    }

    #[test]
    fn what_was_read_does_not_stay_mapped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("000001");
        let content: Vec<u8> = (0..32_usize << 20).map(|i| (i / 4096) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let file = MappedFile::open(&path).unwrap();
        let early = file.bytes().slice(8..16);
        let mut most = 0;
        for offset in (0..content.len()).step_by(4096) {
            file.will_read(offset as u64);
            assert_eq!(file.bytes()[offset], content[offset]);
            if offset % (1 << 20) == 0 {
                most = most.max(resident_bytes(&path));
            }
        }
        // Larger pages of the cache of files are mapped as a whole.
        assert!((1..=RESIDENT_BYTES_MAX + (4 << 20)).contains(&most), "{most}");
        assert_eq!(early, content[8..16]);
    }
}
