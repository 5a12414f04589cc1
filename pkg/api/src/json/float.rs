//! Numbers as Go's `strconv` writes them for Prometheus: shortest digits that read back as the same number.

/// Whole numbers up to here are exact in an `f64` and written by the integer formatter.
const WHOLE_MAX: f64 = 1e15;

/// A sample's value, without quotes: no exponent from 1e-6 to 1e21, outside of it `1e-07`, `1.5e+21`.
#[inline]
pub fn write_float(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    if magnitude < WHOLE_MAX {
        let whole = value as i64;
        // -0 is a number of its own: Go writes `-0`
        if whole as f64 == value && (whole != 0 || value.is_sign_positive()) {
            out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
            return;
        }
        if magnitude >= 1e-4 {
            // Here the formatter's own text has no exponent, and ends in `.0` for no number but those above.
            out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
            return;
        }
    }
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        write_with_exponent(out, value);
    } else {
        write_plain_float(out, value);
    }
}

/// A number without exponent, however long that gets (`strconv.FormatFloat(v, 'f', -1, 64)`): scalars are written so.
pub fn write_plain_float(out: &mut Vec<u8>, value: f64) {
    let Some(parts) = Parts::of(out, value) else { return };
    let digits = parts.digits();
    let point = parts.point;
    if point <= 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + point.unsigned_abs() as usize, b'0');
        out.extend_from_slice(digits);
    } else if (point as usize) < digits.len() {
        let (before, after) = digits.split_at(point as usize);
        out.extend_from_slice(before);
        out.push(b'.');
        out.extend_from_slice(after);
    } else {
        out.extend_from_slice(digits);
        out.resize(out.len() + point as usize - digits.len(), b'0');
    }
}

fn write_with_exponent(out: &mut Vec<u8>, value: f64) {
    let Some(parts) = Parts::of(out, value) else { return };
    let digits = parts.digits();
    out.push(digits[0]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..]);
    }
    let exponent = parts.point - 1;
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    let exponent = exponent.unsigned_abs();
    if exponent < 10 {
        out.push(b'0');
    }
    out.extend_from_slice(itoa::Buffer::new().format(exponent).as_bytes());
}

/// A number's digits without leading and trailing zeros: 0.`digits` × 10^`point`.
struct Parts {
    buffer: [u8; 24],
    len: usize,
    point: i32,
}

impl Parts {
    /// Takes a number apart, its sign written already. Zero and what is no number is written whole: `None`.
    fn of(out: &mut Vec<u8>, value: f64) -> Option<Self> {
        if value.is_nan() {
            out.extend_from_slice(b"NaN");
            return None;
        }
        if value.is_infinite() {
            out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
            return None;
        }
        if value.is_sign_negative() {
            out.push(b'-');
        }
        if value == 0.0 {
            out.push(b'0');
            return None;
        }
        let mut formatter = zmij::Buffer::new();
        let text = formatter.format_finite(value.abs());
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut parts = Self { buffer: [0; 24], len: 0, point: before.len() as i32 + exponent };
        for digit in before.bytes().chain(after.bytes()) {
            if digit == b'0' && parts.len == 0 {
                parts.point -= 1;
            } else if parts.len < parts.buffer.len() {
                parts.buffer[parts.len] = digit;
                parts.len += 1;
            }
        }
        while parts.len > 1 && parts.buffer[parts.len - 1] == b'0' {
            parts.len -= 1;
        }
        Some(parts)
    }

    fn digits(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

/// A time in ms as seconds with up to three decimals: `1435781430.781`, `1435781430`, `-0.020`.
///
/// Prometheus keeps all three decimals once there are any (`0.100`); so does this.
pub fn write_timestamp(out: &mut Vec<u8>, t_ms: i64) {
    if t_ms < 0 {
        out.push(b'-');
    }
    let t = t_ms.unsigned_abs();
    out.extend_from_slice(itoa::Buffer::new().format(t / 1000).as_bytes());
    let ms = (t % 1000) as u32;
    if ms != 0 {
        let digit = |n: u32| b'0' + (n % 10) as u8;
        out.extend_from_slice(&[b'.', digit(ms / 100), digit(ms / 10), digit(ms)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(value: f64) -> String {
        let mut out = Vec::new();
        write_float(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    fn plain(value: f64) -> String {
        let mut out = Vec::new();
        write_plain_float(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn samples_as_in_prometheus() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-17.0, "-17"),
            (0.1, "0.1"),
            (1.5, "1.5"),
            (100.0, "100"),
            (123456.789, "123456.789"),
            (1e15, "1000000000000000"),
            (1.5e15, "1500000000000000"),
            (9007199254740993.0, "9007199254740992"),
            (1e16, "10000000000000000"),
            (1.25e17, "125000000000000000"),
            (123456789012345680000.0, "123456789012345680000"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e21, "1.5e+21"),
            (-1.5e300, "-1.5e+300"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
            (0.001, "0.001"),
            (0.0001, "0.0001"),
            (0.00012345, "0.00012345"),
            (0.00001, "0.00001"),
            (0.000001, "0.000001"),
            (0.00000123, "0.00000123"),
            (0.0000001, "1e-07"),
            (0.000000123, "1.23e-07"),
            (1e-10, "1e-10"),
            (1e-100, "1e-100"),
            (0.30000000000000004, "0.30000000000000004"),
            (1.0 / 3.0, "0.3333333333333333"),
            (1e15 + 0.5, "1000000000000000.5"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(float(value), text);
        }
    }

    #[test]
    fn scalars_have_no_exponent() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1e21, "1000000000000000000000"),
            (1.5e22, "15000000000000000000000"),
            (1e-7, "0.0000001"),
            (-1.25e-9, "-0.00000000125"),
            (42.5, "42.5"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(plain(value), text);
        }
        assert_eq!(plain(f64::MAX).len(), 309);
    }

    #[test]
    fn every_text_reads_back() {
        // A multiplicative generator is enough to visit all exponents.
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = f64::from_bits(bits);
            if value.is_finite() {
                assert_eq!(float(value).parse::<f64>().unwrap().to_bits(), value.to_bits(), "{value:e}");
                assert_eq!(plain(value).parse::<f64>().unwrap().to_bits(), value.to_bits(), "{value:e}");
            }
            let small = (bits >> 40) as f64 / 1000.0;
            assert_eq!(float(small).parse::<f64>().unwrap(), small);
            assert_eq!(float(small), plain(small));
        }
    }

    #[test]
    fn times() {
        for (t_ms, text) in [
            (0, "0"),
            (1_435_781_430_781, "1435781430.781"),
            (1_435_781_430_000, "1435781430"),
            (1_435_781_430_100, "1435781430.100"),
            (7, "0.007"),
            (-20, "-0.020"),
            (-1500, "-1.500"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            let mut out = Vec::new();
            write_timestamp(&mut out, t_ms);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
