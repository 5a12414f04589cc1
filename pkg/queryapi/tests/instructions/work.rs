//! What is counted, each over data that is the same in each run.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use chunkenc::{Column, Encoding, XorAppender, decode_floats};
use labels::Labels;
use promql::{Engine, EngineOptions, Query};
use storage::{Chunk, Ctx, MemorySource, Series};

/// By name. `idle` is what a process costs that does nothing.
pub const ALL: &[(&str, fn())] = &[
    ("idle", idle),
    ("decode-xor", decode_xor),
    ("windows", windows),
    ("storeapi-encode", storeapi_encode),
    ("storeapi-decode", storeapi_decode),
];

const SAMPLES: i64 = 120;
const STEP_MS: i64 = 15_000;

/// The data alone.
fn idle() {
    black_box(fleet(SERIES));
}

const SERIES: usize = 200;
const CHUNKS: i64 = 2;

/// Counters of all kinds of values, with a late scrape now and then.
fn chunk(series: usize, number: i64) -> Bytes {
    let mut appender = XorAppender::new();
    for n in number * SAMPLES..(number + 1) * SAMPLES {
        let late = if (n + series as i64) % 10 == 0 { n % 7 } else { 0 };
        let value = match series % 4 {
            0 => (n * 3) as f64,
            1 => (n * n) as f64 * 0.01,
            2 => ((n * 7919 + series as i64) % 1000) as f64 / 8.0,
            _ => 42.0,
        };
        appender.append(n * STEP_MS + late, value).expect("times ascend");
    }
    appender.to_vec().into()
}

fn fleet(count: usize) -> Vec<Series> {
    let one = |i: usize| {
        let (instance, pod) = (format!("10.0.0.{i:03}:9100"), format!("app-{:04x}-{i:05}", i * 7919 % 65_536));
        let labels = Labels::from_pairs([
            ("__name__", "http_requests_total"),
            ("cluster", "eu-west-1"),
            ("code", "200"),
            ("handler", "/api/v1/query"),
            ("instance", &instance),
            ("job", "app"),
            ("namespace", "production"),
            ("pod", &pod),
        ]);
        let at = |n: i64| n * SAMPLES * STEP_MS;
        let chunks = (0..CHUNKS).map(|n| Chunk::raw(at(n), at(n + 1) - STEP_MS + 7, Encoding::Xor, chunk(i, n)));
        Series { labels, chunks: chunks.collect() }
    };
    (0..count).map(one).collect()
}

fn decode_xor() {
    let mut column = Column::new();
    for series in fleet(SERIES) {
        for chunk in &series.chunks {
            let storage::ChunkData::Raw(raw) = &chunk.data else { continue };
            column.clear();
            decode_floats(raw.encoding, &raw.data, &mut column).expect("a chunk");
            black_box(&column);
        }
    }
}

fn windows() {
    let engine = Engine::new(EngineOptions::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let source = Arc::new(MemorySource::new(fleet(SERIES)));
    let query = Query::range("sum(rate(http_requests_total[5m]))", 600_000, CHUNKS * SAMPLES * STEP_MS, 60_000);
    runtime.block_on(async { black_box(engine.evaluate(&Ctx::background(), source, query).await.expect("an answer")) });
}

/// As our peers read it, and as others do.
fn storeapi_encode() {
    let fleet = fleet(SERIES);
    for deltas in [false, true] {
        black_box(storeapi::untrusted::messages(fleet.chunks(64), deltas));
    }
}

fn storeapi_decode() {
    let fleet = fleet(SERIES);
    for deltas in [false, true] {
        let messages = storeapi::untrusted::messages(fleet.chunks(64), deltas);
        assert_eq!(storeapi::untrusted::answers(&messages).expect("what was written"), SERIES);
    }
}
