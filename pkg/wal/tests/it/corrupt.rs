//! Any byte changed, any length cut: no panic, nothing invented, everything else is read, and the loss is told.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use wal::{Compression, Options, PAGE_BYTES, Torn, Writer};

use super::{hasty, noise, open, read_all};

/// Where a record lies: segment, first byte, byte behind the last.
type Place = (u64, u64, u64);

/// Three segments of records of many lengths, and where each record lies.
fn write(dir: &Path, lengths: &[usize], segments: u64) -> (Vec<Vec<u8>>, Vec<Place>) {
    let options = hasty(Compression::None, 128 << 20);
    let mut writer = open(dir, options);
    let (mut records, mut places) = (Vec::new(), Vec::new());
    for segment in 0..segments {
        for len in lengths {
            let record = noise(records.len() as u64 + 1, *len);
            let begin = writer.position().offset;
            writer.log(&[&record]).unwrap();
            places.push((segment, begin, writer.position().offset));
            records.push(record);
        }
        if segment + 1 < segments {
            writer.cut().unwrap();
        }
    }
    (records, places)
}

fn page(offset: u64) -> u64 {
    offset / PAGE_BYTES as u64
}

/// Which of `records` were read; others are not there.
fn read_indexes(dir: &Path, records: &[Vec<u8>], invented_allowed: bool) -> (BTreeSet<usize>, usize) {
    let (read, corruptions) = read_all(dir);
    let known = |r: &Vec<u8>| records.iter().position(|known| known == r);
    let found: Vec<_> = read.iter().filter_map(known).collect();
    assert!(found.is_sorted_by(|a, b| a < b), "order");
    assert!(invented_allowed || found.len() == read.len(), "a record that was not written");
    (found.into_iter().collect(), corruptions.len())
}

fn flip_each(lengths: &[usize], segments: u64, offsets: impl Fn(u64) -> Vec<u64>) {
    let dir = tempfile::tempdir().unwrap();
    let (records, places) = write(dir.path(), lengths, segments);
    for number in 0..segments {
        let path = dir.path().join(format!("{number:08}"));
        let bytes = std::fs::read(&path).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        for at in offsets(bytes.len() as u64) {
            let changed = bytes[at as usize] ^ (1 << (at % 8));
            file.write_all_at(&[changed], at).unwrap();
            // The type of a fragment is not covered by its checksum.
            let is_type = places.iter().any(|(s, begin, end)| {
                let headers =
                    [*begin].into_iter().chain((page(*begin) + 1..=page(*end)).map(|p| p * PAGE_BYTES as u64));
                *s == number && headers.into_iter().any(|h| h == at)
            });
            let (found, corruptions) = read_indexes(dir.path(), &records, is_type);
            for (i, (segment, begin, end)) in places.iter().enumerate() {
                let touched = *segment == number && page(*begin) <= page(at) && page(at) <= page(end - 1);
                assert!(touched || found.contains(&i), "byte {at} of {number}: record {i} at {begin}..{end} is lost");
                let inside = *segment == number && (*begin..*end).contains(&at);
                assert!(!inside || !found.contains(&i) || is_type, "byte {at}: record {i} is changed");
            }
            assert!(corruptions > 0, "byte {at} of {number}: not told");
            assert!(corruptions <= 2, "byte {at} of {number}: told {corruptions} times");
            file.write_all_at(&[bytes[at as usize]], at).unwrap();
        }
        assert_eq!(read_indexes(dir.path(), &records, false), (records.iter().enumerate().map(|r| r.0).collect(), 0));
    }
}

/// Every byte of a segment of two pages.
#[test]
fn each_byte() {
    flip_each(&[100, 3_000, 0, 9_000, 1, 12_000, 6_000, 6_000, 300], 1, |len| (0..len).collect());
}

/// Records of several pages in several segments: around the borders of pages, and samples between.
#[test]
fn bytes_of_several_segments() {
    let near_border = |at: u64| at % PAGE_BYTES as u64 <= 8 || PAGE_BYTES as u64 - at % PAGE_BYTES as u64 <= 8;
    flip_each(&[20, 40_000, 5, 90_000, 20_000, 700], 3, |len| {
        (0..len).filter(|at| near_border(*at) || at % 997 == 0).collect()
    });
}

/// Only the record is lost whose data was changed, where its length is right.
#[test]
fn a_changed_value_costs_one_record() {
    let dir = tempfile::tempdir().unwrap();
    let (records, places) = write(dir.path(), &[50; 40], 1);
    let path = dir.path().join("00000000");
    let bytes = std::fs::read(&path).unwrap();
    for (i, (_, begin, _)) in places.iter().enumerate() {
        let mut changed = bytes.clone();
        changed[*begin as usize + 20] ^= 0x10;
        std::fs::write(&path, changed).unwrap();
        let (found, corruptions) = read_indexes(dir.path(), &records, false);
        assert_eq!((found.len(), found.contains(&i), corruptions), (records.len() - 1, false, 1));
    }
}

