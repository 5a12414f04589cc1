//! Bytes of a real Prometheus, round trips, corrupt bytes.

use std::path::Path;

use chunkenc::{Column, Encoding, TimedChunk, decode_floats};
use histogram::{FloatHistogram, Histogram, Span};
use proptest::prelude::*;
use wal::record::ExemplarRow;
use wal::{Options, Position};

use super::*;

/// All of a snapshot, owned.
#[derive(Debug, Clone, Default, PartialEq)]
struct Content {
    series: Vec<(u64, Vec<(String, String)>, Option<OpenChunk>)>,
    tombstones: Vec<(u64, i64, i64)>,
    exemplars: Vec<(u64, i64, f64, String)>,
}

fn read(data: &Path) -> Result<(Position, Content), Error> {
    let found = last(data).unwrap().unwrap();
    verify(&found)?;
    let mut content = Content::default();
    SnapshotReader::open(&found)?.each(&mut |record| {
        match record {
            Record::Series(series) => {
                let labels = series.labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
                content.series.push((series.series_ref, labels, series.open));
            }
            Record::Tombstones(rows) => content.tombstones.extend(rows),
            Record::Exemplars(mut rows) => {
                while let Some(row) = rows.read()? {
                    let labels = format!("{:?}", row.labels);
                    content.exemplars.push((row.series_ref, row.time_ms, row.value, labels));
                }
            }
        }
        Ok(())
    })?;
    Ok((found.position, content))
}

fn write(data: &Path, position: Position, content: &Content) {
    let mut writer = SnapshotWriter::create(data, position, Options::default()).unwrap();
    for (series_ref, labels, open) in &content.series {
        let labels = labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        writer.series(*series_ref, labels, open.as_ref()).unwrap();
    }
    writer.tombstones(content.tombstones.iter().copied()).unwrap();
    let exemplars = content.exemplars.iter().map(|(series_ref, time_ms, value, _)| ExemplarRow {
        series_ref: *series_ref,
        time_ms: *time_ms,
        value: *value,
        labels: [("trace_id", "abc")].into_iter(),
    });
    writer.exemplars(exemplars).unwrap();
    writer.finish().unwrap();
}

fn open_chunk(kind: u8, begin: i64) -> Option<OpenChunk> {
    let timed = |encoding, data: &[u8]| TimedChunk {
        min_time: begin,
        max_time: begin + 30,
        encoding,
        data: data.to_vec().into(),
    };
    let histogram = Histogram {
        schema: 2,
        count: 7,
        sum: begin as f64,
        positive_spans: vec![Span { offset: 1, length: 2 }],
        positive_deltas: vec![3, 1],
        ..Histogram::default()
    };
    // Only the head of a chunk is looked at here.
    Some(match kind {
        1 => OpenChunk { chunk: timed(Encoding::Xor, &[0, 3, 1, 2]), last: LastSample::Float(1.5) },
        2 => OpenChunk { chunk: timed(Encoding::Histogram, &[0, 3, 0, 9]), last: LastSample::Histogram(histogram) },
        3 => {
            let last = LastSample::FloatHistogram(FloatHistogram { schema: 0, ..histogram.to_float() });
            OpenChunk { chunk: timed(Encoding::FloatHistogram, &[0, 3, 0, 9]), last }
        }
        4 => OpenChunk { chunk: timed(Encoding::Xor2, &[0, 3, 0, 1, 2]), last: LastSample::Float(-0.0) },
        5 => OpenChunk { chunk: timed(Encoding::HistogramSt, &[0, 3, 0, 9]), last: LastSample::Histogram(histogram) },
        6 => {
            let last = LastSample::FloatHistogram(histogram.to_float());
            OpenChunk { chunk: timed(Encoding::FloatHistogramSt, &[0, 3, 0, 9]), last }
        }
        _ => return None,
    })
}

