//! Two weeks of a series: raw at 15 s to 5 m, raw at 1 m to 5 m, 5 m to 1 h. Throughput is in raw samples, or windows.

use bytes::Bytes;
use chunkenc::{Encoding, TimedChunk, encode_xor};
use divan::Bencher;
use divan::counter::ItemsCount;
use downsample::Downsampler;

fn main() {
    divan::main();
}

/// How a value follows from the one before.
#[derive(Debug, Clone, Copy)]
enum Class {
    Constant,
    Counter,
    ByteCounter,
    Gauge,
    RandomFloat,
}

const CLASSES: [Class; 5] = [Class::Constant, Class::Counter, Class::ByteCounter, Class::Gauge, Class::RandomFloat];

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 32) * n) >> 32
    }
}

/// Chunks of 120 samples over two weeks.
fn raw(class: Class, every_ms: i64) -> (Vec<TimedChunk>, usize) {
    let mut rng = Rng(0x9e37_79b9_7f4a_7c15);
    let mut value = 1000.0;
    let samples: Vec<(i64, f64)> = (0..14 * 86_400_000 / every_ms)
        .map(|i| {
            value = match class {
                Class::Constant => value,
                Class::Counter => value + rng.below(20) as f64,
                Class::ByteCounter => value + rng.below(1 << 20) as f64,
                Class::Gauge => (rng.below(4000) as f64) / 8.0,
                Class::RandomFloat => rng.below(1 << 32) as f64 * 1.234_567e-7,
            };
            (1_700_000_000_123 + i * every_ms, value)
        })
        .collect();
    let chunks = samples.chunks(120).map(|part| TimedChunk {
        min_time: part[0].0,
        max_time: part[part.len() - 1].0,
        encoding: Encoding::Xor,
        data: Bytes::from(encode_xor(part.iter().copied()).unwrap_or_default()),
    });
    (chunks.collect(), samples.len())
}

fn run_raw(bencher: Bencher<'_, '_>, class: Class, every_ms: i64) {
    let (chunks, samples) = raw(class, every_ms);
    let (mut downsampler, mut out) = (Downsampler::new(), Vec::new());
    bencher.counter(ItemsCount::new(samples)).bench_local(|| {
        out.clear();
        downsampler.raw(&chunks, 300_000, &mut out)
    });
}

#[divan::bench(args = CLASSES)]
fn raw_15s_to_5m(bencher: Bencher<'_, '_>, class: Class) {
    run_raw(bencher, class, 15_000);
}

#[divan::bench(args = CLASSES)]
fn raw_1m_to_5m(bencher: Bencher<'_, '_>, class: Class) {
    run_raw(bencher, class, 60_000);
}

#[divan::bench(args = CLASSES)]
fn aggregates_5m_to_1h(bencher: Bencher<'_, '_>, class: Class) {
    let (chunks, _) = raw(class, 15_000);
    let (mut downsampler, mut fine, mut out) = (Downsampler::new(), Vec::new(), Vec::new());
    if downsampler.raw(&chunks, 300_000, &mut fine).is_err() {
        return;
    }
    let windows: usize = fine.iter().map(|c| c.num_samples().unwrap_or(0)).sum();
    bencher.counter(ItemsCount::new(windows)).bench_local(|| {
        out.clear();
        downsampler.aggregates(&fine, 300_000, 3_600_000, &mut out)
    });
}
