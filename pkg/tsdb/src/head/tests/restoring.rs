//! A head that is filled from what another one logged.

use std::sync::Arc;

use ::model::{FakeClock, TimeRange};
use chunkenc::{Encoding, HistogramColumn, decode_histograms_with_starts};
use futures::future::{BoxFuture, ready};
use parking_lot::Mutex;
use storage::append::{HistogramValue, Histograms};
use storage::{ChunkData, Ctx, Select, SeriesSource, collect_series};
use telemetry::Metrics;
use wal::record::{self, Kind};

use super::common::{START_MS as T, begin, floats, read, resolve, samples_of, write};
use crate::head::{
    Head, HeadOptions, HeadParts, Journal, JournalError, LogBatch, MappedChunk, MemoryChunks, Restore, RestoreWorker,
};

/// Keeps the records.
#[derive(Debug, Default)]
struct Kept {
    wal: Mutex<Vec<Vec<u8>>>,
    wbl: Mutex<Vec<Vec<u8>>>,
}

impl Journal for Kept {
    fn log(&self, batch: LogBatch) -> BoxFuture<'static, Result<(), JournalError>> {
        self.wal.lock().extend(batch.wal.iter().map(<[u8]>::to_vec));
        self.wbl.lock().extend(batch.wbl.iter().map(<[u8]>::to_vec));
        Box::pin(ready(Ok(())))
    }
}

fn logged(options: &HeadOptions, chunks: &Arc<MemoryChunks>) -> (Head, Arc<Kept>) {
    let journal = Arc::new(Kept::default());
    let parts = HeadParts {
        clock: Arc::new(FakeClock::at(T + 100 * 86_400_000)),
        metrics: Metrics::new(),
        journal: journal.clone(),
        chunks: chunks.clone(),
        seed: 7,
    };
    (Head::new(parts, options.clone()), journal)
}

fn replay(restore: &Restore, worker: &mut RestoreWorker, records: &[Vec<u8>], late: bool) {
    for bytes in records {
        match Kind::of(bytes).unwrap() {
            Kind::Series => {
                let mut reader = record::SeriesReader::new(bytes).unwrap();
                while let Some((number, pairs)) = reader.read().unwrap() {
                    if restore.series(&[(number, pairs.len())], pairs).pop().unwrap().unwrap().again {
                        worker.attach(number);
                    }
                }
            }
            Kind::Samples | Kind::SamplesWithStarts => {
                let mut samples = record::Samples::default();
                samples.decode(bytes).unwrap();
                for (n, number) in samples.refs.iter().enumerate() {
                    let slot = worker.slot(*number).unwrap();
                    let start_ms = [samples.starts_ms.get(n).copied().unwrap_or(0)];
                    let sample = [(samples.times_ms[n], samples.values[n])];
                    match late {
                        true => worker.late_floats(slot, &sample, &start_ms),
                        false => worker.floats(slot, &sample, &start_ms),
                    }
                }
            }
            Kind::Histograms | Kind::CustomHistograms | Kind::HistogramsWithStarts => {
                let mut rows = record::Histograms::<histogram::Histogram>::default();
                rows.decode(bytes).unwrap();
                for (n, h) in rows.values.iter().enumerate() {
                    let slot = worker.slot(rows.refs[n]).unwrap();
                    let start_ms = rows.starts_ms.get(n).copied().unwrap_or(0);
                    let row = [(rows.times_ms[n], start_ms, HistogramValue::Int(h.clone().into()))];
                    match late {
                        true => worker.late_histograms(slot, &row),
                        false => worker.histograms(slot, &row),
                    }
                }
            }
            Kind::FloatHistograms | Kind::CustomFloatHistograms | Kind::FloatHistogramsWithStarts => {
                let mut rows = record::Histograms::<histogram::FloatHistogram>::default();
                rows.decode(bytes).unwrap();
                for (n, h) in rows.values.iter().enumerate() {
                    let slot = worker.slot(rows.refs[n]).unwrap();
                    let start_ms = rows.starts_ms.get(n).copied().unwrap_or(0);
                    let row = [(rows.times_ms[n], start_ms, HistogramValue::Float(h.clone().into()))];
                    match late {
                        true => worker.late_histograms(slot, &row),
                        false => worker.histograms(slot, &row),
                    }
                }
            }
            Kind::Tombstones => {
                let mut rows = record::Tombstones::default();
                rows.decode(bytes).unwrap();
                for n in 0..rows.len() {
                    restore.tombstone(rows.refs[n], rows.mins_ms[n], rows.maxs_ms[n]);
                }
            }
            Kind::MmapMarkers => {
                let mut markers = record::Markers::default();
                markers.decode(bytes).unwrap();
                for number in &markers.refs {
                    let slot = worker.slot(*number).unwrap();
                    worker.late_marker(slot);
                }
            }
            _ => {}
        }
    }
}

