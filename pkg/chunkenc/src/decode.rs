//! Chunk bytes to columns, whatever the encoding.

use std::ops::ControlFlow;

use crate::{Column, Encoding, Error, xor, xor2};

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
    let result = match encoding {
        Encoding::Xor => fill_from_xor(data, times, values),
        _ => each_float(encoding, data, filler(times, values)),
    };
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
    let room = num_samples(encoding, data)?.min(data.len() * 8);
    out.times.reserve(room);
    out.values.reserve(room);
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

/// Alone in a function, so that the loop has all registers to itself.
#[inline(never)]
fn fill_from_xor(data: &[u8], times: &mut [i64], values: &mut [f64]) -> Result<(), Error> {
    xor::each_sample(data, filler(times, values))
}

/// Writes one sample after the other, as long as there is room.
#[inline(always)]
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

#[inline(always)]
fn each_float(encoding: Encoding, data: &[u8], sink: impl FnMut(i64, u64) -> ControlFlow<()>) -> Result<(), Error> {
    match encoding {
        Encoding::Xor => xor::each_sample(data, sink),
        Encoding::Xor2 => xor2::each_sample(data, sink),
        other => Err(Error::Encoding(format!("{other:?} holds no floats"))),
    }
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
