//! Values and bounds as numbers.

use model::{FloatError, parse_go_float};

use crate::decimal::{DIGITS_MAX, MANTISSA_MAX, POWERS};

/// Prometheus' own bits of "not a number" ("NormalNaN"): every NaN of a target is stored as this one, so that none is taken
/// for the stale marker.
const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// A sample's value: Go's floats without those that Go 1.13 added (hexadecimal ones, `_` between digits), since
/// Prometheus refuses them here. Every NaN comes out as the same one.
///
/// # Errors
/// Why it is no float.
pub fn parse_value(text: &[u8]) -> Result<f64, &'static str> {
    match short_decimal(text) {
        Some(value) => Ok(value),
        None => any_value(text),
    }
}

fn any_value(text: &[u8]) -> Result<f64, &'static str> {
    if text.iter().any(|b| matches!(b, b'p' | b'P' | b'_')) {
        return Err("unsupported character in float");
    }
    let text = std::str::from_utf8(text).map_err(|_| "a float")?;
    match parse_go_float(text) {
        Ok(value) if value.is_nan() => Ok(f64::from_bits(NORMAL_NAN_BITS)),
        Ok(value) => Ok(value),
        Err(FloatError::Range) => Err("the number is larger than any 64-bit float"),
        Err(FloatError::Syntax) => Err("this is no number"),
    }
}

/// Any NaN as the one that is stored; other values as they are.
pub(crate) fn canonical(value: f64) -> f64 {
    if value.is_nan() { f64::from_bits(NORMAL_NAN_BITS) } else { value }
}

/// Decimals with few digits, for which one exact operation gives the float nearest to them (Clinger's fast path). `None`
/// for all others.
#[inline]
fn short_decimal(text: &[u8]) -> Option<f64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let (mut mantissa, mut scale, mut seen, mut at) = (0u64, 0i32, 0usize, 0usize);
    let mut behind_point = false;
    while let Some(byte) = digits.get(at) {
        match byte {
            b'0'..=b'9' => {
                mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
                seen += 1;
                scale -= i32::from(behind_point);
            }
            b'.' if !behind_point => behind_point = true,
            b'e' | b'E' => break,
            _ => return None,
        }
        at += 1;
    }
    if seen == 0 || seen > DIGITS_MAX || mantissa > MANTISSA_MAX {
        return None;
    }
    if at < digits.len() {
        scale += small_exponent(&digits[at + 1..])?;
    }
    let value = match scale {
        0 => mantissa as f64,
        1..=22 => mantissa as f64 * POWERS[scale as usize],
        -22..=-1 => mantissa as f64 / POWERS[-scale as usize],
        _ => return None,
    };
    Some(if negative { -value } else { value })
}

fn small_exponent(text: &[u8]) -> Option<i32> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 3 {
        return None;
    }
    let mut exponent = 0;
    for byte in digits {
        exponent = exponent * 10 + i32::from(byte.is_ascii_digit().then(|| byte - b'0')?);
    }
    Some(if negative { -exponent } else { exponent })
}

/// A float as OpenMetrics writes it in `le` and `quantile`: the shortest digits that give it back, always with a point or
/// an exponent (`1.0`, `0.25`, `1e+06`, `+Inf`).
pub fn format_openmetrics_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value == 0.0 {
        // Zero has no sign here.
        return "0.0".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{value}");
    if plain.contains('.') { plain } else { plain + ".0" }
}

/// A `le` or `quantile` in the form of OpenMetrics; what is no float stays as it is.
pub(crate) fn normalised(bound: &str) -> Option<String> {
    let value = model::parse_go_float(bound).ok()?;
    let formatted = format_openmetrics_float(value);
    (formatted != bound).then_some(formatted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values() {
        for (text, want) in [
            ("1", 1.0),
            ("-0", -0.0),
            ("+1", 1.0),
            ("12.5", 12.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("1E+3", 1000.0),
            ("1.5e-3", 0.0015),
            ("0.1", 0.1),
            ("9007199254740993", 9007199254740992.0),
            ("123456789012345678901234567890", 123456789012345678901234567890.0),
            ("1e-400", 0.0),
            ("1e22", 1e22),
            ("1e23", 1e23),
            ("Inf", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("+Infinity", f64::INFINITY),
        ] {
            assert_eq!(parse_value(text.as_bytes()).map(f64::to_bits), Ok(want.to_bits()), "{text}");
        }
        for text in ["NaN", "nan"] {
            assert_eq!(parse_value(text.as_bytes()).map(f64::to_bits), Ok(0x7ff8_0000_0000_0001), "{text}");
        }
        let wrong =
            ["", "-", ".", "e5", "1e", "1e+", "1_2", "0x1p-3", "0x1P3", "0x10", "1e400", "true", "1 ", "--1", "1.2.3"];
        for text in wrong {
            assert!(parse_value(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse_value(b"\xff").is_err());
    }

    #[test]
    fn bounds() {
        for (value, want) in [
            (0.0, "0.0"),
            (-0.0, "0.0"),
            (1.0, "1.0"),
            (-1.0, "-1.0"),
            (0.25, "0.25"),
            (100000.0, "100000.0"),
            (409600.0, "409600.0"),
            (1e6, "1e+06"),
            (1638400.0, "1.6384e+06"),
            (1e21, "1e+21"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e-100, "1e-100"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(format_openmetrics_float(value), want);
        }
        assert_eq!(normalised("1").as_deref(), Some("1.0"));
        assert_eq!(normalised("0.5"), None);
        assert_eq!(normalised("+Inf"), None);
        assert_eq!(normalised("no number"), None);
    }

    proptest! {
        #[test]
        fn the_fast_way_is_exact(mantissa in any::<i64>(), point in 0usize..20, exponent in -25i32..25) {
            let mut text = mantissa.to_string();
            if point < text.len() && point > 0 && text.as_bytes()[point - 1] != b'-' {
                text.insert(point, '.');
            }
            for text in [text.clone(), format!("{text}e{exponent}")] {
                let want: f64 = text.parse().unwrap();
                prop_assert_eq!(parse_value(text.as_bytes()).unwrap().to_bits(), want.to_bits(), "{}", text);
            }
        }

        #[test]
        fn bounds_keep_their_value(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            prop_assert_eq!(model::parse_go_float(&format_openmetrics_float(value)), Ok(value));
        }
    }
}
