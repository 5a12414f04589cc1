//! A head after a restart has what it had before, whatever happened to the files meanwhile.

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chunkenc::{Encoding, TimedChunk, encode_xor};
use common::{Data, append, assert_same, canonical, copy_dir, data};
use histogram::{Histogram, Span};
use model::{Exemplar, FakeClock, MetricMetadata, MetricType, TimeRange};
use storage::append::{AppendOptions, Appendable, Exemplars, HistogramValue, Histograms, Metadata};
use storage::{Ctx, ExemplarsQuery, ExemplarsSource, MetadataQuery, MetadataSource, PartialResponse, ReplayProgress};
use telemetry::Metrics;
use tsdb::head::{Head, HeadOptions, HeadParts};
use tsdb::journal::{JournalOptions, Log, LogJournal, log_dir};
use tsdb::mapped::{MappedChunks, MappedOptions};
use tsdb::replay::{Error, Inputs, Replay, Replayed};
use tsdb::snapshot::{LastSample, OpenChunk, SnapshotWriter};
use wal::record::*;
use wal::{Position, Writer};

const T: i64 = 1_700_000_000_000;

/// A head with its files.
struct Node {
    head: Head,
    journal: Arc<LogJournal>,
    chunks: Arc<MappedChunks>,
    replayed: Replayed,
    progress: Vec<ReplayProgress>,
}

fn head_options() -> HeadOptions {
    HeadOptions {
        out_of_order_window_ms: 3_600_000,
        out_of_order_samples_max: 5,
        exemplars_max: 100,
        metadata_records: true,
        ..HeadOptions::default()
    }
}

fn journal_options() -> JournalOptions {
    let wal = wal::Options { segment_bytes: 100_000, ..wal::Options::default() };
    JournalOptions { wal, sync_interval: Duration::from_secs(60) }
}

/// Opens everything in `dir`; the replay is still to be run.
fn prepare(dir: &Path, threads: usize, min_valid_ms: i64) -> (Head, Arc<LogJournal>, Arc<MappedChunks>, Replay) {
    let metrics = Metrics::new();
    let journal = Arc::new(LogJournal::open(dir, journal_options(), &metrics).unwrap());
    let options = MappedOptions { file_bytes_max: 20_000, ..MappedOptions::default() };
    let chunks = Arc::new(MappedChunks::open(&dir.join("chunks_head"), options).unwrap());
    let parts = HeadParts {
        clock: Arc::new(FakeClock::at(T + 86_400_000)),
        metrics,
        journal: journal.clone(),
        chunks: chunks.clone(),
        seed: 7,
    };
    let head = Head::new(parts, head_options());
    head.set_min_valid_time(min_valid_ms);
    let before = journal.before();
    let inputs = Inputs {
        data: dir,
        head: &head,
        chunks: chunks.clone(),
        last_wal: before.wal,
        last_wbl: before.wbl,
        unhidden: before.unhidden,
        min_valid_ms,
        threads,
    };
    let replay = Replay::prepare(inputs).unwrap();
    (head, journal, chunks, replay)
}

fn start_with(dir: &Path, threads: usize, min_valid_ms: i64) -> Node {
    let (head, journal, chunks, replay) = prepare(dir, threads, min_valid_ms);
    let mut progress = Vec::new();
    let replayed = replay.run(&mut |at| progress.push(at), &|| false).unwrap();
    Node { head, journal, chunks, replayed, progress }
}

fn start(dir: &Path) -> Node {
    start_with(dir, 2, i64::MIN)
}

impl Node {
    /// As after `kill -9`: what was logged is there, nothing else.
    fn stop(self) {
        self.journal.close();
    }
}

fn histogram(n: u64) -> HistogramValue {
    HistogramValue::Int(Arc::new(Histogram {
        schema: 1,
        count: 3 * n,
        sum: n as f64,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_deltas: vec![n as i64, n as i64],
        ..Histogram::default()
    }))
}

