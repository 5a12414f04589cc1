//! What an answer costs to write and to read: labels as StoreAPI has them, and told by their differences as our own peers
//! read them. CPU time of this thread, each way in turn, the least of all rounds.

use std::hint::black_box;
use std::time::Instant;

use chunkenc::{Encoding, encode_xor};
use labels::Labels;
use storage::{Chunk, Series};

const SERIES: usize = 6400;
/// As many as a store sends at a time.
const FRAME: usize = 64;
const ROUNDS: usize = 30;

fn fleet(samples: i64, chunks: i64) -> Vec<Series> {
    let one = |i: usize| {
        let (instance, pod) = (
            format!("10.0.{}.{}:9100", i / 64 / 250, i / 64 % 250),
            format!("app-{:05x}-{:05x}", i / 64 * 7919 % 0xf_ffff, i / 64),
        );
        let labels = Labels::from_pairs([
            ("__name__", "node_cpu_seconds_total"),
            ("cluster", "eu-west-1"),
            ("cpu", &(i / 8 % 8).to_string()),
            ("instance", &instance),
            ("job", "node"),
            ("mode", ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"][i % 8]),
            ("namespace", "monitoring"),
            ("pod", &pod),
        ]);
        let chunk = |n: i64| {
            let at = n * samples * 15_000;
            let points = (0..samples).map(|k| (at + k * 15_000, ((k + i as i64) * 7) as f64 * 0.01));
            Chunk::raw(at, at + (samples - 1) * 15_000, Encoding::Xor, encode_xor(points).expect("times ascend").into())
        };
        Series { labels, chunks: (0..chunks).map(chunk).collect() }
    };
    (0..SERIES).map(one).collect()
}

fn main() {
    for (what, samples, chunks) in [("2 samples each, one chunk", 2, 1), ("480 samples each, four chunks", 120, 4)] {
        let mut fleet = fleet(samples, chunks);
        fleet.sort_by(|a, b| a.labels.cmp(&b.labels));
        println!("{SERIES} series of {what}; ns a series");
        for deltas in [false, true] {
            let (mut write, mut read, mut bytes) = (f64::MAX, f64::MAX, 0);
            for _ in 0..ROUNDS {
                let began = Instant::now();
                let messages: Vec<_> = storeapi::untrusted::messages(fleet.chunks(FRAME), deltas);
                write = write.min(began.elapsed().as_secs_f64());
                bytes = messages.iter().map(bytes::Bytes::len).sum();
                let began = Instant::now();
                black_box(storeapi::untrusted::answers(&messages).expect("what was written"));
                read = read.min(began.elapsed().as_secs_f64());
            }
            let each = |seconds: f64| seconds * 1e9 / SERIES as f64;
            let form = if deltas { "differences" } else { "StoreAPI" };
            println!("{form:>12}: write {:.0}, read {:.0}, {} bytes", each(write), each(read), bytes / SERIES);
        }
    }
}
