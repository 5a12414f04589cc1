//! Bit streams, most significant bit first.

/// Reads bits from a slice. Past the end it yields zeros and keeps counting, so the hot loops look at
/// [`BitReader::overrun`] once per sample instead of once per read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BitReader<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    /// A reader at the first bit of `data`.
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    /// Whether more bits were taken than there are.
    #[inline(always)]
    pub(crate) fn overrun(&self) -> bool {
        self.at > self.data.len() * 8
    }

    /// Bits not yet taken.
    pub(crate) fn left(&self) -> usize {
        (self.data.len() * 8).saturating_sub(self.at)
    }

    /// Bits taken so far.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The next bits, left-aligned; at least 57 of them are valid.
    #[inline(always)]
    pub(crate) fn peek(&self) -> u64 {
        let byte = self.at >> 3;
        let word = match self.data.get(byte..).and_then(|rest| rest.first_chunk::<8>()) {
            Some(bytes) => u64::from_be_bytes(*bytes),
            None => tail_word(self.data, byte),
        };
        word << (self.at & 7)
    }

    /// Passes over `n` bits.
    #[inline(always)]
    pub(crate) fn skip(&mut self, n: u32) {
        self.at += n as usize;
    }

    /// Takes `n` bits, 0 to 64.
    #[inline(always)]
    pub(crate) fn take(&mut self, n: u32) -> u64 {
        if n.wrapping_sub(1) < 57 {
            let word = self.peek();
            self.skip(n);
            word >> (64 - n)
        } else {
            let value = long_word(self.data, self.at, n);
            self.skip(n);
            value
        }
    }

    /// A `uvarint`, byte by byte at the current bit position. `None` when it does not fit 64 bits.
    pub(crate) fn uvarint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.take(8);
            if shift == 63 && byte > 1 {
                return None;
            }
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// Reads a `varint` in zigzag; `None` if it is cut short.
    pub(crate) fn varint(&mut self) -> Option<i64> {
        self.uvarint().map(|z| (z >> 1) as i64 ^ -((z & 1) as i64))
    }

    /// The bits that the varbit code at the current position carries, and how many they are.
    #[inline(always)]
    fn varbit(&mut self) -> (u64, u32) {
        let word = self.peek();
        let ones = (!word).leading_zeros();
        if ones == 0 {
            self.skip(1);
            return (0, 0);
        }
        // A code and its bits are in one word.
        if ones <= 6 {
            let width = VARBIT_WIDTHS[ones as usize];
            self.skip(ones + 1 + width);
            return (word << (ones + 1) >> (64 - width), width);
        }
        // The longest code has no closing zero.
        let width = if ones == 7 { 56 } else { 64 };
        let raw = long_word(self.data, self.at + 8, width);
        self.skip(8 + width);
        (raw, width)
    }

    /// A varbit-coded unsigned integer.
    #[inline]
    pub(crate) fn varbit_uint(&mut self) -> u64 {
        self.varbit().0
    }

    /// A varbit-coded signed integer.
    #[inline]
    pub(crate) fn varbit_int(&mut self) -> i64 {
        let (raw, width) = self.varbit();
        sign(raw, width)
    }
}

// Both are given values and no `&self`: a pointer to the reader that leaves the hot loop would keep the reader out of
// registers all through it.

/// The last bytes, filled up with zeros.
#[cold]
#[inline(never)]
fn tail_word(data: &[u8], byte: usize) -> u64 {
    let mut padded = [0u8; 8];
    let rest = data.get(byte..).unwrap_or(&[]);
    padded[..rest.len()].copy_from_slice(rest);
    u64::from_be_bytes(padded)
}

/// `n` bits at bit `at`: 0, or 33 to 64.
#[inline(never)]
fn long_word(data: &[u8], at: usize, n: u32) -> u64 {
    if n == 0 {
        return 0;
    }
    let high = BitReader { data, at }.peek() >> 32;
    let low = BitReader { data, at: at + 32 }.peek() >> (96 - n);
    high << (n - 32) | low
}

/// Payload widths of the varbit codes with 0, 1, … 8 leading ones.
const VARBIT_WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

/// Reads `raw` of `width` bits as Prometheus' lopsided signed integer: −(2^(w−1)−1) … 2^(w−1).
#[inline(always)]
pub(crate) fn sign(raw: u64, width: u32) -> i64 {
    if width == 0 || width == 64 || raw <= 1 << (width - 1) {
        raw as i64
    } else {
        (raw as i64).wrapping_sub(1 << width)
    }
}

/// Writes bits to a growing buffer.
#[derive(Debug, Clone, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits not yet in `bytes`, left-aligned; fewer than 64.
    pending: u64,
    pending_len: u32,
}

impl BitWriter {
    /// A writer that goes on after `bits` bits of `bytes`.
    pub(crate) fn resume(bytes: &[u8], bits: usize) -> Self {
        let whole = bits / 8;
        let rest = (bits % 8) as u32;
        let mut writer = Self { bytes: bytes[..whole].to_vec(), pending: 0, pending_len: 0 };
        if rest > 0 {
            writer.write(u64::from(bytes[whole] >> (8 - rest)), rest);
        }
        writer
    }

