//! Entries of a body as lines.

use std::fmt::Write;

use textparse::{Entry, Exemplar, Format, NativeHistogram, Options, Parser, Series};

/// All entries of a body, a line each; the error behind those before it.
pub fn dump(body: &[u8], format: Format, options: Options) -> Vec<String> {
    let mut out = Vec::new();
    let mut parser = match Parser::new(body, format, options) {
        Ok(parser) => parser,
        Err(e) => return vec![format!("error: {e}")],
    };
    loop {
        match parser.next() {
            Ok(Some(entry)) => out.push(line(&entry)),
            Ok(None) => break,
            Err(e) => {
                out.push(format!("error: {e}"));
                break;
            }
        }
    }
    if let Some(unconverted) = parser.unconverted() {
        out.push(format!("unconverted {}: {}", unconverted.histograms, unconverted.first));
    }
    out
}

fn line(entry: &Entry<'_>) -> String {
    match entry {
        Entry::Type { family, metric_type } => format!("type {family} {}", metric_type.as_str()),
        Entry::Help { family, text } => format!("help {family} {text:?}"),
        Entry::Unit { family, unit } => format!("unit {family} {unit:?}"),
        Entry::Comment => "comment".to_owned(),
        Entry::Sample(s) => {
            let value = if s.value.is_nan() { format!("NaN {:x}", s.value.to_bits()) } else { s.value.to_string() };
            format!("{} {value}{}", series(&s.series), rest(s.timestamp_ms, s.start_ms, s.exemplars))
        }
        Entry::Histogram(h) => {
            let value = match h.value {
                NativeHistogram::Int(h) => format!(
                    "{:?} schema={} count={} sum={} zero={}/{} +{:?}{:?} -{:?}{:?} {:?}",
                    h.reset_hint,
                    h.schema,
                    h.count,
                    h.sum,
                    h.zero_count,
                    h.zero_threshold,
                    spans(&h.positive_spans),
                    h.positive_deltas,
                    spans(&h.negative_spans),
                    h.negative_deltas,
                    h.custom_values
                ),
                NativeHistogram::Float(h) => format!(
                    "float {:?} schema={} count={} sum={} zero={}/{} +{:?}{:?} -{:?}{:?} {:?}",
                    h.reset_hint,
                    h.schema,
                    h.count,
                    h.sum,
                    h.zero_count,
                    h.zero_threshold,
                    spans(&h.positive_spans),
                    h.positive_buckets,
                    spans(&h.negative_spans),
                    h.negative_buckets,
                    h.custom_values
                ),
            };
            format!("{} {value}{}", series(&h.series), rest(h.timestamp_ms, h.start_ms, h.exemplars))
        }
    }
}

fn spans(spans: &[histogram::Span]) -> Vec<(i32, u32)> {
    spans.iter().map(|s| (s.offset, s.length)).collect()
}

fn series(series: &Series<'_>) -> String {
    let labels: Vec<String> = series.labels().map(|(n, v)| format!("{n}={v:?}")).collect();
    format!("{}{{{}}}", series.name(), labels.join(","))
}

fn rest(timestamp_ms: Option<i64>, start_ms: i64, exemplars: &[Exemplar]) -> String {
    let mut out = String::new();
    if let Some(t) = timestamp_ms {
        write!(out, " @{t}").unwrap();
    }
    if start_ms != 0 {
        write!(out, " st@{start_ms}").unwrap();
    }
    for e in exemplars {
        write!(out, " # {} {}{}", e.labels, e.value, e.timestamp_ms.map_or(String::new(), |t| format!(" @{t}")))
            .unwrap();
    }
    out
}
