//! Requests of remote write, written by hand: this is no part of the receiver.
#![allow(dead_code, reason = "the bench uses a part")]

pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub fn number(out: &mut Vec<u8>, field: u8, value: u64) {
    varint(out, u64::from(field) << 3);
    varint(out, value);
}

pub fn double(out: &mut Vec<u8>, field: u8, value: f64) {
    varint(out, u64::from(field) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

pub fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    varint(out, u64::from(field) << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub fn pack(message: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(message).unwrap()
}

pub fn label(name: &str, value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, 1, name.as_bytes());
    bytes(&mut out, 2, value.as_bytes());
    out
}

/// A sample as both versions have it; a start of 0 is left out.
pub fn sample(time_ms: i64, value: f64, start_ms: i64) -> Vec<u8> {
    let mut out = Vec::new();
    double(&mut out, 1, value);
    number(&mut out, 2, time_ms as u64);
    if start_ms != 0 {
        number(&mut out, 3, start_ms as u64);
    }
    out
}

/// An integer histogram with two buckets of `a` and `b` observations in one span.
pub fn histogram(time_ms: i64, schema: i64, (a, b): (i64, i64)) -> Vec<u8> {
    let mut out = Vec::new();
    number(&mut out, 1, (a + b) as u64);
    double(&mut out, 3, 1.5);
    number(&mut out, 4, zigzag(schema));
    let mut span = Vec::new();
    number(&mut span, 1, zigzag(0));
    number(&mut span, 2, 2);
    bytes(&mut out, 11, &span);
    let mut deltas = Vec::new();
    varint(&mut deltas, zigzag(a));
    varint(&mut deltas, zigzag(b - a));
    bytes(&mut out, 12, &deltas);
    number(&mut out, 15, time_ms as u64);
    out
}

/// A float histogram with custom bounds 1 and 2 and one bucket between.
pub fn custom_histogram(time_ms: i64, count: f64) -> Vec<u8> {
    let mut out = Vec::new();
    double(&mut out, 2, count);
    double(&mut out, 3, 2.5);
    number(&mut out, 4, zigzag(-53));
    let mut span = Vec::new();
    number(&mut span, 1, zigzag(1));
    number(&mut span, 2, 1);
    bytes(&mut out, 11, &span);
    bytes(&mut out, 13, &count.to_le_bytes());
    number(&mut out, 15, time_ms as u64);
    let bounds: Vec<u8> = [1.0f64, 2.0].iter().flat_map(|b| b.to_le_bytes()).collect();
    bytes(&mut out, 16, &bounds);
    out
}

/// A series of version 1 with labels and already encoded samples (field 2), exemplars (3), histograms (4).
pub fn series_v1(labels: &[(&str, &str)], parts: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in labels {
        bytes(&mut out, 1, &label(name, value));
    }
    for (field, part) in parts {
        bytes(&mut out, *field, part);
    }
    out
}

pub fn exemplar_v1(labels: &[(&str, &str)], value: f64, time_ms: i64) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in labels {
        bytes(&mut out, 1, &label(name, value));
    }
    double(&mut out, 2, value);
    number(&mut out, 3, time_ms as u64);
    out
}

/// A whole request of version 1.
pub fn request_v1(series: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    series.iter().for_each(|s| bytes(&mut out, 1, s));
    out
}

/// The symbols of a request of version 2.
#[derive(Debug)]
pub struct Symbols(pub Vec<String>);

impl Symbols {
    pub fn new() -> Self {
        Self(vec![String::new()])
    }

    pub fn of(&mut self, text: &str) -> u64 {
        match self.0.iter().position(|s| s == text) {
            Some(at) => at as u64,
            None => {
                self.0.push(text.to_owned());
                self.0.len() as u64 - 1
            }
        }
    }

    pub fn refs(&mut self, labels: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in labels {
            let pair = [self.of(name), self.of(value)];
            pair.into_iter().for_each(|r| varint(&mut out, r));
        }
        out
    }
}

/// A series of version 2 with labels and already encoded samples (field 2), histograms (3), exemplars (4), metadata (5).
pub fn series_v2(symbols: &mut Symbols, labels: &[(&str, &str)], parts: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, 1, &symbols.refs(labels));
    for (field, part) in parts {
        bytes(&mut out, *field, part);
    }
    out
}

pub fn exemplar_v2(symbols: &mut Symbols, labels: &[(&str, &str)], value: f64, time_ms: i64) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, 1, &symbols.refs(labels));
    double(&mut out, 2, value);
    number(&mut out, 3, time_ms as u64);
    out
}

pub fn metadata_v2(symbols: &mut Symbols, kind: u64, help: &str, unit: &str) -> Vec<u8> {
    let mut out = Vec::new();
    number(&mut out, 1, kind);
    number(&mut out, 3, symbols.of(help));
    number(&mut out, 4, symbols.of(unit));
    out
}

/// A whole request of version 2.
pub fn request_v2(symbols: &Symbols, series: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    symbols.0.iter().for_each(|s| bytes(&mut out, 4, s.as_bytes()));
    series.iter().for_each(|s| bytes(&mut out, 5, s));
    out
}
