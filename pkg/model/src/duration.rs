//! Prometheus' duration syntax: `1h30m`, `5m`, `100ms`, `0`; units y w d h m s ms, in that order, each at most once.

/// Why a string is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The string is empty.
    #[error("empty duration string")]
    Empty,
    /// Not of the form above.
    #[error("not a valid duration string: {0:?}")]
    Syntax(String),
    /// A unit that is none: the unit, and the whole string.
    #[error("unknown unit {0:?} in duration {1:?}")]
    Unit(String, String),
    /// Beyond what 64-bit nanoseconds hold (292 years), Prometheus' own bound.
    #[error("duration out of range")]
    Range,
}

const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Parses a duration to ms.
///
/// # Errors
/// See [`DurationError`].
pub fn parse_duration(text: &str) -> Result<i64, DurationError> {
    match text {
        "" => return Err(DurationError::Empty),
        "0" => return Ok(0),
        _ => {}
    }
    let syntax = || DurationError::Syntax(text.to_owned());
    let mut rest = text;
    let mut next_unit = 0;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(|b| !b.is_ascii_digit()).count();
        if digits == 0 || letters == 0 {
            return Err(syntax());
        }
        let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
        let Some(at) = UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(DurationError::Unit(unit.to_owned(), text.to_owned()));
        };
        if at < next_unit {
            return Err(syntax());
        }
        next_unit = at + 1;
        let number: u64 = number.parse().map_err(|_| DurationError::Range)?;
        let ms = number.checked_mul(UNITS[at].1).ok_or(DurationError::Range)?;
        total = total.checked_add(ms).filter(|t| *t <= (i64::MAX / 1_000_000) as u64).ok_or(DurationError::Range)?;
        rest = &rest[digits + letters..];
    }
    Ok(total as i64)
}

/// Writes ms as Prometheus does: `1h30m`, `0s`, `1d`, years and weeks only when they divide evenly.
pub fn format_duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    let mut rest = ms.unsigned_abs();
    if ms < 0 {
        out.push('-');
    }
    for (unit, size) in UNITS {
        let exact_only = matches!(unit, "y" | "w");
        if exact_only && !rest.is_multiple_of(size) {
            continue;
        }
        let n = rest / size;
        if n > 0 {
            out.push_str(&format!("{n}{unit}"));
            rest -= n * size;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses() {
        for (text, ms) in [
            ("0", 0),
            ("0s", 0),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("100ms", 100),
            ("1y2w3d4h5m6s7ms", 31_536_000_000 + 1_209_600_000 + 259_200_000 + 14_400_000 + 300_000 + 6000 + 7),
        ] {
            assert_eq!(parse_duration(text), Ok(ms), "{text}");
        }
        for text in ["", "5", "m", "1m1h", "1h1h", "-5m", "1.5h", "5 m", "5M", "99999999999999999999s", "300y"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn prints() {
        for (ms, text) in [
            (0, "0s"),
            (300_000, "5m"),
            (5_400_000, "1h30m"),
            (604_800_000, "1w"),
            (86_400_000 * 8, "8d"),
            (365 * 86_400_000, "1y"),
            (-60_000, "-1m"),
            (1001, "1s1ms"),
        ] {
            assert_eq!(format_duration(ms), text);
        }
    }
}
