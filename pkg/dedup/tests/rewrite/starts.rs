//! Start timestamps of floats, which stand in XOR2 chunks.

use bytes::Bytes;
use chunkenc::{Encoding, TimedChunk, decode_xor2, encode_xor2};
use dedup::Method;
use dedup::rewrite::LaneChunk;

use crate::{lane, merge};

/// Start, time, value.
type Sample = (i64, i64, f64);

fn xor2(replica: u64, samples: &[Sample]) -> LaneChunk {
    let data = Bytes::from(encode_xor2(samples.iter().copied()).unwrap());
    let (min_time, max_time) = (samples[0].1, samples[samples.len() - 1].1);
    LaneChunk {
        replica,
        order: replica as u32,
        chunk: TimedChunk { min_time, max_time, encoding: Encoding::Xor2, data },
    }
}

fn read(chunks: &[TimedChunk]) -> Vec<Sample> {
    let read = |chunk: &TimedChunk| {
        assert_eq!(chunk.encoding, Encoding::Xor2);
        let samples = decode_xor2(&chunk.data).unwrap();
        assert!(samples.len() <= 120);
        samples
    };
    chunks.iter().flat_map(read).collect()
}

#[test]
fn start_timestamps_are_kept() {
    let of =
        |offset: i64, start: i64| (0..300).map(|n| (start + n / 100, offset + n * 10, n as f64)).collect::<Vec<_>>();
    let (a, b) = (of(0, 7), of(5, 0));
    let mut want = [a.clone(), b.clone()].concat();
    want.sort_by_key(|s| s.1);
    let (out, merged) = merge(vec![xor2(0, &a), xor2(0, &b)], Method::Chain);
    assert_eq!(read(&out), want);
    assert_eq!((merged.copied, merged.rewritten), (0, 5));
}

#[test]
fn floats_without_them_go_into_the_same_chunks() {
    let starts: Vec<Sample> = (0..50).map(|n| (3, n * 10, n as f64)).collect();
    let plain: Vec<(i64, f64)> = (0..50).map(|n| (n * 10 + 5, -1.0)).collect();
    let mut want = starts.clone();
    want.extend(plain.iter().map(|(time, value)| (0, *time, *value)));
    want.sort_by_key(|s| s.1);
    let mut chunks = lane(0, &plain, 120);
    chunks.push(xor2(0, &starts));
    let (out, _) = merge(chunks, Method::Chain);
    assert_eq!(read(&out), want);
    assert_eq!(out.len(), 1);
}
