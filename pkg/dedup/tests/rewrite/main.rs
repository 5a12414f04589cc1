//! The promises of merging the chunks of one series, on small examples and on random replicas.

mod aggregates;
mod chain;
mod density;
mod histograms;
mod kinds;
mod penalty;
mod replicas;
mod starts;
mod ways;

use bytes::Bytes;
use chunkenc::{Column, Encoding, TimedChunk, decode_floats, encode_xor};
use dedup::Method;
use dedup::rewrite::{LaneChunk, Merged, SeriesMerger};

/// Times in ms and values.
pub type Samples = Vec<(i64, f64)>;

/// Chunks of at most `size` samples.
pub fn lane(replica: u64, samples: &[(i64, f64)], size: usize) -> Vec<LaneChunk> {
    let chunk = |part: &[(i64, f64)]| TimedChunk {
        min_time: part[0].0,
        max_time: part[part.len() - 1].0,
        encoding: Encoding::Xor,
        data: Bytes::from(encode_xor(part.iter().copied()).unwrap()),
    };
    samples.chunks(size).map(|part| LaneChunk { replica, order: replica as u32, chunk: chunk(part) }).collect()
}

/// Merges and checks what holds of every output.
pub fn merge(chunks: Vec<LaneChunk>, method: Method) -> (Vec<TimedChunk>, Merged) {
    let mut out = Vec::new();
    let input = chunks.len() as u64;
    let merged = SeriesMerger::default().merge(chunks, method, &mut out).unwrap();
    assert!(out.windows(2).all(|w| w[0].max_time < w[1].min_time), "chunks overlap");
    assert_eq!(merged.copied + merged.rewritten, out.len() as u64);
    assert!(merged.copied + merged.duplicates <= input);
    (out, merged)
}

/// All samples; the chunks' times are checked.
pub fn samples(chunks: &[TimedChunk]) -> Samples {
    let mut out = Vec::new();
    for chunk in chunks {
        let mut column = Column::new();
        decode_floats(chunk.encoding, &chunk.data, &mut column).unwrap();
        assert_eq!(column.times.first(), Some(&chunk.min_time));
        assert_eq!(column.times.last(), Some(&chunk.max_time));
        out.extend(column.iter());
    }
    assert!(out.windows(2).all(|w| w[0].0 < w[1].0), "times ascend");
    out
}
