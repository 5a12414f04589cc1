//! A disk that is full at times.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wal::{Disk, LocalDisk, SegmentFile};

/// Takes so many more bytes.
#[derive(Debug, Clone)]
pub(super) struct Filling(pub(super) Arc<AtomicU64>);

impl Filling {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }

    pub(super) fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::SeqCst);
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.load(Ordering::SeqCst) < u64::MAX
    }

    /// How many of `bytes` it takes.
    fn take(&self, bytes: usize) -> io::Result<usize> {
        let left = self.0.load(Ordering::SeqCst);
        if left == u64::MAX {
            return Ok(bytes);
        }
        let taken = left.min(bytes as u64);
        self.0.store(left - taken, Ordering::SeqCst);
        if taken == 0 && bytes > 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken as usize) }
    }
}

impl Disk for Filling {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        self.take(1)?;
        Ok(Box::new(File { disk: self.clone(), file: LocalDisk.create(path)? }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(File { disk: self.clone(), file: LocalDisk.open(path)? }))
    }
}

struct File {
    disk: Filling,
    file: Box<dyn SegmentFile>,
}

impl SegmentFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let taken = self.disk.take(bytes.len())?;
        self.file.write_at(&bytes[..taken], offset)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}