    /// Bytes so far, the last one counted when it is begun.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + self.pending_len.div_ceil(8) as usize
    }

    /// The bytes so far, the last one filled up with zeros.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        self.write_to(&mut out);
        out
    }

    /// Appends the bytes so far to `out`, the last one filled up with zeros.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
        out.extend_from_slice(&self.pending.to_be_bytes()[..self.pending_len.div_ceil(8) as usize]);
    }

    /// Appends the bits of another writer.
    pub(crate) fn append(&mut self, other: &Self) {
        let (words, rest) = other.bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.write(u64::from_be_bytes(*word), 64));
        rest.iter().for_each(|byte| self.write(u64::from(*byte), 8));
        if other.pending_len > 0 {
            self.write(other.pending >> (64 - other.pending_len), other.pending_len);
        }
    }

    /// Forgets what was written, keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        (self.pending, self.pending_len) = (0, 0);
    }

    /// Appends the low `n` bits of `value`, 0 to 64.
    #[inline]
    pub(crate) fn write(&mut self, value: u64, n: u32) {
        if n == 0 {
            return;
        }
        let value = value & (u64::MAX >> (64 - n));
        let free = 64 - self.pending_len;
        if n < free {
            self.pending |= value << (free - n);
            self.pending_len += n;
            return;
        }
        let rest = n - free;
        self.bytes.extend_from_slice(&(self.pending | value >> rest).to_be_bytes());
        self.pending = if rest == 0 { 0 } else { value << (64 - rest) };
        self.pending_len = rest;
    }

    /// Appends a `uvarint` byte by byte.
    pub(crate) fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.write(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.write(value, 8);
    }

    /// Appends a zigzag `varint`.
    pub(crate) fn varint(&mut self, value: i64) {
        self.uvarint((value << 1 ^ value >> 63) as u64);
    }

    fn varbit_prefix(&mut self, ones: usize) {
        if ones == 8 { self.write(0xff, 8) } else { self.write((1 << (ones + 1)) - 2, ones as u32 + 1) }
    }

    /// Appends a varbit-coded unsigned integer.
    pub(crate) fn varbit_uint(&mut self, value: u64) {
        let bits = 64 - value.leading_zeros();
        let ones = VARBIT_WIDTHS.iter().position(|w| *w >= bits).unwrap_or(8);
        self.varbit_prefix(ones);
        self.write(value, VARBIT_WIDTHS[ones]);
    }

    /// Appends a varbit-coded signed integer.
    pub(crate) fn varbit_int(&mut self, value: i64) {
        let ones = VARBIT_WIDTHS.iter().position(|w| fits(value, *w)).unwrap_or(8);
        self.varbit_prefix(ones);
        self.write(value as u64, VARBIT_WIDTHS[ones]);
    }
}

/// Whether `value` lies in −(2^(w−1)−1) … 2^(w−1).
#[inline]
pub(crate) fn fits(value: i64, width: u32) -> bool {
    match width {
        0 => value == 0,
        64 => true,
        w => -((1 << (w - 1)) - 1) <= value && value <= 1 << (w - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varbit_bounds() {
        let mut values = vec![0, 1, -1, i64::MAX, i64::MIN];
        for w in [3, 6, 9, 12, 18, 25, 56] {
            let top = 1i64 << (w - 1);
            values.extend([top - 1, top, top + 1, -top - 1, -top, -top + 1]);
        }
        let mut writer = BitWriter::default();
        for v in &values {
            writer.varbit_int(*v);
            writer.varbit_uint(*v as u64);
            writer.varint(*v);
        }
        let bytes = writer.to_vec();
        let mut reader = BitReader::new(&bytes);
        for v in &values {
            assert_eq!(reader.varbit_int(), *v);
            assert_eq!(reader.varbit_uint(), *v as u64);
            assert_eq!(reader.varint(), Some(*v));
        }
        assert!(!reader.overrun());
        assert_eq!(reader.position().div_ceil(8), bytes.len());
        reader.take(64);
        assert!(reader.overrun());
    }

    proptest::proptest! {
        #[test]
        fn writes_read_back(parts: Vec<(u64, u32)>, cut: u16) {
            let parts: Vec<_> = parts.into_iter().map(|(v, n)| (v, n % 65)).collect();
            let mask = |v: u64, n: u32| if n == 0 { 0 } else { v & (u64::MAX >> (64 - n)) };
            let mut writer = BitWriter::default();
            let mut bits = 0;
            for (i, (v, n)) in parts.iter().enumerate() {
                writer.write(*v, *n);
                bits += *n as usize;
                if i == cut as usize % (parts.len() + 1) {
                    writer = BitWriter::resume(&writer.to_vec(), bits);
                }
            }
            let bytes = writer.to_vec();
            let mut reader = BitReader::new(&bytes);
            for (v, n) in &parts {
                proptest::prop_assert_eq!(reader.take(*n), mask(*v, *n));
            }
            proptest::prop_assert!(!reader.overrun());
        }
    }
}
