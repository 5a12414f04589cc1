//! The log as a whole: bytes of a real Prometheus, round trips, corrupt bytes, full disks, checkpoints.

mod checkpoint;
mod corrupt;
mod faults;
mod follow;
mod golden;
mod log;
mod prometheus;
mod records;

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;

use wal::{Compression, Corruption, Disk, Entry, Options, Reader, SegmentFile, Writer};

/// The local file system without its waiting for the disk, for tests that write many logs.
#[derive(Debug)]
struct Hasty;

struct HastyFile(File);

impl Disk for Hasty {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(HastyFile(OpenOptions::new().write(true).create_new(true).open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(HastyFile(OpenOptions::new().write(true).open(path)?)))
    }
}

impl SegmentFile for HastyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        SegmentFile::write_at(&self.0, bytes, offset)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        SegmentFile::set_len(&self.0, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

fn hasty(compression: Compression, segment_bytes: u64) -> Options {
    Options { compression, segment_bytes, disk: Arc::new(Hasty) }
}

/// All records of a log and all corruptions in it.
fn read_all(dir: &Path) -> (Vec<Vec<u8>>, Vec<Corruption>) {
    collect(Reader::open(dir, 0).unwrap())
}

fn collect(mut reader: Reader) -> (Vec<Vec<u8>>, Vec<Corruption>) {
    let (mut records, mut corruptions) = (Vec::new(), Vec::new());
    while let Some(entry) = reader.read() {
        match entry {
            Entry::Record(record) => records.push(record.to_vec()),
            Entry::Corrupt(corruption) => corruptions.push(corruption),
        }
    }
    (records, corruptions)
}

fn open(dir: &Path, options: Options) -> Writer {
    let (writer, torn) = Writer::open(dir, options).unwrap();
    assert_eq!(torn, None);
    writer
}

/// A record of `len` bytes that `n` determines and that does not compress.
fn noise(n: u64, len: usize) -> Vec<u8> {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..len).map(|_| byte()).collect()
}
