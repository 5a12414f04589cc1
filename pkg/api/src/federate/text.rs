//! Families in Prometheus' text format and in OpenMetrics.

use labels::{is_legacy_label_name, is_legacy_metric_name};

use super::escape::Escaping;
use super::exposed::{Exposed, Family, Kind, cumulative};
use super::gather::Value;
use super::number;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Prometheus,
    OpenMetrics,
}

/// Writes a part of a family.
pub(super) fn write(family: &Family, escaping: Escaping, dialect: Dialect, out: &mut Vec<u8>) {
    let name = escaping.name(&family.name);
    if !family.continued {
        out.extend_from_slice(b"# TYPE ");
        match is_legacy_metric_name(&name) {
            true => out.extend_from_slice(name.as_bytes()),
            false => quoted(&name, out),
        }
        out.extend_from_slice(match (family.kind, dialect) {
            (Kind::Untyped, Dialect::Prometheus) => b" untyped\n",
            (Kind::Untyped, Dialect::OpenMetrics) => b" unknown\n",
            (Kind::GaugeHistogram, Dialect::OpenMetrics) => b" gaugehistogram\n",
            (Kind::Histogram | Kind::GaugeHistogram, _) => b" histogram\n",
        });
    }
    let line = Line { name: &name, escaping, dialect };
    for sample in &family.samples {
        match &sample.value {
            Value::Float(value) => line.write("", sample, None, *value, out),
            Value::Histogram(h) => {
                for (bound, count) in cumulative(h) {
                    line.write("_bucket", sample, Some(bound), count, out);
                }
                line.write("_bucket", sample, Some(f64::INFINITY), h.count, out);
                line.write("_sum", sample, None, h.sum, out);
                line.write("_count", sample, None, h.count, out);
            }
        }
    }
}

/// What the lines of a family have in common.
struct Line<'a> {
    name: &'a str,
    escaping: Escaping,
    dialect: Dialect,
}

impl Line<'_> {
    fn write(&self, suffix: &str, sample: &Exposed, bound: Option<f64>, value: f64, out: &mut Vec<u8>) {
        let name = format!("{}{suffix}", self.name);
        let mut open = false;
        if is_legacy_metric_name(&name) {
            out.extend_from_slice(name.as_bytes());
        } else {
            out.push(b'{');
            quoted(&name, out);
            open = true;
        }
        for (name, value) in &sample.labels {
            out.push(if open { b',' } else { b'{' });
            open = true;
            let name = self.escaping.name(name);
            match is_legacy_label_name(&name) {
                true => out.extend_from_slice(name.as_bytes()),
                false => quoted(&name, out),
            }
            out.push(b'=');
            quoted(value, out);
        }
        if let Some(bound) = bound {
            out.extend_from_slice(if open { b",le=\"" } else { b"{le=\"" });
            open = true;
            self.number(bound, out);
            out.push(b'"');
        }
        if open {
            out.push(b'}');
        }
        out.push(b' ');
        self.number(value, out);
        out.push(b' ');
        match self.dialect {
            Dialect::Prometheus => out.extend_from_slice(itoa::Buffer::new().format(sample.time_ms).as_bytes()),
            Dialect::OpenMetrics => crate::json::write_timestamp(out, sample.time_ms),
        }
        out.push(b'\n');
    }

    fn number(&self, value: f64, out: &mut Vec<u8>) {
        match self.dialect {
            Dialect::Prometheus => number::write(value, out),
            Dialect::OpenMetrics => number::write_openmetrics(value, out),
        }
    }
}

fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            byte => out.push(byte),
        }
    }
    out.push(b'"');
}
