//! A chunk's bytes back to front in a buffer of fixed size: what the fast decoders read from.
//!
//! Big-endian bits read from the front are little-endian words read from the back, so a look at the next bits is one
//! load and one shift. The size is a power of two and 8, so an index is kept in range by a mask: no bounds check, no
//! end-of-input check for each sample. Past the end lie zeros; who reads asks [`Reversed::overrun`] once at the end.

/// Room for one chunk. `N - 8` must be a power of two.
#[derive(Debug)]
pub(crate) struct Reversed<const N: usize> {
    bytes: [u8; N],
    len_bits: usize,
}

/// Bytes that are turned round at once.
const BLOCK: usize = 32;

#[inline(always)]
fn reverse(block: &[u8; BLOCK]) -> [u8; BLOCK] {
    // Word by word: byte by byte it would become shuffles that the oldest processors do not have.
    let mut reversed = [0; BLOCK];
    let words = block.as_chunks::<8>().0.iter();
    for (word, slot) in words.zip(reversed.as_chunks_mut::<8>().0.iter_mut().rev()) {
        *slot = u64::from_be_bytes(*word).to_le_bytes();
    }
    reversed
}

/// Where a reader stands: 57 less than the bits from here to the end of the buffer's back-to-front order.
pub(crate) type Place = usize;

impl<const N: usize> Reversed<N> {
    /// The place of the first bit.
    const BEGIN: Place = N * 8 - 57;

    /// The longest chunk that fits, in bytes.
    pub(crate) const ROOM: usize = N - 40;

    /// Bits of which all are zero.
    #[inline(always)]
    pub(crate) fn empty() -> Self {
        const { assert!((N - 8).is_power_of_two() && N > 64) };
        Self { bytes: [0; N], len_bits: 0 }
    }

    /// Takes a copy of `data`, once, up to [`Self::ROOM`] bytes. In place: to return a filled buffer would copy it.
    #[inline(always)]
    pub(crate) fn set(&mut self, data: &[u8]) {
        let data = &data[..data.len().min(Self::ROOM)];
        self.len_bits = data.len() * 8;
        let (blocks, rest) = data.as_chunks();
        let mut slots = self.bytes.as_rchunks_mut().1.iter_mut().rev();
        // Blocks first: a zip takes from its left side before it knows that the right one has ended.
        for (block, slot) in blocks.iter().zip(slots.by_ref()) {
            *slot = reverse(block);
        }
        if let Some(slot) = slots.next() {
            let mut block = [0; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            *slot = reverse(&block);
        }
    }

    /// The place after `bits` bits from the front.
    #[inline(always)]
    pub(crate) fn place(bits: usize) -> Place {
        Self::BEGIN.wrapping_sub(bits)
    }

    /// The bits at a place, left-aligned; at least 57 of them are valid. The first byte of the buffer is out of reach:
    /// it is part of every chunk's sample count.
    #[inline(always)]
    pub(crate) fn peek(&self, at: Place) -> u64 {
        let byte = (at >> 3) & (N - 9);
        match self.bytes[byte..].first_chunk() {
            Some(word) => u64::from_le_bytes(*word) << (!at & 7),
            // The mask ends before the last eight bytes.
            None => 0,
        }
    }

    /// `n` bits at a place, 58 to 64.
    #[cold]
    #[inline(never)]
    pub(crate) fn long(&self, at: Place, n: u32) -> u64 {
        let high = self.peek(at) >> 32;
        let low = self.peek(at.wrapping_sub(32)) >> (96 - n);
        high << (n - 32) | low
    }

    /// A `uvarint` that begins at a place; `None` when it does not fit 64 bits.
    #[inline(always)]
    pub(crate) fn uvarint(&self, at: &mut Place) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.peek(*at) >> 56;
            *at = at.wrapping_sub(8);
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

    /// Overwrites the two bytes before a place on a byte boundary, at least two bytes from the front.
    #[inline(always)]
    pub(crate) fn set_two_before(&mut self, at: Place, first: u8, second: u8) {
        // `at + 57` bits are left, so the byte before the place is byte `(at + 57) / 8`
        let byte = at.wrapping_add(57) >> 3;
        if let Some(two) = self.bytes.get_mut(byte..byte.wrapping_add(2)) {
            two.copy_from_slice(&[second, first]);
        }
    }

    /// Whether a reader that stands here has read past the end.
    #[inline(always)]
    pub(crate) fn overrun(&self, at: Place) -> bool {
        Self::BEGIN.wrapping_sub(at) > self.len_bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_the_plain_reader() {
        for len in [0usize, 1, 7, 8, 9, 479, 480] {
            let data: Vec<_> = (0..len).map(|i| (i * 151 + 17) as u8).collect();
            let mut reversed = Reversed::<520>::empty();
            reversed.set(&data);
            let mut plain = crate::bits::BitReader::new(&data);
            plain.skip(8);
            for at in 8..len * 8 {
                let place = Reversed::<520>::place(at);
                assert_eq!(reversed.peek(place) >> 7, plain.peek() >> 7, "bit {at} of {len} bytes");
                assert_eq!(reversed.long(place, 64), plain.clone().take(64), "bit {at} of {len} bytes");
                assert!(!reversed.overrun(place));
                plain.skip(1);
            }
            assert!(reversed.overrun(Reversed::<520>::place(len * 8 + 1)));
            assert_eq!(reversed.peek(Reversed::<520>::place(len * 8)) >> 7, 0);
        }
    }

    #[test]
    fn bytes_before_a_place() {
        let mut reversed = Reversed::<72>::empty();
        reversed.set(&[1, 2, 3, 4]);
        reversed.set_two_before(Reversed::<72>::place(24), 8, 9);
        assert_eq!(reversed.peek(Reversed::<72>::place(8)) >> 40, 0x08_0904);
        // Far away: nothing happens, nothing panics.
        reversed.set_two_before(Reversed::<72>::place(100_000), 8, 9);
        assert_eq!(reversed.peek(usize::MAX) >> 63, 0);
    }
}
