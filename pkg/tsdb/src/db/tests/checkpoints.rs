//! What a checkpoint has to keep.

use std::path::Path;

use telemetry::Metrics;
use wal::record::{Kind, SeriesReader, Tombstones, encode_series, encode_tombstones};
use wal::{Packed, Reader, Unpacker, Writer};

use super::super::log::OldSegments;
use crate::journal::{Before, JournalOptions, Log, LogJournal, log_dir};

const NUMBER: u64 = 5;

/// A log of some segments, whose first one has a series and a deletion; and another one with late samples.
fn write(dir: &Path) {
    let options = wal::Options::default();
    let (mut wal, _) = Writer::open(&log_dir(dir, Log::Wal), options.clone()).unwrap();
    let (mut series, mut deleted) = (Vec::new(), Vec::new());
    encode_series(&mut series, [(NUMBER, [("__name__", "a")].into_iter())]);
    encode_tombstones(&mut deleted, [(NUMBER, 10, 20)]);
    wal.log(&[&series, &deleted]).unwrap();
    (0..6).for_each(|_| wal.cut().unwrap());
    let (mut late, _) = Writer::open(&log_dir(dir, Log::Wbl), options).unwrap();
    late.log(&[b"late"]).unwrap();
}

/// How many series and deletions the newest checkpoint has.
fn kept(dir: &Path) -> (usize, usize) {
    let found = wal::checkpoint::last(&log_dir(dir, Log::Wal)).unwrap().last.unwrap();
    let (mut reader, mut unpacker, mut kept) = (Reader::open(&found.dir, 0).unwrap(), Unpacker::default(), (0, 0));
    while let Some(packed) = reader.read_packed() {
        let Packed::Record { compression, bytes, .. } = packed else { panic!("{packed:?}") };
        let record = unpacker.unpack(compression, bytes).unwrap();
        match Kind::of(record) {
            Some(Kind::Series) => {
                let mut series = SeriesReader::new(record).unwrap();
                while series.read().unwrap().is_some() {
                    kept.0 += 1;
                }
            }
            Some(Kind::Tombstones) => {
                let mut rows = Tombstones::default();
                rows.decode(record).unwrap();
                kept.1 += rows.refs.len();
            }
            other => panic!("{other:?}"),
        }
    }
    kept
}

/// What is kept for a head from `begin` on.
async fn checkpoint(
    dir: &Path,
    (log, journal): (&OldSegments, &LogJournal),
    begin: (i64, Option<i64>),
    numbers: &[u64],
) -> (usize, usize) {
    journal.cut(Log::Wal).await.unwrap();
    let numbers = || numbers.to_vec();
    log.truncate(journal, begin, (vec![], i64::MIN), &numbers).await.unwrap();
    kept(dir)
}

fn open(dir: &Path) -> (OldSegments, LogJournal, Before) {
    write(dir);
    let options = JournalOptions::default();
    let journal = LogJournal::open(dir, options.clone(), &Metrics::new()).unwrap();
    let before = journal.before();
    (OldSegments::new(dir, options, &Metrics::new()), journal, before)
}

/// A snapshot names the numbers only that it needs itself.
#[tokio::test(flavor = "multi_thread")]
async fn all_numbers_of_a_log_that_was_not_read_are_kept_until_their_samples_are_in_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let (log, journal, before) = open(dir.path());
    log.note_replayed(vec![], Before { wbl: None, ..before }, 1_000, false);
    let all = (&log, &journal);
    assert_eq!(checkpoint(dir.path(), all, (1_000, None), &[]).await, (1, 0));
    // The last segment that may name them is replaced.
    for _ in 0..4 {
        checkpoint(dir.path(), all, (1_000, None), &[]).await;
    }
    assert_eq!(checkpoint(dir.path(), all, (1_000, None), &[]).await, (1, 0));
    assert_eq!(checkpoint(dir.path(), all, (1_001, None), &[]).await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_late_samples_are_kept_until_these_are_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (log, journal, before) = open(dir.path());
    log.note_replayed(vec![NUMBER], before, 1_000, true);
    let all = (&log, &journal);
    for _ in 0..6 {
        assert_eq!(checkpoint(dir.path(), all, (2_000, None), &[]).await, (1, 0));
    }
    log.truncate_late(journal.cut(Log::Wbl).await.unwrap()).unwrap();
    assert_eq!(checkpoint(dir.path(), all, (2_000, None), &[]).await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_are_kept_until_the_late_samples_that_they_delete_are_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (log, journal, before) = open(dir.path());
    log.note_replayed(vec![], before, 1_000, true);
    let all = (&log, &journal);
    assert_eq!(checkpoint(dir.path(), all, (2_000, Some(20)), &[NUMBER]).await, (1, 1));
    assert_eq!(checkpoint(dir.path(), all, (2_000, Some(21)), &[NUMBER]).await, (1, 0));
}