async fn append_histograms(head: &Head, labels: &[(&str, &str)], from: u64, count: u64) {
    let mut appender = head.appender(&Ctx::background(), AppendOptions::default());
    let series = appender.resolve(&[labels]).unwrap().remove(0).unwrap();
    let values: Vec<_> = (from..from + count).map(histogram).collect();
    let rows = Histograms {
        series: &vec![series; values.len()],
        times_ms: &(from..from + count).map(|n| T + n as i64 * 1000).collect::<Vec<_>>(),
        values: &values,
        starts_ms: &[],
    };
    assert_eq!(appender.histograms(rows).unwrap(), []);
    appender.commit().await.unwrap();
}

/// Some hours of floats, histograms and late samples, over several restarts; returns what all of it is.
async fn write(dir: &Path) -> Data {
    for round in 0..3i64 {
        let node = start(dir);
        for part in 0..4i64 {
            let begin = (round * 4 + part) * 150;
            for n in 0..40 {
                let samples: Vec<_> =
                    (begin..begin + 150).map(|i| (T + i * 1000, (i * (n + 1)) as f64 * 0.1)).collect();
                let (name, number) = ("floats", n.to_string());
                let refused = append(&node.head, &[("__name__", name), ("n", &number)], &samples).await;
                assert_eq!(refused, []);
            }
            append_histograms(&node.head, &[("__name__", "hist")], begin as u64 + 1, 150).await;
            for n in 0..10 {
                // Between the others, one in seven seconds.
                let late: Vec<_> = (begin..begin + 150).filter(|i| i % 7 == n % 7).collect();
                let late: Vec<_> = late.into_iter().map(|i| (T + i * 1000 - 500, -1.0)).collect();
                let refused = append(&node.head, &[("__name__", "floats"), ("n", &n.to_string())], &late).await;
                assert_eq!(refused, []);
            }
            if part % 2 == 1 {
                node.head.map_full_chunks(&*node.chunks).await.unwrap();
            }
        }
        node.stop();
    }
    let node = start(dir);
    let written = data(&node.head).await;
    node.stop();
    written
}

/// What [`write`] writes.
fn expected() -> Data {
    let mut all = Data::new();
    for i in 0..1800i64 {
        for n in 0..40i64 {
            let labels = format!("__name__=\"floats\",n=\"{n}\"");
            all.insert((labels.clone(), T + i * 1000), vec![canonical((i * (n + 1)) as f64 * 0.1)]);
            if n < 10 && i % 7 == n % 7 {
                all.insert((labels, T + i * 1000 - 500), vec![canonical(-1.0)]);
            }
        }
        let n = i as u64 + 1;
        all.insert(
            ("__name__=\"hist\"".to_owned(), T + n as i64 * 1000),
            vec![canonical(3.0 * n as f64), canonical(n as f64)],
        );
    }
    all
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let written = write(dir.path()).await;
    assert_same(&written, &expected(), "after the last restart");
    for threads in [1, 3] {
        let node = start_with(dir.path(), threads, i64::MIN);
        assert_same(&data(&node.head).await, &written, "threads");
        let Replayed { restored, corruptions, late_corruptions, chunk_corruptions, .. } = &node.replayed;
        assert_eq!((restored.series, restored.unknown, restored.chunks_dropped), (41, 0, 0));
        assert_eq!((*corruptions, *late_corruptions, *chunk_corruptions), (0, 0, 0));
        assert!(node.replayed.chunks > 100, "{:?}", node.replayed);
        // Each segment was told, in order.
        let told: Vec<_> = node.progress.iter().map(|p| p.current).collect();
        assert!(told.is_sorted() && told.last().unwrap() - told[0] > 3, "{told:?}");
        assert!(node.progress.iter().all(|p| p.min <= p.current && p.current <= p.max && !p.done));
        // Series go on where they were.
        let labels = [("__name__", "floats"), ("n", "7")];
        assert_eq!(append(&node.head, &labels, &[(T + 1_799_000, 1799.0 * 8.0 * 0.1)]).await, []);
        node.stop();
    }
}

