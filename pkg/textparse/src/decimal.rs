//! Plain decimals that end their line, as most values of a body are: eight digits at a time.

/// Powers of ten that a float holds exactly.
pub(crate) const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
/// So many digits cannot overflow 64 bits.
pub(crate) const DIGITS_MAX: usize = 19;
/// Larger numbers are not exact as floats.
pub(crate) const MANTISSA_MAX: u64 = 1 << 53;

/// The number that `rest` begins with, and how many bytes it has. `None` unless it is a plain decimal of few digits with the
/// newline right behind it, and a few bytes more: one exact operation gives the float nearest to it then.
#[inline]
pub(crate) fn before_newline(rest: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(rest.first() == Some(&b'-'));
    let (mut mantissa, mut count) = digits(rest, sign, 0)?;
    let (mut end, mut fraction) = (sign + count, 0);
    if rest.get(end) == Some(&b'.') {
        (mantissa, fraction) = digits(rest, end + 1, mantissa)?;
        (end, count) = (end + 1 + fraction, count + fraction);
    }
    if rest.get(end) != Some(&b'\n') || count == 0 || count > DIGITS_MAX || mantissa > MANTISSA_MAX {
        return None;
    }
    let value = mantissa as f64 / POWERS.get(fraction)?;
    Some((if sign == 0 { value } else { -value }, end))
}

/// Digits from `at` on behind those of `mantissa`, and how many there are. `None` near the end of the bytes.
#[inline]
fn digits(bytes: &[u8], at: usize, mut mantissa: u64) -> Option<(u64, usize)> {
    const POWERS_OF_TEN: [u64; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];
    let mut count = 0;
    loop {
        let word = u64::from_le_bytes(*bytes.get(at + count..)?.first_chunk()?);
        let run = leading_digits(word);
        match POWERS_OF_TEN.get(run) {
            // What is no digit is shifted out; the zeros that come in stand for leading ones.
            Some(power) if run > 0 => {
                mantissa = mantissa.wrapping_mul(*power).wrapping_add(eight_digits(word << (8 * (8 - run))));
                return Some((mantissa, count + run));
            }
            Some(_) => return Some((mantissa, count)),
            None => mantissa = mantissa.wrapping_mul(100_000_000).wrapping_add(eight_digits(word)),
        }
        count += 8;
    }
}

/// How many of the eight bytes, the lowest first, are digits before one that is none.
#[inline]
fn leading_digits(word: u64) -> usize {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    // Digits are 0x30 to 0x39, and the only bytes whose high half is 3 also with 6 added. What is carried out of a byte
    // spoils only bytes behind one that is no digit.
    let more = word.wrapping_add(0x0606_0606_0606_0606);
    let other = (word & HIGH | (more & HIGH) >> 4) ^ 0x3333_3333_3333_3333;
    other.trailing_zeros() as usize / 8
}

/// Eight digits, the highest in the lowest byte: in pairs, then fours, then all.
#[inline]
fn eight_digits(word: u64) -> u64 {
    let pairs = (word & 0x0f0f_0f0f_0f0f_0f0f).wrapping_mul(10 << 8 | 1) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(100 << 16 | 1) >> 16;
    (fours & 0x0000_ffff_0000_ffff).wrapping_mul(10_000 << 32 | 1) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::parse_value;
    use proptest::prelude::*;

    /// What it gives is what the slow way gives; whether it gives anything.
    fn check(text: &str) -> bool {
        let line = format!("{text}\nnext line");
        let found = before_newline(line.as_bytes());
        if let Some((value, len)) = found {
            assert_eq!(len, text.len(), "{text:?}");
            assert_eq!(parse_value(text.as_bytes()).map(f64::to_bits), Ok(value.to_bits()), "{text:?}");
        }
        found.is_some()
    }

    #[test]
    fn plain_decimals() {
        for text in [
            "0",
            "-0",
            "1",
            "-1",
            "12345678",
            "123456789",
            "1234567890123456",
            "9007199254740992",
            "0.5",
            ".5",
            "5.",
            "-12.75",
            "1700000000.123",
            "0.000000000000001",
            "00000000001",
        ] {
            assert!(check(text), "{text}");
        }
        for text in [
            "",
            "-",
            ".",
            "-.",
            "+1",
            "1 ",
            " 1",
            "1e3",
            "NaN",
            "+Inf",
            "9007199254740993",
            "12345678901234567890",
            "1.2.3",
            "1-2",
            "--1",
            "1/",
            "1:",
            "0x10",
            "0.0000000000000000001",
            "1\u{fa}",
        ] {
            assert!(!check(text), "{text}");
        }
        assert_eq!(before_newline(b"1 5\nabcdefgh"), None);
        assert_eq!(before_newline(b"1\n"), None, "too near to the end");
    }

    proptest! {
        #[test]
        fn any_text(text in "[-+.0-9eE:/ ]{0,24}") {
            check(&text);
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 8), mut at in 0usize..8) {
            let mut bytes = bytes;
            bytes[..at].iter_mut().for_each(|byte| *byte = b'0' + *byte % 10);
            at = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(8);
            let word = u64::from_le_bytes(*bytes.first_chunk().unwrap());
            prop_assert_eq!(leading_digits(word), at);
        }

        #[test]
        fn numbers(value in any::<u64>(), shift in 0u32..64, point in 0usize..20) {
            let mut text = (value >> shift).to_string();
            text.insert(point.min(text.len()), '.');
            check(&text);
            check(&text.replace('.', ""));
        }
    }
}