#[test]
fn a_lost_page_costs_its_records_only() {
    let dir = tempfile::tempdir().unwrap();
    let (records, places) = write(dir.path(), &[9_000, 70_000, 10_000, 20_000, 8_000], 2);
    let path = dir.path().join("00000000");
    let bytes = std::fs::read(&path).unwrap();
    for number in 0..page(bytes.len() as u64 - 1) {
        for fill in [0u8, 0xff, 1] {
            let mut changed = bytes.clone();
            changed[number as usize * PAGE_BYTES..][..PAGE_BYTES].fill(fill);
            std::fs::write(&path, changed).unwrap();
            let (found, corruptions) = read_indexes(dir.path(), &records, false);
            for (i, (segment, begin, end)) in places.iter().enumerate() {
                let touched = *segment == 0 && page(*begin) <= number && number <= page(end - 1);
                assert_eq!(found.contains(&i), !touched, "page {number}, record {i}");
            }
            let whole = places.iter().filter(|(s, b, e)| *s == 0 && page(*b) < number && number < page(e - 1));
            // Zeros are padding: that a page is lost shows only where a record goes over it.
            assert!(corruptions > 0 || fill == 0 && whole.count() == 0, "page {number}");
        }
    }
}

/// After a crash at any byte all whole records are read, opening cuts the rest off, and the log goes on.
#[test]
fn each_length() {
    let lengths = [100, 3_000, 0, 9_000, 1, 12_000, 6_000, 6_000, 300];
    let dir = tempfile::tempdir().unwrap();
    let (records, places) = write(dir.path(), &lengths, 1);
    let bytes = std::fs::read(dir.path().join("00000000")).unwrap();
    let options = hasty(Compression::None, 128 << 20);
    for len in 0..=bytes.len() {
        std::fs::write(dir.path().join("00000000"), &bytes[..len]).unwrap();
        let whole = places.iter().filter(|(_, _, end)| *end <= len as u64).count();
        let end = places[..whole].last().map_or(0, |(_, _, end)| *end);
        let (read, corruptions) = read_all(dir.path());
        assert_eq!(read, records[..whole], "length {len}");
        // Padding before a record that was never begun is no corruption.
        let padding = bytes[end as usize..len].iter().all(|b| *b == 0);
        assert_eq!(corruptions.iter().map(|c| c.torn).collect::<Vec<_>>(), vec![true; usize::from(!padding)], "{len}");
        if len % 499 != 0 && bytes.len() - len > 3 {
            continue;
        }
        let (mut writer, torn) = Writer::open(dir.path(), options.clone()).unwrap();
        let is_damage = torn.as_ref().is_some_and(|torn| torn.is_damage);
        // Where the rest of a record is due, padding that was written before a power failure is no mere cut.
        assert!(!is_damage || bytes[..len].ends_with(&[0; 7]), "length {len}");
        let cut = torn.map(|Torn { position, bytes, .. }| (position.offset, bytes));
        assert_eq!(cut, (!padding).then_some((end, len as u64 - end)), "length {len}");
        writer.log(&[b"next"]).unwrap();
        let (read, corruptions) = read_all(dir.path());
        assert_eq!(read[..whole], records[..whole]);
        assert_eq!((read.len(), &read[whole][..], corruptions), (whole + 1, &b"next"[..], vec![]));
        drop(writer);
        std::fs::remove_file(dir.path().join("00000001")).unwrap();
    }
}

/// A byte that changed in the last record is told from a write that did not end.
#[test]
fn damage_at_the_end_is_no_unfinished_write() {
    let dir = tempfile::tempdir().unwrap();
    let (records, _) = write(dir.path(), &[100, 200, 300], 1);
    let path = dir.path().join("00000000");
    let bytes = std::fs::read(&path).unwrap();
    for (at, cut, is_damage) in [(1, 0, true), (250, 0, true), (0, 1, false), (0, 250, false)] {
        let mut changed = bytes[..bytes.len() - cut].to_vec();
        let last = changed.len();
        if at > 0 {
            changed[last - at] ^= 1;
        }
        std::fs::write(&path, &changed).unwrap();
        let (writer, torn) = Writer::open(dir.path(), Options::default()).unwrap();
        drop(writer);
        assert_eq!(torn.map(|torn| torn.is_damage), Some(is_damage), "byte {at} from the end, {cut} cut off");
        assert_eq!(read_all(dir.path()), (records[..2].to_vec(), vec![]));
        std::fs::remove_file(dir.path().join("00000001")).unwrap();
    }
}

/// What a later version may have written is told, and not cut off.
#[test]
fn unknown_flags_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[10, 10, 10], 1);
    let path = dir.path().join("00000000");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[34] |= 0x20;
    std::fs::write(&path, &bytes).unwrap();
    let (records, corruptions) = read_all(dir.path());
    assert_eq!((records.len(), corruptions.len(), corruptions[0].position.offset), (2, 1, 34));
    drop(open(dir.path(), Options::default()));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}
