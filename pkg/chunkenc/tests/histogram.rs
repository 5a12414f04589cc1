//! Histogram chunks written and read back: layouts, resets, stale samples.

use chunkenc::{
    Appended, Encoding, FloatHistogramAppender, HistogramAppender, HistogramColumn, ResetFlag, decode_histograms,
    decode_histograms_with_starts,
};
use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, ResetHint, Span};

fn span(offset: i32, length: u32) -> Span {
    Span { offset, length }
}

/// A histogram from (bucket index, count) pairs.
fn integers(buckets: &[(i32, i64)]) -> Histogram {
    let (mut spans, mut deltas, mut end, mut before) = (Vec::<Span>::new(), Vec::new(), 0, 0);
    for (index, count) in buckets {
        match spans.last_mut() {
            Some(s) if *index == end => s.length += 1,
            _ => spans.push(span(index - end, 1)),
        }
        end = index + 1;
        deltas.push(count - before);
        before = *count;
    }
    let count = buckets.iter().map(|(_, c)| *c as u64).sum();
    Histogram {
        schema: 2,
        zero_threshold: 0.001,
        count,
        sum: count as f64 * 1.5,
        positive_spans: spans,
        positive_deltas: deltas,
        ..Histogram::default()
    }
}

fn decode(encoding: Encoding, data: &[u8]) -> Vec<(i64, FloatHistogram)> {
    let mut column = HistogramColumn::default();
    decode_histograms(encoding, data, &mut column).unwrap();
    column.times.into_iter().zip(column.values).collect()
}

fn counts(histogram: &FloatHistogram) -> Vec<(i32, f64)> {
    let (mut at, mut out, mut buckets) = (0, Vec::new(), histogram.positive_buckets.iter());
    for span in &histogram.positive_spans {
        at += span.offset;
        for _ in 0..span.length {
            out.push((at, *buckets.next().unwrap()));
            at += 1;
        }
    }
    out
}

#[test]
fn a_new_bucket_widens_the_chunk_and_a_lost_one_cuts_it() {
    let steps = [
        (vec![(0, 1), (1, 2), (5, 1)], Appended::InPlace),
        (vec![(0, 1), (1, 3), (5, 2)], Appended::InPlace),
        (vec![(-2, 1), (0, 1), (1, 3), (3, 4), (5, 2), (6, 1)], Appended::Widened),
        // An empty bucket may be left out, and comes back as 0.
        (vec![(-2, 0), (0, 1), (1, 3), (3, 4), (5, 2), (6, 2)], Appended::Cut(ResetFlag::Reset)),
        (vec![(-2, 1), (0, 1), (1, 3), (3, 9), (5, 2)], Appended::Cut(ResetFlag::Reset)),
        (vec![(-2, 1), (0, 1), (1, 3), (3, 9), (4, 0), (5, 2), (6, 1)], Appended::Widened),
        (vec![(-2, 1), (0, 1), (1, 3), (3, 9), (5, 3), (6, 1)], Appended::InPlace),
        (vec![(0, 1)], Appended::Cut(ResetFlag::Reset)),
    ];
    let mut appender = HistogramAppender::new(ResetFlag::Unknown);
    let mut float = FloatHistogramAppender::new(ResetFlag::Unknown);
    let mut kept = Vec::new();
    for (t, (buckets, want)) in steps.iter().enumerate() {
        let h = integers(buckets);
        assert_eq!(appender.append(t as i64 * 1000, &h), Ok(*want), "{buckets:?}");
        assert_eq!(float.append(t as i64 * 1000, &h.to_float()), Ok(*want), "{buckets:?}");
        if !matches!(want, Appended::Cut(_)) {
            kept.push((t as i64 * 1000, h));
        }
    }
    let integer = decode(Encoding::Histogram, &appender.to_vec());
    assert_eq!(decode(Encoding::FloatHistogram, &float.to_vec()), integer);
    assert_eq!(integer.len(), kept.len());
    for (i, ((t, got), (want_t, want))) in integer.iter().zip(&kept).enumerate() {
        let nonzero = |h: &FloatHistogram| counts(h).into_iter().filter(|(_, c)| *c > 0.0).collect::<Vec<_>>();
        assert_eq!((t, nonzero(got)), (want_t, nonzero(&want.to_float())));
        assert_eq!((got.count, got.sum, got.schema, got.zero_threshold), (want.count as f64, want.sum, 2, 0.001));
        assert_eq!(got.reset_hint, if i == 0 { ResetHint::Unknown } else { ResetHint::NotReset });
    }
}

