//! What the tests of the head share.

use std::collections::BTreeMap;
use std::sync::Arc;

use chunkenc::{Column, HistogramColumn, decode_floats, decode_histograms};
use labels::Matcher;
use model::{FakeClock, TimeRange};
use storage::append::{AppendOptions, Appendable, Appender, Committed, Floats, Refused, SeriesRef};
use storage::{ChunkData, Ctx, PartialResponse, Select, SeriesSource, collect_series};
use telemetry::Metrics;

use crate::head::{Head, HeadOptions, HeadParts, MemoryChunks, NoJournal};

pub const START_MS: i64 = 1_700_000_000_000;

pub fn parts(chunks: Arc<MemoryChunks>) -> HeadParts {
    HeadParts {
        clock: Arc::new(FakeClock::at(START_MS + 100 * 86_400_000)),
        metrics: Metrics::new(),
        journal: Arc::new(NoJournal),
        chunks,
        seed: 7,
    }
}

pub fn head(options: HeadOptions) -> Head {
    Head::new(parts(Arc::default()), options)
}

pub fn begin(head: &Head) -> Box<dyn Appender> {
    head.appender(&Ctx::background(), AppendOptions::default())
}

pub fn resolve(appender: &mut dyn Appender, pairs: &[(&str, &str)]) -> SeriesRef {
    appender.resolve(&[pairs]).unwrap().pop().unwrap().unwrap()
}

pub fn floats(appender: &mut dyn Appender, rows: &[(SeriesRef, i64, f64)]) -> Vec<Refused> {
    let columns = Floats {
        series: &rows.iter().map(|r| r.0).collect::<Vec<_>>(),
        times_ms: &rows.iter().map(|r| r.1).collect::<Vec<_>>(),
        values: &rows.iter().map(|r| r.2).collect::<Vec<_>>(),
        starts_ms: &[],
    };
    appender.floats(columns).unwrap()
}

/// Commits samples of one series.
pub async fn write(head: &Head, pairs: &[(&str, &str)], samples: &[(i64, f64)]) -> Committed {
    let mut appender = begin(head);
    let series = resolve(&mut *appender, pairs);
    let rows: Vec<_> = samples.iter().map(|(t, v)| (series, *t, *v)).collect();
    assert_eq!(floats(&mut *appender, &rows), []);
    appender.commit().await.unwrap()
}

/// Samples of a series: floats by their bits; histograms by count and sum.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Read {
    pub floats: Vec<(i64, u64)>,
    pub histograms: Vec<(i64, f64, u64)>,
}

pub async fn read_matching(head: &Head, range: TimeRange, matchers: Vec<Matcher>) -> BTreeMap<String, Read> {
    let want = Select { partial_response: PartialResponse::Abort, ..Select::new(range, matchers) };
    let answer = collect_series(head.select(&Ctx::background(), want)).await.unwrap();
    let labels: Vec<_> = answer.value.iter().map(|s| s.labels.clone()).collect();
    assert!(labels.is_sorted_by(|a, b| a < b), "out of order: {labels:?}");
    let mut all = BTreeMap::new();
    for series in answer.value {
        let mut read = Read::default();
        for chunk in &series.chunks {
            let ChunkData::Raw(raw) = &chunk.data else { panic!("not raw") };
            let (mut samples, mut histograms) = (Column::new(), HistogramColumn::default());
            if raw.encoding.is_histogram() {
                decode_histograms(raw.encoding, &raw.data, &mut histograms).unwrap();
            } else {
                decode_floats(raw.encoding, &raw.data, &mut samples).unwrap();
            }
            let times = samples.times.iter().chain(&histograms.times);
            let (first, last) = (times.clone().min().unwrap(), times.max().unwrap());
            assert_eq!((chunk.min_time, chunk.max_time), (*first, *last), "times of a chunk of {}", series.labels);
            read.floats.extend(samples.iter().map(|(t, v)| (t, v.to_bits())));
            let histograms = histograms.times.iter().zip(&histograms.values);
            read.histograms.extend(histograms.map(|(t, h)| (*t, h.count, h.sum.to_bits())));
        }
        read.floats.retain(|(t, _)| range.contains(*t));
        read.histograms.retain(|(t, ..)| range.contains(*t));
        read.floats.sort_unstable();
        read.histograms.sort_by_key(|(t, ..)| *t);
        all.insert(series.labels.to_string(), read);
    }
    all
}

pub async fn read(head: &Head) -> BTreeMap<String, Read> {
    read_matching(head, TimeRange::ALL, Vec::new()).await
}

pub async fn samples_of(head: &Head, labels: &str) -> Vec<(i64, f64)> {
    let all = read(head).await;
    all.get(labels).map(|r| r.floats.iter().map(|(t, v)| (*t, f64::from_bits(*v))).collect()).unwrap_or_default()
}
