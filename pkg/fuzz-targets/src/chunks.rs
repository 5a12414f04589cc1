//! Chunk encodings.

use bytes::Bytes;
use chunkenc::{
    Column, CounterReader, Encoding, HistogramColumn, HistogramEdges, XorAppender, aggr, decode_floats,
    decode_floats_between, decode_histograms, decode_histograms_between, num_samples,
};

/// Floats, read whole and in part.
fn floats(encoding: Encoding, data: &[u8]) {
    let mut column = Column::new();
    let decoded = decode_floats(encoding, data, &mut column);
    assert_eq!(column.times.len(), column.values.len());
    match decoded {
        Ok(()) => assert_eq!(num_samples(encoding, data), Ok(column.len())),
        Err(_) => assert!(column.is_empty()),
    }
    let mut part = Column::new();
    let middle = column.times.get(column.len() / 2).copied().unwrap_or(0);
    if decode_floats_between(encoding, data, middle, i64::MAX, &mut part).is_ok() {
        assert!(part.times.iter().all(|t| *t >= middle));
    }
    if encoding == Encoding::Xor && decoded.is_ok() && column.len() < chunkenc::MAX_SAMPLES {
        part.clear();
        drop(CounterReader::new().read(encoding, data, &mut part));
    }
}

/// An XOR chunk (encoding 1).
pub fn xor(data: &[u8]) {
    floats(Encoding::Xor, data);
}

/// An XOR2 chunk (encoding 4).
pub fn xor2(data: &[u8]) {
    floats(Encoding::Xor2, data);
}

/// An XOR chunk that is written on.
pub fn resume_xor(data: &[u8]) {
    let Ok(mut appender) = XorAppender::resume(data) else { return };
    let before = appender.len();
    if appender.append(1, 1.0).is_ok() {
        let mut column = Column::new();
        decode_floats(Encoding::Xor, &appender.to_vec(), &mut column).expect("what was written can be read");
        assert_eq!(column.len(), before + 1);
        assert_eq!((column.times[before], column.values[before]), (1, 1.0));
    }
}

fn histograms(encoding: Encoding, data: &[u8]) {
    let mut column = HistogramColumn::default();
    let decoded = decode_histograms(encoding, data, &mut column);
    assert_eq!(column.times.len(), column.values.len());
    match decoded {
        Ok(()) => assert_eq!(num_samples(encoding, data), Ok(column.times.len())),
        Err(_) => assert!(column.times.is_empty()),
    }
    let middle = column.times.get(column.times.len() / 2).copied().unwrap_or(0);
    edges(encoding, data, decoded.is_ok().then_some(&column));
    drop(column);
    let mut part = HistogramColumn::default();
    if decode_histograms_between(encoding, data, middle, i64::MAX, &mut part).is_ok() {
        assert!(part.times.iter().all(|t| *t >= middle));
    }
}

/// Edges, all of them wanted, beside the whole where that decodes.
fn edges(encoding: Encoding, data: &[u8], whole: Option<&HistogramColumn>) {
    let mut edges = HistogramEdges::default();
    let (Ok(true), Some(whole)) = (edges.append(encoding, data, |_, _, _| true), whole) else { return };
    assert_eq!(edges.times, whole.times[..edges.times.len()]);
    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    for chunk in &edges.chunks {
        for (i, h) in (chunk.first..=chunk.last).zip(&whole.values) {
            let numbers = edges.numbers(i, chunk).expect("all were wanted");
            assert_eq!(bits(&[numbers.count, numbers.sum, numbers.zero_count]), bits(&[h.count, h.sum, h.zero_count]));
            assert_eq!(bits(numbers.positive), bits(&h.positive_buckets));
            assert_eq!(bits(numbers.negative), bits(&h.negative_buckets));
        }
    }
}

/// A chunk of integer histograms (encoding 2).
pub fn histogram(data: &[u8]) {
    histograms(Encoding::Histogram, data);
}

/// A chunk of float histograms (encoding 3).
pub fn float_histogram(data: &[u8]) {
    histograms(Encoding::FloatHistogram, data);
}

/// A chunk of integer histograms with start timestamps (encoding 5).
pub fn histogram_st(data: &[u8]) {
    histograms(Encoding::HistogramSt, data);
}

/// A chunk of float histograms with start timestamps (encoding 6).
pub fn float_histogram_st(data: &[u8]) {
    histograms(Encoding::FloatHistogramSt, data);
}

/// An aggregate chunk (encoding 255) and the chunks in it.
pub fn aggregates(data: &[u8]) {
    let Ok(parts) = aggr::decode(&Bytes::copy_from_slice(data)) else { return };
    for (encoding, data) in parts.into_iter().flatten() {
        any(encoding, &data);
    }
}

/// Whatever `encoding` says.
pub(crate) fn any(encoding: Encoding, data: &[u8]) {
    match encoding {
        Encoding::Xor | Encoding::Xor2 => floats(encoding, data),
        Encoding::Aggregates => aggregates(data),
        _ => histograms(encoding, data),
    }
}