/// prometheus#12127: what the log of late samples has counts where its chunks are gone.
#[tokio::test(flavor = "multi_thread")]
async fn without_chunks_on_disk_the_logs_have_it_all() {
    let dir = tempfile::tempdir().unwrap();
    let written = write(dir.path()).await;
    std::fs::remove_dir_all(dir.path().join("chunks_head")).unwrap();
    let node = start(dir.path());
    assert_eq!(node.replayed.chunks, 0);
    assert_same(&data(&node.head).await, &written, "chunks removed");
}

/// Corrupt chunks are refilled from the logs, wherever they lie.
#[tokio::test(flavor = "multi_thread")]
async fn corrupt_chunks_are_refilled() {
    let whole = tempfile::tempdir().unwrap();
    let written = write(whole.path()).await;
    for shift in [0, 3000, 7000, 11_000] {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(whole.path(), dir.path());
        let paths = files(&dir.path().join("chunks_head"));
        assert!(paths.len() > 5);
        for (n, path) in paths.iter().enumerate() {
            let mut bytes = std::fs::read(path).unwrap();
            let at = (n * 4999 + shift + 100) % bytes.len();
            bytes[at] ^= 0x55;
            std::fs::write(path, bytes).unwrap();
        }
        let node = start(dir.path());
        assert_eq!(node.replayed.chunk_corruptions as usize, paths.len());
        assert_same(&data(&node.head).await, &written, "chunks corrupt");
        node.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_segment_costs_only_what_was_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let written = write(dir.path()).await;
    std::fs::remove_dir_all(dir.path().join("chunks_head")).unwrap();
    let segments = wal::list_segments(&log_dir(dir.path(), Log::Wal)).unwrap();
    let path = &segments[segments.len() / 2].path;
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let node = start(dir.path());
    assert_eq!(node.replayed.corruptions, 1);
    let read = data(&node.head).await;
    assert!(read.iter().all(|(key, value)| written.get(key) == Some(value)), "nothing is invented");
    // A record has 150 samples of one series.
    let missing = written.len() - read.len();
    assert!((1..=150).contains(&missing), "{missing} samples are missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_in_blocks_are_not_taken_again() {
    let dir = tempfile::tempdir().unwrap();
    let written = write(dir.path()).await;
    std::fs::remove_dir_all(dir.path().join("chunks_head")).unwrap();
    std::fs::remove_dir_all(dir.path().join("wbl")).unwrap();
    let min_valid_ms = T + 1_000_000;
    let node = start_with(dir.path(), 2, min_valid_ms);
    let wanted = written.iter().filter(|((_, t), _)| *t >= min_valid_ms && (t - T) % 1000 == 0);
    assert_same(
        &data(&node.head).await,
        &wanted.map(|(k, v)| (k.clone(), v.clone())).collect(),
        "from a block's end on",
    );
}

/// prometheus#16060, prometheus#17029: after a checkpoint nothing is unknown.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let written = write(dir.path()).await;
    let wal_dir = log_dir(dir.path(), Log::Wal);
    let segments = wal::list_segments(&wal_dir).unwrap();
    let segment = segments[segments.len() * 2 / 3].number;
    let min_time_ms = T + 700_000;
    let keep = &mut |_: u64| true;
    let request = wal::checkpoint::Request { segment, min_time_ms, keep, options: wal::Options::default() };
    let (_, stats) = wal::checkpoint::write(&wal_dir, request).unwrap().unwrap();
    assert!(stats.samples_dropped > 10_000 && stats.series == 41, "{stats:?}");
    wal::remove_below(&wal_dir, segment + 1).unwrap();
    let node = start(dir.path());
    assert_same(&data(&node.head).await, &written, "with chunks");
    assert_eq!((node.replayed.restored.unknown, node.progress[0].min), (0, segment + 1));
    node.stop();
    std::fs::remove_dir_all(dir.path().join("chunks_head")).unwrap();
    std::fs::remove_dir_all(dir.path().join("wbl")).unwrap();
    let node = start(dir.path());
    let left = data(&node.head).await;
    let wanted = written.iter().filter(|((_, t), _)| *t >= min_time_ms && (t - T) % 1000 == 0);
    assert!(wanted.clone().count() > 40_000);
    assert!(wanted.into_iter().all(|(key, value)| left.get(key) == Some(value)));
    assert_eq!(node.replayed.restored.unknown, 0);
}

/// A log made by hand: records, in segments of the records between `None`s.
fn log(dir: &Path, records: Vec<Option<Vec<u8>>>) {
    let (mut writer, _) = Writer::open(&log_dir(dir, Log::Wal), wal::Options::default()).unwrap();
    for record in records {
        match record {
            Some(record) => writer.log(&[record]).unwrap(),
            None => writer.cut().unwrap(),
        }
    }
}

fn series(number: u64, name: &str) -> Option<Vec<u8>> {
    let mut record = Vec::new();
    encode_series(&mut record, [(number, [("__name__", name)].into_iter())]);
    Some(record)
}

fn samples(numbers: &[u64], times: std::ops::Range<i64>, value: f64) -> Option<Vec<u8>> {
    let mut record = Vec::new();
    let rows: Vec<_> = times.flat_map(|t| numbers.iter().map(move |n| (*n, T + t * 1000))).collect();
    let (numbers, times): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    encode_samples(&mut record, &numbers, &times, &vec![value; numbers.len()]);
    Some(record)
}

fn tombstone(number: u64, min_ms: i64, max_ms: i64) -> Option<Vec<u8>> {
    let mut record = Vec::new();
    encode_tombstones(&mut record, [(number, min_ms, max_ms)]);
    Some(record)
}

fn count(data: &Data, name: &str, value: f64) -> usize {
    let labels = format!("__name__={name:?}");
    data.iter().filter(|((l, _), v)| *l == labels && **v == [canonical(value)]).count()
}

/// prometheus#16231: whatever is told of either number reaches the one series.
#[tokio::test(flavor = "multi_thread")]
async fn two_numbers_of_one_series() {
    for threads in [1, 2, 5] {
        let dir = tempfile::tempdir().unwrap();
        let mut metadata = Vec::new();
        let row = MetadataRow { series_ref: 9, metric_type: MetricType::Gauge, unit: "", help: "of both" };
        encode_metadata(&mut metadata, [row]);
        let mut exemplar = Vec::new();
        let labels = [("trace_id", "x")].into_iter();
        encode_exemplars(&mut exemplar, [ExemplarRow { series_ref: 9, time_ms: T + 15_500, value: 2.0, labels }]);
        let records = vec![
            series(1, "both"),
            series(2, "other"),
            samples(&[1, 2], 0..10, 1.0),
            None,
            series(9, "both"),
            samples(&[9, 2], 10..20, 1.0),
            tombstone(9, T + 3_000, T + 4_000),
            tombstone(1, T + 12_000, T + 12_999),
            Some(metadata),
            Some(exemplar),
            samples(&[1], 20..30, 1.0),
        ];
        log(dir.path(), records);
        let node = start_with(dir.path(), threads, i64::MIN);
        let read = data(&node.head).await;
        assert_eq!((count(&read, "both", 1.0), count(&read, "other", 1.0)), (27, 20), "{threads} threads");
        assert_eq!(node.replayed.restored.unknown, 0);
        let query = MetadataQuery { metric: "both".to_owned(), ..MetadataQuery::default() };
        let metadata = node.head.metadata(&Ctx::background(), query).await.unwrap().value;
        let expected = MetricMetadata { metric_type: "gauge".into(), help: "of both".into(), unit: String::new() };
        assert_eq!(metadata.into_values().next().unwrap(), [expected]);
        let all = all_exemplars();
        let exemplars = node.head.exemplars(&Ctx::background(), all).await.unwrap().value;
        assert_eq!(exemplars[0].exemplars[0].timestamp_ms, T + 15_500);
    }
}

/// Both numbers have chunks on disk, and no sample of the first one is in the log.
#[tokio::test(flavor = "multi_thread")]
async fn chunks_of_two_numbers_of_one_series() {
    let chunk = |times: std::ops::Range<i64>| {
        let (min_time, max_time) = (T + times.start * 1000, T + (times.end - 1) * 1000);
        let data = encode_xor(times.map(|t| (T + t * 1000, 1.0))).unwrap();
        TimedChunk { min_time, max_time, encoding: Encoding::Xor, data: data.into() }
    };
    for (threads, with_samples) in [(1, false), (2, true), (2, false)] {
        let dir = tempfile::tempdir().unwrap();
        let chunks = MappedChunks::open(&dir.path().join("chunks_head"), MappedOptions::default()).unwrap();
        chunks.write(1, &chunk(0..10), false).unwrap();
        chunks.write(9, &chunk(10..20), false).unwrap();
        drop(chunks);
        let mut records = vec![series(1, "both"), series(9, "both")];
        if with_samples {
            records.push(samples(&[9], 15..25, 1.0));
        }
        log(dir.path(), records);
        let node = start_with(dir.path(), threads, i64::MIN);
        let expected = if with_samples { 25 } else { 20 };
        assert_eq!(count(&data(&node.head).await, "both", 1.0), expected, "{threads} threads");
    }
}

/// From 3.10 on: a series that left early is forgotten, and may come again under another number.
#[tokio::test(flavor = "multi_thread")]
async fn series_that_left_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let records = vec![
        series(1, "gone"),
        series(2, "stays"),
        series(3, "back"),
        samples(&[1, 2, 3], 0..10, 1.0),
        tombstone(1, i64::MIN, i64::MAX),
        tombstone(3, i64::MIN, i64::MAX),
        samples(&[2], 10..20, 1.0),
        series(4, "back"),
        series(5, "new"),
        samples(&[2, 4, 5], 20..30, 2.0),
    ];
    log(dir.path(), records);
    for threads in [1, 2, 5] {
        let node = start_with(dir.path(), threads, i64::MIN);
        let read = data(&node.head).await;
        let counts = |name| (count(&read, name, 1.0), count(&read, name, 2.0));
        assert_eq!(counts("gone"), (0, 0));
        assert_eq!(counts("stays"), (20, 10));
        assert_eq!(counts("back"), (0, 10));
        assert_eq!(counts("new"), (0, 10));
        assert_eq!(read.len(), 50);
        node.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_may_be_written_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), vec![series(1, "old"), series(70, "other"), samples(&[1, 70], 0..100, 1.0)]);
    let (head, journal, _, replay) = prepare(dir.path(), 2, i64::MIN);
    assert_eq!(append(&head, &[("__name__", "new")], &[(T + 500_000, 3.0)]).await, []);
    assert_eq!(append(&head, &[("__name__", "old")], &[(T + 500_000, 3.0)]).await, []);
    replay.run(&mut |_| {}, &|| false).unwrap();
    let check = |read: Data| {
        assert_eq!((count(&read, "new", 3.0), count(&read, "old", 1.0), count(&read, "old", 3.0)), (1, 100, 1));
        assert_eq!((count(&read, "other", 1.0), read.len()), (100, 202));
    };
    check(data(&head).await);
    journal.close();
    // The numbers of the new series are none of the old ones.
    for _ in 0..2 {
        let node = start(dir.path());
        check(data(&node.head).await);
        assert_eq!(node.replayed.restored.unknown, 0);
        node.stop();
    }
}

