//! Full disks and failing writes: what was acknowledged is in the log, what was refused is not, and the log goes on by
//! itself.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use wal::{Compression, Disk, Options, SegmentFile, list_segments};

use super::{Hasty, noise, open, read_all};

/// What goes wrong with a call of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Nothing is written.
    Refuse,
    /// A part is written, and the next write refused.
    Torn,
    /// A part is written, the next write is refused, and the file cannot be cut back.
    Stuck,
}

/// A file system with the faults of a list, one for each write.
#[derive(Debug, Default)]
struct Faulty {
    faults: Mutex<Vec<Fault>>,
    writes: AtomicU64,
    full: Mutex<bool>,
    stuck: Mutex<bool>,
    creates_fail: Mutex<bool>,
    syncs_fail: Mutex<bool>,
}

struct FaultyFile(Arc<Faulty>, Box<dyn SegmentFile>);

#[derive(Debug)]
struct FaultyDisk(Arc<Faulty>);

fn refused() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        if *self.0.creates_fail.lock().unwrap() {
            return Err(refused());
        }
        Ok(Box::new(FaultyFile(self.0.clone(), Hasty.create(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Hasty.open(path)
    }
}

impl SegmentFile for FaultyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if *self.0.full.lock().unwrap() {
            return Err(refused());
        }
        let n = self.0.writes.fetch_add(1, SeqCst);
        let fault = self.0.faults.lock().unwrap().get(n as usize).copied().unwrap_or(Fault::None);
        match fault {
            Fault::None => self.1.write_at(bytes, offset),
            Fault::Refuse => Err(refused()),
            Fault::Torn | Fault::Stuck => {
                *self.0.full.lock().unwrap() = true;
                *self.0.stuck.lock().unwrap() = fault == Fault::Stuck;
                self.1.write_at(&bytes[..bytes.len() * 2 / 3], offset)
            }
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        if *self.0.stuck.lock().unwrap() { Err(io::Error::other("stuck")) } else { self.1.set_len(bytes) }
    }

    fn sync(&self) -> io::Result<()> {
        if *self.0.syncs_fail.lock().unwrap() { Err(io::Error::other("dropped")) } else { self.1.sync() }
    }
}

fn faulty(faults: Vec<Fault>) -> (Arc<Faulty>, Options) {
    let state = Arc::new(Faulty { faults: Mutex::new(faults), ..Faulty::default() });
    let disk = Arc::new(FaultyDisk(state.clone()));
    (state, Options { disk, compression: Compression::None, segment_bytes: 150_000 })
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![3 => Just(Fault::None), 1 => Just(Fault::Refuse), 1 => Just(Fault::Torn), 1 => Just(Fault::Stuck)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn acknowledged_batches_are_there_and_refused_ones_are_not(
        faults in proptest::collection::vec(fault(), 0..30),
        lengths in proptest::collection::vec(proptest::collection::vec(0usize..40_000, 1..4), 1..30),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (state, options) = faulty(faults);
        let mut writer = open(dir.path(), options);
        let (mut expected, mut stuck) = (Vec::new(), 0);
        for (n, lengths) in lengths.into_iter().enumerate() {
            let records: Vec<_> = lengths.into_iter().enumerate().map(|(i, len)| noise((n * 8 + i) as u64, len)).collect();
            match writer.log(&records) {
                Ok(()) => expected.extend(records),
                Err(e) => prop_assert!(e.is_out_of_space(), "{e}"),
            }
            stuck += usize::from(*state.stuck.lock().unwrap());
            // There is room again.
            *state.full.lock().unwrap() = false;
            *state.stuck.lock().unwrap() = false;
        }
        let (records, corruptions) = read_all(dir.path());
        if stuck == 0 {
            prop_assert_eq!(corruptions, []);
            prop_assert!(records == expected);
        } else {
            // Whole records of a batch that could neither be finished nor taken back may stay.
            let mut rest = records.iter();
            prop_assert!(expected.iter().all(|e| rest.any(|r| r == e)), "an acknowledged record is lost");
            prop_assert!(corruptions.len() <= stuck);
        }
    }
}

#[test]
fn a_segment_that_cannot_be_made_is_made_later() {
    let dir = tempfile::tempdir().unwrap();
    let (state, options) = faulty(Vec::new());
    let mut writer = open(dir.path(), options);
    writer.log(&[b"one"]).unwrap();
    *state.creates_fail.lock().unwrap() = true;
    assert!(writer.cut().unwrap_err().is_out_of_space());
    assert!(writer.log(&[b"refused"]).is_err());
    *state.creates_fail.lock().unwrap() = false;
    writer.log(&[b"two"]).unwrap();
    assert_eq!(read_all(dir.path()), (vec![b"one".to_vec(), b"two".to_vec()], vec![]));
    assert_eq!(list_segments(dir.path()).unwrap().len(), 2);
}

/// What the operating system could not write, it may have dropped: nothing is written behind it.
#[test]
fn after_a_failed_sync_a_new_segment_begins() {
    let dir = tempfile::tempdir().unwrap();
    let (state, options) = faulty(Vec::new());
    let mut writer = open(dir.path(), options);
    writer.log(&[b"one"]).unwrap();
    *state.syncs_fail.lock().unwrap() = true;
    assert!(writer.sync().is_err());
    *state.syncs_fail.lock().unwrap() = false;
    writer.log(&[b"two"]).unwrap();
    writer.sync().unwrap();
    assert_eq!(writer.position().segment, 1);
    assert_eq!(read_all(dir.path()).0, [b"one", b"two"]);
}
