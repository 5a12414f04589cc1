//! A million samples, in records of 1000 as a scrape makes them: encoded and logged, read and decoded.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use wal::record::{Samples, encode_samples};
use wal::{Compression, Entry, Options, Reader, Writer, size_bytes};

fn main() {
    divan::main();
}

const SAMPLES: usize = 1_000_000;
const BATCH: usize = 1_000;
const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Snappy, Compression::Zstd];

/// References and values of 1000 series at the `n`-th scrape: counters, most of them of small whole numbers.
fn columns(n: usize) -> (Vec<u64>, Vec<i64>, Vec<f64>) {
    let refs = (1..=BATCH as u64).collect();
    let value = |i: usize| if i.is_multiple_of(4) { (i * n) as f64 * 0.37 } else { (i * n / 7) as f64 };
    (refs, vec![1_700_000_000_000 + 15_000 * n as i64; BATCH], (0..BATCH).map(value).collect())
}

fn write(dir: &std::path::Path, compression: Compression) {
    let options = Options { compression, ..Options::default() };
    let (mut writer, _) = Writer::open(dir, options).expect("writable");
    let mut record = Vec::new();
    for n in 0..SAMPLES / BATCH {
        let (refs, times_ms, values) = columns(n);
        record.clear();
        encode_samples(&mut record, &refs, &times_ms, &values);
        writer.log(&[&record]).expect("writable");
    }
}

#[divan::bench]
fn encode(bencher: Bencher) {
    let (refs, times_ms, values) = columns(77);
    let mut record = Vec::new();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        record.clear();
        encode_samples(&mut record, &refs, &times_ms, &values);
        record.len()
    });
}

#[divan::bench]
fn decode(bencher: Bencher) {
    let (refs, times_ms, values) = columns(77);
    let (mut record, mut samples) = (Vec::new(), Samples::default());
    encode_samples(&mut record, &refs, &times_ms, &values);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        samples.clear();
        samples.decode(&record).expect("it was encoded");
        samples.len()
    });
}

#[divan::bench(args = COMPRESSIONS, sample_count = 10)]
fn encode_and_log(bencher: Bencher, compression: Compression) {
    bencher
        .counter(ItemsCount::new(SAMPLES))
        .with_inputs(|| tempfile::tempdir().expect("a temporary directory"))
        .bench_local_refs(|dir| write(dir.path(), compression));
}

#[divan::bench(args = COMPRESSIONS, sample_count = 10)]
fn read_and_decode(bencher: Bencher, compression: Compression) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    write(dir.path(), compression);
    let mut samples = Samples::default();
    bencher.counter(ItemsCount::new(SAMPLES)).bench_local(|| {
        let mut reader = Reader::open(dir.path(), 0).expect("readable");
        let mut count = 0;
        while let Some(Entry::Record(record)) = reader.read() {
            samples.clear();
            samples.decode(record).expect("it was encoded");
            count += samples.len();
        }
        assert_eq!(count, SAMPLES);
    });
}

/// Records read and unpacked, not decoded; in bytes of the files.
#[divan::bench(args = COMPRESSIONS, sample_count = 10)]
fn read(bencher: Bencher, compression: Compression) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    write(dir.path(), compression);
    let bytes = size_bytes(dir.path()).expect("readable");
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        let mut reader = Reader::open(dir.path(), 0).expect("readable");
        let mut sum = 0;
        while let Some(Entry::Record(record)) = reader.read() {
            sum += record.len();
        }
        sum
    });
}
