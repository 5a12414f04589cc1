//! The other encodings: XOR2, histograms, aggregates.

use bytes::Bytes;
use chunkenc::{
    Column, Encoding, HistogramColumn, aggr, decode_floats, decode_histograms, encode_xor, encode_xor2, num_samples,
};

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

const ALL: [Encoding; 7] = [
    Encoding::Xor,
    Encoding::Histogram,
    Encoding::FloatHistogram,
    Encoding::Xor2,
    Encoding::HistogramSt,
    Encoding::FloatHistogramSt,
    Encoding::Aggregates,
];

#[test]
fn xor2_vector() {
    let data = unhex("00040080a0abfef9623ff000000000000098755097ffc0");
    let t0 = 1_700_000_000_000;
    let samples: Vec<_> = [1.0, 1.0, 2.0, 2.0].iter().enumerate().map(|(i, v)| (t0 + 15_000 * i as i64, *v)).collect();
    let mut out = Column::new();
    decode_floats(Encoding::Xor2, &data, &mut out).unwrap();
    assert_eq!(out.iter().collect::<Vec<_>>(), samples);
    assert_eq!(encode_xor2(samples.iter().map(|(t, v)| (0, *t, *v))).unwrap(), data);
}

#[test]
fn aggregates_split_without_copying() {
    let data = Bytes::from(aggr::encode([
        Some((Encoding::Xor, &[0, 1, 2][..])),
        None,
        Some((Encoding::FloatHistogram, &[7; 200])),
        None,
        Some((Encoding::Xor, &[9])),
    ]));
    assert_eq!(data[..5], [3, 1, 0, 1, 2]);
    let parts = aggr::decode(&data).unwrap();
    assert_eq!(parts[0].as_ref().unwrap().1.as_ptr(), data[2..].as_ptr());
    assert_eq!(parts[2], Some((Encoding::FloatHistogram, Bytes::from(vec![7; 200]))));
    assert!(parts[1].is_none() && parts[3].is_none() && parts[4].is_some());
    for len in 0..data.len() {
        assert!(aggr::decode(&data.slice(..len)).is_err(), "prefix of {len}");
    }
}

proptest::proptest! {
    #[test]
    fn xor2_round_trip(start: i32, steps: Vec<(i32, u8, u64, u16)>) {
        let mut time = i64::from(start);
        let (mut value, mut begun) = (0u64, 0i64);
        let samples: Vec<_> = steps.into_iter().map(|(step, kind, raw, st)| {
            time += if kind & 1 == 0 { 15_000 } else { i64::from(step) };
            value = match kind >> 5 { 0 => value, 1 => value ^ (raw & 0xff_0000), 2 => model::STALE_NAN_BITS, _ => raw };
            if kind & 2 == 0 { begun = i64::from(st) }
            (begun, time, f64::from_bits(value))
        }).collect();
        let data = encode_xor2(samples.iter().copied()).unwrap();
        let mut out = Column::new();
        decode_floats(Encoding::Xor2, &data, &mut out).unwrap();
        let got: Vec<_> = out.iter().map(|(t, v)| (t, v.to_bits())).collect();
        let want: Vec<_> = samples.iter().map(|(_, t, v)| (*t, v.to_bits())).collect();
        proptest::prop_assert_eq!(got, want);
        let whole: Vec<_> = chunkenc::decode_xor2(&data).unwrap().into_iter().map(|(s, t, v)| (s, t, v.to_bits())).collect();
        let want: Vec<_> = samples.iter().map(|(s, t, v)| (*s, *t, v.to_bits())).collect();
        proptest::prop_assert_eq!(whole, want);
        for len in 0..data.len() {
            proptest::prop_assert!(samples.is_empty() || decode_floats(Encoding::Xor2, &data[..len], &mut Column::new()).is_err());
        }
    }

    #[test]
    fn any_bytes(data: Vec<u8>) {
        for encoding in ALL {
            let _ = num_samples(encoding, &data);
            let _ = decode_floats(encoding, &data, &mut Column::new());
            let _ = decode_histograms(encoding, &data, &mut HistogramColumn::default());
        }
        let _ = aggr::decode(&Bytes::from(data));
    }
}

#[test]
fn more_than_127_samples_without_start_times() {
    // From sample 127 on a start-time field follows each sample, whether there is one or not.
    let samples: Vec<_> = (0..200).map(|i| (i * 1000, i as f64)).collect();
    let data = encode_xor2(samples.iter().map(|(t, v)| (0, *t, *v))).unwrap();
    assert_eq!(data[2], 127);
    let mut out = Column::new();
    decode_floats(Encoding::Xor2, &data, &mut out).unwrap();
    assert_eq!(out.iter().collect::<Vec<_>>(), samples);
    assert_ne!(data, encode_xor(samples).unwrap());
}
