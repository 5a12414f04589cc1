//! Writing varints and strings.

/// Appends a `uvarint`.
#[inline]
pub fn put_uvarint(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        return out.push(value as u8);
    }
    let mut numbers = Varints::behind(out, 1);
    numbers.put(value);
    numbers.end();
}

/// Varints on their way behind a vector, whose room is made once for all.
pub struct Varints<'a> {
    out: &'a mut Vec<u8>,
    at: usize,
}

impl<'a> Varints<'a> {
    /// Room for `count` numbers behind `out`; more of them panic.
    #[inline]
    pub fn behind(out: &'a mut Vec<u8>, count: usize) -> Self {
        let at = out.len();
        // Each number is written as eight bytes, of which those behind it do not count.
        out.resize(at + 10 * count + 8, 0);
        Self { out, at }
    }

    /// Appends a `uvarint`.
    #[inline]
    pub fn put(&mut self, value: u64) {
        let Ok(short) = u32::try_from(value) else { return self.put_long(value) };
        let (bytes, len) = uvarint_bytes(short);
        self.out[self.at..self.at + 8].copy_from_slice(&bytes);
        self.at += len;
    }

    #[inline(never)]
    fn put_long(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out[self.at] = value as u8 | 0x80;
            self.at += 1;
            value >>= 7;
        }
        self.out[self.at] = value as u8;
        self.at += 1;
    }

    /// Appends a zigzag `varint`.
    #[inline]
    pub fn put_signed(&mut self, value: i64) {
        self.put((value << 1 ^ value >> 63) as u64);
    }

    /// Gives back the room that was not needed.
    #[inline]
    pub fn end(self) {
        self.out.truncate(self.at);
    }
}

/// A `uvarint` and how many of the bytes it takes: seven bits into each of five, without a branch for each.
#[inline]
fn uvarint_bytes(value: u32) -> ([u8; 8], usize) {
    let v = u64::from(value);
    let x = v & 0x7f | (v & 0x3f80) << 1 | (v & 0x1f_c000) << 2 | (v & 0xfe0_0000) << 3 | (v & 0xf000_0000) << 4;
    let len = (38 - (value | 1).leading_zeros()) / 7;
    let more = 0x8080_8080 & ((1 << (8 * (len - 1))) - 1);
    ((x | more).to_le_bytes(), len as usize)
}

/// Appends a zigzag `varint`.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, (value << 1 ^ value >> 63) as u64);
}

/// Appends the length in bytes as a `uvarint`, then the string.
pub fn put_string(out: &mut Vec<u8>, s: &str) {
    put_uvarint(out, s.len() as u64);
    out.extend_from_slice(s.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cursor;

    #[test]
    fn numbers_of_all_lengths() {
        for bits in 0..=64u32 {
            for value in [1u64.checked_shl(bits).unwrap_or(u64::MAX), 1u64.checked_shl(bits).map_or(0, |v| v - 1)] {
                for follows in [&[][..], &[0x00; 9], &[0xff; 9], &[0x7f; 9]] {
                    let mut bytes = Vec::new();
                    put_uvarint(&mut bytes, value);
                    let len = bytes.len();
                    bytes.extend_from_slice(follows);
                    let mut cursor = Cursor::new("", 0, &bytes);
                    assert_eq!((cursor.uvarint().ok(), cursor.at()), (Some(value), len), "{value:x}");
                    let mut twice = bytes[..len].to_vec();
                    twice.extend_from_slice(&bytes);
                    let mut cursor = Cursor::new("", 0, &twice);
                    let pair = u32::try_from(value).ok().map(|v| (v, v));
                    let (mut put, signed) = (vec![7], (value >> 1) as i64 ^ -((value & 1) as i64));
                    let mut numbers = Varints::behind(&mut put, 2);
                    numbers.put(value);
                    numbers.put_signed(signed);
                    numbers.end();
                    assert_eq!(put, [&[7], &bytes[..len], &bytes[..len]].concat(), "{value:x}");
                    assert_eq!(cursor.uvarint32_pair().ok(), pair, "{value:x}");
                    assert_eq!(cursor.at() == 2 * len, pair.is_some(), "{value:x}");
                    let mut cursor = Cursor::new("", 0, &bytes[..len - 1]);
                    assert!(cursor.uvarint().is_err(), "{value:x} cut short");
                }
            }
        }
        let mut eleven = Cursor::new("", 0, &[0x80; 11]);
        assert!(eleven.uvarint().is_err());
        let mut beyond = Cursor::new("", 0, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]);
        assert!(beyond.uvarint().is_err());
    }
}