fn all_exemplars() -> ExemplarsQuery {
    ExemplarsQuery {
        query: String::new(),
        selectors: vec![vec![common::all_series()]],
        range: TimeRange::ALL,
        partial_response: PartialResponse::Abort,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exemplars_and_metadata_are_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path());
    let mut appender = node.head.appender(&Ctx::background(), AppendOptions::default());
    let one = appender.resolve(&[&[("__name__", "one_total")]]).unwrap().remove(0).unwrap();
    let metadata = MetricMetadata { metric_type: "counter".into(), help: "Ones.".into(), unit: "s".into() };
    let exemplar = Exemplar { labels: labels::Labels::from_pairs([("trace_id", "a")]), value: 1.0, timestamp_ms: T };
    let rows = Metadata { series: &[one], families: &["one_total"], metadata: std::slice::from_ref(&metadata) };
    appender.metadata(rows).unwrap();
    appender.exemplars(Exemplars { series: &[one], exemplars: std::slice::from_ref(&exemplar) }).unwrap();
    let rows = storage::append::Floats { series: &[one], times_ms: &[T], values: &[1.0], starts_ms: &[] };
    appender.floats(rows).unwrap();
    appender.commit().await.unwrap();
    node.stop();
    let node = start(dir.path());
    let found = node.head.metadata(&Ctx::background(), MetadataQuery::default()).await.unwrap().value;
    assert_eq!(found.get("one_total").unwrap(), &[metadata]);
    let all = all_exemplars();
    let found = node.head.exemplars(&Ctx::background(), all).await.unwrap().value;
    assert_eq!(found[0].exemplars, [exemplar]);
}

