//! Downsampled native histograms answer as their raw samples would, as far as windows tell.

mod common;

use std::sync::Arc;

use chunkenc::{Appended, Encoding, FloatHistogramAppender, ResetFlag, TimedChunk};
use common::{FIVE, HOUR, Random, chunk};
use downsample::Downsampler;
use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Span};
use labels::Labels;
use model::Severity;
use promql::{Engine, EngineOptions, Query, QueryResult, ReadOptions, Value};
use storage::{Chunk, Ctx, MemorySource, Series};

const SCRAPE: i64 = 15_000;
const HOURS: i64 = 30;

/// A counter that was restarted now and then.
fn samples(custom: bool) -> Vec<(i64, FloatHistogram)> {
    let mut random = Random(7);
    let mut counts = [0.0; 6];
    let mut all = Vec::new();
    for i in 0..HOURS * HOUR / SCRAPE {
        if random.below(1500) == 0 {
            counts = [0.0; 6];
        }
        for _ in 0..4 {
            counts[random.below(6) as usize] += 1.0;
        }
        let h = FloatHistogram {
            schema: if custom { CUSTOM_BUCKETS_SCHEMA } else { 0 },
            custom_values: if custom { vec![1.0, 2.0, 4.0, 8.0, 16.0] } else { Vec::new() },
            count: counts.iter().sum(),
            sum: counts.iter().enumerate().map(|(i, c)| i as f64 * c).sum(),
            positive_spans: vec![Span { offset: 0, length: 6 }],
            positive_buckets: counts.to_vec(),
            ..FloatHistogram::default()
        };
        all.push((i * SCRAPE + 7000, h));
    }
    all
}

fn raw(samples: &[(i64, FloatHistogram)]) -> Vec<TimedChunk> {
    let (mut out, mut rest, mut flag) = (Vec::new(), samples, ResetFlag::Unknown);
    while !rest.is_empty() {
        let mut appender = FloatHistogramAppender::new(flag);
        let mut taken = 0;
        flag = ResetFlag::NotReset;
        for (time, h) in &rest[..rest.len().min(120)] {
            if let Appended::Cut(next) = appender.append(*time, h).unwrap() {
                flag = next;
                break;
            }
            taken += 1;
        }
        out.push(TimedChunk {
            min_time: rest[0].0,
            max_time: rest[taken - 1].0,
            encoding: Encoding::FloatHistogram,
            data: appender.to_vec().into(),
        });
        rest = &rest[taken..];
    }
    out
}

/// The series as raw, 5 m and 1 h blocks hold it.
fn levels(custom: bool) -> [Vec<Chunk>; 3] {
    let raw = raw(&samples(custom));
    let (mut five, mut hour) = (Vec::new(), Vec::new());
    let mut downsampler = Downsampler::new();
    downsampler.raw(&raw, FIVE, &mut five).unwrap();
    downsampler.aggregates(&five, FIVE, HOUR, &mut hour).unwrap();
    [raw, five, hour].map(|chunks| chunks.iter().map(chunk).collect())
}

async fn ask(chunks: &[Chunk], query: &str, time_ms: i64) -> QueryResult {
    let labels = Labels::from_pairs([("__name__", "m_total")]);
    let source = Arc::new(MemorySource::new(vec![Series { labels, chunks: chunks.to_vec() }]));
    let read = ReadOptions { max_resolution_ms: HOUR, ..ReadOptions::default() };
    let engine = Engine::new(EngineOptions::default());
    engine.evaluate(&Ctx::background(), source, Query::instant(query, time_ms).reading(read)).await.unwrap()
}

/// The only value of an answer.
fn value(result: &QueryResult) -> f64 {
    let Value::Vector { samples, .. } = &result.value else { panic!("{:?}", result.value) };
    let [only] = &samples[..] else { panic!("{samples:?}") };
    assert!(only.histogram.is_none(), "{only:?}");
    only.value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_means_and_counts_over_whole_windows_are_exact() {
    for custom in [false, true] {
        let [raw, five, hour] = levels(custom);
        let time = 20 * HOUR;
        for query in [
            "histogram_count(sum_over_time(m_total[3h]))",
            "histogram_sum(sum_over_time(m_total[3h]))",
            "histogram_quantile(0.7, sum_over_time(m_total[3h]))",
            "histogram_count(avg_over_time(m_total[3h]))",
            "histogram_sum(avg_over_time(m_total[3h]))",
            "histogram_fraction(0, 3, avg_over_time(m_total[3h]))",
            "count_over_time(m_total[3h])",
        ] {
            let want = value(&ask(&raw, query, time).await);
            for level in [&five, &hour] {
                let result = ask(level, query, time).await;
                let got = value(&result);
                assert!((got / want - 1.0).abs() < 1e-9, "{query}: {got}, raw {want}");
                assert_eq!(result.annotations.texts(Severity::Warning, 0), [""; 0], "{query}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn increases_are_those_of_the_raw_samples_within_a_window() {
    for custom in [false, true] {
        let [raw, five, hour] = levels(custom);
        for (range_h, time) in [(4, 12 * HOUR), (6, 20 * HOUR), (12, 25 * HOUR), (24, 29 * HOUR)] {
            let query = format!("histogram_count(increase(m_total[{range_h}h]))");
            let want = value(&ask(&raw, &query, time).await);
            // Four observations each scrape.
            let per_ms = 4.0 / SCRAPE as f64;
            for (level, window) in [(&five, FIVE), (&hour, HOUR)] {
                let got = value(&ask(level, &query, time).await);
                let off = (got - want).abs() / (per_ms * window as f64);
                assert!(off < 1.5, "{query} at {time}: {got}, raw {want}: {off} windows");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instant_shows_the_mean_of_the_window_that_holds_it() {
    let [raw, five, hour] = levels(false);
    for (level, window, range) in [(&five, FIVE, "5m"), (&hour, HOUR, "1h")] {
        let time = 10 * HOUR + 700_000;
        let end = time - time % window + window;
        let want = value(&ask(&raw, &format!("histogram_count(avg_over_time(m_total[{range}]))"), end).await);
        let got = value(&ask(level, "histogram_count(m_total)", time).await);
        assert!((got / want - 1.0).abs() < 1e-9, "{range}: {got}, raw {want}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_and_downsampled_data_of_one_time_count_once() {
    let [raw, five, hour] = levels(false);
    let time = 20 * HOUR;
    let query = "histogram_sum(sum_over_time(m_total[6h]))";
    let want = value(&ask(&raw, query, time).await);
    let recent = |chunks: &[Chunk]| chunks.iter().filter(|c| c.max_time > 17 * HOUR).cloned().collect::<Vec<_>>();
    for (a, b) in [(&hour, &five), (&hour, &raw), (&five, &raw)] {
        let mut both = a.clone();
        both.extend(recent(b));
        both.sort_by_key(|c| (c.min_time, c.max_time));
        let got = value(&ask(&both, query, time).await);
        assert!((got / want - 1.0).abs() < 1e-9, "{got}, raw {want}");
    }
}
