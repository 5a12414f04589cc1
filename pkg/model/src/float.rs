//! Floats as Go's `strconv.ParseFloat` reads them: what Prometheus takes in `le`, `time`, `step` and the like.

/// Why a string is no float.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FloatError {
    /// Not the form of a float.
    #[error("invalid syntax")]
    Syntax,
    /// The number is larger than any 64-bit float.
    #[error("value out of range")]
    Range,
}

/// A float as Go reads it: decimal, hexadecimal with a binary exponent (`0x1.8p3`), `_` between digits, `inf`, `infinity`
/// and `nan` in any case. Source: the documentation of Go's `strconv.ParseFloat`.
///
/// # Errors
/// [`FloatError`]; too large a number is one too, unlike in Rust.
pub fn parse_go_float(text: &str) -> Result<f64, FloatError> {
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let is_signed = unsigned.len() < text.len();
    let value = if unsigned.eq_ignore_ascii_case("inf") || unsigned.eq_ignore_ascii_case("infinity") {
        f64::INFINITY
    } else if unsigned.eq_ignore_ascii_case("nan") && !is_signed {
        f64::NAN
    } else if !underscores_separate_digits(unsigned) {
        return Err(FloatError::Syntax);
    } else {
        let digits = unsigned.replace('_', "");
        match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            Some(hexadecimal) => parse_hexadecimal(hexadecimal)?,
            None => parse_decimal(&digits)?,
        }
    };
    Ok(if negative { -value } else { value })
}

/// Whether each `_` stands between digits; the prefix of a base counts as a digit.
fn underscores_separate_digits(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_hexadecimal = text.len() > 2 && text.get(..2).is_some_and(|t| t.eq_ignore_ascii_case("0x"));
    let is_digit = |b: &u8| b.is_ascii_digit() || (is_hexadecimal && b.is_ascii_hexdigit());
    bytes.iter().enumerate().filter(|(_, b)| **b == b'_').all(|(i, _)| {
        let before = i.checked_sub(1).and_then(|at| bytes.get(at)).is_some_and(is_digit) || (is_hexadecimal && i == 2);
        before && bytes.get(i + 1).is_some_and(is_digit)
    })
}

fn parse_decimal(digits: &str) -> Result<f64, FloatError> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    let signed = digits.starts_with(['+', '-']);
    let value: f64 = digits.parse().ok().filter(|_| plain && !signed).ok_or(FloatError::Syntax)?;
    if value.is_infinite() { Err(FloatError::Range) } else { Ok(value) }
}

/// `1.8p3`, without the prefix.
fn parse_hexadecimal(text: &str) -> Result<f64, FloatError> {
    let (mantissa, exponent) = text.split_once(['p', 'P']).ok_or(FloatError::Syntax)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let is_exponent = !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !is_exponent {
        return Err(FloatError::Syntax);
    }
    // Beyond this the value is 0 or out of range, however many digits there are.
    let mut exponent: i64 =
        exponent.parse::<i64>().unwrap_or(if exponent.starts_with('-') { i64::MIN / 4 } else { i64::MAX / 4 });
    exponent = exponent.clamp(i64::MIN / 4, i64::MAX / 4) - 4 * fraction.len() as i64;
    let mut bits = 0_u64;
    for byte in whole.bytes().chain(fraction.bytes()) {
        let digit = char::from(byte).to_digit(16).ok_or(FloatError::Syntax)?;
        if bits >> 60 == 0 {
            bits = bits << 4 | u64::from(digit);
        } else {
            // What does not fit only matters for rounding: the last bit says whether it was zero.
            bits |= u64::from(digit != 0);
            exponent += 4;
        }
    }
    scale(bits, exponent)
}

/// `bits * 2^exponent`, rounded to even.
fn scale(bits: u64, exponent: i64) -> Result<f64, FloatError> {
    if bits == 0 {
        return Ok(0.0);
    }
    let shift = bits.leading_zeros();
    let (bits, exponent) = (bits << shift, exponent - i64::from(shift));
    let top = exponent.saturating_add(63);
    if top > 1023 {
        return Err(FloatError::Range);
    }
    // Bits below the last that a float of this size has: 11, more for subnormal ones.
    let dropped = 11 + (-1022 - top).max(0);
    if dropped > 65 {
        return Ok(0.0);
    }
    let wide = u128::from(bits);
    let (kept, rest, half) = (wide >> dropped, wide & ((1 << dropped) - 1), 1_u128 << (dropped - 1));
    let kept = kept as u64 + u64::from(rest > half || (rest == half && kept & 1 == 1));
    // A carry out of the mantissa goes into the exponent, as it should.
    let exponent_bits = if top < -1022 { 0 } else { (top + 1022) as u64 };
    let value = f64::from_bits((exponent_bits << 52) + kept);
    if value.is_finite() { Ok(value) } else { Err(FloatError::Range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_reads_them() {
        for (text, want) in [
            ("1", 1.0),
            ("+.5", 0.5),
            ("5.", 5.0),
            ("-1e3", -1000.0),
            ("1_0", 10.0),
            ("1_0.2_5e1_0", 10.25e10),
            ("0x1.4p3", 10.0),
            ("0X_1P4", 16.0),
            ("-0x.8p1", -1.0),
            ("0x1p-1074", 5e-324),
            ("0x1p-1075", 0.0),
            ("0x1.8p-1075", 5e-324),
            ("0x1p-1076", 0.0),
            ("0x1p-99999999999999999999", 0.0),
            ("0x0p99999999999999999999", 0.0),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x1.fffffffffffff7ffffffp1023", f64::MAX),
            ("0x0.fffffffffffff8p-1022", f64::MIN_POSITIVE),
            ("0x1.00000000000008p0", 1.0),
            ("0x1.000000000000080000001p0", 1.0 + f64::EPSILON),
            ("0x1.00000000000018p0", 1.0 + 2.0 * f64::EPSILON),
            ("Inf", f64::INFINITY),
            ("-iNfInItY", f64::NEG_INFINITY),
        ] {
            assert_eq!(parse_go_float(text).map(f64::to_bits), Ok(want.to_bits()), "{text}");
        }
        assert!(parse_go_float("NaN").is_ok_and(f64::is_nan));
        for text in ["1e400", "-1e309", "0x1p1024", "0x1.fffffffffffff8p1023", "0x1p99999999999999999999"] {
            assert_eq!(parse_go_float(text), Err(FloatError::Range), "{text}");
        }
        let wrong = [
            "", "+", "-", ".", "e5", "1e", "1e+", "+nan", "-NaN", "infi", "_1", "1_", "1__0", "1_.5", "1._5", "1e_5",
            "0x", "0x1", "0x1.8", "0xp1", "0x.p1", "0x1p", "0x1p+", "0x1pf", "1 ", " 1", "1f", "١", "0b1", "--1",
            "+-1", "0_x1p1", "Cé", "1é_0", "é_1",
        ];
        for text in wrong {
            assert_eq!(parse_go_float(text), Err(FloatError::Syntax), "{text}");
        }
    }
}
