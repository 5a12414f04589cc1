//! Bytes of a real Prometheus, round trips, corrupt bytes, full disks.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chunkenc::{Column, Encoding, TimedChunk, decode_floats, encode_xor};
use proptest::prelude::*;
use wal::{Disk, LocalDisk, SegmentFile};

use super::*;

fn chunk(begin: i64, samples: i64) -> TimedChunk {
    let data = encode_xor((0..samples).map(|i| (begin + 10 * i, i as f64 * 1.1))).unwrap();
    let max_time = begin + 10 * (samples - 1);
    TimedChunk { min_time: begin, max_time, encoding: Encoding::Xor, data: data.into() }
}

fn open(dir: &Path) -> MappedChunks {
    MappedChunks::open(dir, MappedOptions { file_bytes_max: 1000, ..MappedOptions::default() }).unwrap()
}

fn load(chunks: &MappedChunks) -> (Vec<MappedChunk>, Loaded) {
    let mut found = Vec::new();
    let loaded = chunks.load(&mut |chunk| found.push(chunk));
    (found, loaded)
}

/// Chunks in several files: what was written, with its places.
fn write(store: &MappedChunks, count: i64) -> Vec<(MappedChunk, TimedChunk)> {
    let mut written = Vec::new();
    for n in 0..count {
        let (data, late) = (chunk(1_000 * n, 3 + n % 5), n % 4 == 3);
        let reference = store.write(7 + n as u64 % 3, &data, late).unwrap();
        let mapped = MappedChunk {
            series_ref: 7 + n as u64 % 3,
            reference,
            min_time: data.min_time,
            max_time: data.max_time,
            samples: 3 + n as u16 % 5,
            encoding: Encoding::Xor,
            out_of_order: late,
        };
        written.push((mapped, data));
    }
    written
}

#[test]
fn what_is_written_is_read_at_once_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for round in 1..=3 {
        let store = open(dir.path());
        let (found, loaded) = load(&store);
        assert_eq!(loaded, Loaded { chunks: all.len() as u64, corrupt: Vec::new() });
        assert_eq!(found, all.iter().map(|(m, _): &(MappedChunk, _)| *m).collect::<Vec<_>>(), "round {round}");
        let new = write(&store, 40);
        // Each is mapped when the file has grown further.
        for (mapped, data) in all.iter().chain(&new) {
            let read = store.read(mapped.reference).unwrap();
            assert_eq!((read.encoding, read.data), (data.encoding, data.data.clone()));
        }
        all.extend(new);
        let bytes: u64 = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        assert_eq!(store.size_bytes(), bytes);
        store.sync().unwrap();
    }
    assert!(all.is_sorted_by_key(|(m, _)| m.reference));
    assert!(std::fs::read_dir(dir.path()).unwrap().count() > 6);
    let store = open(dir.path());
    for bad in [0, 1 << 32, (1 << 32) + 9, (1 << 32) + 5_000_000, 999 << 32] {
        assert!(matches!(store.read(bad), Err(storage::Error::Corrupt(_))), "{bad}");
    }
}

#[test]
fn files_before_the_oldest_chunk_in_use_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let written = write(&store, 60);
    let (oldest, last) = (written[30].0.reference, written[59].0.reference);
    let held = store.read(written[0].0.reference).unwrap();
    assert_eq!(store.truncate(Some(oldest)).unwrap() as u64, (oldest >> 32) - 1);
    assert!(store.read(written[0].0.reference).is_err());
    let mut column = Column::new();
    decode_floats(held.encoding, &held.data, &mut column).unwrap();
    assert_eq!(column.times.len(), 3);
    let (found, loaded) = load(&store);
    assert_eq!(loaded.corrupt, []);
    assert!(found.iter().any(|c| c.reference == oldest) && found.iter().all(|c| c.reference >> 32 >= oldest >> 32));
    // None is in use: the next goes to a new file.
    store.truncate(None).unwrap();
    assert_eq!(store.size_bytes(), 0);
    assert!(store.write(1, &chunk(5, 4), false).unwrap() > last);
}

