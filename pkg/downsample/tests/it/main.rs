//! What is written, against Thanos' own output, against small tables, and against a plain model.

mod golden;
mod histogram_model;
mod model;
mod tables;

use bytes::Bytes;
use chunkenc::{Column, Encoding, TimedChunk, aggr, decode_floats, encode_xor};

/// Times in ms and values.
pub type Samples = Vec<(i64, f64)>;

/// A raw chunk.
pub fn xor(samples: &[(i64, f64)]) -> TimedChunk {
    TimedChunk {
        min_time: samples.first().map_or(0, |s| s.0),
        max_time: samples.last().map_or(0, |s| s.0),
        encoding: Encoding::Xor,
        data: Bytes::from(encode_xor(samples.iter().copied()).unwrap()),
    }
}

/// One aggregate of each chunk.
pub fn part(chunks: &[TimedChunk], place: usize) -> Vec<Samples> {
    let decode = |chunk: &TimedChunk| {
        let parts = aggr::decode(&chunk.data).unwrap();
        let (encoding, data) = parts[place].as_ref()?;
        let mut column = Column::new();
        decode_floats(*encoding, data, &mut column).unwrap();
        Some(column.iter().collect())
    };
    chunks.iter().filter_map(decode).collect()
}
