//! Two replicas of one series over two days, 120 samples to a chunk: queries' deduplication and rewrites. Throughput is in
//! samples of both replicas.

use bytes::Bytes;
use chunkenc::{Encoding, TimedChunk, encode_xor};
use dedup::rewrite::{LaneChunk, SeriesMerger};
use dedup::{DedupOptions, Method, dedup_series};
use divan::Bencher;
use divan::counter::ItemsCount;
use labels::Labels;
use storage::{Chunk, Series};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

const START_MS: i64 = 1_700_000_000_123;
const LENGTH_MS: i64 = 2 * 86_400_000;

/// How the replicas differ from one another.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Case {
    /// In nothing but their offset.
    Equal,
    /// Each sample is up to 2 % of the interval late.
    Jitter,
    /// The first one pauses once, for ten minutes.
    OneGap,
    /// Each pauses every two hours for five minutes, the second one an hour later.
    ManyGaps,
    /// The first one has an interval of 60 s.
    Unequal,
    /// Both restart every six hours, with a pause of one minute.
    Restarts,
}

const CASES: [Case; 6] = [Case::Equal, Case::Jitter, Case::OneGap, Case::ManyGaps, Case::Unequal, Case::Restarts];

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 32) * n) >> 32
    }
}

/// Whether replica `id` is scraped at `t` ms after the begin.
fn is_up(case: Case, id: u64, t: i64) -> bool {
    let down = |every: i64, from: i64, length: i64| (from..from + length).contains(&(t % every));
    match case {
        Case::OneGap => id != 1 || !down(LENGTH_MS, LENGTH_MS / 3, 600_000),
        Case::ManyGaps => !down(7_200_000, 1_800_000 + (id as i64 - 1) * 3_600_000, 300_000),
        Case::Restarts => !down(21_600_000, 10_000_000, 60_000),
        Case::Equal | Case::Jitter | Case::Unequal => true,
    }
}

/// A counter's samples as replica `id` sees them.
fn samples(case: Case, id: u64) -> Vec<(i64, f64)> {
    let interval = if case == Case::Unequal && id == 1 { 60_000 } else { 15_000 };
    let mut late = Rng(0x9e37_79b9_7f4a_7c15 + id);
    let mut out = Vec::new();
    for t in (0..LENGTH_MS).step_by(interval).filter(|t| is_up(case, id, *t)) {
        let jitter = if case == Case::Jitter { late.below(interval as u64 / 50) as i64 } else { 0 };
        let time = t + id as i64 * 3_000 + jitter;
        let begin =
            if case == Case::Restarts { time - (time - 10_000_000).rem_euclid(21_600_000) } else { -1_000_000_000 };
        let mut noise = Rng(0x2545_f491_4f6c_dd1d ^ (time / 15_000) as u64);
        out.push((START_MS + time, ((time - begin) / 100) as f64 + noise.below(50) as f64));
    }
    out
}

fn chunks(case: Case) -> (Vec<LaneChunk>, usize) {
    let (mut out, mut total) = (Vec::new(), 0);
    for id in 1..=2 {
        let samples = samples(case, id);
        total += samples.len();
        out.extend(samples.chunks(120).map(|part| LaneChunk {
            replica: id,
            order: 0,
            chunk: TimedChunk {
                min_time: part[0].0,
                max_time: part[part.len() - 1].0,
                encoding: Encoding::Xor,
                data: Bytes::from(encode_xor(part.iter().copied()).unwrap_or_default()),
            },
        }));
    }
    out.sort_by_key(|lane| (lane.chunk.min_time, lane.chunk.max_time));
    (out, total)
}

fn read(bencher: Bencher, case: Case, function: &str) {
    let (chunks, total) = chunks(case);
    let raw = |lane: &LaneChunk| Chunk {
        replica: lane.replica,
        ..Chunk::raw(lane.chunk.min_time, lane.chunk.max_time, lane.chunk.encoding, lane.chunk.data.clone())
    };
    let series = Series { labels: Labels::empty(), chunks: chunks.iter().map(raw).collect() };
    let options = DedupOptions {
        method: Method::Penalty,
        lookback_ms: 300_000,
        function: Some(function.to_owned()),
        end_ms: i64::MAX,
    };
    bencher
        .counter(ItemsCount::new(total))
        .with_inputs(|| series.clone())
        .bench_values(|series| dedup_series(series, &options));
}

#[divan::bench(args = CASES)]
fn asked_as_counter(bencher: Bencher, case: Case) {
    read(bencher, case, "rate");
}

#[divan::bench(args = CASES)]
fn asked_as_gauge(bencher: Bencher, case: Case) {
    read(bencher, case, "max_over_time");
}

#[divan::bench(args = CASES)]
fn rewritten(bencher: Bencher, case: Case) {
    let (chunks, total) = chunks(case);
    let mut merger = SeriesMerger::default();
    bencher.counter(ItemsCount::new(total)).with_inputs(|| chunks.clone()).bench_local_values(|chunks| {
        let mut out = Vec::new();
        let merged = merger.merge(chunks, Method::Penalty, &mut out);
        (merged, out)
    });
}
