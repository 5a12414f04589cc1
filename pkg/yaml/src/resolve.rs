//! What scalars without quotes mean, as Go's YAML reader has it.

/// Whether the scalar stands for nothing.
pub fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// A boolean. `typed`: it is known that one is wanted, so that YAML 1.1's words count.
pub fn boolean(text: &str, typed: bool) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" if typed => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" if typed => Some(false),
        _ => None,
    }
}

/// An integer: decimal, `0x`, `0o`, `0b` or with a leading 0 octal, with `_` between digits.
pub fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let digits = digits.replace('_', "");
    let radix = |prefix: &str, radix| digits.strip_prefix(prefix).and_then(|d| i128::from_str_radix(d, radix).ok());
    let number = radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| radix("0b", 2)).or_else(|| {
        match digits.strip_prefix('0') {
            Some(octal) if !octal.is_empty() => i128::from_str_radix(octal, 8).ok(),
            _ => digits.parse().ok(),
        }
    })?;
    Some(if negative { -number } else { number })
}

/// A number with a fraction, an exponent, or one of YAML's words.
pub fn float(text: &str) -> Option<f64> {
    match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Some(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Some(f64::NAN),
        _ => {}
    }
    let begins = text.trim_start_matches(['-', '+']);
    begins.starts_with(|c: char| c.is_ascii_digit() || c == '.').then(|| text.replace('_', "").parse().ok())?
}