/// The chunk with the changed byte is left out and told, all others are found, and reading it is an error.
#[test]
fn each_byte() {
    let dir = tempfile::tempdir().unwrap();
    let written = write(&open(dir.path()), 30);
    for number in 1..=2u64 {
        let path = dir.path().join(format!("{number:06}"));
        let bytes = std::fs::read(&path).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        for at in 0..bytes.len() as u64 {
            file.write_all_at(&[bytes[at as usize] ^ 1 << (at % 8)], at).unwrap();
            let store = open(dir.path());
            let (found, loaded) = load(&store);
            let place = number << 32 | at;
            let hit = written.iter().rposition(|(m, _)| m.reference <= place && at >= 8);
            let is_hit = |i: usize| hit == Some(i);
            let expected: Vec<_> = (0..30).filter(|i| !is_hit(*i)).map(|i| written[i].0).collect();
            // Padding of the file's head says nothing.
            let padding = (5..8).contains(&at);
            assert_eq!((found, loaded.corrupt.len()), (expected, usize::from(!padding)), "byte {at} of {number}");
            if let Some(hit) = hit {
                assert!(store.read(written[hit].0.reference).is_err(), "byte {at} of {number}");
            }
            file.write_all_at(&[bytes[at as usize]], at).unwrap();
        }
    }
}

#[test]
fn each_length_of_the_last_file() {
    let dir = tempfile::tempdir().unwrap();
    let written = write(&open(dir.path()), 12);
    let last = written.last().unwrap().0.reference >> 32;
    let path = dir.path().join(format!("{last:06}"));
    let bytes = std::fs::read(&path).unwrap();
    for zeros in [0, 5_000] {
        for len in 0..=bytes.len() {
            let mut cut = bytes[..len].to_vec();
            cut.resize(len + zeros, 0);
            std::fs::write(&path, cut).unwrap();
            let store = open(dir.path());
            let (found, loaded) = load(&store);
            let begins: Vec<_> = written.iter().map(|(m, _)| m.reference).filter(|r| r >> 32 == last).collect();
            let ends = begins[1..].iter().map(|r| (r & 0xffff_ffff) as usize).chain([bytes.len()]);
            let whole = ends.filter(|end| *end <= len).count();
            assert_eq!(found.len(), written.len() - begins.len() + whole, "{len} bytes");
            assert!(loaded.corrupt.len() <= 1);
            // Appending goes on in a new file or the same, and finds nothing of the rest.
            let reference = store.write(99, &chunk(7, 5), false).unwrap();
            assert_eq!(load(&open(dir.path())).0.last().unwrap().reference, reference);
            for number in last..=last + 1 {
                _ = std::fs::remove_file(dir.path().join(format!("{number:06}")));
            }
        }
    }
}

#[test]
fn a_full_disk_costs_nothing_but_the_refused_chunk() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(Full { is_full: Arc::default() });
    let options = MappedOptions { file_bytes_max: 1000, disk: disk.clone() };
    let store = MappedChunks::open(dir.path(), options).unwrap();
    let mut written = Vec::new();
    for n in 0..60 {
        let data = chunk(n * 1000, 5);
        disk.is_full.store(n % 3 == 1, Ordering::SeqCst);
        match store.write(1, &data, false) {
            Ok(reference) => written.push((reference, data)),
            Err(e) => assert!(n % 3 == 1 && e.kind() == io::ErrorKind::StorageFull, "{e}"),
        }
    }
    assert_eq!(written.len(), 40);
    for store in [store, open(dir.path())] {
        let (found, loaded) = load(&store);
        assert_eq!(loaded.corrupt, []);
        assert_eq!(
            found.iter().map(|c| c.reference).collect::<Vec<_>>(),
            written.iter().map(|w| w.0).collect::<Vec<_>>()
        );
        assert!(written.iter().all(|(reference, data)| store.read(*reference).unwrap().data == data.data));
    }
}

/// Takes half of a write when it is full, then none.
#[derive(Debug)]
struct Full {
    is_full: Arc<AtomicBool>,
}

struct FullFile(Arc<AtomicBool>, Box<dyn SegmentFile>);