/// prometheus#16242: what is in blocks is not taken again.
#[test]
fn exemplars_of_times_before_the_head_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let exemplar =
        |time_ms: i64| ExemplarRow { series_ref: 1, time_ms, value: 1.0, labels: [("trace_id", "a")].into_iter() };
    let mut record = Vec::new();
    encode_exemplars(&mut record, [exemplar(T - 1), exemplar(T), exemplar(T + 1)]);
    log(dir.path(), vec![series(1, "a"), samples(&[1], 0..5, 1.0), Some(record)]);
    let node = start_with(dir.path(), 2, T);
    let found = futures::executor::block_on(node.head.exemplars(&Ctx::background(), all_exemplars())).unwrap().value;
    assert_eq!(found[0].exemplars.iter().map(|e| e.timestamp_ms - T).collect::<Vec<_>>(), [0, 1]);
    node.stop();
}

/// A snapshot of two series at segment 1, with what the log says before and behind it.
fn with_snapshot(dir: &Path) -> Data {
    let before = [series(1, "a"), series(2, "b"), samples(&[1, 2], 0..50, 1.0)];
    let behind = [samples(&[1], 50..80, 1.0)];
    log(dir, before.into_iter().chain([None]).chain(behind).collect());
    let open = |begin: i64| {
        let rows = (0..50).map(|i| (T + (begin + i) * 1000, 1.0));
        let data = chunkenc::encode_xor(rows).unwrap().into();
        let (min_time, max_time) = (T + begin * 1000, T + (begin + 49) * 1000);
        let chunk = chunkenc::TimedChunk { min_time, max_time, encoding: chunkenc::Encoding::Xor, data };
        OpenChunk { chunk, last: LastSample::Float(1.0) }
    };
    let mut writer = SnapshotWriter::create(dir, Position { segment: 1, offset: 0 }, wal::Options::default()).unwrap();
    for (number, name) in [(1, "a"), (2, "b")] {
        writer.series(number, [("__name__", name)].into_iter(), Some(&open(0))).unwrap();
    }
    writer.tombstones([(2, T, T + 9_000)]).unwrap();
    writer.finish().unwrap();
    let mut all = Data::new();
    for (name, times) in [("a", 0..80), ("b", 10..50)] {
        all.extend(times.map(|i| ((format!("__name__={name:?}"), T + i * 1000), vec![canonical(1.0)])));
    }
    all
}

