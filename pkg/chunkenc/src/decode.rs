//! Chunk bytes to columns, whatever the encoding.

use std::ops::ControlFlow;

use crate::{Column, Encoding, Error, fast, xor, xor2};

/// Appends all samples of a float chunk to `out`. On an error `out` is as before.
///
/// `data` is the chunk without encoding byte and CRC.
///
/// # Errors
/// When the bytes are no chunk of that encoding, or the encoding holds no floats.
pub fn decode_floats(encoding: Encoding, data: &[u8], out: &mut Column) -> Result<(), Error> {
    let samples = num_samples(encoding, data)?;
    // Every sample but the first takes at least one bit, so a forged count cannot make us allocate.
    let room = samples.min(data.len() * 8);
    let start = out.times.len();
    out.times.resize(start + room, 0);
    out.values.resize(start + room, 0.0);
    let (times, values) = (&mut out.times[start..], &mut out.values[start..]);
    if room == samples && fast::fill(encoding, data, times, values) {
        return Ok(());
    }
    let result = each_float(encoding, data, filler(times, values));
    if result.is_err() {
        out.times.truncate(start);
        out.values.truncate(start);
    }
    result
}

/// Appends the samples with `min <= time <= max`; reading stops at the first sample past `max`. On an error `out` is as
/// before.
///
/// # Errors
/// As [`decode_floats`], as far as it reads.
pub fn decode_floats_between(
    encoding: Encoding,
    data: &[u8],
    min: i64,
    max: i64,
    out: &mut Column,
) -> Result<(), Error> {
    let start = out.times.len();
    if decode_floats(encoding, data, out).is_ok() {
        keep_between(start, min, max, out);
        return Ok(());
    }
    // What is wrong may lie past `max`.
    let result = each_float(encoding, data, |time, value| {
        if time > max {
            return ControlFlow::Break(());
        }
        if time >= min {
            out.times.push(time);
            out.values.push(f64::from_bits(value));
        }
        ControlFlow::Continue(())
    });
    if result.is_err() {
        out.times.truncate(start);
        out.values.truncate(start);
    }
    result
}

/// Drops the samples from `start` on that are before `min`, and all from the first one past `max` on.
fn keep_between(start: usize, min: i64, max: i64, out: &mut Column) {
    let times = &out.times[start..];
    let end = times.iter().position(|t| *t > max).map_or(out.times.len(), |n| start + n);
    out.times.truncate(end);
    out.values.truncate(end);
    let mut from = start + out.times[start..].iter().position(|t| *t >= min).unwrap_or(end - start);
    let mut kept = start;
    // Times ascend, so this ends with the first turn; a chunk that came over the wire may be otherwise.
    while from < end {
        let run = out.times[from..].iter().position(|t| *t < min).unwrap_or(end - from);
        out.times.copy_within(from..from + run, kept);
        out.values.copy_within(from..from + run, kept);
        kept += run;
        from += run;
        from += out.times[from..].iter().position(|t| *t >= min).unwrap_or(end - from);
    }
    out.times.truncate(kept);
    out.values.truncate(kept);
}

/// Writes one sample after the other, as long as there is room.
fn filler<'a>(times: &'a mut [i64], values: &'a mut [f64]) -> impl FnMut(i64, u64) -> ControlFlow<()> + 'a {
    let mut slots = times.iter_mut().zip(values);
    move |time, value| match slots.next() {
        Some((t, v)) => {
            *t = time;
            *v = f64::from_bits(value);
            ControlFlow::Continue(())
        }
        None => ControlFlow::Break(()),
    }
}

fn each_float(encoding: Encoding, data: &[u8], sink: impl FnMut(i64, u64) -> ControlFlow<()>) -> Result<(), Error> {
    match encoding {
        Encoding::Xor => xor::each_sample(data, sink),
        Encoding::Xor2 => xor2::each_sample(data, sink),
        other => Err(Error::Encoding(format!("{other:?} holds no floats"))),
    }
}

/// The time from a float chunk's first sample to its second, ms, read without the rest; none with fewer samples.
///
/// # Errors
/// As [`decode_floats`], as far as it reads.
pub fn first_spacing(encoding: Encoding, data: &[u8]) -> Result<Option<i64>, Error> {
    let (mut first, mut spacing) = (None, None);
    each_float(encoding, data, |time, _| match first {
        None => {
            first = Some(time);
            ControlFlow::Continue(())
        }
        Some(first) => {
            spacing = Some(time.saturating_sub(first));
            ControlFlow::Break(())
        }
    })?;
    Ok(spacing)
}

