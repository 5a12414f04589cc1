//! Chunks of 120 native histograms of 32 buckets: decoding all of them, and those at the edges of windows. Throughput is in
//! samples.

use chunkenc::{Appended, Encoding, HistogramAppender, HistogramColumn, HistogramEdges, ResetFlag, decode_histograms};
use divan::Bencher;
use divan::counter::ItemsCount;
use histogram::{Histogram, Span};

fn main() {
    divan::main();
}

const BUCKETS: usize = 32;
const SAMPLES: usize = 120;
const CHUNKS: usize = 200;

/// Observations between two samples.
const OBSERVED: [u64; 4] = [0, 20, 1000, 20_000];

fn chunk(seed: u64, observed: u64) -> Vec<u8> {
    let mut seed = seed;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut counts = [0i64; BUCKETS];
    let mut appender = HistogramAppender::new(ResetFlag::Unknown);
    for sample in 0..SAMPLES {
        for _ in 0..observed {
            let spread = random();
            // Around the middle.
            counts[(spread % 11 + spread / 11 % 11 + spread / 121 % 12) as usize] += 1;
        }
        let mut before = 0;
        let histogram = Histogram {
            schema: 3,
            zero_threshold: 1e-128,
            count: counts.iter().sum::<i64>() as u64,
            sum: counts.iter().zip(0u32..).map(|(count, at)| *count as f64 * 0.01 * f64::from(at)).sum(),
            positive_spans: vec![Span { offset: -48, length: BUCKETS as u32 }],
            positive_deltas: counts.iter().map(|count| count - std::mem::replace(&mut before, *count)).collect(),
            ..Histogram::default()
        };
        let time_ms = 1_700_000_000_000 + 15_000 * sample as i64;
        assert!(matches!(appender.append(time_ms, &histogram), Ok(Appended::InPlace)));
    }
    appender.to_vec()
}

fn chunks(observed: u64) -> Vec<Vec<u8>> {
    (1..=CHUNKS as u64).map(|seed| chunk(seed, observed)).collect()
}

#[divan::bench(args = OBSERVED, sample_count = 50)]
fn all(bencher: Bencher<'_, '_>, observed: u64) {
    let chunks = chunks(observed);
    bencher.counter(ItemsCount::new(CHUNKS * SAMPLES)).bench_local(|| {
        let mut out = HistogramColumn::default();
        for chunk in &chunks {
            out.times.clear();
            out.values.clear();
            decode_histograms(Encoding::Histogram, divan::black_box(chunk), &mut out).expect("own chunk");
        }
        out.times.len()
    });
}

/// The numbers of `kept` of each four samples.
fn edges(bencher: Bencher<'_, '_>, observed: u64, kept: i64) {
    let chunks = chunks(observed);
    let mut out = HistogramEdges::default();
    bencher.counter(ItemsCount::new(CHUNKS * SAMPLES)).bench_local(|| {
        for chunk in &chunks {
            out.clear(false);
            let read = out.append(Encoding::Histogram, divan::black_box(chunk), |_, time, _| time / 15_000 % 4 < kept);
            assert_eq!(read, Ok(true));
        }
        out.times.len()
    });
}

#[divan::bench(args = OBSERVED, sample_count = 50)]
fn edges_half(bencher: Bencher<'_, '_>, observed: u64) {
    edges(bencher, observed, 2);
}

#[divan::bench(args = OBSERVED, sample_count = 50)]
fn edges_none(bencher: Bencher<'_, '_>, observed: u64) {
    edges(bencher, observed, 0);
}
