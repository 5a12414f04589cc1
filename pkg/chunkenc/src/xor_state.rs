//! An XOR chunk that grows sample by sample in a small buffer, for holding very many of them open.

use crate::Error;
use crate::bits::fits;
use crate::xor::{MAX_SAMPLES, Window, reusable};

/// Bits before the first sample: the count.
const HEADER_BITS: u32 = 16;
/// `leading` before a window was written.
const NO_WINDOW: u8 = 0xff;
/// Room for the bits of one sample (at most 2 varints of 10 bytes, or 68 + 77 bits) behind a begun byte.
const STAGE_BYTES: usize = 40;

/// Where an open XOR chunk stands: what is needed to append to its bytes, in 32 bytes. The chunk's bytes are kept beside
/// it, in a buffer that is larger than they are and whose sample count is not kept up ([`Self::write_to`] fills it in).
///
/// The bytes are those that [`crate::XorAppender`] writes.
#[derive(Debug, Clone)]
pub struct XorState {
    time: i64,
    delta: i64,
    value: u64,
    bits: u32,
    samples: u16,
    leading: u8,
    trailing: u8,
}

impl Default for XorState {
    fn default() -> Self {
        Self::new()
    }
}

/// The bits of one sample, on their way into the buffer.
struct Stage {
    bytes: [u8; STAGE_BYTES],
    bits: u32,
}

impl Stage {
    /// Appends the low `n` bits of `value`, 1 to 64. A caller writes at most 8 · (`STAGE_BYTES` − 9) bits.
    #[inline(always)]
    fn put(&mut self, value: u64, n: u32) {
        let value = value & (u64::MAX >> (64 - n));
        let (at, used) = ((self.bits >> 3) as usize, self.bits & 7);
        self.bits += n;
        // 9 bytes hold any 64 bits that begin inside the first one.
        let wide = u128::from(value) << (128 - used - n);
        let (high, low) = ((wide >> 64) as u64, (wide >> 56) as u8);
        if let Some(word) = self.bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<9>()) {
            let [a, b, c, d, e, f, g, h, last] = word;
            let head = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]) | high;
            [*a, *b, *c, *d, *e, *f, *g, *h] = head.to_be_bytes();
            *last |= low;
        }
    }

    fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.put(value, 8);
    }
}

impl XorState {
    /// The state of a chunk without samples, whose buffer is empty.
    pub fn new() -> Self {
        Self { time: 0, delta: 0, value: 0, bits: HEADER_BITS, samples: 0, leading: NO_WINDOW, trailing: 0 }
    }

    /// How many samples the chunk holds.
    pub fn len(&self) -> usize {
        usize::from(self.samples)
    }

    /// Whether the chunk holds no sample yet.
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// Time of the last sample, ms; 0 without one.
    pub fn last_time(&self) -> i64 {
        self.time
    }

    /// The last sample's value; 0 without one.
    pub fn last_value(&self) -> f64 {
        f64::from_bits(self.value)
    }

    /// Bytes of the chunk's data.
    pub fn size_bytes(&self) -> usize {
        self.bits.div_ceil(8) as usize
    }

    /// Appends one sample to the chunk whose bytes are in `buffer`, which grows when it is full.
    ///
    /// # Errors
    /// [`Error::Full`] when the chunk cannot count one more.
    pub fn append(&mut self, buffer: &mut Box<[u8]>, time: i64, value: f64) -> Result<(), Error> {
        if self.len() >= MAX_SAMPLES {
            return Err(Error::Full);
        }
        let begun = (self.bits / 8) as usize;
        let mut stage = Stage { bytes: [0; STAGE_BYTES], bits: self.bits % 8 };
        stage.bytes[0] = buffer.get(begun).copied().unwrap_or(0);
        let value = value.to_bits();
        if self.samples == 0 {
            stage.uvarint((time << 1 ^ time >> 63) as u64);
            stage.put(value, 64);
        } else {
            let delta = time.wrapping_sub(self.time);
            if self.samples == 1 {
                stage.uvarint(delta as u64);
            } else {
                put_change(&mut stage, delta.wrapping_sub(self.delta));
            }
            self.delta = delta;
            self.put_value(&mut stage, value ^ self.value);
        }
        (self.time, self.value) = (time, value);
        self.samples += 1;
        self.bits = begun as u32 * 8 + stage.bits;
        let staged = stage.bits.div_ceil(8) as usize;
        if begun + staged > buffer.len() {
            grow(buffer, begun + staged);
        }
        buffer[begun..begun + staged].copy_from_slice(&stage.bytes[..staged]);
        Ok(())
    }