/// How many samples a chunk holds, by its header.
///
/// # Errors
/// When there is no header.
pub fn num_samples(encoding: Encoding, data: &[u8]) -> Result<usize, Error> {
    match encoding {
        Encoding::Xor | Encoding::Histogram | Encoding::FloatHistogram | Encoding::Xor2 => xor::num_samples(data),
        // The top two bits are the counter-reset flag.
        Encoding::HistogramSt | Encoding::FloatHistogramSt => xor::num_samples(data).map(|n| n & 0x3fff),
        Encoding::Aggregates => Err(Error::Encoding("Aggregates is up to five chunks, decode it first".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carefully(encoding: Encoding, data: &[u8]) -> Result<Vec<(i64, u64)>, Error> {
        let mut samples = Vec::new();
        let result = each_float(encoding, data, |time, value| {
            samples.push((time, value));
            ControlFlow::Continue(())
        });
        result.map(|()| samples)
    }

    fn check(encoding: Encoding, data: &[u8]) {
        filled_alike(encoding, data);
        let mut out = Column::new();
        let got = decode_floats(encoding, data, &mut out).map(|()| out.iter().map(|(t, v)| (t, v.to_bits())).collect());
        assert_eq!(got, carefully(encoding, data), "{encoding:?} {data:02x?}");
    }

    /// The loops do the same without the instructions that this processor may have.
    fn filled_alike(encoding: Encoding, data: &[u8]) {
        let samples = num_samples(encoding, data).unwrap_or(0).min(data.len() * 8);
        let filled = |fill: fn(Encoding, &[u8], &mut [i64], &mut [f64]) -> bool| {
            let (mut times, mut values) = (vec![0; samples], vec![0.0; samples]);
            let is_known = fill(encoding, data, &mut times, &mut values);
            is_known.then(|| (times, values.into_iter().map(f64::to_bits).collect::<Vec<_>>()))
        };
        assert_eq!(filled(fast::fill), filled(fast::fill_anywhere), "{encoding:?} {data:02x?}");
    }

    /// A chunk of samples of every kind, from a seed.
    fn chunk(encoding: Encoding, mut seed: u64, samples: usize) -> Vec<u8> {
        let mut next = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 33
        };
        let (mut time, mut value) = (next() as i64, next() as f64);
        let samples = (0..samples).map(|_| {
            time += match next() % 16 {
                0..11 => 15_000,
                11..13 => 15_000 + (next() % 40) as i64,
                13 => (next() % 100_000) as i64,
                14 => (next() % 1_000_000) as i64,
                _ => ((next() << 20) % (1 << 45)) as i64,
            };
            value = match next() % 16 {
                0..4 => value,
                4..9 => value + (next() % 80) as f64,
                9..11 => value / 3.0,
                11 => f64::from_bits(next() << 32 | next()),
                12 => model::stale_nan(),
                13 => -value,
                _ => (next() % 1000) as f64,
            };
            (time, value)
        });
        match encoding {
            Encoding::Xor => crate::encode_xor(samples).unwrap(),
            _ => crate::encode_xor2(samples.map(|(t, v)| (0, t, v))).unwrap(),
        }
    }

    #[test]
    fn fast_and_careful_agree() {
        for encoding in [Encoding::Xor, Encoding::Xor2] {
            for seed in 0..400 {
                let good = chunk(encoding, seed, seed as usize % 150);
                check(encoding, &good);
                if seed % 150 > 2 {
                    let samples = seed as usize % 150;
                    let quick = fast::fill(encoding, &good, &mut vec![0; samples], &mut vec![0.0; samples]);
                    assert!(quick || encoding == Encoding::Xor2 && good[2] != 0, "left to the careful reader");
                }
                // Whatever is corrupt: the same samples or the same error.
                let mut bad = good.clone();
                for i in 0..40 {
                    let bit = (seed as usize * 7919 + i * 104_729) % (good.len() * 8);
                    bad[bit / 8] ^= 0x80 >> (bit % 8);
                    check(encoding, &bad);
                    if i % 4 == 3 {
                        bad.clone_from(&good);
                    }
                    check(encoding, &good[..bit / 8]);
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn between_is_a_filter(times: Vec<i8>, min: i8, max: i8) {
            let samples = || times.iter().enumerate().map(|(i, t)| (i64::from(*t), i as f64));
            let (min, max) = (i64::from(min), i64::from(max));
            let mut out = Column::new();
            out.push(0, -1.0);
            let data = crate::encode_xor(samples()).unwrap();
            decode_floats_between(Encoding::Xor, &data, min, max, &mut out).unwrap();
            let want = samples().take_while(|(t, _)| *t <= max).filter(|(t, _)| *t >= min);
            let want: Vec<_> = std::iter::once((0, -1.0)).chain(want).collect();
            proptest::prop_assert_eq!(out.iter().collect::<Vec<_>>(), want);
        }

        #[test]
        fn fast_and_careful_agree_on_any_bytes(count: u8, tail: Vec<u8>) {
            for header in [&[0, count][..], &[0, count, 0], &[0, count, 0x80]] {
                let data = [header, &tail].concat();
                check(Encoding::Xor, &data);
                check(Encoding::Xor2, &data);
            }
        }
    }
}
