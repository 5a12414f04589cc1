//! Whatever the inputs have in common, their merge has each series once, in order, with the chunks of all.

use std::collections::BTreeMap;

use bytes::Bytes;
use chunkenc::Encoding;
use futures::stream::{self, StreamExt};
use labels::Labels;
use storage::{Chunk, Series, SeriesEvent, SeriesStream, collect_series, merge_streams};

/// Begins of chunks by the name of their series.
type Begins = BTreeMap<String, Vec<i64>>;

struct Random(u64);

impl Random {
    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % end
    }

    fn series(&mut self) -> Begins {
        let mut all = Begins::new();
        for _ in 0..self.below(12) {
            let name = format!("{}{}", self.below(3), "x".repeat(self.below(3) as usize));
            let mut begins: Vec<i64> = (0..=self.below(3)).map(|_| self.below(6) as i64 * 10).collect();
            begins.sort_unstable();
            begins.dedup();
            all.insert(name, begins);
        }
        all
    }
}

fn series(name: &str, begins: &[i64]) -> Series {
    let chunk = |t: &i64| Chunk::raw(*t, t + 9, Encoding::Xor, Bytes::from(t.to_string()));
    Series { labels: Labels::from_pairs([("a", name)]), chunks: begins.iter().map(chunk).collect() }
}

fn stream_of(all: &Begins, batch: usize) -> SeriesStream {
    let all: Vec<Series> = all.iter().map(|(name, begins)| series(name, begins)).collect();
    let batches: Vec<_> = all.chunks(batch).map(|batch| Ok(SeriesEvent::Batch(batch.to_vec()))).collect();
    stream::iter(batches).boxed()
}

#[tokio::test]
async fn each_series_comes_once() {
    let mut random = Random(1);
    for _ in 0..2000 {
        let inputs: Vec<Begins> = (0..=random.below(5)).map(|_| random.series()).collect();
        let mut all = Begins::new();
        for (name, begins) in inputs.iter().flatten() {
            let all = all.entry(name.clone()).or_default();
            all.extend(begins);
            all.sort_unstable();
            all.dedup();
        }
        let batch = 1 + random.below(4) as usize;
        let streams = inputs.iter().enumerate().map(|(i, input)| (i.to_string(), stream_of(input, batch)));
        let got = collect_series(merge_streams(streams.collect())).await.unwrap();
        assert!(got.warnings.is_empty());
        let want: Vec<Series> = all.iter().map(|(name, begins)| series(name, begins)).collect();
        assert_eq!(got.value, want, "{inputs:?}");
    }
}
