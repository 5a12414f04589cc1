//! Times, durations, limits and switches as parameters write them.

use model::{MAX_TIME_MS, MIN_TIME_MS, parse_duration as parse_prometheus_duration, parse_go_float};

/// What Prometheus prints for its earliest and its latest time; five-digit years no parser takes.
const MIN_TIME_TEXT: &str = "-292273086-05-16T16:47:06Z";
const MAX_TIME_TEXT: &str = "292277025-08-18T07:12:54.999999999Z";

/// A time, Unix seconds or RFC 3339, to ms.
pub(crate) fn parse_time(text: &str) -> Result<i64, String> {
    let bad = || format!("cannot parse {} to a valid timestamp", labels::quote(text));
    if let Some(seconds) = parse_number(text) {
        if seconds.is_nan() {
            return Err(bad());
        }
        let whole = seconds.trunc();
        let ms = (whole as i64).saturating_mul(1000).saturating_add(((seconds - whole) * 1000.0).round() as i64);
        return Ok(ms.clamp(MIN_TIME_MS, MAX_TIME_MS));
    }
    match text {
        MIN_TIME_TEXT => Ok(MIN_TIME_MS),
        MAX_TIME_TEXT => Ok(MAX_TIME_MS),
        _ => model::parse_rfc3339_ms(text).ok_or_else(bad),
    }
}

/// A duration, seconds or `1h30m`, to ms, rounded towards zero; negative ones pass.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    if let Some(seconds) = parse_number(text).filter(|s| !s.is_nan()) {
        let ns = seconds * 1e9;
        if ns > i64::MAX as f64 || ns < i64::MIN as f64 {
            let text = labels::quote(text);
            return Err(format!("cannot parse {text} to a valid duration. It overflows int64"));
        }
        return Ok(ns as i64 / 1_000_000);
    }
    parse_prometheus_duration(text).map_err(|_| format!("cannot parse {} to a valid duration", labels::quote(text)))
}

fn parse_number(text: &str) -> Option<f64> {
    parse_go_float(text).ok()
}

/// A count; empty is 0, no limit.
pub(crate) fn parse_limit(text: &str) -> Result<usize, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let limit = parse_int(text, "Atoi")?;
    usize::try_from(limit).map_err(|_| "limit must be non-negative".to_owned())
}

/// A whole number; errors are those of Go's `strconv.<function>`.
pub(crate) fn parse_int(text: &str, function: &str) -> Result<i64, String> {
    use std::num::IntErrorKind;
    text.parse::<i64>().map_err(|e| {
        let why = match e.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.{function}: parsing {}: {why}", labels::quote(text))
    })
}

/// A switch, the forms of Go's `strconv.ParseBool`.
pub(crate) fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {}: invalid syntax", labels::quote(text))),
    }
}

/// A label name as URLs carry it: after `U__`, `_` is doubled and what the classic rules forbid is its code in hex
/// between underscores. What is malformed is taken as it stands.
pub(crate) fn unescape_label_name(name: &str) -> String {
    decode_escaped(name).unwrap_or_else(|| name.to_owned())
}

fn decode_escaped(name: &str) -> Option<String> {
    let mut rest = name.strip_prefix("U__")?;
    let mut out = String::with_capacity(rest.len());
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let end = rest.find('_').filter(|end| (1..=6).contains(end))?;
        let code = &rest[..end];
        if !code.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        out.push(u32::from_str_radix(code, 16).ok().and_then(char::from_u32)?);
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, ms) in [
            ("0", 0),
            ("1435781430.781", 1_435_781_430_781),
            ("1435781430", 1_435_781_430_000),
            ("1.4357814307814e9", 1_435_781_430_781),
            ("-1.5", -1500),
            ("0.0004", 0),
            ("1e30", MAX_TIME_MS),
            ("-Inf", MIN_TIME_MS),
            ("2015-07-01T20:10:30.781Z", 1_435_781_430_781),
            ("2015-07-01T20:10:30Z", 1_435_781_430_000),
            ("2015-07-01T22:10:30+02:00", 1_435_781_430_000),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000),
            (MIN_TIME_TEXT, MIN_TIME_MS),
            (MAX_TIME_TEXT, MAX_TIME_MS),
        ] {
            assert_eq!(parse_time(text), Ok(ms), "{text}");
        }
        for text in [
            "",
            "abc",
            "NaN",
            "2015-07-01",
            "2015-07-01 20:10:30Z",
            "30m",
            "2015-07-01T20:10:30",
            "2015-07-01t20:10:30z",
        ] {
            assert_eq!(parse_time(text), Err(format!("cannot parse \"{text}\" to a valid timestamp")));
        }
    }

    #[test]
    fn durations() {
        for (text, ms) in [("0", 0), ("1", 1000), ("0.5", 500), ("5m", 300_000), ("1h30m", 5_400_000), ("-1", -1000)] {
            assert_eq!(parse_duration(text), Ok(ms), "{text}");
        }
        for text in ["", "abc", "5 m", "-5m", "NaN", "2015-07-01T20:10:30Z"] {
            assert_eq!(parse_duration(text), Err(format!("cannot parse \"{text}\" to a valid duration")));
        }
        assert!(parse_duration("1e30").unwrap_err().ends_with("It overflows int64"));
    }

    #[test]
    fn limits_and_switches() {
        assert_eq!(parse_limit(""), Ok(0));
        assert_eq!(parse_limit("7"), Ok(7));
        assert_eq!(parse_limit("-1").unwrap_err(), "limit must be non-negative");
        assert_eq!(parse_limit("x").unwrap_err(), "strconv.Atoi: parsing \"x\": invalid syntax");
        let big = "99999999999999999999";
        assert_eq!(parse_limit(big).unwrap_err(), format!("strconv.Atoi: parsing \"{big}\": value out of range"));
        assert_eq!((parse_bool("T"), parse_bool("0")), (Ok(true), Ok(false)));
        assert!(parse_bool("yes").is_err());
    }

    #[test]
    fn escaped_names() {
        for (name, plain) in [
            ("job", "job"),
            ("U__service_2e_name", "service.name"),
            ("U__a__b", "a_b"),
            ("U___1F600_x", "😀x"),
            ("U__a_2e", "U__a_2e"),
            ("U__a_zz_", "U__a_zz_"),
            ("U__a_1234567_", "U__a_1234567_"),
            ("U__a_d800_", "U__a_d800_"),
            ("U__a_", "U__a_"),
            ("U__", ""),
        ] {
            assert_eq!(unescape_label_name(name), plain, "{name}");
        }
    }
}
