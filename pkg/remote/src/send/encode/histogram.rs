//! Native histograms; both versions have one layout, the second a start timestamp more.

use histogram::{ResetHint, Span};
use storage::append::HistogramValue;

use super::put::{always_double, double, high_number, key, number, part, varint, zigzag, zigzag_number};

/// What both kinds of histograms have.
struct Common<'h> {
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    hint: ResetHint,
    custom_values: &'h [f64],
}

/// Appends the fields of a histogram to `out`. `start_ms` is 0 in version 1.
pub(super) fn put(out: &mut Vec<u8>, value: &HistogramValue, time_ms: i64, start_ms: i64) {
    let mut scratch = Vec::new();
    let common = match value {
        HistogramValue::Int(h) => {
            out.push(1 << 3);
            varint(out, h.count);
            out.push(6 << 3);
            varint(out, h.zero_count);
            spans(out, 8, &h.negative_spans, &mut scratch);
            deltas(out, 9, &h.negative_deltas, &mut scratch);
            spans(out, 11, &h.positive_spans, &mut scratch);
            deltas(out, 12, &h.positive_deltas, &mut scratch);
            Common {
                sum: h.sum,
                schema: h.schema,
                zero_threshold: h.zero_threshold,
                hint: h.reset_hint,
                custom_values: &h.custom_values,
            }
        }
        HistogramValue::Float(h) => {
            always_double(out, 2, h.count);
            always_double(out, 7, h.zero_count);
            spans(out, 8, &h.negative_spans, &mut scratch);
            doubles(out, 10, &h.negative_buckets);
            spans(out, 11, &h.positive_spans, &mut scratch);
            doubles(out, 13, &h.positive_buckets);
            Common {
                sum: h.sum,
                schema: h.schema,
                zero_threshold: h.zero_threshold,
                hint: h.reset_hint,
                custom_values: &h.custom_values,
            }
        }
    };
    double(out, 3, common.sum);
    zigzag_number(out, 4, i64::from(common.schema));
    double(out, 5, common.zero_threshold);
    let hint = match common.hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    };
    number(out, 14, hint);
    number(out, 15, time_ms as u64);
    doubles(out, 16, common.custom_values);
    high_number(out, 17, start_ms as u64);
}

fn spans(out: &mut Vec<u8>, field: u8, spans: &[Span], scratch: &mut Vec<u8>) {
    for span in spans {
        scratch.clear();
        zigzag_number(scratch, 1, i64::from(span.offset));
        number(scratch, 2, u64::from(span.length));
        part(out, field, scratch);
    }
}

fn deltas(out: &mut Vec<u8>, field: u8, deltas: &[i64], scratch: &mut Vec<u8>) {
    if !deltas.is_empty() {
        scratch.clear();
        deltas.iter().for_each(|delta| varint(scratch, zigzag(*delta)));
        part(out, field, scratch);
    }
}

fn doubles(out: &mut Vec<u8>, field: u8, values: &[f64]) {
    if !values.is_empty() {
        key(out, field);
        varint(out, values.len() as u64 * 8);
        values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
    }
}
