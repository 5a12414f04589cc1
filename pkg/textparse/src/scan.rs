//! Finding bytes and telling classes of bytes apart, quickly.

/// A letter or `_`: what a label name begins with.
pub(crate) const LABEL_START: u8 = 1;
/// A letter, digit or `_`.
pub(crate) const LABEL: u8 = 2;
/// A letter, `_` or `:`: what a metric name begins with.
pub(crate) const NAME_START: u8 = 4;
/// A letter, digit, `_` or `:`.
pub(crate) const NAME: u8 = 8;

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        if b.is_ascii_alphabetic() || b == b'_' {
            classes[byte] = LABEL_START | LABEL | NAME_START | NAME;
        } else if b.is_ascii_digit() {
            classes[byte] = LABEL | NAME;
        } else if b == b':' {
            classes[byte] = NAME_START | NAME;
        }
        byte += 1;
    }
    classes
};

/// Whether `byte` is of one of the classes.
#[inline]
pub(crate) fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// How many bytes of the class `bytes` begin with.
#[inline]
pub(crate) fn run(bytes: &[u8], class: u8) -> usize {
    bytes.iter().position(|b| !is(*b, class)).unwrap_or(bytes.len())
}

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// A top bit in each byte that is zero; bits above the lowest one may be wrong.
#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & TOPS
}

/// The place of the first `a` or `b`.
#[inline]
pub(crate) fn find2(bytes: &[u8], a: u8, b: u8) -> Option<usize> {
    let (wide_a, wide_b) = (ONES * u64::from(a), ONES * u64::from(b));
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let hits = zeros(word ^ wide_a) | zeros(word ^ wide_b);
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = bytes.get(at..)?;
    rest.iter().position(|byte| *byte == a || *byte == b).map(|found| at + found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_plain_loop_finds(bytes in proptest::collection::vec(0u8..6, 0..64), a in 0u8..6, b in 0u8..6) {
            let want = bytes.iter().position(|byte| *byte == a || *byte == b);
            prop_assert_eq!(find2(&bytes, a, b), want);
        }

        #[test]
        fn all_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..64), a in any::<u8>(), b in any::<u8>()) {
            let want = bytes.iter().position(|byte| *byte == a || *byte == b);
            prop_assert_eq!(find2(&bytes, a, b), want);
        }
    }

    #[test]
    fn classes() {
        for byte in 0..=255u8 {
            let letter = byte.is_ascii_alphabetic() || byte == b'_';
            assert_eq!(is(byte, LABEL_START), letter);
            assert_eq!(is(byte, LABEL), letter || byte.is_ascii_digit());
            assert_eq!(is(byte, NAME_START), letter || byte == b':');
            assert_eq!(is(byte, NAME), letter || byte.is_ascii_digit() || byte == b':');
        }
        assert_eq!((run(b"a_1:{", NAME), run(b"a_1:{", LABEL), run(b"", LABEL)), (4, 3, 0));
    }
}
