//! Bodies of 1 000 series in each format: moving over them, and reading all labels too.

#![allow(missing_docs, reason = "benches")]

use std::fmt::Write;
use std::hint::black_box;

use divan::Bencher;
use divan::counter::ItemsCount;
use textparse::{Entry, Format, Options, Parser};

const SERIES: usize = 1000;

fn main() {
    divan::main();
}

fn labels(i: usize) -> [(&'static str, String); 4] {
    [
        ("method", ["GET", "POST", "PUT"][i % 3].to_owned()),
        ("handler", format!("/api/v1/some/path/{i}")),
        ("code", (200 + i % 7).to_string()),
        ("instance_name", format!("backend-{:04}.example", i / 10)),
    ]
}

fn text(end: &str) -> Vec<u8> {
    let mut out = String::from("# HELP http_requests_total Requests by handler.\n# TYPE http_requests_total counter\n");
    for i in 0..SERIES {
        let labels: Vec<_> = labels(i).iter().map(|(n, v)| format!("{n}=\"{v}\"")).collect();
        writeln!(out, "http_requests_total{{{}}} {}", labels.join(","), i as f64 * 1.25).unwrap();
    }
    (out + end).into_bytes()
}

fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    let mut len = bytes.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend(bytes);
}

fn protobuf() -> Vec<u8> {
    let mut family = Vec::new();
    field(&mut family, 1, b"http_requests_total");
    field(&mut family, 2, b"Requests by handler.");
    for i in 0..SERIES {
        let mut metric = Vec::new();
        for (name, value) in labels(i) {
            let mut label = Vec::new();
            field(&mut label, 1, name.as_bytes());
            field(&mut label, 2, value.as_bytes());
            field(&mut metric, 1, &label);
        }
        let mut counter = vec![1 << 3 | 1];
        counter.extend((i as f64 * 1.25).to_le_bytes());
        field(&mut metric, 3, &counter);
        field(&mut family, 4, &metric);
    }
    let mut out = Vec::new();
    field(&mut out, 0, &family);
    out.remove(0);
    out
}

fn body(format: Format) -> Vec<u8> {
    match format {
        Format::Text => text(""),
        Format::OpenMetrics => text("# EOF\n"),
        Format::Protobuf => protobuf(),
    }
}

const FORMATS: [Format; 3] = [Format::Text, Format::OpenMetrics, Format::Protobuf];

/// What a scrape does with series that it knows.
#[divan::bench(args = FORMATS)]
fn known(bencher: Bencher<'_, '_>, format: Format) {
    let body = body(format);
    bencher.counter(ItemsCount::new(SERIES)).bench(|| {
        let mut parser = Parser::new(&body, format, Options::default()).unwrap();
        let mut samples = 0;
        while parser.advance_known(&mut |key: &[u8]| black_box(!key.is_empty())).unwrap() {
            if let Entry::Sample(sample) = parser.entry() {
                black_box((sample.series.key(), sample.value));
                samples += 1;
            }
        }
        assert_eq!(samples, SERIES);
    });
}

/// What it does with new ones.
#[divan::bench(args = FORMATS)]
fn new(bencher: Bencher<'_, '_>, format: Format) {
    let body = body(format);
    bencher.counter(ItemsCount::new(SERIES)).bench(|| {
        let mut parser = Parser::new(&body, format, Options::default()).unwrap();
        while let Some(entry) = parser.next().unwrap() {
            if let Entry::Sample(sample) = entry {
                black_box(sample.series.name());
                sample.series.labels().for_each(|label| {
                    black_box(label);
                });
            }
        }
    });
}
