//! Records that are written are read, whatever their lengths, over pages, segments and openings.

use std::sync::Arc;

use proptest::prelude::*;
use wal::*;

use super::{hasty, noise, open, read_all};

/// Lengths around those at which a fragment fits its page.
fn length() -> impl Strategy<Value = usize> {
    let page = PAGE_BYTES - 7;
    prop_oneof![0..300usize, page - 20..page + 20, 2 * page - 20..2 * page + 20, Just(5 * page)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn records_come_back(
        batches in proptest::collection::vec((proptest::collection::vec(length(), 0..5), 0u8..8), 0..20),
        kind in 0usize..3,
        compressible: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let compression = [Compression::None, Compression::Snappy, Compression::Zstd][kind];
        let options = hasty(compression, 200_000);
        let mut writer = open(dir.path(), options.clone());
        let mut expected: Vec<Vec<u8>> = Vec::new();
        for (lengths, then) in batches {
            let record = |(i, len)| if compressible { vec![i as u8; len] } else { noise(expected.len() as u64 + i as u64, len) };
            let records: Vec<_> = lengths.into_iter().enumerate().map(record).collect();
            writer.log(&records).unwrap();
            expected.extend(records);
            match then {
                0 => writer.cut().unwrap(),
                1 => writer.sync().unwrap(),
                2 => {
                    drop(writer);
                    writer = open(dir.path(), options.clone());
                }
                _ => {}
            }
        }
        let (records, corruptions) = read_all(dir.path());
        prop_assert_eq!(corruptions, []);
        prop_assert_eq!(records.len(), expected.len());
        prop_assert!(records == expected);
        for segment in list_segments(dir.path()).unwrap() {
            let bytes = segment.path.metadata().unwrap().len();
            prop_assert!(bytes <= 200_000 + 5 * 170_000, "segment of {bytes} bytes");
        }
    }
}

#[test]
fn segments_are_cut_listed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path(), hasty(Compression::None, 3 * PAGE_BYTES as u64));
    for n in 0..20 {
        writer.log(&[noise(n, 20_000)]).unwrap();
    }
    let numbers = |dir| list_segments(dir).unwrap().iter().map(|s| s.number).collect::<Vec<_>>();
    assert_eq!(numbers(dir.path()), [0, 1, 2, 3, 4]);
    assert_eq!(writer.position().segment, 4);
    std::fs::write(dir.path().join("00000003.repair"), "left over").unwrap();
    std::fs::create_dir(dir.path().join("00000009")).unwrap();
    assert_eq!(writer.truncate(3).unwrap(), 3);
    assert_eq!(numbers(dir.path()), [3, 4]);
    assert_eq!(size_bytes(dir.path()).unwrap(), 3 * PAGE_BYTES as u64 + writer.position().offset);
    // The one that is written stays.
    assert_eq!(writer.truncate(99).unwrap(), 1);
    writer.log(&[noise(77, 3)]).unwrap();
    assert_eq!(read_all(dir.path()).0.last().unwrap(), &noise(77, 3));
}

#[test]
fn reading_goes_on_from_a_position() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path(), hasty(Compression::None, 100_000));
    for n in 0..30 {
        writer.log(&[noise(n, 9_000)]).unwrap();
    }
    let mut reader = Reader::open(dir.path(), 0).unwrap();
    let mut positions = Vec::new();
    while let Some(entry) = reader.read() {
        assert_eq!(entry, Entry::Record(&noise(positions.len() as u64, 9_000)));
        positions.push(reader.position());
    }
    assert!(positions.is_sorted() && positions.last().unwrap().segment > 1);
    for (n, position) in positions.iter().enumerate() {
        let mut reader = Reader::from_position(dir.path(), *position).unwrap();
        let rest = (n as u64 + 1..30).map(|n| noise(n, 9_000));
        for expected in rest {
            assert_eq!(reader.read(), Some(Entry::Record(&expected)));
        }
        assert_eq!(reader.read(), None);
    }
}

#[test]
fn packed_records_are_unpacked_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path(), hasty(Compression::Zstd, 100_000));
    let records = [vec![7; 50_000], noise(1, 100), vec![]];
    writer.log(&records).unwrap();
    let (mut reader, mut unpacker) = (Reader::open(dir.path(), 0).unwrap(), Unpacker::default());
    for expected in &records {
        let Some(Packed::Record { compression, bytes, position }) = reader.read_packed() else { panic!() };
        assert!(position <= writer.position());
        assert_eq!(unpacker.unpack(compression, bytes).unwrap(), expected);
    }
    assert_eq!(reader.read_packed(), None);
}

#[test]
fn what_is_too_large_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path(), Options::default());
    let large = Arc::new(vec![0u8; RECORD_BYTES_MAX + 1]);
    assert!(matches!(writer.log(&[large.as_slice()]), Err(Error::TooLarge { .. })));
    writer.log(&[b"next"]).unwrap();
    assert_eq!(read_all(dir.path()).0, [b"next"]);
}

#[test]
fn a_gap_between_segments_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path(), Options::default());
    for n in 0..4 {
        writer.log(&[[n]]).unwrap();
        writer.cut().unwrap();
    }
    std::fs::remove_file(dir.path().join("00000001")).unwrap();
    std::fs::remove_file(dir.path().join("00000002")).unwrap();
    let (records, corruptions) = read_all(dir.path());
    assert_eq!(records, [[0], [3]]);
    assert_eq!(corruptions.len(), 1);
    assert_eq!((corruptions[0].position.segment, corruptions[0].torn), (1, false));
    assert!(corruptions[0].to_string().contains("segments 1 to 2 are missing"), "{}", corruptions[0]);
}
