//! A head after a restart has what it had before, whatever happened to the files meanwhile.

mod checkpoints;
#[path = "../common/mod.rs"]
mod common;
mod exemplars;
mod heads_of_prometheus;
mod meanwhile;
mod numbers;
mod restarts;
mod saved;
mod snapshots;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chunkenc::{Encoding, TimedChunk, encode_xor};
use common::{Data, append, assert_same, canonical, copy_dir, data};
use histogram::{Histogram, Span};
use model::{Exemplar, FakeClock, MetricMetadata, MetricType, TimeRange};
use storage::append::{AppendOptions, Appendable, Exemplars, Floats, HistogramValue, Histograms, Metadata};
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

fn all_exemplars() -> ExemplarsQuery {
    ExemplarsQuery {
        query: String::new(),
        selectors: vec![vec![common::all_series()]],
        range: TimeRange::ALL,
        partial_response: PartialResponse::Abort,
    }
}
