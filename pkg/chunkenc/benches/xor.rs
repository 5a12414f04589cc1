//! XOR and XOR2 chunks of 120 samples: decoding and encoding per class of values. Throughput is in samples.
//!
//! With `CHUNK_DUMP_DIR` set the chunks are written there and nothing is measured, so that another engine can be
//! measured on the same bytes: `CLASS.xor` and `CLASS.xor2`, each chunk as its length (4 bytes, big-endian) and data.

use std::io;
use std::path::Path;

use chunkenc::{Column, Encoding, XorAppender, decode_floats, decode_floats_between};
use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    match std::env::var_os("CHUNK_DUMP_DIR") {
        Some(dir) => dump(Path::new(&dir)).expect("the directory can be written to"),
        None => divan::main(),
    }
}

fn dump(dir: &Path) -> io::Result<()> {
    for class in CLASSES {
        for (encoding, suffix) in [(Encoding::Xor, "xor"), (Encoding::Xor2, "xor2")] {
            let mut bytes = Vec::new();
            for chunk in chunks(encoding, class) {
                bytes.extend_from_slice(&(chunk.len() as u32).to_be_bytes());
                bytes.extend_from_slice(&chunk);
            }
            std::fs::write(dir.join(format!("{class:?}.{suffix}")), bytes)?;
        }
    }
    Ok(())
}

/// How a value follows from the one before.
#[derive(Debug, Clone, Copy)]
enum Class {
    Constant,
    SparseCounter,
    IntegerCounter,
    CentiCounter,
    ByteCounter,
    IntegerGauge,
    MemoryGauge,
    LoadGauge,
    RandomFloat,
    Mix,
}

const CLASSES: [Class; 10] = [
    Class::Constant,
    Class::SparseCounter,
    Class::IntegerCounter,
    Class::CentiCounter,
    Class::ByteCounter,
    Class::IntegerGauge,
    Class::MemoryGauge,
    Class::LoadGauge,
    Class::RandomFloat,
    Class::Mix,
];

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        ((self.next() >> 32) * n) >> 32
    }
}

fn step(class: Class, value: f64, rng: &mut Rng) -> f64 {
    match class {
        Class::Constant | Class::Mix => value,
        Class::SparseCounter => value + f64::from(u8::from(rng.below(20) == 0)),
        Class::IntegerCounter => value + rng.below(80) as f64,
        Class::CentiCounter => ((value * 100.0).round() + rng.below(300) as f64) / 100.0,
        Class::ByteCounter => value + rng.below(6_000_000) as f64,
        Class::IntegerGauge => (value + rng.below(7) as f64 - 3.0).max(0.0),
        Class::MemoryGauge => value + (rng.below(2000) as f64 - 1000.0) * 4096.0,
        Class::LoadGauge => ((value * 100.0).round() + rng.below(21) as f64 - 10.0).max(0.0) / 100.0,
        Class::RandomFloat => value + rng.below(1 << 30) as f64 / f64::from(1 << 29),
    }
}

const SAMPLES: usize = 120;
const CHUNKS: usize = 200;

fn samples(class: Class) -> Vec<Vec<(i64, f64)>> {
    let mut rng = Rng(0x9e37_79b9_7f4a_7c15);
    let series = |n: usize| {
        // A target's series in about the shares that exporters have.
        let class = match (class, n % 20) {
            (Class::Mix, 0..6) => Class::IntegerCounter,
            (Class::Mix, 6..9) => Class::CentiCounter,
            (Class::Mix, 9..12) => Class::Constant,
            (Class::Mix, 12..15) => Class::SparseCounter,
            (Class::Mix, 15) => Class::ByteCounter,
            (Class::Mix, 16) => Class::IntegerGauge,
            (Class::Mix, 17) => Class::MemoryGauge,
            (Class::Mix, 18) => Class::LoadGauge,
            (Class::Mix, _) => Class::RandomFloat,
            (other, _) => other,
        };
        let mut value = rng.below(1_000_000) as f64;
        let sample = |i: usize| {
            // One scrape in ten is a few ms late.
            let late = if rng.below(10) == 0 { rng.below(12) as i64 } else { 0 };
            value = step(class, value, &mut rng);
            (1_700_000_000_000 + 15_000 * i as i64 + late, value)
        };
        (0..SAMPLES).map(sample).collect()
    };
    (0..CHUNKS).map(series).collect()
}

fn chunks(encoding: Encoding, class: Class) -> Vec<Vec<u8>> {
    let encode = |samples: Vec<(i64, f64)>| match encoding {
        Encoding::Xor2 => chunkenc::encode_xor2(samples.into_iter().map(|(t, v)| (0, t, v))),
        _ => chunkenc::encode_xor(samples),
    };
    samples(class).into_iter().map(encode).collect::<Result<_, _>>().expect("120 samples fit")
}

fn bench_decode(bencher: Bencher<'_, '_>, encoding: Encoding, class: Class) {
    let chunks = chunks(encoding, class);
    let mut out = Column::new();
    bencher.counter(ItemsCount::new(CHUNKS * SAMPLES)).bench_local(|| {
        for chunk in &chunks {
            out.clear();
            decode_floats(encoding, divan::black_box(chunk), &mut out).expect("own chunk");
        }
        out.values.last().copied()
    });
}

#[divan::bench(args = CLASSES, sample_count = 300)]
fn decode(bencher: Bencher<'_, '_>, class: Class) {
    bench_decode(bencher, Encoding::Xor, class);
}

#[divan::bench(args = CLASSES, sample_count = 300)]
fn decode_xor2(bencher: Bencher<'_, '_>, class: Class) {
    bench_decode(bencher, Encoding::Xor2, class);
}

/// All chunks one behind the other into one column.
#[divan::bench(args = [Class::Mix], sample_count = 300)]
fn decode_on_end(bencher: Bencher<'_, '_>, class: Class) {
    let chunks = chunks(Encoding::Xor, class);
    let mut out = Column::new();
    bencher.counter(ItemsCount::new(CHUNKS * SAMPLES)).bench_local(|| {
        out.clear();
        for chunk in &chunks {
            decode_floats(Encoding::Xor, divan::black_box(chunk), &mut out).expect("own chunk");
        }
        out.values.last().copied()
    });
}

/// The latest half of a chunk.
#[divan::bench(args = [Class::Mix], sample_count = 300)]
fn decode_between(bencher: Bencher<'_, '_>, class: Class) {
    let chunks = chunks(Encoding::Xor, class);
    let mut out = Column::new();
    bencher.counter(ItemsCount::new(CHUNKS * SAMPLES)).bench_local(|| {
        for chunk in &chunks {
            out.clear();
            let from = 1_700_000_000_000 + 15_000 * SAMPLES as i64 / 2;
            decode_floats_between(Encoding::Xor, divan::black_box(chunk), from, i64::MAX, &mut out).expect("own chunk");
        }
        out.values.last().copied()
    });
}

#[divan::bench(args = [Class::Mix])]
fn append(bencher: Bencher<'_, '_>, class: Class) {
    let series = samples(class);
    bencher.counter(ItemsCount::new(CHUNKS * SAMPLES)).bench_local(|| {
        let mut bytes = 0;
        for samples in &series {
            let mut appender = XorAppender::new();
            for (time, value) in samples {
                appender.append(*time, *value).expect("120 samples fit");
            }
            bytes += appender.size_bytes();
        }
        bytes
    });
}
