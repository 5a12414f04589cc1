//! The XOR2 chunk (encoding 4): time and value changes share one prefix code, stale markers take 5 bits, and start
//! timestamps may follow each sample. They are read over: the columns have no place for them.
//!
//! Layout: `be16 samples`, one byte of start-timestamp header, then bits; see `docs/formats/chunks.md`.

use std::ops::ControlFlow;

use model::STALE_NAN_BITS;

use crate::Error;
use crate::bits::{BitReader, BitWriter};
use crate::start_times::{StartTimes, StartTimesHeader};
use crate::xor::{MAX_SAMPLES, Window, num_samples, read_window, reusable, write_new_window};

/// Bytes before the bit stream.
const HEADER: usize = 3;

/// Hands every sample to `sink` until it breaks.
pub(crate) fn each_sample(data: &[u8], mut sink: impl FnMut(i64, u64) -> ControlFlow<()>) -> Result<(), Error> {
    each(data, |start_times, bits, sample, _, _| start_times.skip_one(bits, sample).then_some(0), |_, t, v| sink(t, v))
}

/// The samples of an XOR2 chunk as (start time, time, value); start time 0 means unknown.
///
/// # Errors
/// When the bytes are no such chunk.
pub fn decode_xor2(data: &[u8]) -> Result<Vec<(i64, i64, f64)>, Error> {
    let mut out = Vec::new();
    each(data, StartTimes::read_one, |start, time, value| {
        out.push((start, time, f64::from_bits(value)));
        ControlFlow::Continue(())
    })?;
    Ok(out)
}

