//! The body of a small index on disk: its series and postings, which are what its index-header leaves out. A query then
//! asks the bucket for chunks only.
//!
//! Layout of the file: the body as it stands in the index, `be64 stamp of the block's objects | be32 CRC-32C of the body |
//! be32 magic`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use block::MappedFile;
use block::toc::Toc;
use bytes::Bytes;
use encoding::crc32c;
use parking_lot::Mutex;

const FILE: &str = "index-body";
const MAGIC: u32 = 0x5E81_B0D1;
const FOOTER_LEN: usize = 16;

/// Where the body of an index lies: from its first series to the end of its last list.
pub(crate) fn range(toc: Toc) -> Range<u64> {
    toc.series..toc.postings_offset_table.max(toc.series)
}

/// The body of one block's index, if it is kept on disk.
#[derive(Debug)]
pub(crate) struct IndexBody {
    file: Option<PathBuf>,
    /// Of the block's objects: another block put in its place has another.
    stamp: u64,
    is_wanted: AtomicBool,
    open: Mutex<Option<Arc<Mapped>>>,
}

/// Open for one reader. What it read does not stay in this process' memory after the last of them.
#[derive(Debug)]
pub(crate) struct InUse(Arc<Mapped>);

#[derive(Debug)]
struct Mapped {
    file: MappedFile,
    readers: AtomicUsize,
}

impl InUse {
    fn new(mapped: &Arc<Mapped>) -> Self {
        mapped.readers.fetch_add(1, Ordering::Relaxed);
        Self(mapped.clone())
    }

    pub(crate) fn bytes(&self) -> Bytes {
        let all = self.0.file.bytes();
        all.slice(..all.len() - FOOTER_LEN)
    }

    /// What was read need not stay in memory.
    pub(crate) fn give_back(&self) {
        self.0.file.give_back();
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        if self.0.readers.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.give_back();
        }
    }
}

impl IndexBody {
    /// In the directory `dir`; `None` = nothing is kept.
    pub(crate) fn new(dir: Option<&PathBuf>, stamp: u64) -> Self {
        let file = dir.map(|dir| dir.join(FILE));
        Self { file, stamp, is_wanted: AtomicBool::new(false), open: Mutex::new(None) }
    }

    /// Whether there is room for it.
    pub(crate) fn want(&self, is_wanted: bool) {
        self.is_wanted.store(is_wanted && self.file.is_some(), Ordering::Relaxed);
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Whether it lies on disk, sound or not.
    pub(crate) async fn is_kept(&self) -> bool {
        let Some(file) = self.file.clone() else { return false };
        let footer = tokio::task::spawn_blocking(move || read_footer(&file)).await;
        matches!(footer, Ok(Ok(footer)) if footer.stamp == self.stamp)
    }

    /// Opens it if it is wanted, lies on disk, and has `bytes`.
    pub(crate) async fn open(self: &Arc<Self>, bytes: u64) -> Option<InUse> {
        if !self.is_wanted() {
            return None;
        }
        if let Some(open) = &*self.open.lock() {
            return Some(InUse::new(open));
        }
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.open_now(bytes)).await.ok().flatten()
    }

    fn open_now(&self, bytes: u64) -> Option<InUse> {
        let path = self.file.as_ref()?;
        let file = MappedFile::open(path).ok()?;
        let sound = split(file.bytes()).is_some_and(|(body, footer)| {
            (body.len() as u64, footer.stamp, footer.crc32c) == (bytes, self.stamp, crc32c(body))
        });
        if !sound {
            tracing::warn!(file = %path.display(), "not the series and postings of this index, reading them again");
            return None;
        }
        // Locked for a moment only: others who wait for it may not wait for the disk.
        let mut open = self.open.lock();
        let mapped = open.get_or_insert_with(|| Arc::new(Mapped { file, readers: AtomicUsize::new(0) }));
        Some(InUse::new(mapped))
    }

    /// Keeps it if it is wanted; whether that was done. A disk that refuses costs speed, not answers.
    pub(crate) async fn keep(&self, body: Bytes) -> bool {
        let Some(file) = self.file.clone().filter(|_| self.is_wanted()) else { return false };
        let stamp = self.stamp;
        let path = file.clone();
        let kept = tokio::task::spawn_blocking(move || write(&path, stamp, &body)).await;
        let kept = kept.unwrap_or_else(|e| Err(std::io::Error::other(e)));
        if let Err(e) = &kept {
            tracing::warn!(file = %file.display(), err = %e, "cannot keep series and postings on disk");
        }
        kept.is_ok()
    }

    /// Removes it: it does not pass its checksums, or there is no room. True unless the disk refuses.
    pub(crate) fn remove(&self) -> bool {
        self.close();
        let Some(file) = &self.file else { return true };
        match std::fs::remove_file(file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(file = %file.display(), err = %e, "cannot remove series and postings");
                false
            }
            _ => true,
        }
    }

    /// Closes it; those who read it go on.
    pub(crate) fn close(&self) {
        *self.open.lock() = None;
    }
}

struct Footer {
    stamp: u64,
    crc32c: u32,
}

impl Footer {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (stamp, rest) = bytes.split_first_chunk()?;
        let (crc, magic) = rest.split_first_chunk()?;
        (magic == MAGIC.to_be_bytes())
            .then(|| Self { stamp: u64::from_be_bytes(*stamp), crc32c: u32::from_be_bytes(*crc) })
    }
}

fn split(all: &[u8]) -> Option<(&[u8], Footer)> {
    let (body, footer) = all.split_at_checked(all.len().checked_sub(FOOTER_LEN)?)?;
    Some((body, Footer::parse(footer)?))
}

fn read_footer(file: &Path) -> std::io::Result<Footer> {
    let mut file = File::open(file)?;
    file.seek(SeekFrom::End(-(FOOTER_LEN as i64)))?;
    let mut bytes = [0; FOOTER_LEN];
    file.read_exact(&mut bytes)?;
    Footer::parse(&bytes).ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

/// Under another name first, so that a reader sees all of it. Not synced: a torn one does not pass its checksum.
fn write(file: &Path, stamp: u64, body: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
    let tmp = file.with_extension("tmp");
    let written = File::create(&tmp).and_then(|mut out| {
        out.write_all(body)?;
        out.write_all(&[&stamp.to_be_bytes()[..], &crc32c(body).to_be_bytes(), &MAGIC.to_be_bytes()].concat())?;
        std::fs::rename(&tmp, file)
    });
    if written.is_err() {
        // A disk that is full has room again.
        _ = std::fs::remove_file(&tmp);
    }
    written
}
