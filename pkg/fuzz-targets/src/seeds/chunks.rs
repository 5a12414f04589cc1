//! Chunks of each encoding.

use chunkenc::{Encoding, FloatHistogramAppender, HistogramAppender, ResetFlag, aggr, encode_xor, encode_xor2};
use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, Span};

use super::T0;

fn samples(count: usize, value: impl Fn(usize) -> f64) -> Vec<(i64, f64)> {
    let late = |i: usize| if i % 7 == 3 { 11 } else { 0 };
    (0..count).map(|i| (T0 + 15_000 * i as i64 + late(i), value(i))).collect()
}

fn many_samples() -> Vec<Vec<(i64, f64)>> {
    vec![
        Vec::new(),
        samples(1, |_| 1.0),
        samples(40, |_| 7.0),
        samples(40, |i| (i * i * 37) as f64),
        samples(40, |i| (i as f64).sin()),
        samples(12, |i| if i % 5 == 4 { model::stale_nan() } else { i as f64 }),
        // Every class of time code.
        [0, 1, 2, 70_000, 70_001, 300_000, 300_010, 599_000, 1 << 45].map(|d| (T0 + d, d as f64)).to_vec(),
    ]
}

pub(crate) fn xor() -> Vec<Vec<u8>> {
    many_samples().into_iter().map(|s| encode_xor(s).expect("few samples")).collect()
}

pub(crate) fn xor2() -> Vec<Vec<u8>> {
    let encode = |start: fn(i64) -> i64| {
        let all = many_samples().into_iter();
        all.map(move |s| encode_xor2(s.into_iter().map(|(t, v)| (start(t), t, v))).expect("few samples"))
    };
    encode(|_| 0).chain(encode(|t| t - t % 100_000)).collect()
}

fn spans() -> Vec<Span> {
    vec![Span { offset: -2, length: 3 }, Span { offset: 100, length: 1 }, Span { offset: 0, length: 2 }]
}

fn integer_histogram(i: i64) -> Histogram {
    Histogram {
        schema: 3,
        zero_threshold: 2f64.powi(-128),
        zero_count: i as u64,
        count: 22 + 7 * i as u64,
        sum: 1.5 * i as f64,
        positive_spans: spans(),
        positive_deltas: vec![1 + i, 1, -1, 2, 0, 1],
        negative_spans: vec![Span { offset: 0, length: 1 }],
        negative_deltas: vec![5],
        ..Histogram::default()
    }
}

fn float_histogram_at(i: i64) -> FloatHistogram {
    FloatHistogram {
        schema: 3,
        zero_threshold: 0.001,
        zero_count: 0.5,
        count: 20.25 + i as f64,
        sum: -1.5 * i as f64,
        positive_spans: spans(),
        positive_buckets: vec![1.0, 2.0 + i as f64, 0.5, 3.0, 4.25, 0.0],
        ..FloatHistogram::default()
    }
}

fn custom_buckets(i: i64) -> FloatHistogram {
    FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: 3.0 * i as f64,
        sum: 2.0 * i as f64,
        positive_spans: vec![Span { offset: 0, length: 3 }],
        positive_buckets: vec![i as f64; 3],
        custom_values: vec![0.005, 0.1, 12.5],
        ..FloatHistogram::default()
    }
}

/// With start timestamps the header is another: a flag in the count, a byte for the timestamps.
fn with_start_time_header(data: &[u8]) -> Vec<u8> {
    let mut out = data.to_vec();
    out[0] |= data[2] & 0xc0;
    out[2] = 0;
    out
}

/// Histograms of exponential and of custom buckets.
pub(crate) fn integer_histograms() -> Vec<Histogram> {
    let custom = Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: 5,
        positive_spans: vec![Span { offset: 1, length: 2 }],
        positive_deltas: vec![2, 1],
        custom_values: vec![0.5, 1.0, 2.5],
        ..Histogram::default()
    };
    let stale = Histogram { sum: model::stale_nan(), ..Histogram::default() };
    vec![integer_histogram(1), Histogram { schema: 11, ..integer_histogram(2) }, custom, stale]
}

pub(crate) fn histogram() -> Vec<Vec<u8>> {
    let mut plain = HistogramAppender::new(ResetFlag::Unknown);
    for i in 0..20 {
        let mut h = integer_histogram(i);
        if i == 11 {
            h = Histogram { sum: model::stale_nan(), ..Histogram::default() };
        }
        plain.append(T0 + 15_000 * i, &h).expect("it fits");
    }
    let mut one = HistogramAppender::new(ResetFlag::Unknown);
    one.append(T0, &Histogram::default()).expect("it fits");
    let all = [plain.to_vec(), one.to_vec()];
    let other = all.iter().map(|d| with_start_time_header(d)).collect::<Vec<_>>();
    all.into_iter().chain(other).collect()
}

pub(crate) fn float_histogram() -> Vec<Vec<u8>> {
    let write = |histogram: fn(i64) -> FloatHistogram| {
        let mut appender = FloatHistogramAppender::new(ResetFlag::Unknown);
        for i in 0..12 {
            appender.append(T0 + 15_000 * i, &histogram(i)).expect("it fits");
        }
        appender.to_vec()
    };
    let all = [write(float_histogram_at), write(custom_buckets)];
    let other = all.iter().map(|d| with_start_time_header(d)).collect::<Vec<_>>();
    all.into_iter().chain(other).collect()
}

pub(crate) fn aggregates() -> Vec<Vec<u8>> {
    let (floats, histograms) = (&xor()[3], &float_histogram()[0]);
    let float = || Some((Encoding::Xor, floats.as_slice()));
    vec![
        aggr::encode([float(), float(), float(), float(), float()]),
        aggr::encode([float(), None, None, None, Some((Encoding::FloatHistogram, histograms))]),
        aggr::encode([None, None, None, None, None]),
    ]
}