/// `start` reads the start time of a sample: of its number, the time before, and its own.
#[inline(always)]
fn each(
    data: &[u8],
    mut start: impl FnMut(&mut StartTimes, &mut BitReader<'_>, usize, i64, i64) -> Option<i64>,
    mut sink: impl FnMut(i64, i64, u64) -> ControlFlow<()>,
) -> Result<(), Error> {
    let samples = num_samples(data)?;
    let Some((head, stream)) = data.split_at_checked(HEADER) else {
        return Err(Error::Header(format!("{} bytes, an XOR2 header takes {HEADER}", data.len())));
    };
    let mut bits = BitReader::new(stream);
    let mut start_times = StartTimes::new(StartTimesHeader::from_byte(head[2]));
    let (mut time, mut delta, mut baseline, mut window) = (0i64, 0i64, 0u64, Window::FULL);
    for sample in 0..samples {
        let invalid = |what: &str| Error::Invalid { sample, what: what.to_owned() };
        let before = time;
        let value = match sample {
            0 => {
                time = bits.varint().ok_or_else(|| invalid("time is no 64-bit varint"))?;
                bits.take(64)
            }
            1 => {
                delta = bits.uvarint().ok_or_else(|| invalid("time is no 64-bit varint"))? as i64;
                time = time.wrapping_add(delta);
                read_value(&mut bits, baseline, &mut window).map_err(|e| invalid(&e))?
            }
            _ => {
                let ones = (!bits.peek()).leading_zeros();
                bits.skip(if ones >= 5 { 5 } else { ones + 1 });
                let change = match ones {
                    2 => twos_complement(bits.take(13), 13),
                    3 => twos_complement(bits.take(20), 20),
                    4 => bits.take(64) as i64,
                    _ => 0,
                };
                delta = delta.wrapping_add(change);
                time = time.wrapping_add(delta);
                let value = match ones {
                    0 => Ok(baseline),
                    1 => read_changed(&mut bits, baseline, &mut window),
                    2..=4 => read_value(&mut bits, baseline, &mut window),
                    _ => Ok(STALE_NAN_BITS),
                };
                value.map_err(|e| invalid(&e))?
            }
        };
        let Some(start) = start(&mut start_times, &mut bits, sample, before, time) else {
            return Err(invalid("start time is no 64-bit varint"));
        };
        if bits.overrun() {
            return Err(Error::Truncated { len: data.len(), sample, samples });
        }
        if value != STALE_NAN_BITS {
            baseline = value;
        }
        if sink(start, time, value).is_break() {
            break;
        }
    }
    Ok(())
}

fn twos_complement(raw: u64, width: u32) -> i64 {
    (raw << (64 - width)) as i64 >> (64 - width)
}

/// A value after a time change: unchanged, old window, new window or stale.
fn read_value(bits: &mut BitReader<'_>, baseline: u64, window: &mut Window) -> Result<u64, String> {
    if bits.take(1) == 0 {
        return Ok(baseline);
    }
    if bits.take(1) == 1 {
        if bits.take(1) == 1 {
            return Ok(STALE_NAN_BITS);
        }
        *window = read_window(bits)?;
    }
    Ok(baseline ^ bits.take(window.len()) << window.trailing)
}

/// A value known to have changed: old window or new window.
fn read_changed(bits: &mut BitReader<'_>, baseline: u64, window: &mut Window) -> Result<u64, String> {
    if bits.take(1) == 1 {
        *window = read_window(bits)?;
    }
    Ok(baseline ^ bits.take(window.len()) << window.trailing)
}

/// Writes an XOR2 chunk from `(start time, time, value)`; start time 0 means unknown.
///
/// # Errors
/// [`Error::Full`] if there are more samples than a chunk can count.
pub fn encode_xor2(samples: impl IntoIterator<Item = (i64, i64, f64)>) -> Result<Vec<u8>, Error> {
    let mut appender = Xor2Appender::new();
    for (start, time, value) in samples {
        appender.append(start, time, value)?;
    }
    Ok(appender.to_vec())
}

/// Writes an XOR2 chunk sample by sample.
#[derive(Debug, Clone)]
pub struct Xor2Appender {
    bits: BitWriter,
    start_times: StartTimes,
    samples: usize,
    time: i64,
    delta: i64,
    /// The last value that is no stale marker.
    baseline: u64,
    value: u64,
    window: Option<Window>,
}

impl Default for Xor2Appender {
    fn default() -> Self {
        Self::new()
    }
}

impl Xor2Appender {
    /// An empty chunk.
    pub fn new() -> Self {
        let mut bits = BitWriter::default();
        bits.write(0, 24);
        let start_times = StartTimes::new(StartTimesHeader::default());
        Self { bits, start_times, samples: 0, time: 0, delta: 0, baseline: 0, value: 0, window: None }
    }

    /// Appends one sample; start time 0 means unknown.
    ///
    /// # Errors
    /// [`Error::Full`] at [`MAX_SAMPLES`].
    pub fn append(&mut self, start: i64, time: i64, value: f64) -> Result<(), Error> {
        if self.samples >= MAX_SAMPLES {
            return Err(Error::Full);
        }
        let value = value.to_bits();
        let delta = time.wrapping_sub(self.time);
        match self.samples {
            0 => {
                self.bits.varint(time);
                self.bits.write(value, 64);
            }
            1 => {
                self.bits.uvarint(delta as u64);
                write_value(&mut self.bits, value, self.baseline, &mut self.window);
            }
            _ => self.write_change(delta.wrapping_sub(self.delta), value),
        }
        self.start_times.write_one(&mut self.bits, self.samples, self.time, time, start);
        if value != STALE_NAN_BITS {
            self.baseline = value;
        }
        // The first sample has no delta: the second one's change is against its own.
        self.delta = if self.samples == 0 { 0 } else { delta };
        (self.time, self.value) = (time, value);
        self.samples += 1;
        Ok(())
    }

    fn write_change(&mut self, change: i64, value: u64) {
        let bits = &mut self.bits;
        match change {
            0 if value == STALE_NAN_BITS => bits.write(0b11111, 5),
            0 if value == self.baseline => bits.write(0, 1),
            0 => {
                bits.write(0b10, 2);
                write_window_code(bits, value ^ self.baseline, &mut self.window, (0, 1), (1, 1));
            }
            -4096..=4095 => {
                bits.write(0b110, 3);
                bits.write(change as u64, 13);
            }
            -524_288..=524_287 => {
                bits.write(0b1110, 4);
                bits.write(change as u64, 20);
            }
            _ => {
                bits.write(0b11110, 5);
                bits.write(change as u64, 64);
            }
        }
        if change != 0 {
            write_value(bits, value, self.baseline, &mut self.window);
        }
    }

    /// How many samples the chunk holds so far.
    pub fn len(&self) -> usize {
        self.samples
    }

    /// Whether the chunk holds no sample yet.
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// The last sample's value; 0 without one.
    pub fn last_value(&self) -> f64 {
        f64::from_bits(self.value)
    }

    /// Bytes that the chunk takes so far.
    pub fn size_bytes(&self) -> usize {
        self.bits.len()
    }

    /// The chunk's data as it stands; more samples may follow.
    pub fn to_vec(&self) -> Vec<u8> {
        let [high, low] = (self.samples as u16).to_be_bytes();
        let mut out = self.bits.to_vec();
        if let Some(head) = out.first_chunk_mut::<HEADER>() {
            *head = [high, low, self.start_times.header().to_byte()];
        }
        out
    }
}

fn write_value(bits: &mut BitWriter, value: u64, baseline: u64, window: &mut Option<Window>) {
    match value {
        STALE_NAN_BITS => bits.write(0b111, 3),
        v if v == baseline => bits.write(0, 1),
        v => write_window_code(bits, v ^ baseline, window, (0b10, 2), (0b110, 3)),
    }
}

fn write_window_code(bits: &mut BitWriter, x: u64, window: &mut Option<Window>, old: (u64, u32), new: (u64, u32)) {
    if let Some(w) = reusable(x, *window) {
        bits.write(old.0, old.1);
        bits.write(x >> w.trailing, w.len());
    } else {
        bits.write(new.0, new.1);
        *window = Some(write_new_window(bits, x));
    }
}