/// prometheus#18739, prometheus#14079
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_taken_and_a_corrupt_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let all = with_snapshot(dir.path());
    let node = start(dir.path());
    assert_same(&data(&node.head).await, &all, "with a snapshot");
    // The log before it was not read.
    assert_eq!((node.replayed.snapshot_series, node.replayed.records, node.replayed.restored.series), (2, 1, 2));
    node.stop();
    let path = dir.path().join("chunk_snapshot.000001.0000000000/00000000");
    let bytes = std::fs::read(&path).unwrap();
    for at in [0, bytes.len() / 2, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 4;
        std::fs::write(&path, changed).unwrap();
        let node = start(dir.path());
        let read = data(&node.head).await;
        // The log made by hand does not have the deletion.
        assert_eq!((count(&read, "a", 1.0), count(&read, "b", 1.0), read.len()), (80, 50, 130));
        assert_eq!((node.replayed.snapshot_series, node.replayed.records), (0, 4), "byte {at}");
        node.stop();
    }
    // One that the log does not reach is of another log.
    std::fs::write(&path, &bytes).unwrap();
    std::fs::rename(path.parent().unwrap(), dir.path().join("chunk_snapshot.000099.0000000000")).unwrap();
    assert_eq!(start(dir.path()).replayed.snapshot_series, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), vec![series(1, "a"), samples(&[1], 0..50, 1.0)]);
    let (.., replay) = prepare(dir.path(), 2, i64::MIN);
    assert!(matches!(replay.run(&mut |_| {}, &|| true), Err(Error::Cancelled)));
}

