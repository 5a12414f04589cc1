//! Answers as text, bit by bit. Only `sort` at the top gives an order.

use std::fmt::Write as _;

use labels::Labels;
use promql::{InstantSample, QueryError, QueryResult, Value};

fn sample(out: &mut String, labels: &Labels, at: i64, value: f64) {
    let bits = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
    let _ = writeln!(out, "{labels} {at} {value} {bits:x}");
}

/// The answer to `text`.
pub fn shown(text: &str, result: &Result<QueryResult, QueryError>) -> String {
    let result = match result {
        Ok(result) => result,
        // Which two of many series it names depends on their order.
        Err(error) => return format!("error: {}", error.to_string().split(": [").next().unwrap_or_default()),
    };
    let mut out = String::new();
    match &result.value {
        Value::Scalar { time_ms, value } => sample(&mut out, &Labels::empty(), *time_ms, *value),
        Value::String { value, .. } => out.push_str(value),
        Value::Vector { time_ms, samples } => {
            let line = |s: &InstantSample| {
                let mut line = String::new();
                match &s.histogram {
                    Some(h) => _ = writeln!(line, "{} {h:?}", s.labels),
                    None => sample(&mut line, &s.labels, *time_ms, s.value),
                }
                line
            };
            let mut lines: Vec<String> = samples.iter().map(line).collect();
            if !text.starts_with("sort") {
                lines.sort_unstable();
            }
            out = lines.concat();
        }
        Value::Matrix(m) => {
            for series in &m.series {
                series.floats(m.grid).for_each(|(at, v)| sample(&mut out, &series.labels, at, v));
                series.histograms(m.grid).for_each(|(at, h)| _ = writeln!(out, "{} {at} {h:?}", series.labels));
            }
        }
    }
    for annotation in result.annotations.iter() {
        // How many samples were mended: what is the same at every step counts once, in Prometheus as well.
        let text = annotation.text.split(", from buckets").next().unwrap_or_default();
        let _ = writeln!(out, "{:?}: {text}", annotation.severity);
    }
    out
}