#[test]
fn stale_samples() {
    let stale = Histogram { sum: model::stale_nan(), ..integers(&[(3, 5)]) };
    let mut appender = HistogramAppender::new(ResetFlag::Unknown);
    for (t, h, want) in [
        (1, integers(&[(0, 1), (2, 4)]), Appended::InPlace),
        (2, stale.clone(), Appended::InPlace),
        (3, stale.clone(), Appended::InPlace),
        (4, integers(&[(0, 1), (2, 4)]), Appended::Cut(ResetFlag::Unknown)),
    ] {
        assert_eq!(appender.append(t, &h), Ok(want));
    }
    let got = decode(Encoding::Histogram, &appender.to_vec());
    assert_eq!(
        got.iter().map(|(t, h)| (*t, model::is_stale(h.sum))).collect::<Vec<_>>(),
        [(1, false), (2, true), (3, true)]
    );
    assert!(got[1].1.positive_spans.is_empty() && got[1].1.count == 0.0);
    // A chunk that begins stale has an empty layout.
    let mut appender = FloatHistogramAppender::new(ResetFlag::Unknown);
    assert_eq!(appender.append(1, &stale.to_float()), Ok(Appended::InPlace));
    let got = decode(Encoding::FloatHistogram, &appender.to_vec());
    assert!(model::is_stale(got[0].1.sum) && got[0].1.schema == 0);
}

#[test]
fn why_a_chunk_is_cut() {
    let base = integers(&[(0, 5), (1, 5)]);
    let gauge = Histogram { reset_hint: ResetHint::Gauge, ..base.clone() };
    let custom =
        |bounds: &[f64]| Histogram { schema: CUSTOM_BUCKETS_SCHEMA, custom_values: bounds.to_vec(), ..base.clone() };
    for (first, second, want) in [
        (&base, Histogram { schema: 3, ..base.clone() }, Appended::Cut(ResetFlag::Unknown)),
        (&base, Histogram { zero_threshold: 0.5, ..base.clone() }, Appended::Cut(ResetFlag::Unknown)),
        (&base, Histogram { reset_hint: ResetHint::Reset, ..base.clone() }, Appended::Cut(ResetFlag::Reset)),
        (&base, Histogram { count: 9, ..base.clone() }, Appended::Cut(ResetFlag::Reset)),
        (&base, gauge.clone(), Appended::Cut(ResetFlag::Gauge)),
        (&gauge, base.clone(), Appended::Cut(ResetFlag::Unknown)),
        (&gauge, Histogram { reset_hint: ResetHint::Gauge, ..integers(&[(1, 1), (7, 1)]) }, Appended::Widened),
        (&custom(&[1.0, 2.0]), custom(&[1.0, 2.0]), Appended::InPlace),
        (&custom(&[1.0, 2.0]), custom(&[1.0, 2.5]), Appended::Cut(ResetFlag::Reset)),
    ] {
        let mut appender = HistogramAppender::new(ResetFlag::Unknown);
        appender.append(1, first).unwrap();
        assert_eq!(appender.append(2, &second), Ok(want), "{second:?}");
        let got = decode(Encoding::Histogram, &appender.to_vec());
        assert_eq!(got[0].1.custom_values, first.custom_values);
    }
    let bad = Histogram { positive_deltas: vec![1], ..base };
    assert!(HistogramAppender::new(ResetFlag::Unknown).append(1, &bad).is_err());
}

