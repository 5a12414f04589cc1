//! Series raw and downsampled, as compaction writes them, and plain answers about their raw samples.

#![allow(dead_code, reason = "each test uses its part")]

pub mod answers;
pub mod blocks;
pub mod random;

use std::sync::Arc;

use chunkenc::{Encoding, TimedChunk, encode_xor};
use downsample::Downsampler;
use labels::Labels;
use promql::{Engine, EngineOptions, Points, Query, QueryResult, ReadOptions, Value};
use storage::{AggrChunk, Chunk, Ctx, EncodedChunk, Series, SeriesSource};

pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 3_600_000;
pub const DAY: i64 = 24 * HOUR;
pub const FIVE: i64 = 300_000;

/// Time and value.
pub type Sample = (i64, f64);

/// A small generator of well-spread numbers.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// A series as three kinds of blocks hold it.
#[derive(Debug, Clone)]
pub struct Levels {
    pub raw: Vec<Chunk>,
    pub five: Vec<Chunk>,
    pub hour: Vec<Chunk>,
}

impl Levels {
    pub fn of(samples: &[Sample]) -> Self {
        let raw: Vec<TimedChunk> = samples
            .chunks(120)
            .map(|c| TimedChunk {
                min_time: c[0].0,
                max_time: c[c.len() - 1].0,
                encoding: Encoding::Xor,
                data: encode_xor(c.iter().copied()).unwrap().into(),
            })
            .collect();
        let (mut five, mut hour) = (Vec::new(), Vec::new());
        let mut downsampler = Downsampler::new();
        downsampler.raw(&raw, FIVE, &mut five).unwrap();
        downsampler.aggregates(&five, FIVE, HOUR, &mut hour).unwrap();
        let all = |chunks: &[TimedChunk]| chunks.iter().map(chunk).collect();
        Self { raw: all(&raw), five: all(&five), hour: all(&hour) }
    }

    pub fn level(&self, resolution_ms: i64) -> &[Chunk] {
        match resolution_ms {
            0 => &self.raw,
            FIVE => &self.five,
            _ => &self.hour,
        }
    }
}

pub fn chunk(c: &TimedChunk) -> Chunk {
    if c.encoding != Encoding::Aggregates {
        return Chunk::raw(c.min_time, c.max_time, c.encoding, c.data.clone());
    }
    let parts = chunkenc::aggr::decode(&c.data).unwrap();
    let parts = parts.map(|p| p.map(|(encoding, data)| EncodedChunk { encoding, data }));
    Chunk::aggr(c.min_time, c.max_time, AggrChunk { parts })
}

/// One series `m` of these chunks.
pub fn source(mut chunks: Vec<Chunk>) -> Arc<dyn SeriesSource> {
    chunks.sort_by_key(|c| (c.min_time, c.max_time));
    let labels = Labels::from_pairs([("__name__", "m")]);
    Arc::new(storage::MemorySource::new(vec![Series { labels, chunks }]))
}

pub fn engine() -> Engine {
    let parse = promql_syntax::ParseOptions::ALL;
    Engine::new(EngineOptions { parse, ..EngineOptions::default() })
}

/// Value at each step, of one series.
pub fn steps(result: &QueryResult) -> Vec<Option<f64>> {
    let Value::Matrix(m) = &result.value else { panic!("{:?}", result.value) };
    assert!(m.series.len() <= 1, "{:?}", m.series);
    let Some(series) = m.series.first() else { return vec![None; m.grid.steps()] };
    let Points::Steps(column) = &series.points else { panic!("no steps") };
    (0..column.steps()).map(|i| column.get(i)).collect()
}

/// A range query; `step` apart, from `start` to `end`.
pub async fn range(
    source: &Arc<dyn SeriesSource>,
    query: &str,
    (start, end, step): (i64, i64, i64),
    options: &ReadOptions,
) -> QueryResult {
    let result = engine()
        .evaluate(&Ctx::background(), source.clone(), Query::range(query, start, end, step).reading(options.clone()))
        .await;
    result.unwrap_or_else(|e| panic!("{query}: {e}"))
}

/// How much a counter rose over all samples from the last one at or before `from` to the last one at or before `to`.
pub fn rise(samples: &[Sample], from: i64, to: i64) -> f64 {
    let upto = |t: i64| samples.partition_point(|s| s.0 <= t);
    let seen = &samples[upto(from).saturating_sub(1)..upto(to)];
    seen.windows(2).map(|w| if w[1].1 < w[0].1 { w[1].1 } else { w[1].1 - w[0].1 }).sum()
}

/// Fails unless both are absent or nearly equal.
pub fn assert_near(got: Option<f64>, want: Option<f64>, what: &str) {
    let near = match (got, want) {
        (Some(a), Some(b)) => {
            a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
        }
        (a, b) => a == b,
    };
    assert!(near, "{what}: {got:?}, not {want:?}");
}
