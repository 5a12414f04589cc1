//! Number literals: decimal, hexadecimal, octal with a leading zero, underscores, `Inf`, `NaN`.

use labels::quote;

/// Reads a literal as Go's `ParseInt(text, base 0)` and, where that fails, `ParseFloat` do.
///
/// # Errors
/// The text that Prometheus puts after `error parsing number: `.
pub(crate) fn parse_number(text: &str) -> Result<f64, String> {
    if let Some(int) = parse_int(text) {
        return Ok(int as f64);
    }
    model::parse_go_float(text).map_err(|e| format!("strconv.ParseFloat: parsing {}: {e}", quote(text)))
}

fn parse_int(text: &str) -> Option<i64> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = unsigned.to_ascii_lowercase();
    let (digits, base) = match lower.as_bytes() {
        [b'0', b'x', ..] => (&lower[2..], 16),
        [b'0', b'b', ..] => (&lower[2..], 2),
        [b'0', b'o', ..] => (&lower[2..], 8),
        [b'0', _, ..] => (&lower[1..], 8),
        _ => (lower.as_str(), 10),
    };
    // A base prefix counts as a digit: `0x_1` is well-formed.
    let with_prefix = if base == 10 { digits.to_owned() } else { format!("0{digits}") };
    if !underscores_separate_digits(&with_prefix) {
        return None;
    }
    let digits = digits.replace('_', "");
    if digits.is_empty() || digits.starts_with(['+', '-']) {
        return None;
    }
    let sign = if negative { "-" } else { "" };
    i64::from_str_radix(&format!("{sign}{digits}"), base).ok()
}

fn underscores_separate_digits(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().filter(|(_, b)| **b == b'_').all(|(i, _)| {
        let is_digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_hexdigit);
        is_digit(i.checked_sub(1)) && is_digit(Some(i + 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, value) in [
            ("1", 1.0),
            ("0x1F", 31.0),
            ("0X_1f", 31.0),
            ("0755", 493.0),
            ("0789", 789.0),
            ("1_000", 1000.0),
            ("1_000.5", 1000.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("2.5e-3", 0.0025),
            ("9223372036854775808", 9_223_372_036_854_775_808.0),
            ("Inf", f64::INFINITY),
            ("-iNf", f64::NEG_INFINITY),
            ("-0", 0.0),
        ] {
            assert_eq!(parse_number(text), Ok(value), "{text}");
        }
        assert!(parse_number("NaN").is_ok_and(f64::is_nan));
        for (text, why) in [
            ("1e400", "value out of range"),
            ("0x", "invalid syntax"),
            ("0xffffffffffffffffffff", "invalid syntax"),
            ("1__0", "invalid syntax"),
            ("", "invalid syntax"),
        ] {
            assert_eq!(parse_number(text), Err(format!("strconv.ParseFloat: parsing {text:?}: {why}")));
        }
    }
}
