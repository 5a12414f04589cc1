//! Floats as Go writes them.

/// `%g`: the fewest digits that read back, with an exponent below 1e-4 and from 1e6 on.
pub(crate) fn format_g(v: f64) -> String {
    if let Some(text) = special(v) {
        return text;
    }
    let scientific = format!("{v:e}");
    let (digits, exponent) = split(&scientific);
    if !(-4..6).contains(&exponent) { with_exponent(digits, exponent) } else { format!("{v}") }
}

/// `%.2g`.
pub(crate) fn format_g2(v: f64) -> String {
    if let Some(text) = special(v) {
        return text;
    }
    let scientific = format!("{v:.1e}");
    let (digits, exponent) = split(&scientific);
    let digits = digits.strip_suffix(".0").unwrap_or(digits);
    if (-4..2).contains(&exponent) {
        let rounded: f64 = scientific.parse().unwrap_or(v);
        return format!("{rounded}");
    }
    with_exponent(digits, exponent)
}

fn special(v: f64) -> Option<String> {
    if v.is_nan() {
        return Some("NaN".to_owned());
    }
    v.is_infinite().then(|| if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned())
}

/// `strconv.FormatFloat(v, 'f', -1, 64)`.
pub(crate) fn format_f(v: f64) -> String {
    special(v).unwrap_or_else(|| format!("{v}"))
}

/// A float as OpenMetrics label values have it: `1.0`, `0.5`, `+Inf`.
pub(crate) fn format_open_metrics(v: f64) -> String {
    if let Some(text) = special(v) {
        return text;
    }
    let text = format_g(v);
    if text.contains(['e', '.']) { text } else { format!("{text}.0") }
}

fn split(scientific: &str) -> (&str, i32) {
    match scientific.split_once('e') {
        Some((digits, exponent)) => (digits, exponent.parse().unwrap_or(0)),
        None => (scientific, 0),
    }
}

fn with_exponent(digits: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// As Go's `math.Min`: NaN wins, except over -Inf.
pub(crate) fn go_min(a: f64, b: f64) -> f64 {
    if a.is_infinite() && a < 0.0 || b.is_infinite() && b < 0.0 {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { a } else { b }
    } else {
        a.min(b)
    }
}

/// As Go's `math.Max`: NaN wins, except over +Inf.
pub(crate) fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else {
        a.max(b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_does() {
        for (v, g, g2) in [
            (0.0, "0", "0"),
            (1.5, "1.5", "1.5"),
            (100.0, "100", "1e+02"),
            (1_234_567.0, "1.234567e+06", "1.2e+06"),
            (0.00001, "1e-05", "1e-05"),
            (f64::NAN, "NaN", "NaN"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (0.123, "0.123", "0.12"),
            (10.0, "10", "10"),
        ] {
            assert_eq!((format_g(v).as_str(), format_g2(v).as_str()), (g, g2), "{v}");
        }
    }
}
