//! Reading numbers and texts from a slice, with errors that say where.

use crate::{Error, Result};

/// A position in a part of a file. `base` is where the part begins in the file, for error texts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub(crate) file: &'a str,
    pub(crate) base: u64,
    pub(crate) data: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(file: &'a str, base: u64, data: &'a [u8]) -> Self {
        Self { file, base, data, at: 0 }
    }

    #[cold]
    pub(crate) fn damaged(&self, what: impl Into<String>) -> Error {
        Error::damaged(self.file, self.base + self.at as u64, what)
    }

    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.data.len() - self.at
    }

    #[inline]
    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        if len > self.left() {
            return Err(self.damaged(format!("{len} bytes wanted, {} left", self.left())));
        }
        let part = &self.data[self.at..self.at + len];
        self.at += len;
        Ok(part)
    }

    #[inline]
    pub(crate) fn be32(&mut self) -> Result<u32> {
        let b = self.bytes(4)?;
        Ok(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    pub(crate) fn be64(&mut self) -> Result<u64> {
        Ok(u64::from(self.be32()?) << 32 | u64::from(self.be32()?))
    }

    #[inline]
    pub(crate) fn uvarint(&mut self) -> Result<u64> {
        // Eight bytes at once where there are so many, without a branch for each: their number is hard to foresee.
        if let Some(bytes) = self.data[self.at..].first_chunk::<8>() {
            let word = u64::from_le_bytes(*bytes);
            let ends = !word & 0x8080_8080_8080_8080;
            if ends != 0 {
                // Everything up to the first byte without a top bit.
                let x = word & (ends ^ (ends - 1));
                let x = x & 0x007f_007f_007f_007f | (x & 0x7f00_7f00_7f00_7f00) >> 1;
                let x = x & 0x0000_3fff_0000_3fff | (x & 0x3fff_0000_3fff_0000) >> 2;
                let x = x & 0x0fff_ffff | (x & 0x0fff_ffff_0000_0000) >> 4;
                self.at += ends.trailing_zeros() as usize / 8 + 1;
                return Ok(x);
            }
        }
        self.uvarint_by_bytes()
    }

    #[inline(never)]
    fn uvarint_by_bytes(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for (i, byte) in self.data[self.at..].iter().take(10).enumerate() {
            if i == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.at += i + 1;
                return Ok(value);
            }
        }
        Err(self.damaged("number cut short or beyond 64 bits"))
    }

    #[inline]
    pub(crate) fn uvarint32(&mut self) -> Result<u32> {
        let at = *self;
        u32::try_from(self.uvarint()?).map_err(|_| at.damaged("number beyond 32 bits"))
    }

    /// Two numbers; fast where each takes at most four bytes.
    #[inline]
    pub(crate) fn uvarint32_pair(&mut self) -> Result<(u32, u32)> {
        if let Some(bytes) = self.data[self.at..].first_chunk::<8>() {
            let word = u64::from_le_bytes(*bytes);
            // Top bits that are not set end a number. Where the next pair begins follows from them alone, so that the
            // processor need not wait for the values.
            let ends = !word & 0x8080_8080_8080_8080;
            let second_ends = ends & ends.wrapping_sub(1);
            let (first_bits, bits) = (ends.trailing_zeros() + 1, second_ends.trailing_zeros() + 1);
            if second_ends != 0 && first_bits <= 32 && bits - first_bits <= 32 {
                self.at += bits as usize / 8;
                let first = short_uvarint(word as u32, first_bits);
                return Ok((first, short_uvarint((word >> first_bits) as u32, bits - first_bits)));
            }
        }
        Ok((self.uvarint32()?, self.uvarint32()?))
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<i64> {
        self.uvarint().map(|z| (z >> 1) as i64 ^ -((z & 1) as i64))
    }

    #[inline]
    pub(crate) fn text_bytes(&mut self) -> Result<&'a [u8]> {
        let at = *self;
        let len = self.uvarint()?;
        match usize::try_from(len) {
            Ok(len) if len <= self.left() => self.bytes(len),
            _ => Err(at.damaged(format!("text of {len} bytes, {} left", self.left()))),
        }
    }

    #[inline]
    pub(crate) fn text(&mut self) -> Result<&'a str> {
        let at = *self;
        std::str::from_utf8(self.text_bytes()?).map_err(|_| at.damaged("text is not UTF-8"))
    }
}