fn content(kinds: &[u8], exemplars: usize) -> Content {
    let series = kinds.iter().enumerate().map(|(i, kind)| {
        let labels = vec![("__name__".to_owned(), format!("m{i}")), ("job".to_owned(), "x".repeat(i % 200))];
        (i as u64 + 1, labels, open_chunk(*kind, 1000 * i as i64))
    });
    Content {
        series: series.collect(),
        tombstones: (0..kinds.len() as u64 / 3).map(|i| (i, -5, i as i64)).collect(),
        exemplars: (0..exemplars)
            .map(|i| (i as u64 % 5, i as i64, 0.5, format!("{:?}", [("trace_id", "abc")])))
            .collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(kinds in proptest::collection::vec(0u8..=6, 0..300), exemplars in 0usize..25_000) {
        let dir = tempfile::tempdir().unwrap();
        let (position, content) = (Position { segment: 12, offset: 32_768 }, content(&kinds, exemplars));
        write(dir.path(), position, &content);
        prop_assert_eq!(read(dir.path()).unwrap(), (position, content));
    }
}

#[test]
fn each_byte() {
    let dir = tempfile::tempdir().unwrap();
    let position = Position { segment: 1, offset: 0 };
    write(dir.path(), position, &content(&[1, 2, 3, 4, 5, 6, 0], 3));
    let path = dir.path().join("chunk_snapshot.000001.0000000000/00000000");
    let bytes = std::fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        std::fs::write(&path, changed).unwrap();
        assert!(matches!(read(dir.path()), Err(Error::Corrupt { .. })), "byte {at}");
    }
    // Exemplars are optional, so that a cut before them goes unseen; one within or before the series does not.
    let whole = bytes.len() - 100;
    for len in 0..whole {
        std::fs::write(&path, &bytes[..len]).unwrap();
        assert!(read(dir.path()).is_err(), "{len} bytes");
    }
}

#[test]
fn the_newest_is_taken_and_the_others_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(last(dir.path()).unwrap(), None);
    for name in ["chunk_snapshot.000009.0000000000.tmp", "chunk_snapshot.x.0", "chunk_snapshot.000001", "snapshots"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    std::fs::write(dir.path().join("chunk_snapshot.000010.0000000000"), "no directory").unwrap();
    assert_eq!(last(dir.path()).unwrap(), None);
    let first = content(&[1], 0);
    for (segment, offset) in [(2, 100), (2, 99), (3, 5)] {
        write(dir.path(), Position { segment, offset }, &first);
        assert_eq!(read(dir.path()).unwrap().0, Position { segment, offset });
    }
    // One that was not finished leaves nothing.
    let options = Options::default();
    let mut writer = SnapshotWriter::create(dir.path(), Position { segment: 7, offset: 0 }, options).unwrap();
    writer.series(1, [("a", "b")].into_iter(), None).unwrap();
    drop(writer);
    assert_eq!(read(dir.path()).unwrap(), (Position { segment: 3, offset: 5 }, first));
    remove_all_but(dir.path(), None).unwrap();
    let mut left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["chunk_snapshot.000010.0000000000", "snapshots"]);
}

#[test]
fn a_snapshot_of_prometheus() {
    let Some(dir) = testkit::conformance_dir().map(|d| d.join("golden-blocks/head")).filter(|d| d.is_dir()) else {
        return testkit::skip_without("golden-blocks in AION_CONFORMANCE_DIR", "a_snapshot_of_prometheus");
    };
    let (position, content) = read(&dir.join("float_ooo_snapshot")).unwrap();
    assert_eq!(position, Position { segment: 0, offset: 32_768 });
    let names: Vec<_> = content.series.iter().map(|(series_ref, labels, _)| (*series_ref, &*labels[0].1)).collect();
    assert_eq!(names, [(1, "ctr_total"), (2, "special"), (3, "dods"), (4, "ooo")]);
    for (_, _, open) in &content.series {
        let open = open.as_ref().unwrap();
        let mut column = Column::new();
        decode_floats(open.chunk.encoding, &open.chunk.data, &mut column).unwrap();
        assert_eq!(column.times.first(), Some(&open.chunk.min_time));
        assert_eq!(column.times.last(), Some(&open.chunk.max_time));
        assert_eq!(open.last, LastSample::Float(*column.values.last().unwrap()));
    }
    assert_eq!(content.tombstones, []);
    let exemplars: Vec<_> = content.exemplars.iter().map(|(r, t, v, _)| (*r, *t, *v)).collect();
    assert_eq!(exemplars, [(1, 1_795_217_761_000, 1.0), (1, 1_795_217_762_000, 2.5)]);
}
