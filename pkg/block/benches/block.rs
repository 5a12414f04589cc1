//! Opening an index, looking up matchers, and set operations over postings.

use block::{BlockId, BlockMeta, BlockWriter, BlockWriterOptions, IndexReader, postings};
use divan::Bencher;
use divan::counter::ItemsCount;
use labels::{Labels, MatchType, Matcher};

fn main() {
    divan::main();
}

const TARGETS: usize = 200;
const METRICS: usize = 100;

/// A block of `TARGETS * METRICS` series of one sample.
fn index() -> (tempfile::TempDir, std::path::PathBuf) {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let id = BlockId::new(1, 1);
    let mut writer = BlockWriter::create(tmp.path(), id, BlockWriterOptions::default()).expect("writable");
    let data: bytes::Bytes = chunkenc::encode_xor([(1, 1.0)]).expect("one sample fits").into();
    let chunk = chunkenc::TimedChunk { min_time: 1, max_time: 1, encoding: chunkenc::Encoding::Xor, data };
    for metric in 0..METRICS {
        for target in 0..TARGETS {
            let labels = Labels::from_pairs([
                ("__name__", format!("metric_{metric:03}_total")),
                ("instance", format!("10.0.{}.{:03}:9100", target / 256, target % 256)),
                ("job", format!("job-{}", target % 10)),
                ("pod", format!("pod-{target:04x}-{:06x}", target * 7919)),
            ]);
            writer.add_series(&labels, std::slice::from_ref(&chunk)).expect("sorted");
        }
    }
    writer.finish(BlockMeta::default()).expect("finished");
    let path = tmp.path().join(id.to_string()).join("index");
    (tmp, path)
}

#[divan::bench]
fn open_index(bencher: Bencher<'_, '_>) {
    let (_tmp, path) = index();
    bencher
        .counter(ItemsCount::new(TARGETS * METRICS))
        .bench_local(|| IndexReader::open_file(&path).expect("own index"));
}

#[divan::bench(args = ["job-3", "job-(1|2)", "job-[0-4]"])]
fn expand(bencher: Bencher<'_, '_>, job: &str) {
    let (_tmp, path) = index();
    let index = IndexReader::open_file(&path).expect("own index");
    let matchers = [
        Matcher::equal("__name__", "metric_042_total"),
        Matcher::new(MatchType::Regex, "job", job).expect("an expression"),
    ];
    bencher.bench_local(|| index.expand(&matchers).expect("own index"));
}

#[divan::bench]
fn all_series(bencher: Bencher<'_, '_>) {
    let (_tmp, path) = index();
    let index = IndexReader::open_file(&path).expect("own index");
    let ids = index.all_postings().expect("own index");
    bencher
        .counter(ItemsCount::new(ids.len()))
        .bench_local(|| ids.iter().map(|id| index.series(*id).expect("own index").chunks.len()).sum::<usize>());
}

fn list(every: u32, len: u32) -> Vec<u32> {
    (0..len).map(|i| i * every + (i * 7919) % every).collect()
}

#[divan::bench]
fn intersect_alike(bencher: Bencher<'_, '_>) {
    let (a, b) = (list(3, 1_000_000), list(4, 750_000));
    bencher.counter(ItemsCount::new(a.len() + b.len())).bench_local(|| postings::intersect(&a, &b));
}

#[divan::bench]
fn intersect_few_with_many(bencher: Bencher<'_, '_>) {
    let (a, b) = (list(300, 10_000), list(3, 1_000_000));
    bencher.counter(ItemsCount::new(a.len())).bench_local(|| postings::intersect(&a, &b));
}

#[divan::bench]
fn merge_many(bencher: Bencher<'_, '_>) {
    let lists: Vec<_> = (0..100).map(|i| list(100, 10_000).into_iter().map(|x| x + i).collect::<Vec<_>>()).collect();
    bencher.counter(ItemsCount::new(1_000_000usize)).with_inputs(|| lists.clone()).bench_local_values(postings::merge);
}

#[divan::bench]
fn subtract(bencher: Bencher<'_, '_>) {
    let (a, b) = (list(3, 1_000_000), list(4, 750_000));
    bencher.counter(ItemsCount::new(a.len())).bench_local(|| postings::subtract(&a, &b));
}
