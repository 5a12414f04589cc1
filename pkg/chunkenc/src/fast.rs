//! The usual float chunk at full speed, all of it into slices.
//!
//! What these loops cannot do they leave to the careful readers in `xor.rs` and `xor2.rs`, which also say what is
//! wrong with a corrupt chunk: large chunks, start timestamps, codes that the format does not allow, a count that the
//! bytes do not hold.
//!
//! The layout of the branches follows from what a processor predicts: most time codes are one of two, most value codes
//! repeat the one before. Codes without branches were slower, since then every load waits for the sample before.

use model::STALE_NAN_BITS;

use crate::Encoding;
use crate::bits::sign;
use crate::reversed::{Place, Reversed};

/// Decodes as many samples as the slices hold. False means: nothing is known, read it carefully.
#[allow(unsafe_code, reason = "the function needs instructions that are asked for first")]
pub(crate) fn fill(encoding: Encoding, data: &[u8], times: &mut [i64], values: &mut [f64]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("bmi2") && std::is_x86_feature_detected!("lzcnt") {
        // SAFETY: the processor has what the function is made for.
        return unsafe { fill_with_bmi2(encoding, data, times, values) };
    }
    fill_anywhere(encoding, data, times, values)
}

/// The loops shift by amounts that come out of the bits: one step with these instructions, three without.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi2,lzcnt")]
fn fill_with_bmi2(encoding: Encoding, data: &[u8], times: &mut [i64], values: &mut [f64]) -> bool {
    fill_inlined(encoding, data, times, values)
}

pub(crate) fn fill_anywhere(encoding: Encoding, data: &[u8], times: &mut [i64], values: &mut [f64]) -> bool {
    fill_inlined(encoding, data, times, values)
}

#[inline(always)]
fn fill_inlined(encoding: Encoding, data: &[u8], times: &mut [i64], values: &mut [f64]) -> bool {
    // Two sizes, so that a small chunk pays for a small buffer.
    if data.len() <= Reversed::<520>::ROOM {
        fill_from(encoding, &mut Reversed::<520>::empty(), data, times, values)
    } else if data.len() <= Reversed::<2056>::ROOM {
        fill_from(encoding, &mut Reversed::<2056>::empty(), data, times, values)
    } else {
        false
    }
}

#[inline(always)]
fn fill_from<const N: usize>(
    encoding: Encoding,
    bits: &mut Reversed<N>,
    data: &[u8],
    times: &mut [i64],
    values: &mut [f64],
) -> bool {
    bits.set(data);
    match (encoding, data.get(2)) {
        (Encoding::Xor, _) => xor(bits, times, values),
        // With start timestamps the careful reader must pass over them.
        (Encoding::Xor2, Some(0)) => xor2(bits, times, values),
        _ => false,
    }
}

/// The first sample, and the delta of the second one if there is one.
struct Head {
    at: Place,
    time: i64,
    value: u64,
    delta: i64,
}

impl Head {
    #[inline(always)]
    fn read<const N: usize>(bits: &Reversed<N>, header_bits: usize, more: bool) -> Option<Self> {
        let mut at = Reversed::<N>::place(header_bits);
        let zigzag = bits.uvarint(&mut at)?;
        let value = bits.long(at, 64);
        at = at.wrapping_sub(64);
        let delta = if more { bits.uvarint(&mut at)? as i64 } else { 0 };
        Some(Self { at, time: (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64), value, delta })
    }
}

/// The window that XORed values are written in: `length` bits, then `shift` zeros.
#[derive(Clone, Copy)]
struct Window {
    length: u32,
    shift: u32,
}

impl Window {
    /// From the 11 bits of its code. `None` when it exceeds 64 bits.
    #[inline(always)]
    fn from_code(code: u64) -> Option<Self> {
        let leading = (code >> 6) as u32 & 0x1f;
        let length = match code as u32 & 0x3f {
            0 => 64,
            n => n,
        };
        if leading + length > 64 {
            return None;
        }
        Some(Self { length, shift: 64 - leading - length })
    }

    /// Takes a value's bits, in their place.
    #[inline(always)]
    fn take<const N: usize>(self, bits: &Reversed<N>, at: &mut Place) -> u64 {
        let raw = if self.length <= 57 { bits.peek(*at) >> (64 - self.length) } else { bits.long(*at, self.length) };
        *at = at.wrapping_sub(self.length as usize);
        raw << self.shift
    }
}

