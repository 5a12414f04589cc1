//! What was saved is read again as it was, or not at all.

use std::path::Path;

use chunkenc::{Encoding, TimedChunk, XorState, encode_xor};
use wal::{LocalDisk, Options, Position, Writer};

use super::*;

/// A log, and where it ends.
fn log(dir: &Path) -> Position {
    let (mut writer, _) = Writer::open(dir, Options::default()).unwrap();
    let bytes = (0..9_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>();
    let records: Vec<&[u8]> = bytes.chunks(90).collect();
    writer.log(&records).unwrap();
    writer.position()
}

/// Number, place before, times, encoding, data and when it is full.
type Row = (u64, u64, (i64, i64), Encoding, Vec<u8>, Option<i64>);

fn read(dir: &Path) -> Result<Option<Vec<Row>>, Error> {
    let Some(saved) = Saved::find(dir)? else { return Ok(None) };
    let mut rows = Vec::new();
    saved.each(&mut |chunk| {
        let cut_at = match chunk.data {
            SavedData::Growing { state, data, cut_at_ms } => {
                let (state, buffer) = XorState::restore(state, data).map_err(|e| e.to_string())?;
                assert_eq!(state.finish(buffer), data);
                Some(cut_at_ms)
            }
            SavedData::Chunk { .. } => None,
            SavedData::Nothing => {
                assert!(chunk.chunk().is_none());
                rows.push((chunk.number, chunk.behind, (0, 0), Encoding::Xor, Vec::new(), None));
                return Ok(());
            }
        };
        let TimedChunk { min_time, max_time, encoding, data } = chunk.chunk().unwrap();
        rows.push((chunk.number, chunk.behind, (min_time, max_time), encoding, data.to_vec(), cut_at));
        Ok(())
    })?;
    Ok(Some(rows))
}

/// Saves chunks of `series` series, and what is to be read of them.
fn save(dir: &Path, position: Position, series: u64) -> Vec<Row> {
    let mut writer = SavedWriter::create(dir, &LocalDisk, position, 9_000).unwrap().unwrap();
    let mut rows = Vec::new();
    for number in 1..=series {
        let data = encode_xor((0..number as i64).map(|t| (t, number as f64))).unwrap();
        let times = (0, number as i64 - 1);
        if number % 3 == 0 {
            let chunk =
                TimedChunk { min_time: 0, max_time: times.1, encoding: Encoding::Xor, data: data.clone().into() };
            writer.chunk((number, 77), &chunk);
            rows.push((number, 77, times, Encoding::Xor, data, None));
        } else {
            let (state, buffer) = XorState::resume(&data).unwrap();
            writer.growing((number, 0), times, (&state, &buffer), 1_000);
            rows.push((number, 0, times, Encoding::Xor, data, Some(1_000)));
        }
        if number % 5 == 0 {
            writer.nothing((number, 99), (0, 0));
            rows.push((number, 99, (0, 0), Encoding::Xor, Vec::new(), None));
        }
        writer.flush().unwrap();
    }
    writer.finish().unwrap();
    rows
}

#[test]
fn what_is_saved_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(read(dir.path()).unwrap(), None);
    let position = log(dir.path());
    for series in [0, 1, 50, 3_000] {
        let rows = save(dir.path(), position, series);
        assert_eq!(read(dir.path()).unwrap(), Some(rows), "{series} series");
        let saved = Saved::find(dir.path()).unwrap().unwrap();
        assert_eq!((saved.position, saved.next_number), (position, 9_000));
    }
    // What is not finished replaces nothing.
    let before = read(dir.path()).unwrap();
    drop(SavedWriter::create(dir.path(), &LocalDisk, position, 1).unwrap().unwrap());
    assert_eq!(read(dir.path()).unwrap(), before);
    assert!(!dir.path().join(UNFINISHED).exists());
}

#[test]
fn a_file_that_changed_is_never_used() {
    let dir = tempfile::tempdir().unwrap();
    let position = log(dir.path());
    save(dir.path(), position, 4);
    let path = dir.path().join(NAME);
    let bytes = std::fs::read(&path).unwrap();
    let is_refused = |changed: &[u8], what: &str| {
        std::fs::write(&path, changed).unwrap();
        assert!(!matches!(read(dir.path()), Ok(Some(_))), "{what}");
    };
    for at in 0..bytes.len() {
        for bit in [1, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= bit;
            is_refused(&changed, &format!("byte {at} changed"));
        }
        is_refused(&bytes[..at], &format!("cut at {at}"));
        // As a file system may leave it.
        let zeros = [&bytes[..at], &vec![0; bytes.len() - at][..]].concat();
        if zeros != bytes {
            is_refused(&zeros, &format!("zeros from {at} on"));
        }
    }
    std::fs::write(&path, &bytes).unwrap();
    assert!(read(dir.path()).unwrap().is_some());
}

#[test]
fn it_belongs_to_one_log() {
    let dir = tempfile::tempdir().unwrap();
    let position = log(dir.path());
    save(dir.path(), position, 4);
    let path = dir.path().join("00000000");
    let bytes = std::fs::read(&path).unwrap();
    // It goes on behind the place.
    std::fs::write(&path, [&bytes[..], &[0; 100]].concat()).unwrap();
    assert!(read(dir.path()).unwrap().is_some());
    let mut changed = bytes.clone();
    changed[position.offset as usize - 1] ^= 1;
    for other in [&changed[..], &bytes[..position.offset as usize - 1], b""] {
        std::fs::write(&path, other).unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(read(dir.path()).unwrap(), None);
    assert!(SavedWriter::create(dir.path(), &LocalDisk, position, 1).unwrap().is_none(), "the segment is gone");
    // By a few bytes no log is known.
    std::fs::write(&path, &bytes).unwrap();
    let early = Position { offset: 100, ..position };
    assert!(SavedWriter::create(dir.path(), &LocalDisk, early, 1).unwrap().is_none());
}
