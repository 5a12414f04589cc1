//! Numbers for people.

use crate::Value;
use crate::float::format_float;
use crate::go_time::rfc3339_like;

/// A number out of what a template has: numbers, durations in seconds, texts of numbers.
pub(super) fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Float(f) => Ok(*f),
        Value::Int(n) => Ok(*n as f64),
        Value::Duration(ns) => Ok(*ns as f64 / 1e9),
        Value::String(text) => {
            model::parse_go_float(text).map_err(|e| format!("strconv.ParseFloat: parsing {}: {e}", labels::quote(text)))
        }
        other => Err(format!("can't convert {} to float", other.type_name())),
    }
}

fn g4(v: f64) -> String {
    format_float(v, 'g', Some(4))
}

/// Divides by 1000 as often as it takes, at most once for each prefix.
fn scaled_down<'p>(mut v: f64, base: f64, prefixes: &[&'p str]) -> (f64, &'p str) {
    let mut prefix = "";
    for next in prefixes {
        if v.abs() < base {
            break;
        }
        prefix = next;
        v /= base;
    }
    (v, prefix)
}

fn scaled_up(mut v: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if v.abs() >= 1.0 {
            break;
        }
        prefix = next;
        v *= 1000.0;
    }
    (v, prefix)
}

pub(super) fn humanize(v: f64) -> String {
    if v == 0.0 || !v.is_finite() {
        return g4(v);
    }
    let (v, prefix) = match v.abs() >= 1.0 {
        true => scaled_down(v, 1000.0, &["k", "M", "G", "T", "P", "E", "Z", "Y"]),
        false => scaled_up(v),
    };
    format!("{}{prefix}", g4(v))
}

pub(super) fn humanize_1024(v: f64) -> String {
    if v.abs() <= 1.0 || !v.is_finite() {
        return g4(v);
    }
    let (v, prefix) = scaled_down(v, 1024.0, &["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"]);
    format!("{}{prefix}", g4(v))
}

/// Seconds as days, hours, minutes and seconds, or as parts of a second.
pub(super) fn humanize_duration(v: f64) -> String {
    if !v.is_finite() {
        return g4(v);
    }
    if v == 0.0 {
        return format!("{}s", g4(v));
    }
    if v.abs() < 1.0 {
        let (v, prefix) = scaled_up(v);
        return format!("{}{prefix}s", g4(v));
    }
    let sign = if v < 0.0 { "-" } else { "" };
    let v = v.abs();
    let total = v as i64;
    let (days, hours, minutes, seconds) = (total / 86_400, total / 3600 % 24, total / 60 % 60, total % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", g4(v)),
        (0, 0, _) => format!("{sign}{minutes}m {seconds}s"),
        (0, ..) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }
}

pub(super) fn humanize_percentage(v: f64) -> String {
    format!("{}%", g4(v * 100.0))
}

pub(super) fn humanize_timestamp(v: f64) -> Result<String, String> {
    if !v.is_finite() {
        return Ok(g4(v));
    }
    time_of(v).map(rfc3339_like)
}

/// Seconds since the epoch to ms.
pub(super) fn time_of(v: f64) -> Result<i64, String> {
    if !v.is_finite() {
        return Err("value is NaN or Inf".to_owned());
    }
    let ns = v * 1e9;
    if !(-9.223_372_036_854_776e18..9.223_372_036_854_776e18).contains(&ns) {
        return Err(format!(
            "{} cannot be represented as a nanoseconds timestamp since it overflows int64",
            crate::format_g(v)
        ));
    }
    Ok((ns as i64) / 1_000_000)
}

/// Seconds to ns.
pub(super) fn duration_of(v: f64) -> Result<i64, String> {
    if !v.is_finite() {
        return Err("value is NaN or Inf".to_owned());
    }
    let ns = v * 1e9;
    if !(-9.223_372_036_854_776e18..9.223_372_036_854_776e18).contains(&ns) {
        return Err(format!(
            "{} cannot be represented as a nanoseconds duration since it overflows int64",
            crate::format_g(v)
        ));
    }
    Ok(ns as i64)
}
