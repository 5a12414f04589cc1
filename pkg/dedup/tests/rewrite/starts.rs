//! Start timestamps, which stand in XOR2 chunks and those of histograms that have them.

use bytes::Bytes;
use chunkenc::{
    Encoding, FloatHistogramAppender, HistogramAppender, ResetFlag, TimedChunk, decode_histograms_with_starts,
    decode_xor2, encode_xor2,
};
use dedup::Method;
use dedup::rewrite::LaneChunk;
use histogram::Histogram;

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

/// A chunk of histograms whose counts are the values; without start timestamps where `has_starts` is not set.
fn histograms(replica: u64, is_int: bool, has_starts: bool, samples: &[Sample]) -> LaneChunk {
    let new = |flag| match has_starts {
        true => (HistogramAppender::with_starts(flag), FloatHistogramAppender::with_starts(flag)),
        false => (HistogramAppender::new(flag), FloatHistogramAppender::new(flag)),
    };
    let (mut int, mut float) = new(ResetFlag::Unknown);
    for (start, time, value) in samples {
        let histogram = Histogram { count: *value as u64, zero_count: *value as u64, ..Histogram::default() };
        int.append_from(*start, *time, &histogram).unwrap();
        float.append_from(*start, *time, &histogram.to_float()).unwrap();
    }
    let (encoding, data) = if is_int { (int.encoding(), int.to_vec()) } else { (float.encoding(), float.to_vec()) };
    let (min_time, max_time) = (samples[0].1, samples[samples.len() - 1].1);
    let chunk = TimedChunk { min_time, max_time, encoding, data: data.into() };
    LaneChunk { replica, order: replica as u32, chunk }
}

#[test]
fn those_of_histograms_are_kept() {
    for (is_int, wanted) in [(true, Encoding::HistogramSt), (false, Encoding::FloatHistogramSt)] {
        let of = |offset: i64, start: i64| (0..60).map(move |n| (start + n / 20, offset + n * 10, n as f64));
        let (a, plain): (Vec<_>, Vec<_>) = (of(0, 7).collect(), of(5, 0).map(|(_, t, v)| (0, t, v)).collect());
        let mut want = [a.clone(), plain.clone()].concat();
        want.sort_by_key(|s| s.1);
        let chunks = vec![histograms(0, is_int, true, &a), histograms(1, is_int, false, &plain)];
        let (out, merged) = merge(chunks, Method::Chain);
        let read = |chunk: &TimedChunk| {
            assert_eq!(chunk.encoding, wanted);
            let (mut column, mut starts) = (Default::default(), Vec::new());
            decode_histograms_with_starts(chunk.encoding, &chunk.data, &mut column, &mut starts).unwrap();
            let counts = column.values.iter().map(|h| h.count);
            starts.into_iter().zip(column.times).zip(counts).map(|((s, t), v)| (s, t, v)).collect::<Vec<_>>()
        };
        assert_eq!(out.iter().flat_map(read).collect::<Vec<_>>(), want);
        assert_eq!(merged.copied, 0);
    }
}