/// The number in the low `bits` of `word`, 8 to 32 of them.
#[inline]
fn short_uvarint(word: u32, bits: u32) -> u32 {
    let x = word & u32::MAX >> (32 - bits);
    x & 0x7f | x >> 1 & 0x3f80 | x >> 2 & 0x1f_c000 | x >> 3 & 0xfe0_0000
}

/// Checks `body` against the CRC32C stored behind it; `offset` is where `body` begins in the file.
pub(crate) fn check_crc(file: &str, offset: u64, what: &str, body: &[u8], stored: u32) -> Result<()> {
    let computed = crate::checksum::crc32c(body);
    if computed == stored {
        return Ok(());
    }
    Err(Error::damaged(
        file,
        offset,
        format!("{what}: checksum of {} bytes is {computed:08x}, stored is {stored:08x}", body.len()),
    ))
}

/// A section `be32 len | body | be32 crc` at the start of `data`, which begins at `offset` of the file. Returns the
/// body, checked.
pub(crate) fn section<'a>(file: &str, offset: u64, what: &str, data: &'a [u8]) -> Result<&'a [u8]> {
    let mut cursor = Cursor::new(file, offset, data);
    let short = |e: Error| match e {
        Error::Damaged { file, offset, what: why } => Error::damaged(file, offset, format!("{what}: {why}")),
        other => other,
    };
    let len = cursor.be32().map_err(short)? as usize;
    cursor.bytes(len).map_err(short)?;
    let stored = cursor.be32().map_err(short)?;
    let body = &data[4..4 + len];
    check_crc(file, offset + 4, what, body, stored)?;
    Ok(body)
}

/// Appends a `uvarint`.
#[inline]
pub fn put_uvarint(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        return out.push(value as u8);
    }
    let mut numbers = Numbers::behind(out, 1);
    numbers.put(value);
    numbers.end();
}

/// Numbers on their way behind a vector, whose room is made once for all.
pub(crate) struct Numbers<'a> {
    out: &'a mut Vec<u8>,
    at: usize,
}

impl<'a> Numbers<'a> {
    /// Room for `count` numbers more.
    pub(crate) fn behind(out: &'a mut Vec<u8>, count: usize) -> Self {
        let at = out.len();
        // What is written of a number too much goes behind it.
        out.resize(at + 10 * count + 8, 0);
        Self { out, at }
    }

    /// A `uvarint`.
    #[inline]
    pub(crate) fn put(&mut self, value: u64) {
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

    /// A zigzag `varint`.
    #[inline]
    pub(crate) fn put_signed(&mut self, value: i64) {
        self.put((value << 1 ^ value >> 63) as u64);
    }

    /// Gives back the room that was not needed.
    pub(crate) fn end(self) {
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
pub fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, (value << 1 ^ value >> 63) as u64);
}

/// Appends a length and the text.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

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
                    assert_eq!((cursor.uvarint().ok(), cursor.at), (Some(value), len), "{value:x}");
                    let mut twice = bytes[..len].to_vec();
                    twice.extend_from_slice(&bytes);
                    let mut cursor = Cursor::new("", 0, &twice);
                    let pair = u32::try_from(value).ok().map(|v| (v, v));
                    let (mut put, signed) = (vec![7], (value >> 1) as i64 ^ -((value & 1) as i64));
                    let mut numbers = Numbers::behind(&mut put, 2);
                    numbers.put(value);
                    numbers.put_signed(signed);
                    numbers.end();
                    assert_eq!(put, [&[7], &bytes[..len], &bytes[..len]].concat(), "{value:x}");
                    assert_eq!(cursor.uvarint32_pair().ok(), pair, "{value:x}");
                    assert_eq!(cursor.at == 2 * len, pair.is_some(), "{value:x}");
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
