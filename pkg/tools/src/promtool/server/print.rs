//! Results of queries as promtool prints them.

use std::cmp::Ordering;

use labels::METRIC_NAME;
use serde_json::{Map, Value};

/// JSON on one line, as Go writes it: some characters of texts are escaped.
pub(super) fn json(value: &Value) -> String {
    let text = value.to_string();
    // Outside of texts JSON has none of them.
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// A result with its numbers as Go's client writes them again: without an exponent.
pub(super) fn plain_numbers(data: &Value) -> Value {
    let mut result = data["result"].clone();
    match data["resultType"].as_str() {
        Some("scalar") => plain_pair(&mut result),
        Some("vector" | "matrix") => {
            for series in result.as_array_mut().into_iter().flatten() {
                for name in ["value", "histogram"] {
                    series.get_mut(name).into_iter().for_each(plain_pair);
                }
                for name in ["values", "histograms"] {
                    let points = series.get_mut(name).and_then(Value::as_array_mut);
                    points.into_iter().flatten().for_each(plain_pair);
                }
            }
        }
        _ => {}
    }
    result
}

/// Of a time and a value.
fn plain_pair(pair: &mut Value) {
    match pair.get_mut(1) {
        Some(Value::Object(histogram)) => {
            for name in ["count", "sum"] {
                histogram.get_mut(name).into_iter().for_each(plain_number);
            }
            let buckets = histogram.get_mut("buckets").and_then(Value::as_array_mut).into_iter().flatten();
            buckets.filter_map(Value::as_array_mut).flatten().for_each(plain_number);
        }
        Some(number) => plain_number(number),
        None => {}
    }
}

fn plain_number(value: &mut Value) {
    if let Some(number) = value.as_str().and_then(|text| model::parse_go_float(text).ok()).filter(|n| n.is_finite()) {
        *value = Value::String(format!("{number}"));
    }
}

/// `data` of an answer as text.
pub(super) fn result_text(data: &Value) -> Result<String, String> {
    let result = &plain_numbers(data);
    let list = || result.as_array().ok_or_else(|| "the result is no list".to_owned());
    match data["resultType"].as_str() {
        Some("vector") => Ok(list()?.iter().map(sample).collect::<Vec<_>>().join("\n")),
        Some("matrix") => {
            let mut series: Vec<&Value> = list()?.iter().collect();
            series.sort_by(|a, b| before(&a["metric"], &b["metric"]));
            Ok(series.into_iter().map(stream).collect::<Vec<_>>().join("\n"))
        }
        Some("scalar") => Ok(format!("scalar: {} @[{}]", text(&result[1]), time(&result[0]))),
        Some("string") => Ok(text(&result[1]).to_owned()),
        other => Err(format!("result type {other:?} is not known")),
    }
}

fn sample(sample: &Value) -> String {
    let metric = metric_text(&sample["metric"]);
    match sample.get("histogram") {
        Some(pair) => format!("{metric} => {} @[{}]", histogram(&pair[1]), time(&pair[0])),
        None => format!("{metric} => {}", point(&sample["value"])),
    }
}

fn stream(series: &Value) -> String {
    let floats = series["values"].as_array().into_iter().flatten().map(point);
    let histograms = series["histograms"].as_array().into_iter().flatten();
    let histograms = histograms.map(|pair| format!("{} @[{}]", histogram(&pair[1]), time(&pair[0])));
    let points: Vec<String> = floats.chain(histograms).collect();
    format!("{} =>\n{}", metric_text(&series["metric"]), points.join("\n"))
}

fn point(pair: &Value) -> String {
    format!("{} @[{}]", text(&pair[1]), time(&pair[0]))
}

/// Seconds, without an exponent.
fn time(value: &Value) -> String {
    value.as_f64().map_or_else(|| value.to_string(), |seconds| format!("{seconds}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> f64 {
    model::parse_go_float(text(value)).unwrap_or(f64::NAN)
}

/// `Count: 3.000000, Sum: 4.500000, Buckets: [(0.5,1]:1 (1,2]:2]`.
fn histogram(value: &Value) -> String {
    let one = |bucket: &Value| {
        let (open, close) = match bucket[0].as_u64() {
            Some(0) => ('(', ']'),
            Some(1) => ('[', ')'),
            Some(3) => ('[', ']'),
            _ => ('(', ')'),
        };
        let bound = |at: usize| gotemplate::format_g(number(&bucket[at]));
        format!("{open}{},{}{close}:{}", bound(1), bound(2), text(&bucket[3]))
    };
    let buckets: Vec<String> = value["buckets"].as_array().into_iter().flatten().map(one).collect();
    let of = |name: &str| format!("{:.6}", number(&value[name]));
    format!("Count: {}, Sum: {}, Buckets: [{}]", of("count"), of("sum"), buckets.join(" "))
}

fn pairs(metric: &Map<String, Value>) -> impl Iterator<Item = (&str, &str)> {
    metric.iter().map(|(name, value)| (name.as_str(), text(value)))
}

fn braces<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let list: Vec<String> = pairs.map(|(name, value)| format!("{name}={}", labels::quote(value))).collect();
    format!("{{{}}}", list.join(", "))
}

/// `up{job="x"}`.
fn metric_text(metric: &Value) -> String {
    let empty = Map::new();
    let metric = metric.as_object().unwrap_or(&empty);
    let name = metric.get(METRIC_NAME).map_or("", text);
    let others = pairs(metric).filter(|(label, _)| *label != METRIC_NAME);
    match (name, metric.len()) {
        ("", _) => braces(others),
        (name, 1) => name.to_owned(),
        (name, _) => name.to_owned() + &braces(others),
    }
}

/// `{__name__="up", job="x"}`.
pub(super) fn labels_text(metric: &Value) -> String {
    let empty = Map::new();
    braces(pairs(metric.as_object().unwrap_or(&empty)))
}

/// The order in which promtool prints series: those with fewer labels first.
fn before(a: &Value, b: &Value) -> Ordering {
    let empty = Map::new();
    let (a, b) = (a.as_object().unwrap_or(&empty), b.as_object().unwrap_or(&empty));
    a.len().cmp(&b.len()).then_with(|| {
        let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for name in names {
            match (a.get(name).map(text), b.get(name).map(text)) {
                (None, _) => return Ordering::Less,
                (_, None) => return Ordering::Greater,
                (x, y) if x != y => return x.cmp(&y),
                _ => {}
            }
        }
        Ordering::Equal
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json as value;

    #[test]
    fn results() {
        for (data, want) in [
            (value!({"resultType": "scalar", "result": [1.5, "2"]}), "scalar: 2 @[1.5]"),
            (value!({"resultType": "string", "result": [1, "a"]}), "a"),
            (
                value!({"resultType": "vector", "result": [
                    {"metric": {"__name__": "up", "job": "x\"y"}, "value": [1700000000.123, "1"]},
                    {"metric": {"__name__": "up"}, "value": [1, "NaN"]}, {"metric": {"a": "b"}, "value": [1, "1.5e-07"]}, {"metric": {}, "value": [2, "+Inf"]}]}),
                "up{job=\"x\\\"y\"} => 1 @[1700000000.123]\nup => NaN @[1]\n{a=\"b\"} => 0.00000015 @[1]\n{} => +Inf @[2]",
            ),
            (
                value!({"resultType": "matrix", "result": [
                    {"metric": {"a": "1", "b": "1"}, "values": [[1, "1"], [2, "3"]]},
                    {"metric": {"c": "1"}, "histograms": [[3, {"count": "3", "sum": "4.5", "buckets": [[0, "0.5", "1", "3"]]}]]}]}),
                "{c=\"1\"} =>\nCount: 3.000000, Sum: 4.500000, Buckets: [(0.5,1]:3] @[3]\n{a=\"1\", b=\"1\"} =>\n1 @[1]\n3 @[2]",
            ),
        ] {
            assert_eq!(result_text(&data).unwrap(), want);
        }
        assert_eq!(json(&value!(["a<b>&"])), "[\"a\\u003cb\\u003e\\u0026\"]");
        assert!(result_text(&value!({"resultType": "other"})).is_err());
    }
}
