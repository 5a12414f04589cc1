//! XOR chunks: bytes as Prometheus writes them, round trips, corrupt bytes.

use chunkenc::{Column, Encoding, Error, XorAppender, decode_floats, decode_floats_between, encode_xor};

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn decode(data: &[u8]) -> Result<Column, Error> {
    let mut out = Column::new();
    decode_floats(Encoding::Xor, data, &mut out)?;
    Ok(out)
}

fn bits(column: &Column) -> Vec<(i64, u64)> {
    column.iter().map(|(t, v)| (t, v.to_bits())).collect()
}

/// Written by Prometheus 2.42.
const GOLDEN: &str = "000880fc88b5bf68000000000000000001c457fec25fffe1116dd80fbbba4f585f1c1376d07d8fb37b02f923f924";

fn golden_samples() -> Vec<(i64, f64)> {
    let t0 = 1_795_217_760_000;
    [0, 1, 2, 70_000, 70_001, 300_000, 300_010, 599_000].iter().enumerate().map(|(i, d)| (t0 + d, i as f64)).collect()
}

#[test]
fn bytes_of_prometheus() {
    assert_eq!(encode_xor(golden_samples()).unwrap(), unhex(GOLDEN));
    assert_eq!(decode(&unhex(GOLDEN)).unwrap().iter().collect::<Vec<_>>(), golden_samples());
}

#[test]
fn between() {
    let data = unhex(GOLDEN);
    let t0 = 1_795_217_760_000;
    for (min, max, want) in [(0, i64::MAX, 0..8), (t0 + 2, t0 + 70_001, 2..5), (t0 + 3, t0 + 4, 0..0), (0, 5, 0..0)] {
        let mut out = Column::new();
        decode_floats_between(Encoding::Xor, &data, min, max, &mut out).unwrap();
        assert_eq!(out.iter().collect::<Vec<_>>(), golden_samples()[want]);
    }
}

#[test]
fn first_value_code_may_reuse_the_full_window() {
    // A writer re-opened after one sample starts with leading = trailing = 0: `10` and 64 bits.
    let mut data = vec![0, 2, 0x02];
    data.extend(1.0f64.to_bits().to_be_bytes());
    data.push(0x05); // delta 5
    let xor = (1.0f64.to_bits() ^ 2.5f64.to_bits()).to_be_bytes();
    data.push(0b1000_0000 | xor[0] >> 2);
    for i in 0..8 {
        data.push(xor[i] << 6 | xor.get(i + 1).unwrap_or(&0) >> 2);
    }
    assert_eq!(decode(&data).unwrap().iter().collect::<Vec<_>>(), [(1, 1.0), (6, 2.5)]);
}

#[test]
fn prefixes_are_errors_and_bit_flips_never_panic() {
    let good = unhex(GOLDEN);
    for len in 0..good.len() {
        assert!(decode(&good[..len]).is_err(), "prefix of {len}");
    }
    let mut kept = Column::new();
    kept.push(1, 1.0);
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 0x80 >> (bit % 8);
        if decode_floats(Encoding::Xor, &bad, &mut kept).is_err() {
            assert_eq!(kept.len(), 1, "an error leaves the column alone");
        }
        kept.times.truncate(1);
        kept.values.truncate(1);
    }
}

#[test]
fn full() {
    let mut appender = XorAppender::new();
    for i in 0..chunkenc::MAX_SAMPLES {
        appender.append(i as i64, 1.0).unwrap();
    }
    assert_eq!(appender.append(1 << 20, 1.0), Err(Error::Full));
    assert_eq!(decode(&appender.to_vec()).unwrap().len(), 65535);
}

proptest::proptest! {
    #[test]
    fn round_trip(start: i64, steps: Vec<(i64, u8, u64)>, cut: u8) {
        let mut time = start;
        let mut before = 0u64;
        let samples: Vec<_> = steps.into_iter().map(|(step, kind, raw)| {
            time = time.wrapping_add(if kind & 1 == 0 { 15_000 + step % 7 } else { step });
            before = match kind >> 5 { 0 => before, 1 => before ^ (raw & 0xff_0000), 2 => (raw as u8 as f64).to_bits(), _ => raw };
            (time, f64::from_bits(before))
        }).collect();
        let whole = encode_xor(samples.iter().copied()).unwrap();
        let want: Vec<_> = samples.iter().map(|(t, v)| (*t, v.to_bits())).collect();
        proptest::prop_assert_eq!(bits(&decode(&whole).unwrap()), want);
        // Resumed anywhere, with rubbish after the last sample, the same bytes come out.
        let cut = cut as usize % (samples.len() + 1);
        let mut part = encode_xor(samples[..cut].iter().copied()).unwrap();
        part.extend([0xff; 3]);
        let mut appender = XorAppender::resume(&part).unwrap();
        for (t, v) in &samples[cut..] {
            appender.append(*t, *v).unwrap();
        }
        proptest::prop_assert_eq!(appender.to_vec(), whole);
    }

    #[test]
    fn any_bytes(data: Vec<u8>) {
        let _ = decode(&data);
        let _ = XorAppender::resume(&data);
    }
}
