//! The log as a whole: bytes of a real Prometheus, round trips, corrupt bytes, full disks, checkpoints.

mod checkpoint;
mod corrupt;
mod faults;
mod golden;
mod log;
mod prometheus;
mod records;

use std::path::Path;

use wal::{Corruption, Entry, Options, Reader, Writer};

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
