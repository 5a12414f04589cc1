//! The XOR chunk (encoding 1): delta-of-delta times, values XORed with the value before.
//!
//! Layout: `be16 samples`, then bits; see `docs/formats/chunks.md`.

use std::ops::ControlFlow;

use crate::Error;
use crate::bits::{BitReader, BitWriter, fits, sign};

/// Most samples that the 16-bit count can tell.
pub const MAX_SAMPLES: usize = u16::MAX as usize;

/// The bits of an XORed value that are written: `64 - leading - trailing` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) leading: u32,
    pub(crate) trailing: u32,
}

impl Window {
    /// What a decoder starts with.
    pub(crate) const FULL: Self = Self { leading: 0, trailing: 0 };

    pub(crate) fn len(self) -> u32 {
        64 - self.leading - self.trailing
    }
}

/// State after the last sample, for a reader that goes on as a writer.
struct End {
    samples: usize,
    time: i64,
    delta: i64,
    value: u64,
    window: Option<Window>,
    bits: usize,
}

pub(crate) fn num_samples(data: &[u8]) -> Result<usize, Error> {
    match data.first_chunk::<2>() {
        Some(head) => Ok(usize::from(u16::from_be_bytes(*head))),
        None => Err(Error::Header(format!("{} bytes, the sample count alone takes 2", data.len()))),
    }
}

/// Hands every sample to `sink` until it breaks.
#[inline(always)]
pub(crate) fn each_sample(data: &[u8], mut sink: impl FnMut(i64, u64) -> ControlFlow<()>) -> Result<(), Error> {
    walk(data, &mut sink).map(drop)
}

#[inline(always)]
fn walk(data: &[u8], sink: &mut impl FnMut(i64, u64) -> ControlFlow<()>) -> Result<End, Error> {
    let samples = num_samples(data)?;
    let cut = |sample| Error::Truncated { len: data.len(), sample, samples };
    let mut bits = BitReader::new(&data[2..]);
    let mut end = End { samples, time: 0, delta: 0, value: 0, window: None, bits: 0 };
    if samples == 0 {
        return Ok(end);
    }
    let varint = |sample| Error::Invalid { sample, what: "time is no 64-bit varint".to_owned() };
    let mut time = bits.varint().ok_or_else(|| varint(0))?;
    let mut value = bits.take(64);
    if bits.overrun() {
        return Err(cut(0));
    }
    let mut stop = sink(time, value).is_break();
    let mut delta = 0i64;
    // The hot loop: `shift` and `length` stand for the window, so that a sample costs no recomputation.
    let (mut shift, mut length, mut windowed) = (0u32, 64u32, false);
    if samples > 1 && !stop {
        delta = bits.uvarint().ok_or_else(|| varint(1))? as i64;
        // A copy that is only seen by inlined calls, so that it stays in registers.
        let mut hot = bits;
        let mut sample = 1;
        let mut word = hot.peek();
        let mut used = 0;
        loop {
            time = time.wrapping_add(delta);
            // At least 33 valid bits are left in `word` here: 57 minus the longest short time code.
            let code = word << used;
            if code >> 63 == 0 {
                hot.skip(used + 1);
            } else {
                if code >> 62 == 0b10 {
                    hot.skip(used + 2);
                } else {
                    hot.skip(used + 13);
                    let leading = (code >> 57) as u32 & 0x1f;
                    length = (code >> 51) as u32 & 0x3f;
                    if length == 0 {
                        length = 64;
                    }
                    if leading + length > 64 {
                        let what = format!("window of {length} bits after {leading} zeros exceeds 64");
                        return Err(Error::Invalid { sample, what });
                    }
                    shift = 64 - leading - length;
                    windowed = true;
                }
                value ^= hot.take(length) << shift;
            }
            if hot.overrun() {
                return Err(cut(sample));
            }
            stop = sink(time, value).is_break();
            sample += 1;
            if stop || sample == samples {
                break;
            }
            word = hot.peek();
            if word >> 63 == 0 {
                used = 1;
                continue;
            }
            let change = match (!word).leading_zeros() {
                1 => {
                    used = 16;
                    sign((word >> 48) & 0x3fff, 14)
                }
                2 => {
                    used = 20;
                    sign((word >> 44) & 0x1_ffff, 17)
                }
                3 => {
                    used = 24;
                    sign((word >> 40) & 0xf_ffff, 20)
                }
                _ => {
                    hot.skip(4);
                    let change = hot.take(64) as i64;
                    word = hot.peek();
                    used = 0;
                    change
                }
            };
            delta = delta.wrapping_add(change);
        }
        bits = hot;
    }
    let window = windowed.then(|| Window { leading: 64 - length - shift, trailing: shift });
    end = End { time, delta, value, window, bits: bits.position(), ..end };
    Ok(end)
}