/// Data of a real Prometheus 2.42, with a snapshot, late samples and histograms.
#[tokio::test(flavor = "multi_thread")]
async fn heads_of_prometheus() {
    let Some(golden) = testkit::conformance_dir().map(|d| d.join("golden-blocks/head")).filter(|d| d.is_dir()) else {
        return testkit::skip_without("golden-blocks in AION_CONFORMANCE_DIR", "heads_of_prometheus");
    };
    let dir = tempfile::tempdir().unwrap();
    copy_dir(&golden.join("float_ooo_snapshot"), dir.path());
    make_writable(dir.path());
    let node = start(dir.path());
    assert_eq!((node.replayed.snapshot_series, node.replayed.restored.series), (4, 4));
    let read = data(&node.head).await;
    // 80 late samples have the values 0 to 79.
    let late: Vec<_> = read.iter().filter(|((l, _), _)| l.contains("ooo")).collect();
    assert!(late.len() >= 80, "{}", late.len());
    assert_eq!((node.replayed.corruptions, node.replayed.chunk_corruptions, node.replayed.restored.unknown), (0, 0, 0));
    node.stop();
    for gone in ["chunk_snapshot.000000.0000032768", "chunks_head"] {
        std::fs::remove_dir_all(dir.path().join(gone)).unwrap();
        let node = start(dir.path());
        assert_same(&data(&node.head).await, &read, gone);
        node.stop();
    }
    let dir = tempfile::tempdir().unwrap();
    copy_dir(&golden.join("g2"), dir.path());
    make_writable(dir.path());
    let node = start(dir.path());
    let read = data(&node.head).await;
    assert_eq!((node.replayed.restored.series, node.replayed.corruptions, read.len() > 290), (6, 0, true));
}

/// The golden files are not.
fn make_writable(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = if dir.is_dir() { 0o755 } else { 0o644 };
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode)).unwrap();
    if dir.is_dir() {
        files(dir).iter().for_each(|path| make_writable(path));
    }
}

/// A checkpoint whose number is beyond the last segment hides nothing, now and at later starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_beyond_the_last_segment_hides_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let written = write(dir.path()).await;
    let wal_dir = log_dir(dir.path(), Log::Wal);
    let segment = wal::list_segments(&wal_dir).unwrap()[2].number;
    let mut keep = |_: u64| true;
    let request =
        wal::checkpoint::Request { segment, min_time_ms: i64::MIN, keep: &mut keep, options: wal::Options::default() };
    wal::checkpoint::write(&wal_dir, request).unwrap().unwrap();
    wal::remove_below(&wal_dir, segment + 1).unwrap();
    std::fs::rename(wal_dir.join(format!("checkpoint.{segment:08}")), wal_dir.join("checkpoint.00000900")).unwrap();
    let mut expected = written;
    for restart in 0..3 {
        let node = start(dir.path());
        assert_same(&data(&node.head).await, &expected, &format!("restart {restart}"));
        assert_eq!(node.replayed.restored.unknown, 0);
        let new = format!("after_{restart}");
        append(&node.head, &[("__name__", &new)], &[(T + 86_000_000, 1.0)]).await;
        expected = data(&node.head).await;
        assert_eq!(count(&expected, &new, 1.0), 1);
        node.stop();
    }
}
