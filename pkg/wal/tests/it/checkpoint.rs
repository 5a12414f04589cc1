//! What checkpoints keep, and that nothing which lies in their way stops them or a start.

use std::path::Path;

use histogram::{CUSTOM_BUCKETS_SCHEMA, Histogram, Span};
use model::MetricType;
use wal::checkpoint::{Request, Stats, last, remove_below, unhide, write};
use wal::record::*;
use wal::{Entry, Options, PAGE_BYTES, Reader, Writer, list_segments};

use super::{collect, open};

fn series(refs: &[u64]) -> Vec<u8> {
    let mut record = Vec::new();
    let names: Vec<_> = refs.iter().map(|r| format!("metric_{r}")).collect();
    encode_series(&mut record, refs.iter().zip(&names).map(|(r, n)| (*r, [("__name__", n.as_str())].into_iter())));
    record
}

fn samples(refs: &[u64], time_ms: i64) -> Vec<u8> {
    let mut record = Vec::new();
    encode_samples(&mut record, refs, &vec![time_ms; refs.len()], &vec![1.5; refs.len()]);
    record
}

fn histograms(series_ref: u64, times_ms: [i64; 2], schema: i32) -> Vec<u8> {
    let histogram = Histogram {
        schema,
        positive_spans: vec![Span { offset: 0, length: 1 }],
        positive_deltas: vec![3],
        custom_values: if schema == CUSTOM_BUCKETS_SCHEMA { vec![1.0] } else { vec![] },
        ..Histogram::default()
    };
    let mut record = Vec::new();
    let rows = times_ms.map(|t| (series_ref, t, &histogram));
    assert!(encode_histograms(&mut record, schema == CUSTOM_BUCKETS_SCHEMA, rows));
    record
}

fn exemplars(rows: &[(u64, i64)]) -> Vec<u8> {
    let mut record = Vec::new();
    let labels = [("trace_id", "x")];
    let row = |(r, t): &(u64, i64)| ExemplarRow { series_ref: *r, time_ms: *t, value: 0.5, labels: labels.into_iter() };
    encode_exemplars(&mut record, rows.iter().map(row));
    record
}

fn metadata(series_ref: u64, help: &str) -> Vec<u8> {
    let mut record = Vec::new();
    encode_metadata(&mut record, [MetadataRow { series_ref, metric_type: MetricType::Gauge, unit: "", help }]);
    record
}

fn tombstones(rows: &[(u64, i64, i64)]) -> Vec<u8> {
    let mut record = Vec::new();
    encode_tombstones(&mut record, rows.iter().copied());
    record
}

fn log(writer: &mut Writer, records: &[Vec<u8>]) {
    writer.log(records).unwrap();
    writer.cut().unwrap();
}

fn checkpoint(dir: &Path, segment: u64, min_time_ms: i64, keep: &[u64]) -> Stats {
    let keep = &mut |r: u64| keep.contains(&r);
    write(dir, Request { segment, min_time_ms, deleted_min_ms: min_time_ms, keep, options: Options::default() })
        .unwrap()
        .unwrap()
        .1
}

fn read(dir: &Path) -> Vec<Vec<u8>> {
    let found = last(dir).unwrap();
    let (records, corruptions) = collect(Reader::behind_checkpoint(dir, found.last.as_ref()).unwrap());
    assert_eq!(corruptions, []);
    records
}

#[test]
fn what_is_needed_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path(), Options::default());
    let mut starts = Vec::new();
    encode_samples_with_starts(&mut starts, &[1, 2], &[50, 150], &[7, 8], &[1.0, 2.0]);
    log(&mut writer, &[series(&[1, 2, 3]), series(&[4]), samples(&[1, 2], 50), metadata(1, "old"), starts]);
    log(&mut writer, &[samples(&[1, 3], 100), histograms(2, [50, 150], 3), histograms(2, [99, 101], -53)]);
    log(&mut writer, &[exemplars(&[(1, 90), (3, 110)]), metadata(1, "new"), metadata(2, "gone"), vec![99, 1]]);
    log(&mut writer, &[tombstones(&[(1, 0, 99), (1, 0, 100), (2, 0, 500), (3, i64::MIN, i64::MAX)])]);
    log(&mut writer, &[series(&[5]), samples(&[5], 200)]);

    let stats = checkpoint(dir.path(), 3, 100, &[1, 3]);
    let mut with_start = Vec::new();
    encode_samples_with_starts(&mut with_start, &[2], &[150], &[8], &[2.0]);
    let kept = [
        series(&[1, 3]),
        with_start,
        samples(&[1, 3], 100),
        one(histograms(2, [150, 0], 3)),
        one(histograms(2, [101, 0], -53)),
        exemplars(&[(3, 110)]),
        tombstones(&[(1, 0, 100), (3, i64::MIN, i64::MAX)]),
        metadata(1, "new"),
    ];
    let rest = [series(&[5]), samples(&[5], 200)];
    assert_eq!(read(dir.path()), [&kept[..], &rest].concat());
    let expected = Stats {
        series: 2,
        series_dropped: 2,
        samples: 5,
        samples_dropped: 5,
        exemplars: 1,
        exemplars_dropped: 1,
        tombstones: 2,
        tombstones_dropped: 2,
        metadata: 1,
        metadata_dropped: 2,
        unknown_records: 1,
        ..Stats::default()
    };
    assert_eq!(stats, expected);
    // The same once the segments are gone, and a checkpoint of the checkpoint.
    writer.truncate(4).unwrap();
    assert_eq!(read(dir.path()), [&kept[..], &rest].concat());
    let keep = &mut |_: u64| true;
    let again = Request { segment: 3, min_time_ms: 0, deleted_min_ms: 0, keep, options: Options::default() };
    assert_eq!(write(dir.path(), again).unwrap(), None);
    checkpoint(dir.path(), 4, 150, &[3, 5]);
    remove_below(dir.path(), 4).unwrap();
    writer.truncate(5).unwrap();
    let mut with_start = Vec::new();
    encode_samples_with_starts(&mut with_start, &[2], &[150], &[8], &[2.0]);
    let kept = [
        series(&[3]),
        with_start,
        one(histograms(2, [150, 0], 3)),
        tombstones(&[(3, i64::MIN, i64::MAX)]),
        series(&[5]),
        samples(&[5], 200),
    ];
    assert_eq!(read(dir.path()), kept);
    assert!(!dir.path().join("checkpoint.00000003").exists());
}