    /// What [`crate::xor::write_xor`] writes.
    #[inline(always)]
    fn put_value(&mut self, stage: &mut Stage, x: u64) {
        if x == 0 {
            return stage.put(0, 1);
        }
        let window = Window { leading: u32::from(self.leading), trailing: u32::from(self.trailing) };
        if let Some(w) = reusable(x, (self.leading != NO_WINDOW).then_some(window)) {
            stage.put(0b10, 2);
            return stage.put(x >> w.trailing, w.len());
        }
        let w = Window { leading: x.leading_zeros().min(31), trailing: x.trailing_zeros() };
        stage.put(0b11 << 11 | u64::from(w.leading) << 6 | u64::from(w.len() & 0x3f), 13);
        stage.put(x >> w.trailing, w.len());
        (self.leading, self.trailing) = (w.leading as u8, w.trailing as u8);
    }

    /// Appends the chunk's data to `out`, with the first `samples` of its samples. Those behind have left bits that no
    /// reader looks at.
    pub fn write_to(&self, buffer: &[u8], samples: usize, out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(&buffer[..self.size_bytes().min(buffer.len())]);
        let count = samples.min(self.len()) as u16;
        if let Some(head) = out.get_mut(from..).and_then(|data| data.first_chunk_mut::<2>()) {
            *head = count.to_be_bytes();
        }
    }

    /// The chunk's data: its buffer cut to size, with the count filled in.
    pub fn finish(&self, buffer: Box<[u8]>) -> Vec<u8> {
        let mut data = buffer.into_vec();
        data.resize(self.size_bytes(), 0);
        if let Some(head) = data.first_chunk_mut::<2>() {
            *head = self.samples.to_be_bytes();
        }
        data
    }

    /// Goes on with a chunk written before: its state, and a buffer with its bytes.
    ///
    /// # Errors
    /// When `data` is no XOR chunk.
    pub fn resume(data: &[u8]) -> Result<(Self, Box<[u8]>), Error> {
        let mut column = crate::Column::new();
        crate::decode_floats(crate::Encoding::Xor, data, &mut column)?;
        let (mut state, mut buffer) = (Self::new(), Box::default());
        for (time, value) in column.iter() {
            state.append(&mut buffer, time, value)?;
        }
        Ok((state, buffer))
    }
}

/// Bytes of a saved [`XorState`].
pub const XOR_STATE_BYTES: usize = 32;

impl XorState {
    /// The state as bytes, for [`Self::restore`].
    pub fn save(&self) -> [u8; XOR_STATE_BYTES] {
        let mut out = [0; XOR_STATE_BYTES];
        out[..8].copy_from_slice(&self.time.to_be_bytes());
        out[8..16].copy_from_slice(&self.delta.to_be_bytes());
        out[16..24].copy_from_slice(&self.value.to_be_bytes());
        out[24..28].copy_from_slice(&self.bits.to_be_bytes());
        out[28..30].copy_from_slice(&self.samples.to_be_bytes());
        (out[30], out[31]) = (self.leading, self.trailing);
        out
    }

    /// Goes on with a chunk whose state was saved, with the bytes of [`Self::write_to`]: their buffer. Nothing is decoded, so
    /// that both have to come with a checksum.
    ///
    /// # Errors
    /// When they cannot belong together.
    pub fn restore(saved: &[u8; XOR_STATE_BYTES], data: &[u8]) -> Result<(Self, Box<[u8]>), Error> {
        let [a, b, c, d, e, f, g, h, rest @ ..] = *saved;
        let time = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let [a, b, c, d, e, f, g, h, rest @ ..] = rest;
        let delta = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let [a, b, c, d, e, f, g, h, rest @ ..] = rest;
        let value = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let [a, b, c, d, e, f, leading, trailing] = rest;
        let (bits, samples) = (u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([e, f]));
        let state = Self { time, delta, value, bits, samples, leading, trailing };
        let fits = bits >= HEADER_BITS && state.size_bytes() == data.len() && samples > 0;
        if !fits || leading != NO_WINDOW && (leading > 31 || u32::from(leading) + u32::from(trailing) > 63) {
            return Err(Error::Encoding("the state of an open chunk does not fit its bytes".to_owned()));
        }
        let mut buffer = Box::default();
        grow(&mut buffer, data.len());
        buffer[..data.len()].copy_from_slice(data);
        Ok((state, buffer))
    }
}

#[inline(always)]
fn put_change(stage: &mut Stage, change: i64) {
    if change == 0 {
        return stage.put(0, 1);
    }
    for (prefix, prefix_len, width) in [(0b10, 2, 14), (0b110, 3, 17), (0b1110, 4, 20)] {
        if fits(change, width) {
            return stage.put(prefix << width | change as u64 & ((1 << width) - 1), prefix_len + width);
        }
    }
    stage.put(0b1111, 4);
    stage.put(change as u64, 64);
}