fn restored(options: &HeadOptions, chunks: &Arc<MemoryChunks>, kept: &Kept) -> Head {
    let (head, _) = logged(options, chunks);
    fill(&head, chunks, kept);
    head
}

fn fill(head: &Head, chunks: &MemoryChunks, kept: &Kept) {
    let restore = head.restore();
    for (reference, number, chunk, out_of_order) in chunks.written() {
        let samples = chunk.num_samples().unwrap() as u16;
        let (min_time_ms, max_time_ms, encoding) = (chunk.min_time, chunk.max_time, chunk.encoding);
        let chunk = MappedChunk { reference, min_time_ms, max_time_ms, encoding, samples, out_of_order };
        restore.mapped_chunk(number, chunk);
    }
    let mut worker = restore.worker();
    replay(&restore, &mut worker, &kept.wal.lock(), false);
    replay(&restore, &mut worker, &kept.wbl.lock(), true);
    drop(worker);
    let restored = restore.finish().unwrap();
    assert_eq!((restored.unknown, restored.chunks_dropped), (0, 0), "{restored:?}");
    // prometheus#18401.
    assert_eq!(head.chunks(), head.core.count_chunks(), "the gauge is the real count");
}

fn histogram(count: u64) -> HistogramValue {
    let h = histogram::Histogram {
        count,
        sum: count as f64,
        positive_spans: vec![histogram::Span { offset: 0, length: 1 }],
        positive_deltas: vec![count as i64],
        ..Default::default()
    };
    HistogramValue::Int(h.into())
}