#[inline(always)]
fn xor<const N: usize>(bits: &mut Reversed<N>, times: &mut [i64], values: &mut [f64]) -> bool {
    if times.is_empty() || values.is_empty() {
        return true;
    }
    let Some(Head { mut at, mut time, mut value, mut delta }) = Head::read(bits, 16, times.len() > 1) else {
        return false;
    };
    times[0] = time;
    values[0] = f64::from_bits(value);
    if times.len() == 1 {
        return !bits.overrun(at);
    }
    // The second sample has no time code. One bit that is read already becomes its code "as before".
    bits.set_two_before(at, 0, 0);
    at = at.wrapping_add(1);
    let mut window = Window { length: 64, shift: 0 };
    for (t, v) in times[1..].iter_mut().zip(values[1..].iter_mut()) {
        let mut word = bits.peek(at);
        if word >> 63 == 0 {
            word <<= 1;
            at = at.wrapping_sub(1);
        } else {
            let change = match (!word).leading_zeros() {
                1 => {
                    let change = sign((word >> 48) & 0x3fff, 14);
                    word <<= 16;
                    at = at.wrapping_sub(16);
                    change
                }
                2 => {
                    let change = sign((word >> 44) & 0x1_ffff, 17);
                    word <<= 20;
                    at = at.wrapping_sub(20);
                    change
                }
                3 => {
                    let change = sign((word >> 40) & 0xf_ffff, 20);
                    word <<= 24;
                    at = at.wrapping_sub(24);
                    change
                }
                _ => {
                    let change = bits.long(at.wrapping_sub(4), 64) as i64;
                    at = at.wrapping_sub(68);
                    word = bits.peek(at);
                    change
                }
            };
            delta = delta.wrapping_add(change);
        }
        // At least 33 valid bits are left in `word`, a value code without its bits takes 13.
        time = time.wrapping_add(delta);
        if word >> 63 == 0 {
            at = at.wrapping_sub(1);
        } else {
            if word >> 62 == 0b10 {
                at = at.wrapping_sub(2);
            } else {
                let Some(new) = Window::from_code(word >> 51) else { return false };
                window = new;
                at = at.wrapping_sub(13);
            }
            value ^= window.take(bits, &mut at);
        }
        *t = time;
        *v = f64::from_bits(value);
    }
    !bits.overrun(at)
}

#[inline(always)]
fn xor2<const N: usize>(bits: &mut Reversed<N>, times: &mut [i64], values: &mut [f64]) -> bool {
    if times.is_empty() || values.is_empty() {
        return true;
    }
    let Some(Head { mut at, mut time, value, mut delta }) = Head::read(bits, 24, times.len() > 1) else {
        return false;
    };
    times[0] = time;
    values[0] = f64::from_bits(value);
    if times.len() == 1 {
        return !bits.overrun(at);
    }
    // The second sample has no time code: two bytes that are read already become "13 bits of change: 0".
    bits.set_two_before(at, 0b1100_0000, 0);
    at = at.wrapping_add(16);
    let mut baseline = if value == STALE_NAN_BITS { 0 } else { value };
    let mut window = Window { length: 64, shift: 0 };
    for (t, v) in times[1..].iter_mut().zip(values[1..].iter_mut()) {
        let mut word = bits.peek(at);
        // Whether the value has changed, and if so, whether it has a window of its own; the code of that window is
        // then at the top of `word` and the place behind it.
        let mut stale = false;
        if word >> 63 == 0 {
            at = at.wrapping_sub(1);
        } else {
            let changed;
            if word >> 62 == 0b10 {
                at = at.wrapping_sub(2);
                word <<= 2;
                changed = true;
            } else {
                let change = match (!word).leading_zeros() {
                    2 => {
                        let change = (word << 3) as i64 >> 51;
                        word <<= 16;
                        at = at.wrapping_sub(16);
                        change
                    }
                    3 => {
                        let change = (word << 4) as i64 >> 44;
                        word <<= 24;
                        at = at.wrapping_sub(24);
                        change
                    }
                    4 => {
                        let change = bits.long(at.wrapping_sub(5), 64) as i64;
                        at = at.wrapping_sub(69);
                        word = bits.peek(at);
                        change
                    }
                    _ => {
                        at = at.wrapping_sub(5);
                        stale = true;
                        0
                    }
                };
                delta = delta.wrapping_add(change);
                if stale {
                    changed = false;
                } else {
                    changed = word >> 63 == 1;
                    at = at.wrapping_sub(1);
                    word <<= 1;
                    if word >> 62 == 0b11 && changed {
                        at = at.wrapping_sub(2);
                        stale = true;
                    } else if word >> 62 == 0b10 && changed {
                        // One bit more than where the change of value is known: "new window, not stale".
                        at = at.wrapping_sub(1);
                        word = word << 1 | 1 << 63;
                    }
                }
            }
            if changed && !stale {
                if word >> 63 == 0 {
                    at = at.wrapping_sub(1);
                } else {
                    let Some(new) = Window::from_code(word >> 52) else { return false };
                    window = new;
                    at = at.wrapping_sub(12);
                }
                baseline ^= window.take(bits, &mut at);
            }
        }
        time = time.wrapping_add(delta);
        *t = time;
        *v = f64::from_bits(if stale { STALE_NAN_BITS } else { baseline });
        if baseline == STALE_NAN_BITS {
            // A marker that was written as a plain value is no baseline; rare enough to be left.
            return false;
        }
    }
    !bits.overrun(at)
}