impl Disk for Full {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(FullFile(self.is_full.clone(), LocalDisk.create(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        LocalDisk.open(path)
    }
}

impl SegmentFile for FullFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        match (self.0.load(Ordering::SeqCst), bytes.len() / 2) {
            (true, 0..12) => Err(io::ErrorKind::StorageFull.into()),
            (true, half) => self.1.write_at(&bytes[..half], offset),
            (false, _) => self.1.write_at(bytes, offset),
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.1.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.1.sync()
    }
}

proptest! {
    /// Chunks whose checksums are right and whose contents may make no sense.
    #[test]
    fn hostile_chunks_are_told_or_given(
        all in proptest::collection::vec((any::<u64>(), any::<i64>(), any::<i64>(), 0u8.., 0usize..60, 0u8..), 1..8),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = format::file_header().to_vec();
        for (series_ref, min, max, encoding, len, fill) in &all {
            let begin = bytes.len();
            bytes.extend_from_slice(&series_ref.to_be_bytes());
            // Half of them span a time that makes sense.
            let max = if fill % 2 == 0 { min.saturating_add(max.rem_euclid(1 << 20)) } else { *max };
            bytes.extend_from_slice(&min.to_be_bytes());
            bytes.extend_from_slice(&max.to_be_bytes());
            bytes.push(*encoding);
            encoding::put_uvarint(&mut bytes, *len as u64);
            bytes.resize(bytes.len() + len, *fill);
            let crc = encoding::crc32c(&bytes[begin..]);
            bytes.extend_from_slice(&crc.to_be_bytes());
        }
        std::fs::write(dir.path().join("000001"), bytes).unwrap();
        let store = open(dir.path());
        let (found, loaded) = load(&store);
        prop_assert!(found.len() + loaded.corrupt.len() <= all.len() + 1);
        for chunk in found {
            prop_assert!(chunk.min_time <= chunk.max_time);
            prop_assert_eq!(store.read(chunk.reference).unwrap().encoding, chunk.encoding);
        }
    }
}

#[test]
fn chunks_of_prometheus() {
    let Some(dir) = testkit::conformance_dir().map(|d| d.join("golden-blocks/head")).filter(|d| d.is_dir()) else {
        return testkit::skip_without("golden-blocks in AION_CONFORMANCE_DIR", "chunks_of_prometheus");
    };
    let dir = dir.join("float_ooo_snapshot/chunks_head");
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(dir.join("000001"), copy.path().join("000001")).unwrap();
    let store = MappedChunks::open(copy.path(), MappedOptions::default()).unwrap();
    let (found, loaded) = load(&store);
    assert_eq!(loaded.corrupt, []);
    // The marker in the log of late samples points to this one.
    let late = found.iter().find(|c| c.reference == 4_294_968_189).unwrap();
    assert!(late.out_of_order && late.series_ref == 4);
    for chunk in &found {
        let read = store.read(chunk.reference).unwrap();
        let mut column = Column::new();
        decode_floats(read.encoding, &read.data, &mut column).unwrap();
        assert_eq!(column.times.len(), usize::from(chunk.samples));
        assert_eq!(column.times.first(), Some(&chunk.min_time));
        assert_eq!(column.times.last(), Some(&chunk.max_time));
    }
}

#[test]
fn series_that_may_have_lost_a_chunk_give_up_what_follows() {
    let at = |series_ref, reference, min_time, late| MappedChunk {
        series_ref,
        reference,
        min_time,
        max_time: min_time + 100,
        samples: 11,
        encoding: Encoding::Xor,
        out_of_order: late,
    };
    let all = [
        at(1, 100, 0, false),
        at(2, 200, 0, false),
        at(3, 300, 0, true),
        // A corrupt place is at 350.
        at(1, 400, 110, false),
        at(2, 500, 220, false),
        at(3, 600, 110, false),
        at(3, 650, 0, true),
        at(2, 700, 330, false),
        at(1, 800, 500, false),
    ];
    let mut none_lost = all.to_vec();
    assert_eq!(without_holes(&mut none_lost, &[]), 0);
    assert_eq!(none_lost, all);
    let mut left = all.to_vec();
    assert_eq!(without_holes(&mut left, &[350]), 3);
    // Series 1 goes on without a gap; its later gap is nobody's fault. Series 2 has a gap, series 3 had no chunk before.
    let references: Vec<_> = left.iter().map(|c| (c.series_ref, c.reference)).collect();
    assert_eq!(references, [(1, 100), (1, 400), (1, 800), (2, 200), (3, 300), (3, 650)]);
}