/// Makes room for `needed` bytes, in steps that allocators have classes for.
#[cold]
fn grow(buffer: &mut Box<[u8]>, needed: usize) {
    let step = if needed <= 64 { 16 } else { (needed / 4).next_power_of_two().max(32) };
    let mut bytes = std::mem::take(buffer).into_vec();
    let len = needed.next_multiple_of(step).max(32);
    bytes.reserve_exact(len - bytes.len());
    bytes.resize(len, 0);
    *buffer = bytes.into_boxed_slice();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::XorAppender;

    fn same(samples: &[(i64, f64)]) {
        let (mut state, mut buffer) = (XorState::new(), Box::default());
        let mut right = XorAppender::new();
        for (n, (time, value)) in samples.iter().enumerate() {
            state.append(&mut buffer, *time, *value).unwrap();
            right.append(*time, *value).unwrap();
            let mut data = Vec::new();
            state.write_to(&buffer, n + 1, &mut data);
            assert_eq!(data, right.to_vec(), "after sample {n}");
            assert_eq!((state.len(), state.last_time()), (n + 1, *time));
            assert_eq!(state.last_value().to_bits(), value.to_bits());
        }
        assert_eq!(state.finish(buffer), right.to_vec());
    }

    #[test]
    fn odd_values_and_gaps() {
        let t = 1_700_000_000_000;
        let gaps = [0, 1, 15_000, 15_001, 15_000, 8_192, 1 << 17, 1 << 20, 1 << 40, i64::MAX / 2, 3];
        let values = [0.0, -0.0, 1.0, 1.5, f64::NAN, model::stale_nan(), f64::INFINITY, 1e-300, 0.1, 0.2, 0.1];
        let times = gaps.iter().scan(t, |at, gap| {
            *at += gap;
            Some(*at)
        });
        same(&times.zip(values).collect::<Vec<_>>());
        same(&[(i64::MIN, 1.0), (i64::MAX, 2.0), (0, 3.0)]);
    }

    #[test]
    fn a_shorter_read_has_the_samples_before() {
        let (mut state, mut buffer) = (XorState::new(), Box::default());
        for n in 0..100 {
            state.append(&mut buffer, n * 15_000, n as f64 * 0.7).unwrap();
        }
        let mut data = Vec::new();
        state.write_to(&buffer, 40, &mut data);
        let mut column = crate::Column::new();
        crate::decode_floats(crate::Encoding::Xor, &data, &mut column).unwrap();
        assert_eq!(
            column.iter().collect::<Vec<_>>(),
            (0..40).map(|n| (n * 15_000, n as f64 * 0.7)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_saved_state_goes_on_as_the_state_does() {
        let (mut state, mut buffer) = (XorState::new(), Box::default());
        for n in 0..200i64 {
            state.append(&mut buffer, n * n, (n / 3) as f64 * 0.7).unwrap();
            let (saved, mut data) = (state.save(), Vec::new());
            state.write_to(&buffer, state.len(), &mut data);
            let (mut other, mut bytes) = XorState::restore(&saved, &data).unwrap();
            for more in 1..5 {
                let (mut state, mut buffer) = (state.clone(), buffer.clone());
                state.append(&mut buffer, n * n + more, more as f64).unwrap();
                other.append(&mut bytes, n * n + more, more as f64).unwrap();
                assert_eq!(state.len(), n as usize + 2);
                let (mut right, mut got) = (Vec::new(), Vec::new());
                state.write_to(&buffer, usize::MAX, &mut right);
                other.write_to(&bytes, usize::MAX, &mut got);
                assert_eq!(got, right, "{n}");
                (other, bytes) = XorState::restore(&saved, &data).unwrap();
            }
            assert!(XorState::restore(&saved, &data[1..]).is_err());
        }
        assert!(XorState::restore(&[0xff; XOR_STATE_BYTES], &[0; 20]).is_err());
        assert!(XorState::restore(&XorState::new().save(), &[0, 0]).is_err(), "a chunk without samples");
    }

    #[test]
    fn the_state_is_small() {
        assert_eq!(size_of::<XorState>(), 32);
    }

    proptest::proptest! {
        #[test]
        fn as_the_appender_writes_it(samples: Vec<(i64, u64)>) {
            same(&samples.into_iter().map(|(t, v)| (t, f64::from_bits(v))).collect::<Vec<_>>());
        }

        #[test]
        fn steady_series(start: i32, steps in proptest::collection::vec((0i64..20, 0u8..4), 0..300)) {
            let mut time = i64::from(start);
            let samples: Vec<_> = steps.into_iter().map(|(jitter, value)| {
                time += 15_000 + jitter;
                (time, f64::from(value) / 3.0)
            }).collect();
            same(&samples);
        }
    }
}
