//! Counters of native histograms of which only the edges of windows are decoded, beside the same that are decoded as a whole.

use std::sync::Arc;

use chunkenc::{Appended, Encoding, FloatHistogramAppender, HistogramAppender, ResetFlag};
use histogram::{Histogram, Span};
use labels::Labels;
use promql::{Engine, EngineOptions, Query, QueryResult, Value};
use proptest::prelude::*;
use storage::{Chunk, Ctx, MemorySource, Series};

const SECOND: i64 = 1000;
const TICKS: i64 = 120;

/// What happens from one sample of a counter to the next.
#[derive(Debug, Clone)]
enum Event {
    /// Each bucket counts so many more.
    Observed(Vec<u8>),
    Missing,
    Stale,
    Reset,
    /// There is a bucket more.
    Wider,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        40 => prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 6).prop_map(Event::Observed),
        4 => Just(Event::Missing),
        1 => Just(Event::Stale),
        1 => Just(Event::Reset),
        1 => Just(Event::Wider),
    ]
}

fn samples(events: &[Event]) -> Vec<(i64, Histogram)> {
    let (mut counts, mut out) = (vec![0i64; 3], Vec::new());
    for (time, event) in (0..).map(|tick| tick * 10 * SECOND + 1).zip(events) {
        match event {
            Event::Missing => continue,
            Event::Reset => counts.iter_mut().for_each(|count| *count /= 3),
            Event::Wider => counts.push(1),
            Event::Observed(more) => counts.iter_mut().zip(more).for_each(|(count, more)| *count += i64::from(*more)),
            Event::Stale => {}
        }
        let mut before = 0;
        let deltas = counts.iter().map(|count| count - std::mem::replace(&mut before, *count)).collect();
        let count: i64 = counts.iter().sum();
        let sum = if matches!(event, Event::Stale) { model::stale_nan() } else { count as f64 * 0.75 };
        let histogram = Histogram {
            schema: 1,
            zero_threshold: 0.001,
            zero_count: 1,
            count: count as u64 + 1,
            sum,
            positive_spans: vec![Span { offset: -1, length: 2 }, Span { offset: 2, length: counts.len() as u32 - 2 }],
            positive_deltas: deltas,
            ..Histogram::default()
        };
        out.push((time, histogram));
    }
    out
}

/// Chunks of at most `len` samples.
fn chunks(samples: &[(i64, Histogram)], integer: bool, len: usize) -> Vec<Chunk> {
    let (mut out, mut rest, mut flag) = (Vec::new(), samples, ResetFlag::Unknown);
    while !rest.is_empty() {
        let (mut integers, mut floats) = (HistogramAppender::new(flag), FloatHistogramAppender::new(flag));
        let mut taken = 0;
        for (time, h) in rest.iter().take(len) {
            let appended = if integer { integers.append(*time, h) } else { floats.append(*time, &h.to_float()) };
            if let Appended::Cut(next) = appended.unwrap() {
                flag = next;
                break;
            }
            taken += 1;
        }
        let (encoding, data) = match integer {
            true => (Encoding::Histogram, integers.to_vec()),
            false => (Encoding::FloatHistogram, floats.to_vec()),
        };
        out.push(Chunk::raw(rest[0].0, rest[taken - 1].0, encoding, data.into()));
        rest = &rest[taken..];
    }
    out
}

/// All samples of an answer, and what is told beside them.
fn text(result: &QueryResult) -> Vec<String> {
    let Value::Matrix(matrix) = &result.value else { panic!("{:?}", result.value) };
    let of_series = matrix.series.iter().flat_map(|series| {
        let floats = series.floats(matrix.grid).map(|(time, v)| format!("{} {v:?} at {time}", series.labels));
        let histograms = series.histograms(matrix.grid).map(|(time, h)| format!("{} {h:?} at {time}", series.labels));
        floats.chain(histograms).collect::<Vec<_>>()
    });
    let told = result.annotations.iter().map(|told| format!("{told:?}"));
    of_series.chain(told).collect()
}

const QUERIES: [&str; 8] = [
    "rate(m[1m])",
    "increase(m[25s])",
    "increase(m[10m])",
    "sum(rate(m[1m]))",
    "avg by (job) (increase(m[90s]))",
    "sum(histogram_count(rate(m[1m])))",
    "histogram_avg(increase(m[45s]))",
    "histogram_quantile(0.9, rate(m[1m]))",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn edges_say_what_the_whole_says(
        all in prop::collection::vec(prop::collection::vec(event(), TICKS as usize), 3),
        integer in any::<bool>(),
        len in 1usize..50,
        step in 1i64..120,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let source = |times: usize| {
            let series = |(i, events): (usize, &Vec<Event>)| {
                let own = chunks(&samples(events), integer, len);
                let mut chunks: Vec<Chunk> = (0..times).flat_map(|_| own.clone()).collect();
                chunks.sort_by_key(|chunk| chunk.min_time);
                Series { labels: Labels::from_pairs([("__name__", "m"), ("instance", &i.to_string())]), chunks }
            };
            Arc::new(MemorySource::new(all.iter().enumerate().map(series).collect()))
        };
        // Chunks that lie over one another are decoded as a whole.
        let (once, twice) = (source(1), source(2));
        let engine = Engine::new(EngineOptions::default());
        for query in QUERIES {
            let ask = |source: &Arc<MemorySource>| -> QueryResult {
                let query = Query::range(query, 15 * SECOND, TICKS * 10 * SECOND, step * SECOND);
                runtime.block_on(engine.evaluate(&Ctx::background(), source.clone(), query)).unwrap()
            };
            let (edges, whole) = (ask(&once), ask(&twice));
            prop_assert_eq!(edges.stats.total_samples, whole.stats.total_samples);
            let (edges, whole) = (text(&edges), text(&whole));
            let other = edges.iter().zip(&whole).find(|(edges, whole)| edges != whole);
            prop_assert!(other.is_none() && edges.len() == whole.len(), "{query}: {other:#?}");
        }
    }
}
