//! Floats as Go's `strconv` writes them.

/// `%v` and `%g`: the fewest digits that read back, with an exponent below 1e-4 and from 1e6 on.
pub fn format_g(v: f64) -> String {
    format_float(v, 'g', None)
}

/// A float by one of the verbs `e`, `f`, `g`, with so many digits, or the fewest that read back.
pub fn format_float(v: f64, verb: char, precision: Option<usize>) -> String {
    if v.is_nan() {
        return "NaN".to_owned();
    }
    if v.is_infinite() {
        return if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    match (verb.to_ascii_lowercase(), precision) {
        ('f', None) => format!("{v}"),
        ('f', Some(digits)) => format!("{v:.digits$}"),
        ('e', None) => with_exponent(&format!("{v:e}")),
        ('e', Some(digits)) => with_exponent(&format!("{v:.digits$e}")),
        (_, precision) => general(v, precision),
    }
}

fn general(v: f64, precision: Option<usize>) -> String {
    let digits_max = precision.map(|digits| digits.max(1));
    let scientific = match digits_max {
        None => format!("{v:e}"),
        Some(digits) => format!("{v:.width$e}", width = digits - 1),
    };
    let (mantissa, exponent) = split(&scientific);
    // Zeros at the end do not count.
    let mantissa = match mantissa.contains('.') {
        true => mantissa.trim_end_matches('0').trim_end_matches('.'),
        false => mantissa,
    };
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count() as i32;
    let limit = match digits_max {
        None => 6,
        Some(max) => {
            let max = i32::try_from(max).unwrap_or(i32::MAX);
            if max > digits && digits > exponent { digits } else { max }
        }
    };
    if exponent < -4 || exponent >= limit {
        return with_exponent(&format!("{mantissa}e{exponent}"));
    }
    let decimals = usize::try_from(digits - 1 - exponent).unwrap_or(0);
    match digits_max {
        None => format!("{v}"),
        Some(_) => {
            // Rounded once only: to the digits that the scientific form has.
            let rounded: f64 = scientific.parse().unwrap_or(v);
            format!("{rounded:.decimals$}")
        }
    }
}

fn split(scientific: &str) -> (&str, i32) {
    match scientific.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse().unwrap_or(0)),
        None => (scientific, 0),
    }
}

/// Two digits of the exponent at least, and its sign.
fn with_exponent(scientific: &str) -> String {
    let (mantissa, exponent) = split(scientific);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_does() {
        for (v, verb, precision, text) in [
            (0.0, 'g', None, "0"),
            (100_000.0, 'g', None, "100000"),
            (1_234_567.0, 'g', None, "1.234567e+06"),
            (0.0001, 'g', None, "0.0001"),
            (0.00001, 'g', None, "1e-05"),
            (-1.5, 'g', None, "-1.5"),
            (0.0, 'g', Some(4), "0"),
            (1.0, 'g', Some(4), "1"),
            (123.456, 'g', Some(4), "123.5"),
            (99_999.0, 'g', Some(4), "1e+05"),
            (1234.0, 'g', Some(4), "1234"),
            (12345.0, 'g', Some(4), "1.234e+04"),
            (0.1234567, 'g', Some(4), "0.1235"),
            (f64::NAN, 'g', Some(4), "NaN"),
            (f64::INFINITY, 'g', Some(4), "+Inf"),
            (f64::NEG_INFINITY, 'f', Some(2), "-Inf"),
            (1.005, 'f', Some(1), "1.0"),
            (2.5, 'f', None, "2.5"),
            (1500.0, 'e', Some(2), "1.50e+03"),
            (1500.0, 'e', None, "1.5e+03"),
        ] {
            assert_eq!(format_float(v, verb, precision), text, "{v} {verb} {precision:?}");
        }
    }
}