/// Reads an XOR value code as the histogram chunks use it, each field with its own window.
#[inline]
pub(crate) fn read_xor(bits: &mut BitReader<'_>, value: &mut u64, window: &mut Window) -> Result<(), String> {
    let word = bits.peek();
    if word >> 63 == 0 {
        bits.skip(1);
        return Ok(());
    }
    bits.skip(2);
    if word >> 62 == 0b11 {
        *window = read_window(bits)?;
    }
    *value ^= bits.take(window.len()) << window.trailing;
    Ok(())
}

/// Reads 5 bits of leading zeros and 6 bits of length.
#[inline]
pub(crate) fn read_window(bits: &mut BitReader<'_>) -> Result<Window, String> {
    let leading = bits.take(5) as u32;
    let length = match bits.take(6) as u32 {
        0 => 64,
        n => n,
    };
    if leading + length > 64 {
        return Err(format!("window of {length} bits after {leading} zeros exceeds 64"));
    }
    Ok(Window { leading, trailing: 64 - leading - length })
}

/// Writes an XOR value code. `window` is `None` until one was written.
#[inline]
pub(crate) fn write_xor(bits: &mut BitWriter, value: u64, before: u64, window: &mut Option<Window>) {
    let x = value ^ before;
    if x == 0 {
        return bits.write(0, 1);
    }
    if let Some(w) = reusable(x, *window) {
        bits.write(0b10, 2);
        return bits.write(x >> w.trailing, w.len());
    }
    bits.write(0b11, 2);
    *window = Some(write_new_window(bits, x));
}

/// The window, if `x` fits into it.
#[inline]
pub(crate) fn reusable(x: u64, window: Option<Window>) -> Option<Window> {
    window.filter(|w| x.leading_zeros().min(31) >= w.leading && x.trailing_zeros() >= w.trailing)
}

/// Writes a window around `x` and its bits.
#[inline]
pub(crate) fn write_new_window(bits: &mut BitWriter, x: u64) -> Window {
    let w = Window { leading: x.leading_zeros().min(31), trailing: x.trailing_zeros() };
    bits.write(u64::from(w.leading), 5);
    bits.write(u64::from(w.len() & 0x3f), 6);
    bits.write(x >> w.trailing, w.len());
    w
}

/// Writes an XOR chunk sample by sample, byte for byte as Prometheus does.
#[derive(Debug, Clone)]
pub struct XorAppender {
    bits: BitWriter,
    samples: usize,
    time: i64,
    delta: i64,
    value: u64,
    window: Option<Window>,
}

impl Default for XorAppender {
    fn default() -> Self {
        Self::new()
    }
}

impl XorAppender {
    /// An empty chunk.
    pub fn new() -> Self {
        let mut bits = BitWriter::default();
        bits.write(0, 16);
        Self { bits, samples: 0, time: 0, delta: 0, value: 0, window: None }
    }

    /// Goes on with a chunk written before; bytes after its last sample are dropped.
    ///
    /// # Errors
    /// When `data` is no XOR chunk.
    pub fn resume(data: &[u8]) -> Result<Self, Error> {
        let end = walk(data, &mut |_, _| ControlFlow::Continue(()))?;
        Ok(Self {
            bits: BitWriter::resume(data, 16 + end.bits),
            samples: end.samples,
            time: end.time,
            delta: end.delta,
            value: end.value,
            window: end.window,
        })
    }

    /// Appends one sample. Times should ascend; the chunk keeps whatever comes.
    ///
    /// # Errors
    /// [`Error::Full`] at [`MAX_SAMPLES`].
    pub fn append(&mut self, time: i64, value: f64) -> Result<(), Error> {
        if self.samples >= MAX_SAMPLES {
            return Err(Error::Full);
        }
        self.push(time, value);
        Ok(())
    }

