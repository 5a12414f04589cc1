//! Families as `io.prometheus.client.MetricFamily`, each after its length. Written by hand, field by field.

use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Span};

use super::escape::Escaping;
use super::exposed::{Exposed, Family, Kind, cumulative};
use super::gather::Value;

/// Writes a part of a family; several parts of one name are what a scraper takes for one.
pub(super) fn write(family: &Family, escaping: Escaping, out: &mut Vec<u8>) {
    let mut message = Vec::new();
    bytes(&mut message, 1, escaping.name(&family.name).as_bytes());
    number(
        &mut message,
        3,
        match family.kind {
            Kind::Untyped => 3,
            Kind::Histogram => 4,
            Kind::GaugeHistogram => 5,
        },
    );
    let mut part = Vec::new();
    for sample in &family.samples {
        part.clear();
        metric(sample, escaping, &mut part);
        bytes(&mut message, 4, &part);
    }
    varint(out, message.len() as u64);
    out.extend_from_slice(&message);
}

fn metric(sample: &Exposed, escaping: Escaping, out: &mut Vec<u8>) {
    let mut part = Vec::new();
    for (name, value) in &sample.labels {
        part.clear();
        bytes(&mut part, 1, escaping.name(name).as_bytes());
        bytes(&mut part, 2, value.as_bytes());
        bytes(out, 1, &part);
    }
    part.clear();
    match &sample.value {
        Value::Float(value) => {
            double(&mut part, 1, *value);
            bytes(out, 5, &part);
        }
        Value::Histogram(h) => {
            histogram(h, &mut part);
            bytes(out, 7, &part);
        }
    }
    number(out, 6, sample.time_ms as u64);
}

fn histogram(h: &FloatHistogram, out: &mut Vec<u8>) {
    double(out, 2, h.sum);
    double(out, 4, h.count);
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        let mut part = Vec::new();
        // +Inf need not be there.
        for (bound, count) in cumulative(h) {
            part.clear();
            double(&mut part, 2, bound);
            double(&mut part, 4, count);
            bytes(out, 3, &part);
        }
        return;
    }
    number(out, 5, zigzag(h.schema));
    double(out, 6, h.zero_threshold);
    double(out, 8, h.zero_count);
    side(out, (9, 11), &h.negative_spans, &h.negative_buckets);
    side(out, (12, 14), &h.positive_spans, &h.positive_buckets);
}

/// Spans and counts of one side, under their two field numbers.
fn side(out: &mut Vec<u8>, (spans, counts): (u8, u8), list: &[Span], buckets: &[f64]) {
    let mut part = Vec::new();
    for span in list {
        part.clear();
        number(&mut part, 1, zigzag(span.offset));
        number(&mut part, 2, u64::from(span.length));
        bytes(out, spans, &part);
    }
    for count in buckets {
        double(out, counts, *count);
    }
}

fn zigzag(value: i32) -> u64 {
    let value = i64::from(value);
    ((value << 1) ^ (value >> 63)) as u64
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(out: &mut Vec<u8>, field: u8, value: u64) {
    varint(out, u64::from(field) << 3);
    varint(out, value);
}

fn double(out: &mut Vec<u8>, field: u8, value: f64) {
    varint(out, u64::from(field) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    varint(out, u64::from(field) << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}
