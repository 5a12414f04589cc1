//! Rows of numbers on their way behind a vector.

/// Writes numbers behind a vector whose room is made for many rows at a time.
pub(super) struct Rows<'a> {
    out: &'a mut Vec<u8>,
    at: usize,
}

/// Bytes of the longest number, and of what a write may touch behind it.
const NUMBER_BYTES_MAX: usize = 10;
const BEHIND: usize = 8;

impl<'a> Rows<'a> {
    pub(super) fn behind(out: &'a mut Vec<u8>) -> Self {
        let at = out.len();
        Self { out, at }
    }

    /// Makes room for `numbers` more.
    #[inline]
    pub(super) fn reserve(&mut self, numbers: usize) {
        let wanted = self.at + numbers * NUMBER_BYTES_MAX + BEHIND;
        if self.out.len() < wanted {
            self.out.resize(wanted, 0);
        }
    }

    /// Appends a zigzag `varint`.
    #[inline]
    pub(super) fn put_signed(&mut self, value: i64) {
        let zigzag = (value << 1 ^ value >> 63) as u64;
        if zigzag < 1 << 28 {
            let v = zigzag;
            let x = v & 0x7f | (v & 0x3f80) << 1 | (v & 0x1f_c000) << 2 | (v & 0xfe0_0000) << 3;
            let len = (38 - (v as u32 | 1).leading_zeros()) / 7;
            let more = 0x8080_8080 & ((1u64 << (8 * (len - 1))) - 1);
            self.out[self.at..self.at + 8].copy_from_slice(&(x | more).to_le_bytes());
            self.at += len as usize;
        } else {
            self.put_long(zigzag);
        }
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

    /// Appends eight bytes, big-endian.
    #[inline]
    pub(super) fn put_be64(&mut self, value: u64) {
        self.out[self.at..self.at + 8].copy_from_slice(&value.to_be_bytes());
        self.at += 8;
    }

    /// Appends one byte.
    #[inline]
    pub(super) fn put_byte(&mut self, value: u8) {
        self.out[self.at] = value;
        self.at += 1;
    }

    /// Gives back the room that was not needed.
    pub(super) fn end(self) {
        self.out.truncate(self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoding::Cursor;

    #[test]
    fn numbers_of_all_lengths() {
        let mut values = vec![0, i64::MAX, i64::MIN];
        values.extend((0..63).flat_map(|bits| [1i64 << bits, (1 << bits) - 1, -(1 << bits), -(1 << bits) - 1]));
        let mut out = vec![7];
        let mut rows = Rows::behind(&mut out);
        for value in &values {
            rows.reserve(1);
            rows.put_signed(*value);
        }
        rows.end();
        let mut expected = vec![7];
        values.iter().for_each(|v| encoding::put_varint(&mut expected, *v));
        assert_eq!(out, expected);
        let mut cursor = Cursor::new("", 0, &out).seek(1);
        for value in values {
            assert_eq!(cursor.varint().unwrap(), value);
        }
    }
}