    /// Appends samples, as many as both slices have, as [`Self::append`] does each of them.
    ///
    /// # Errors
    /// [`Error::Full`] where they would exceed [`MAX_SAMPLES`]; none is appended then.
    pub fn append_all(&mut self, times: &[i64], values: &[f64]) -> Result<(), Error> {
        if times.len().min(values.len()) > MAX_SAMPLES.saturating_sub(self.samples) {
            return Err(Error::Full);
        }
        for (time, value) in times.iter().zip(values) {
            self.push(*time, *value);
        }
        Ok(())
    }

    #[inline(always)]
    fn push(&mut self, time: i64, value: f64) {
        let value = value.to_bits();
        if self.samples == 0 {
            self.bits.varint(time);
            self.bits.write(value, 64);
        } else {
            let delta = time.wrapping_sub(self.time);
            let code = if self.samples == 1 {
                self.bits.uvarint(delta as u64);
                (0, 0)
            } else {
                self.change_code(delta.wrapping_sub(self.delta))
            };
            self.delta = delta;
            self.write_value(code, value ^ self.value);
        }
        self.time = time;
        self.value = value;
        self.samples += 1;
    }

    /// The code of a change of delta and its length: at most 24 bits. A longer one is written.
    #[inline]
    fn change_code(&mut self, change: i64) -> (u64, u32) {
        if change == 0 {
            return (0, 1);
        }
        for (prefix, prefix_len, width) in [(0b10, 2, 14), (0b110, 3, 17), (0b1110, 4, 20)] {
            if fits(change, width) {
                return (prefix << width | change as u64 & ((1 << width) - 1), prefix_len + width);
            }
        }
        self.bits.write(0b1111, 4);
        self.bits.write(change as u64, 64);
        (0, 0)
    }

    /// What [`write_xor`] writes for `x`, behind `code`; in as few writes as may be.
    #[inline]
    fn write_value(&mut self, (code, code_len): (u64, u32), x: u64) {
        if x == 0 {
            return self.bits.write(code << 1, code_len + 1);
        }
        if let Some(w) = reusable(x, self.window) {
            let (head, head_len, len) = (code << 2 | 0b10, code_len + 2, w.len());
            if head_len + len <= 64 {
                return self.bits.write(head << len | x >> w.trailing, head_len + len);
            }
            self.bits.write(head, head_len);
            return self.bits.write(x >> w.trailing, len);
        }
        let w = Window { leading: x.leading_zeros().min(31), trailing: x.trailing_zeros() };
        let head = (code << 2 | 0b11) << 11 | u64::from(w.leading) << 6 | u64::from(w.len() & 0x3f);
        self.bits.write(head, code_len + 13);
        self.bits.write(x >> w.trailing, w.len());
        self.window = Some(w);
    }

    /// How many samples the chunk holds so far.
    pub fn len(&self) -> usize {
        self.samples
    }

    /// Whether the chunk holds no sample yet.
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// Bytes that the chunk takes so far.
    pub fn size_bytes(&self) -> usize {
        self.bits.len()
    }

    /// The chunk's data as it stands; more samples may follow.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bits.len());
        self.write_to(&mut out);
        out
    }

    /// Appends to `out` what [`Self::to_vec`] gives.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let from = out.len();
        self.bits.write_to(out);
        out[from..from + 2].copy_from_slice(&(self.samples as u16).to_be_bytes());
    }

    /// Begins a new chunk in the memory of the one before.
    pub fn clear(&mut self) {
        self.bits.clear();
        self.bits.write(0, 16);
        (self.samples, self.time, self.delta, self.value, self.window) = (0, 0, 0, 0, None);
    }
}

/// Writes the samples of a column, at most [`MAX_SAMPLES`], as one chunk.
///
/// # Errors
/// [`Error::Full`] if there are more samples than a chunk can count.
pub fn encode_xor(samples: impl IntoIterator<Item = (i64, f64)>) -> Result<Vec<u8>, Error> {
    let mut appender = XorAppender::new();
    for (time, value) in samples {
        appender.append(time, value)?;
    }
    Ok(appender.to_vec())
}
