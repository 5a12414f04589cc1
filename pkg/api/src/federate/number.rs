//! Floats as the text formats have them: Go's shortest form, with an exponent from a million on.

/// `1`, `0.25`, `1e+06`, `1.5e-07`, `+Inf`, `NaN`.
pub(super) fn write(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        let text: &[u8] = if value.is_nan() {
            b"NaN"
        } else if value > 0.0 {
            b"+Inf"
        } else {
            b"-Inf"
        };
        return out.extend_from_slice(text);
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        // Rust's own text has no exponent.
        return out.extend_from_slice(value.to_string().as_bytes());
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    out.extend_from_slice(format!("{digits}e{sign}{:02}", exponent.unsigned_abs()).as_bytes());
}

/// The same, with `.0` where nothing else tells that it is a float.
pub(super) fn write_openmetrics(value: f64, out: &mut Vec<u8>) {
    let begin = out.len();
    write(value, out);
    let whole = out.iter().skip(begin).all(|b| b.is_ascii_digit() || *b == b'-');
    if whole {
        out.extend_from_slice(b".0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_writes_them() {
        for (value, text, openmetrics) in [
            (0.0, "0", "0.0"),
            (-0.0, "-0", "-0.0"),
            (1.0, "1", "1.0"),
            (10_000.0, "10000", "10000.0"),
            (999_999.0, "999999", "999999.0"),
            (1e6, "1e+06", "1e+06"),
            (1_234_567.0, "1.234567e+06", "1.234567e+06"),
            (0.000_1, "0.0001", "0.0001"),
            (0.000_01, "1e-05", "1e-05"),
            (-1.5e-7, "-1.5e-07", "-1.5e-07"),
            (1e100, "1e+100", "1e+100"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
            (f64::NAN, "NaN", "NaN"),
        ] {
            let written = |write: fn(f64, &mut Vec<u8>)| {
                let mut out = Vec::new();
                write(value, &mut out);
                String::from_utf8(out).unwrap()
            };
            assert_eq!((written(write), written(write_openmetrics)), (text.to_owned(), openmetrics.to_owned()));
        }
    }
}