#[test]
fn prefixes_are_errors_and_bit_flips_never_panic() {
    let mut appender = HistogramAppender::new(ResetFlag::Unknown);
    for t in 0..6 {
        let h =
            Histogram { negative_spans: vec![span(1, 1)], negative_deltas: vec![t], ..integers(&[(0, t), (4, 3 * t)]) };
        appender.append(t * 15_000, &h).unwrap();
    }
    for (encoding, data) in [(Encoding::Histogram, appender.to_vec())] {
        for len in 0..data.len() {
            let mut out = HistogramColumn::default();
            assert!(decode_histograms(encoding, &data[..len], &mut out).is_err(), "prefix of {len}");
            assert!(out.times.is_empty() && out.values.is_empty());
        }
        for bit in 0..data.len() * 8 {
            let mut bad = data.clone();
            bad[bit / 8] ^= 0x80 >> (bit % 8);
            for encoding in [encoding, Encoding::FloatHistogram, Encoding::HistogramSt, Encoding::FloatHistogramSt] {
                let _ = decode_histograms(encoding, &bad, &mut HistogramColumn::default());
            }
        }
    }
}

proptest::proptest! {
    #[test]
    fn gauges_round_trip(samples: Vec<(i32, u32, Vec<(u8, u16)>)>) {
        let mut integer = HistogramAppender::new(ResetFlag::Unknown);
        let mut float = FloatHistogramAppender::new(ResetFlag::Unknown);
        let mut want = Vec::new();
        let mut time = 0i64;
        for (step, sum, buckets) in samples {
            time += i64::from(step);
            let buckets: std::collections::BTreeMap<i32, i64> =
                buckets.into_iter().map(|(i, c)| (i32::from(i) % 20 - 10, i64::from(c) + 1)).collect();
            let mut h = integers(&buckets.clone().into_iter().collect::<Vec<_>>());
            h.reset_hint = ResetHint::Gauge;
            h.sum = f64::from(sum) / 7.0;
            proptest::prop_assert!(!matches!(integer.append(time, &h).unwrap(), Appended::Cut(_)));
            proptest::prop_assert!(!matches!(float.append(time, &h.to_float()).unwrap(), Appended::Cut(_)));
            let buckets: Vec<_> = buckets.into_iter().map(|(i, c)| (i, c as f64)).collect();
            want.push((time, h.count as f64, h.sum, buckets));
        }
        for (encoding, data) in [(Encoding::Histogram, integer.to_vec()), (Encoding::FloatHistogram, float.to_vec())] {
            let got: Vec<_> = decode(encoding, &data).into_iter().map(|(t, h)| {
                let buckets: Vec<_> = counts(&h).into_iter().filter(|(_, c)| *c > 0.0).collect();
                (t, h.count, h.sum, buckets)
            }).collect();
            proptest::prop_assert_eq!(got, want.clone());
        }
    }
}

/// Writes bits, most significant first.
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn put(&mut self, value: u64, width: u32) -> &mut Self {
        self.0.extend((0..width).rev().map(|i| value.checked_shr(i).unwrap_or(0) & 1 == 1));
        self
    }

    fn bytes(&self, header: &[u8]) -> Vec<u8> {
        let byte = |bits: &[bool]| bits.iter().enumerate().fold(0u8, |b, (i, bit)| b | u8::from(*bit) << (7 - i));
        header.iter().copied().chain(self.0.chunks(8).map(byte)).collect()
    }
}

