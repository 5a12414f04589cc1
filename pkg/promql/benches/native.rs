//! Queries over native histograms of counters: 100 series of 32 buckets, scraped each 15 s for 12 h, asked for eleven hours at
//! one point a minute. The observations are those of `tests/bench/native.rs`. Figures are for the engine alone.

use std::sync::{Arc, OnceLock};

use chunkenc::{Appended, Encoding, HistogramAppender, ResetFlag};
use histogram::{Histogram, Span};
use labels::Labels;
use promql::{Engine, EngineOptions, Query};
use storage::{Chunk, Ctx, MemorySource, Series};

const SERIES: u64 = 100;
const BUCKETS: usize = 32;
const TICK_MS: i64 = 15_000;
const TICKS: i64 = 12 * 240;
const START_MS: i64 = 1_700_006_400_123;
const END_MS: i64 = START_MS + TICKS * TICK_MS - 116;
const RANGE_MS: i64 = 11 * 3_600_000;
const STEP_MS: i64 = 60_000;

/// Samples of a chunk.
const CHUNK: usize = 120;

fn main() {
    divan::main();
}

fn fleet() -> Arc<MemorySource> {
    static FLEET: OnceLock<Arc<MemorySource>> = OnceLock::new();
    FLEET.get_or_init(|| Arc::new(MemorySource::new((0..SERIES).map(series).collect()))).clone()
}

fn series(number: u64) -> Series {
    let mut seed = number + 1;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let (mut counts, mut sum) = ([0i64; BUCKETS], 0.0);
    let (mut chunks, mut open) = (Vec::new(), HistogramAppender::new(ResetFlag::Unknown));
    let (mut first, mut last) = (START_MS, START_MS);
    for at_ms in (0..TICKS).map(|tick| START_MS + tick * TICK_MS) {
        for _ in 0..20 {
            // Around the middle.
            let spread = random();
            let at = ((spread % 11 + spread / 11 % 11 + spread / 121 % 12) as usize).min(BUCKETS - 1);
            counts[at] += 1;
            sum += 0.01 * at as f64;
        }
        let mut before = 0;
        let histogram = Histogram {
            schema: 3,
            zero_threshold: 1e-128,
            count: counts.iter().sum::<i64>() as u64,
            sum,
            positive_spans: vec![Span { offset: -48, length: BUCKETS as u32 }],
            positive_deltas: counts.iter().map(|count| count - std::mem::replace(&mut before, *count)).collect(),
            ..Histogram::default()
        };
        let is_full = open.len() == CHUNK;
        if is_full || matches!(open.append(at_ms, &histogram).expect("a chunk"), Appended::Cut(_)) {
            chunks.push(Chunk::raw(first, last, Encoding::Histogram, open.to_vec().into()));
            (open, first) = (HistogramAppender::new(ResetFlag::NotReset), at_ms);
            open.append(at_ms, &histogram).expect("the first fits");
        }
        last = at_ms;
    }
    chunks.push(Chunk::raw(first, last, Encoding::Histogram, open.to_vec().into()));
    let (instance, handler) = (format!("10.0.0.{}:8080", number / 10), format!("/api/v1/part-{}", number % 10));
    let labels = [("__name__", "request_seconds"), ("handler", &handler), ("instance", &instance), ("job", "api")];
    Series { labels: Labels::from_pairs(labels), chunks }
}

const QUERIES: &[(&str, &str)] = &[
    ("quantile_by_handler", "histogram_quantile(0.9, sum by (handler) (rate(request_seconds[5m])))"),
    ("quantile_of_all", "histogram_quantile(0.9, sum(rate(request_seconds[5m])))"),
    ("count_by_handler", "sum by (handler) (histogram_count(rate(request_seconds[5m])))"),
    ("quantile_of_each", "histogram_quantile(0.9, rate(request_seconds[5m]))"),
];

#[divan::bench(args = QUERIES.iter().map(|q| q.0), sample_count = 10)]
fn query(bencher: divan::Bencher<'_, '_>, name: &str) {
    let source = fleet();
    let (_, text) = QUERIES.iter().find(|q| q.0 == name).expect("listed");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let engine = Engine::new(EngineOptions::default());
    bencher.bench_local(|| {
        let query = Query::range(*text, END_MS - RANGE_MS, END_MS, STEP_MS);
        runtime.block_on(async { engine.evaluate(&Ctx::background(), source.clone(), query).await })
    });
}