/// The record of its first row alone.
fn one(record: Vec<u8>) -> Vec<u8> {
    let mut rows = Histograms::<Histogram>::default();
    rows.decode(&record).unwrap();
    let mut out = Vec::new();
    for custom in [false, true] {
        encode_histograms(&mut out, custom, [(rows.refs[0], rows.times_ms[0], &rows.values[0])]);
    }
    out
}

/// prometheus#13152: what follows the corruption is kept, and the log can be truncated.
#[test]
fn corrupt_segments_do_not_stop_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path(), Options::default());
    log(&mut writer, &[series(&[1])]);
    let many: Vec<_> = (0..4_000).map(|n| samples(&[1], 1_000 + n)).collect();
    log(&mut writer, &many);
    log(&mut writer, &[samples(&[1], 9_999), b"\x02not a record of samples".to_vec()]);
    let path = dir.path().join("00000001");
    let mut bytes = std::fs::read(&path).unwrap();
    assert!(bytes.len() > 3 * PAGE_BYTES);
    bytes[PAGE_BYTES + 3] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let stats = checkpoint(dir.path(), 2, 0, &[1]);
    assert_eq!((stats.series, stats.corruptions, stats.corruptions_told.len()), (1, 2, 2));
    assert!(stats.samples > 2_000 && stats.samples < 4_001, "{} samples", stats.samples);
    writer.truncate(3).unwrap();
    assert_eq!(read(dir.path()).last().unwrap(), &samples(&[1], 9_999));
}

/// prometheus#4705
#[test]
fn empty_and_unfinished_directories_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(last(&dir.path().join("missing")).unwrap().last, None);
    let mut writer = open(dir.path(), Options::default());
    log(&mut writer, &[series(&[1])]);
    log(&mut writer, &[samples(&[1], 5)]);
    checkpoint(dir.path(), 0, 0, &[1]);
    for name in ["checkpoint.00000007", "checkpoint.00000009.tmp", "checkpoint.", "checkpoint.x", "other"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    std::fs::write(dir.path().join("checkpoint.00000008"), "no directory").unwrap();
    let found = last(dir.path()).unwrap();
    assert_eq!(found.last.unwrap().segment, 0);
    assert_eq!(found.empty, [dir.path().join("checkpoint.00000007")]);
    assert_eq!(read(dir.path()), [series(&[1]), samples(&[1], 5)]);
    // The empty one is replaced.
    std::fs::create_dir(dir.path().join("checkpoint.00000001")).unwrap();
    checkpoint(dir.path(), 1, 0, &[1]);
    assert!(!dir.path().join("checkpoint.00000009.tmp").exists());
    assert_eq!(last(dir.path()).unwrap().last.unwrap().segment, 1);
}

/// Each byte of a checkpoint changed: the segments behind it are read all the same.
#[test]
fn a_corrupt_checkpoint_costs_its_records_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path(), Options::default());
    log(&mut writer, &[series(&[1, 2, 3]), samples(&[1, 2, 3], 100)]);
    log(&mut writer, &[samples(&[2], 200)]);
    checkpoint(dir.path(), 0, 0, &[1, 2, 3]);
    writer.truncate(1).unwrap();
    let found = last(dir.path()).unwrap().last.unwrap();
    let path = list_segments(&found.dir).unwrap()[0].path.clone();
    let bytes = std::fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x40;
        std::fs::write(&path, changed).unwrap();
        let mut reader = Reader::behind_checkpoint(dir.path(), Some(&found)).unwrap();
        let (mut records, mut corruptions) = (Vec::new(), 0);
        while let Some(entry) = reader.read() {
            match entry {
                Entry::Record(record) => records.push(record.to_vec()),
                Entry::Corrupt(corruption) => {
                    assert!(!corruption.torn, "byte {at}");
                    corruptions += 1;
                }
            }
        }
        assert_eq!(records.last().unwrap(), &samples(&[2], 200), "byte {at}");
        assert!(corruptions > 0, "byte {at}");
    }
}