#[test]
fn a_few_bytes_cannot_promise_many_buckets() {
    // One span of 60000 buckets (varbit 111110 and 18 bits), and then nothing.
    let mut bits = Bits::default();
    bits.put(0, 8).put(0, 1).put(0b10, 2).put(1, 3).put(0b11_1110, 6).put(60_000, 18).put(0, 1).put(0, 1);
    bits.put(0, 200);
    for encoding in [Encoding::Histogram, Encoding::FloatHistogram] {
        let error =
            decode_histograms(encoding, &bits.bytes(&[0, 100, 0]), &mut HistogramColumn::default()).unwrap_err();
        assert!(matches!(error, chunkenc::Error::Truncated { sample: 0, .. }), "{error}");
    }
}

#[test]
fn what_is_written_once_cannot_be_decoded_a_thousand_times_over() {
    // 20000 spans without buckets, of two bits each; then 50000 samples of four bits each
    let mut bits = Bits::default();
    bits.put(0, 8).put(0, 1).put(0b11_1110, 6).put(20_000, 18).put(0, 40_000).put(0, 1);
    bits.put(0, 1 + 1 + 1 + 64).put(0, 200_000);
    let data = bits.bytes(&[0xc3, 0x50, 0]);
    let error = decode_histograms(Encoding::Histogram, &data, &mut HistogramColumn::default()).unwrap_err();
    assert!(error.to_string().contains("decode to more than"), "{error}");
}

#[test]
fn starts_stay_with_their_samples_when_a_chunk_is_widened() {
    // Starts that are known from the first on, from the second on, late, behind the last place for a change, and never.
    let firsts: [fn(i64) -> i64; 5] = [
        |n| 500 + n / 7,
        |n| if n > 0 { 700 } else { 0 },
        |n| if n > 100 { 900 + n } else { 3 },
        |n| if n > 140 { 900 } else { 0 },
        |_| 0,
    ];
    for start in firsts {
        let mut ints = HistogramAppender::with_starts(ResetFlag::NotReset);
        let mut floats = FloatHistogramAppender::with_starts(ResetFlag::Unknown);
        assert_eq!((ints.encoding(), floats.encoding()), (Encoding::HistogramSt, Encoding::FloatHistogramSt));
        let mut expected = Vec::new();
        for n in 0..160i64 {
            let buckets: Vec<(i32, i64)> = (0..=n / 50).map(|at| (at as i32 * 2, n)).collect();
            let h = integers(&buckets);
            let (time, start) = (1000 + n * 15, start(n));
            let wanted = if n > 0 && n % 50 == 0 { Appended::Widened } else { Appended::InPlace };
            assert_eq!(ints.append_from(start, time, &h).unwrap(), wanted);
            assert_eq!(floats.append_from(start, time, &h.to_float()).unwrap(), wanted);
            expected.push((time, start, buckets.iter().map(|(_, count)| *count as f64).sum::<f64>()));
        }
        for (encoding, data) in [(ints.encoding(), ints.to_vec()), (floats.encoding(), floats.to_vec())] {
            let (mut column, mut starts) = (HistogramColumn::default(), Vec::new());
            decode_histograms_with_starts(encoding, &data, &mut column, &mut starts).unwrap();
            let counts = column.values.iter().map(|h| h.positive_buckets.iter().sum::<f64>());
            let found: Vec<_> =
                column.times.iter().copied().zip(starts).zip(counts).map(|((t, s), c)| (t, s, c)).collect();
            assert_eq!(found, expected);
        }
        assert_eq!(ResetFlag::of(Encoding::HistogramSt, &ints.to_vec()), ResetFlag::NotReset);
    }
}

#[test]
fn a_chunk_with_starts_takes_as_many_samples_as_it_can_count() {
    let mut chunk = HistogramAppender::with_starts(ResetFlag::Unknown);
    let h = integers(&[(0, 1)]);
    (0..0x3fff).for_each(|n| assert_eq!(chunk.append_from(7, 10 + n, &h).unwrap(), Appended::InPlace));
    assert!(matches!(chunk.append_from(7, 0x8000, &h), Err(chunkenc::Error::Full)));
    assert_eq!(decode(Encoding::HistogramSt, &chunk.to_vec()).len(), 0x3fff);
}
