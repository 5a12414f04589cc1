//! How pairs lie in memory: each text behind its length.

use std::ops::Range;

/// Appends a text.
#[inline]
pub(crate) fn push(bytes: &mut Vec<u8>, text: &str) {
    let mut len = text.len();
    while len >= 0x80 {
        bytes.push(len as u8 | 0x80);
        len >>= 7;
    }
    bytes.push(len as u8);
    bytes.extend_from_slice(text.as_bytes());
}

/// Bytes that a text takes.
pub(crate) fn encoded_len(text: &str) -> usize {
    let bits = usize::BITS - (text.len() | 1).leading_zeros();
    bits.div_ceil(7) as usize + text.len()
}

/// Where the text lies whose length stands at `at`.
#[inline]
pub(crate) fn text_at(bytes: &[u8], mut at: usize) -> Range<usize> {
    let mut len = usize::from(bytes[at]);
    at += 1;
    if len >= 0x80 {
        len &= 0x7f;
        let mut shift = 7;
        loop {
            let byte = bytes[at];
            at += 1;
            len |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
            shift += 7;
        }
    }
    at..at + len
}

/// The first place at which two texts differ; the length of the shorter one if there is none.
#[inline]
pub(crate) fn first_difference(a: &[u8], b: &[u8]) -> usize {
    let len = a.len().min(b.len());
    let (words_a, words_b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    for (i, (x, y)) in words_a.iter().zip(words_b).enumerate() {
        let differ = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if differ != 0 {
            return i * 8 + differ.trailing_zeros() as usize / 8;
        }
    }
    let done = len / 8 * 8;
    done + a[done..len].iter().zip(&b[done..len]).take_while(|(x, y)| x == y).count()
}