/// A log of five segments whose newest checkpoint has a number beyond them.
fn behind_a_foreign_checkpoint(dir: &Path) -> Vec<Vec<u8>> {
    let mut writer = open(dir, Options::default());
    (1..=20).for_each(|n| log(&mut writer, &[series(&[n]), samples(&[n], 100)]));
    checkpoint(dir, 19, 0, &(1..=20).collect::<Vec<_>>());
    writer.truncate(u64::MAX).unwrap();
    drop(writer);
    for segment in list_segments(dir).unwrap() {
        std::fs::remove_file(segment.path).unwrap();
    }
    // As a program does it that does not look at checkpoints.
    let own = tempfile::tempdir().unwrap();
    let mut writer = open(own.path(), Options::default());
    (21..=24).for_each(|n| log(&mut writer, &[series(&[n]), samples(&[n], 200)]));
    drop(writer);
    for segment in list_segments(own.path()).unwrap() {
        std::fs::copy(&segment.path, dir.join(segment.path.file_name().unwrap())).unwrap();
    }
    let old = (1..=20).flat_map(|n| [series(&[n]), samples(&[n], 100)]);
    old.chain((21..=24).flat_map(|n| [series(&[n]), samples(&[n], 200)])).collect()
}

fn numbers(dir: &Path) -> Vec<u64> {
    list_segments(dir).unwrap().iter().map(|segment| segment.number).collect()
}

#[test]
fn a_checkpoint_beyond_the_last_segment_hides_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let all = behind_a_foreign_checkpoint(dir.path());
    assert_eq!(numbers(dir.path()), [0, 1, 2, 3, 4]);
    assert_eq!(read(dir.path()), all, "before anything was repaired");
    let unhidden = unhide(dir.path()).unwrap().unwrap();
    assert_eq!((unhidden.segments, unhidden.first, numbers(dir.path())), (5, 20, vec![20, 21, 22, 23, 24]));
    assert_eq!(unhide(dir.path()).unwrap(), None);
    assert_eq!(read(dir.path()), all);
    let writer = open(dir.path(), Options::default());
    assert_eq!((writer.position().segment, read(dir.path())), (25, all));
}

#[test]
fn a_repair_of_numbers_that_was_interrupted_goes_on() {
    for (done, later) in (0..5).flat_map(|done| [(done, vec![]), (done, vec![40]), (done, vec![22, 23])]) {
        let dir = tempfile::tempdir().unwrap();
        let all = behind_a_foreign_checkpoint(dir.path());
        let to = |number: u64| dir.path().join(format!("{number:08}"));
        for number in (5 - done..5).rev() {
            std::fs::rename(to(number), to(number + 20)).unwrap();
        }
        for number in &later {
            let taken = numbers(dir.path()).contains(number);
            if !taken {
                std::fs::write(to(*number), []).unwrap();
            }
        }
        let unhidden = unhide(dir.path()).unwrap().unwrap();
        assert_eq!(unhidden.segments as u64, 5 - done, "{done} {later:?}");
        assert!(numbers(dir.path()).iter().all(|number| *number >= 20), "{done} {later:?}");
        let found = last(dir.path()).unwrap();
        let (records, _) = collect(Reader::behind_checkpoint(dir.path(), found.last.as_ref()).unwrap());
        assert_eq!(records, all, "{done} {later:?}");
        assert_eq!(unhide(dir.path()).unwrap(), None);
    }
}

#[test]
fn what_a_checkpoint_replaces_is_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(dir.path(), Options::default());
    (1..=4).for_each(|n| log(&mut writer, &[series(&[n]), samples(&[n], 100)]));
    checkpoint(dir.path(), 2, 0, &[1, 2, 3]);
    let expected = (1..=4).flat_map(|n| [series(&[n]), samples(&[n], 100)]).collect::<Vec<_>>();
    assert_eq!(read(dir.path()), expected, "a crash left the segments");
    assert_eq!((unhide(dir.path()).unwrap(), numbers(dir.path())), (None, vec![0, 1, 2, 3, 4]));
    drop(writer);
    // Without any segment the log goes on behind the checkpoint.
    for segment in list_segments(dir.path()).unwrap() {
        std::fs::remove_file(segment.path).unwrap();
    }
    assert_eq!(open(dir.path(), Options::default()).position().segment, 3);
}