#[tokio::test]
async fn what_was_logged_comes_back() {
    let options = HeadOptions { out_of_order_window_ms: 3_600_000, ..HeadOptions::default() };
    let chunks = Arc::new(MemoryChunks::default());
    let (head, kept) = logged(&options, &chunks);
    // A kind after the other in one transaction.
    let mut appender = begin(&head);
    let h = resolve(&mut *appender, &[("h", "1")]);
    for n in 0..50 {
        let rows = Histograms { series: &[h], times_ms: &[T + 2 * n], values: &[histogram(n as u64)], starts_ms: &[] };
        assert_eq!(appender.histograms(rows).unwrap(), []);
        assert_eq!(floats(&mut *appender, &[(h, T + 2 * n + 1, 1.0)]), []);
    }
    appender.commit().await.unwrap();
    let samples: Vec<_> = (0..700).map(|n| (T + n * 15_000, n as f64)).collect();
    write(&head, &[("a", "1")], &samples).await;
    let late: Vec<_> = (0..80).map(|n| (T + 9_000_000 + n * 7_000 + 1, n as f64)).collect();
    write(&head, &[("a", "1")], &late).await;
    head.delete(::model::TimeRange::new(T, T + 5), vec![labels::Matcher::equal("h", "1")]).await.unwrap();
    let right = read(&head).await;
    assert_eq!(right[r#"{h="1"}"#].histograms.len() + right[r#"{h="1"}"#].floats.len(), 94);
    assert_eq!(read(&restored(&options, &chunks, &kept)).await, right, "from the log alone");
    head.map_full_chunks(&*chunks).await.unwrap();
    assert_eq!(read(&head).await, right);
    let again = restored(&options, &chunks, &kept);
    assert_eq!(read(&again).await, right, "with chunks on disk");
    again.map_full_chunks(&*chunks).await.unwrap();
    assert_eq!(read(&again).await, right);
    assert_eq!(again.next_number(), head.next_number());
}

#[tokio::test]
async fn a_series_of_two_numbers_gets_all_its_samples() {
    let options = HeadOptions::default();
    let chunks = Arc::new(MemoryChunks::default());
    let (head, kept) = logged(&options, &chunks);
    write(&head, &[("a", "1")], &[(T, 1.0)]).await;
    head.truncate(T + 1);
    let again: Vec<_> = (0..400).map(|n| (T + 1 + n * 15_000, n as f64)).collect();
    write(&head, &[("a", "1")], &again).await;
    head.map_full_chunks(&*chunks).await.unwrap();
    let restored = restored(&options, &chunks, &kept);
    let samples = samples_of(&restored, r#"{a="1"}"#).await;
    assert_eq!(samples.len(), 401);
    assert_eq!((restored.series(), samples[0]), (1, (T, 1.0)));
}

#[tokio::test]
async fn chunks_from_before_the_head_take_no_memory() {
    let options = HeadOptions::default();
    let chunks = Arc::new(MemoryChunks::default());
    let (old, kept) = logged(&options, &chunks);
    let samples: Vec<_> = (0..2000).map(|n| (T + n * 15_000, n as f64)).collect();
    write(&old, &[("a", "1")], &samples).await;
    old.map_full_chunks(&*chunks).await.unwrap();
    let (head, _) = logged(&options, &chunks);
    head.set_min_valid_time(T + 1_500 * 15_000);
    fill(&head, &chunks, &kept);
    let series = head.core.slab.lock(0).unwrap();
    assert!((1..chunks.written().len() / 2).contains(&series.mapped.len()), "{}", series.mapped.len());
    assert_eq!(series.mapped.capacity(), series.mapped.len());
}

#[tokio::test]
async fn a_series_that_is_only_looked_up_during_a_restore_gets_its_samples() {
    let options = HeadOptions::default();
    let chunks = Arc::new(MemoryChunks::default());
    let (old, kept) = logged(&options, &chunks);
    write(&old, &[("a", "1")], &[(T, 1.0), (T + 1, 2.0)]).await;
    let (head, _) = logged(&options, &chunks);
    head.set_next_number(1_000);
    let restore = head.restore();
    let mut worker = restore.worker();
    let records = kept.wal.lock().clone();
    let is_series = |record: &&Vec<u8>| Kind::of(record) == Some(Kind::Series);
    let series: Vec<_> = records.iter().filter(is_series).cloned().collect();
    replay(&restore, &mut worker, &series, false);
    let mut appender = begin(&head);
    resolve(&mut *appender, &[("a", "1")]);
    appender.rollback();
    replay(&restore, &mut worker, &records, false);
    drop(worker);
    let restored = restore.finish().unwrap();
    assert_eq!((restored.unknown, restored.series), (0, 1));
    assert_eq!(samples_of(&head, r#"{a="1"}"#).await, [(T, 1.0), (T + 1, 2.0)]);
}

#[tokio::test]
async fn samples_written_during_a_restore_stand_behind_those_of_the_log() {
    let options = HeadOptions::default();
    let chunks = Arc::new(MemoryChunks::default());
    let (old, kept) = logged(&options, &chunks);
    let samples: Vec<_> = (0..500).map(|n| (T + n * 15_000, n as f64)).collect();
    for part in samples.chunks(100) {
        let mut appender = begin(&old);
        for value in ["1", "2"] {
            let series = resolve(&mut *appender, &[("a", value)]);
            let rows: Vec<_> = part.iter().map(|(t, v)| (series, *t, *v)).collect();
            assert_eq!(floats(&mut *appender, &rows), []);
        }
        appender.commit().await.unwrap();
    }
    let (head, _) = logged(&options, &chunks);
    head.set_next_number(1_000);
    let restore = head.restore();
    let mut worker = restore.worker();
    // One series before the log was read at all, the other in the midst of it.
    let now = T + 1_000 * 15_000;
    write(&head, &[("a", "1")], &[(now, 1.0)]).await;
    let records = kept.wal.lock().clone();
    let middle = records.len() - 1;
    replay(&restore, &mut worker, &records[..middle], false);
    write(&head, &[("a", "1")], &[(now + 1, 2.0)]).await;
    write(&head, &[("a", "2")], &[(now + 1, 2.0)]).await;
    replay(&restore, &mut worker, &records[middle..], false);
    head.map_full_chunks(&*chunks).await.unwrap();
    drop(worker);
    restore.finish().unwrap();
    write(&head, &[("a", "1")], &[(now + 2, 3.0)]).await;
    head.map_full_chunks(&*chunks).await.unwrap();
    let one: Vec<_> = samples.iter().copied().chain([(now, 1.0), (now + 1, 2.0), (now + 2, 3.0)]).collect();
    assert_eq!(samples_of(&head, r#"{a="1"}"#).await, one);
    let two: Vec<_> = samples.iter().copied().chain([(now + 1, 2.0)]).collect();
    assert_eq!(samples_of(&head, r#"{a="2"}"#).await, two);
    assert_eq!(head.series(), 2);
}

/// Encoding, then time and start of the samples of each chunk.
async fn starts(head: &Head) -> Vec<(Encoding, Vec<(i64, i64)>)> {
    let want = Select::new(TimeRange::ALL, vec![]);
    let answer = collect_series(head.select(&Ctx::background(), want)).await.unwrap();
    let mut out = Vec::new();
    for chunk in answer.value.iter().flat_map(|series| &series.chunks) {
        let ChunkData::Raw(raw) = &chunk.data else { panic!("not raw") };
        let (mut column, mut starts_ms) = (HistogramColumn::default(), Vec::new());
        decode_histograms_with_starts(raw.encoding, &raw.data, &mut column, &mut starts_ms).unwrap();
        out.push((raw.encoding, column.times.into_iter().zip(starts_ms).collect()));
    }
    out
}

/// Integer histograms, then float ones, then late ones, each with its start; buckets come now and then.
async fn write_with_starts(head: &Head) -> Vec<(i64, i64)> {
    let mut rows = Vec::new();
    for n in 0..300i64 {
        let start_ms = if n % 90 < 3 { 0 } else { T - 1_000_000 + n / 50 };
        let buckets = 1 + (n % 150) as u32 / 40;
        let h = histogram::Histogram {
            count: u64::from(buckets) * n as u64,
            positive_spans: vec![histogram::Span { offset: 0, length: buckets }],
            positive_deltas: std::iter::once(n).chain(vec![0; buckets as usize - 1]).collect(),
            ..Default::default()
        };
        let late_ms = if n % 10 == 9 { -600_001 } else { 0 };
        let value = match n {
            0..150 => HistogramValue::Int(h.into()),
            _ => HistogramValue::Float(h.to_float().into()),
        };
        rows.push((T + n * 15_000 + late_ms, start_ms, value));
    }
    for (time_ms, start_ms, value) in &rows {
        let mut appender = begin(head);
        let series = resolve(&mut *appender, &[("h", "1")]);
        let columns = Histograms {
            series: &[series],
            times_ms: &[*time_ms],
            values: std::slice::from_ref(value),
            starts_ms: &[*start_ms],
        };
        assert_eq!(appender.histograms(columns).unwrap(), []);
        assert_eq!(appender.commit().await.unwrap().samples, 1);
    }
    let mut all: Vec<_> = rows.into_iter().map(|(time_ms, start_ms, _)| (time_ms, start_ms)).collect();
    all.sort_unstable();
    all
}

#[tokio::test]
async fn starts_of_histograms_are_kept() {
    for xor2 in [false, true] {
        let options = HeadOptions {
            out_of_order_window_ms: 3_600_000,
            out_of_order_samples_max: 7,
            histogram_starts: true,
            xor2,
            ..HeadOptions::default()
        };
        let chunks = Arc::new(MemoryChunks::default());
        let (head, kept) = logged(&options, &chunks);
        let written = write_with_starts(&head).await;
        for head in [head, restored(&options, &chunks, &kept)] {
            let found = starts(&head).await;
            assert!(found.iter().all(|(e, _)| matches!(e, Encoding::HistogramSt | Encoding::FloatHistogramSt)));
            let mut all: Vec<_> = found.into_iter().flat_map(|(_, samples)| samples).collect();
            all.sort_unstable();
            assert_eq!(all, written);
        }
    }
}

#[tokio::test]
async fn starts_of_histograms_are_kept_where_that_is_asked_for_only() {
    let options = HeadOptions { xor2: true, out_of_order_window_ms: 3_600_000, ..HeadOptions::default() };
    let (head, _) = logged(&options, &Arc::default());
    let written = write_with_starts(&head).await;
    let found = starts(&head).await;
    assert!(
        found.iter().all(|(e, _)| matches!(e, Encoding::Histogram | Encoding::FloatHistogram)),
        "all can read them"
    );
    assert_eq!(found.iter().map(|(_, samples)| samples.len()).sum::<usize>(), written.len());
}
