//! Whether two answers of the query API are the same.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// Values may differ by this much of the greater one. What is asked is the same sum in another order, no more.
const RELATIVE: f64 = 1e-9;
/// And by this much anyway: the noise that differences of equal numbers leave.
const ABSOLUTE: f64 = 1e-11;

/// How two answers differ first.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference(String);

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the order of series in an answer has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Any: the engine need not sort.
    Any,
    /// The same: the query sorts.
    Same,
}

/// The first difference between two whole JSON answers, `None` if they say the same.
pub fn difference(expected: &Value, got: &Value, order: Order) -> Option<Difference> {
    compare(expected, got, order).err().map(Difference)
}

/// Whether two values are the same number but for rounding; NaN is NaN.
pub fn close(a: f64, b: f64) -> bool {
    if a.is_nan() || b.is_nan() {
        return a.is_nan() && b.is_nan();
    }
    a == b || (a - b).abs() <= ABSOLUTE.max(RELATIVE * a.abs().max(b.abs()))
}

fn compare(expected: &Value, got: &Value, order: Order) -> Result<(), String> {
    if expected["status"] != got["status"] {
        return Err(format!("status {} instead of {}: {}", got["status"], expected["status"], short(got)));
    }
    if expected["status"] == "error" {
        // the texts are each engine's own
        let same = expected["errorType"] == got["errorType"];
        return same.then_some(()).ok_or_else(|| format!("{} instead of {}", short(got), short(expected)));
    }
    let (expected, got) = (&expected["data"], &got["data"]);
    if expected["resultType"] != got["resultType"] {
        return Err(format!("a {} instead of a {}", got["resultType"], expected["resultType"]));
    }
    match expected["resultType"].as_str() {
        Some("vector" | "matrix") => series(&expected["result"], &got["result"], order),
        Some("scalar") => point("scalar", &expected["result"], &got["result"]),
        _ if expected == got => Ok(()),
        _ => Err(format!("{} instead of {}", short(got), short(expected))),
    }
}

fn series(expected: &Value, got: &Value, order: Order) -> Result<(), String> {
    let (expected, got) = (named(expected)?, named(got)?);
    let (names, found): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (expected.iter().cloned().collect(), got.iter().cloned().collect());
    if found.len() != got.len() {
        return Err("a series comes twice".into());
    }
    let missing: Vec<_> = names.keys().filter(|k| !found.contains_key(*k)).collect();
    let extra: Vec<_> = found.keys().filter(|k| !names.contains_key(*k)).collect();
    if !missing.is_empty() || !extra.is_empty() {
        let first = |list: &[&String]| list.first().map(|s| format!(", e.g. {s}")).unwrap_or_default();
        return Err(format!(
            "{} series instead of {}: {} missing{}, {} extra{}",
            found.len(),
            names.len(),
            missing.len(),
            first(&missing),
            extra.len(),
            first(&extra)
        ));
    }
    if order == Order::Same
        && let Some(at) = expected.iter().zip(&got).position(|(e, g)| e.0 != g.0)
    {
        return Err(format!("series {at} is {} instead of {}", got[at].0, expected[at].0));
    }
    for (name, expected) in &names {
        points(name, expected, found[name])?;
    }
    Ok(())
}

/// Series with their labels as text.
fn named(result: &Value) -> Result<Vec<(String, &Value)>, String> {
    let series = result.as_array().ok_or_else(|| format!("no list of series: {}", short(result)))?;
    Ok(series.iter().map(|s| (s["metric"].to_string(), s)).collect())
}

fn points(name: &str, expected: &Value, got: &Value) -> Result<(), String> {
    if let Some(expected) = expected.get("value") {
        return point(name, expected, &got["value"]);
    }
    let list = |v: &Value| v["values"].as_array().cloned().unwrap_or_default();
    let (expected, got) = (list(expected), list(got));
    let time = |p: &Value| p[0].as_f64().unwrap_or(f64::NAN);
    for (e, g) in expected.iter().zip(&got) {
        if time(e) != time(g) {
            return Err(format!("{name}: a point at {} instead of {}", time(g), time(e)));
        }
        point(name, e, g)?;
    }
    if expected.len() != got.len() {
        return Err(format!("{name}: {} points instead of {}", got.len(), expected.len()));
    }
    Ok(())
}

fn point(name: &str, expected: &Value, got: &Value) -> Result<(), String> {
    let value = |p: &Value| p[1].as_str().and_then(|text| text.parse::<f64>().ok());
    let same = match (value(expected), value(got)) {
        (Some(e), Some(g)) => close(e, g) && expected[0].as_f64() == got[0].as_f64(),
        _ => expected == got,
    };
    same.then_some(()).ok_or_else(|| format!("{name}: {got} instead of {expected}"))
}

fn short(value: &Value) -> String {
    let mut text = value.to_string();
    if let Some((cut, _)) = text.char_indices().nth(300) {
        text.truncate(cut);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn vector(series: &[(&str, f64, &str)]) -> Value {
        let series = series.iter().map(|(name, t, v)| json!({"metric": {"__name__": name}, "value": [t, v]}));
        json!({"status": "success", "data": {"resultType": "vector", "result": series.collect::<Vec<_>>()}})
    }

    #[test]
    fn tells() {
        let base = vector(&[("a", 1.0, "1"), ("b", 1.0, "NaN")]);
        let cases: &[(Value, Order, &str)] = &[
            (vector(&[("a", 1.0, "1.0000000001"), ("b", 1.0, "NaN")]), Order::Same, ""),
            (vector(&[("b", 1.0, "NaN"), ("a", 1.0, "1")]), Order::Any, ""),
            (vector(&[("b", 1.0, "NaN"), ("a", 1.0, "1")]), Order::Same, "series 0 is"),
            (vector(&[("a", 1.0, "1.00001"), ("b", 1.0, "NaN")]), Order::Any, "\"1.00001\"] instead of"),
            (vector(&[("a", 1.0, "1"), ("b", 1.0, "0")]), Order::Any, "\"0\"] instead of"),
            (vector(&[("a", 2.0, "1"), ("b", 1.0, "NaN")]), Order::Any, "[2.0,\"1\"] instead of"),
            (vector(&[("a", 1.0, "1")]), Order::Any, "1 missing, e.g. {\"__name__\":\"b\"}"),
            (vector(&[("a", 1.0, "1"), ("a", 1.0, "1"), ("b", 1.0, "NaN")]), Order::Any, "comes twice"),
            (json!({"status": "error", "errorType": "bad_data"}), Order::Any, "status \"error\" instead of"),
        ];
        for (got, order, want) in cases {
            let text = difference(&base, got, *order).map(|d| d.to_string()).unwrap_or_default();
            assert!(text.contains(want) && want.is_empty() == text.is_empty(), "{want:?}: {text:?}");
        }
    }
}
