//! `Histogram` messages: classic buckets, and the native part.

use std::sync::Arc;

use histogram::{FloatHistogram, Histogram, ResetHint, Span};

use super::metric::timestamp_ms;
use super::wire::{Message, Value, zigzag};
use crate::entry::NativeHistogram;
use crate::error::ParseError;

type Result<T> = std::result::Result<T, ParseError>;

/// The fields of a `Histogram`. Its vectors are used again from message to message.
#[derive(Debug, Default)]
pub(super) struct HistogramMessage<'a> {
    count: u64,
    count_float: f64,
    pub(super) sum: f64,
    schema: i32,
    zero_threshold: f64,
    zero_count: u64,
    zero_count_float: f64,
    pub(super) buckets: Vec<Bucket<'a>>,
    positive: Buckets,
    negative: Buckets,
    pub(super) created_ms: i64,
    pub(super) exemplars: Vec<Message<'a>>,
}

/// A classic bucket.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bucket<'a> {
    pub(super) bound: f64,
    /// Cumulative.
    pub(super) count: f64,
    pub(super) exemplar: Option<Message<'a>>,
}

/// Native buckets of one sign.
#[derive(Debug, Default)]
struct Buckets {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

impl Buckets {
    fn clear(&mut self) {
        self.spans.clear();
        self.deltas.clear();
        self.counts.clear();
    }

    /// Whether there is one count for each bucket that the spans cover.
    fn fits(&self, counts: usize) -> bool {
        self.spans.iter().map(|span| u64::from(span.length)).sum::<u64>() == counts as u64
    }
}

impl<'a> HistogramMessage<'a> {
    pub(super) fn clear(&mut self) {
        (self.count, self.count_float, self.sum) = (0, 0.0, 0.0);
        (self.schema, self.zero_threshold, self.zero_count, self.zero_count_float) = (0, 0.0, 0, 0.0);
        self.buckets.clear();
        self.positive.clear();
        self.negative.clear();
        self.created_ms = 0;
        self.exemplars.clear();
    }

    pub(super) fn read(&mut self, mut message: Message<'a>) -> Result<()> {
        while let Some((number, value)) = message.field()? {
            match (number, value) {
                (1, Value::Varint(count)) => self.count = count,
                (2, Value::Fixed64(bits)) => self.sum = f64::from_bits(bits),
                (3, Value::Message(bucket)) => self.buckets.push(read_bucket(bucket)?),
                (4, Value::Fixed64(bits)) => self.count_float = f64::from_bits(bits),
                (5, Value::Varint(schema)) => self.schema = zigzag(schema) as i32,
                (6, Value::Fixed64(bits)) => self.zero_threshold = f64::from_bits(bits),
                (7, Value::Varint(count)) => self.zero_count = count,
                (8, Value::Fixed64(bits)) => self.zero_count_float = f64::from_bits(bits),
                (9..=11, value) => self.negative.read(number - 9, value)?,
                (12..=14, value) => self.positive.read(number - 12, value)?,
                (15, Value::Message(time)) => self.created_ms = timestamp_ms(time)?,
                (16, Value::Message(exemplar)) => self.exemplars.push(exemplar),
                _ => {}
            }
        }
        Ok(())
    }

    /// The count as classic series have it.
    pub(super) fn count(&self) -> f64 {
        if self.count_float == 0.0 { self.count as f64 } else { self.count_float }
    }

    /// Whether there is a native part: spans, or a zero bucket with a width or with observations.
    pub(super) fn is_native(&self) -> bool {
        self.zero_threshold > 0.0
            || self.zero_count > 0
            || !self.positive.spans.is_empty()
            || !self.negative.spans.is_empty()
    }

    /// The native part. The error says what does not fit together.
    pub(super) fn native(&self, is_gauge: bool) -> std::result::Result<NativeHistogram, String> {
        let reset_hint = if is_gauge { ResetHint::Gauge } else { ResetHint::Unknown };
        let is_float = self.count_float > 0.0 || self.zero_count_float > 0.0;
        for (sign, buckets) in [("positive", &self.positive), ("negative", &self.negative)] {
            let counts = if is_float { buckets.counts.len() } else { buckets.deltas.len() };
            if !buckets.fits(counts) {
                return Err(format!("{sign} spans do not cover as many buckets as there are counts ({counts})"));
            }
        }
        if is_float {
            let (positive_spans, positive_buckets) = compact(&self.positive.spans, &self.positive.counts, 0);
            let (negative_spans, negative_buckets) = compact(&self.negative.spans, &self.negative.counts, 0);
            return Ok(NativeHistogram::Float(Arc::new(FloatHistogram {
                reset_hint,
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count: self.zero_count_float,
                count: self.count_float,
                sum: self.sum,
                positive_spans,
                positive_buckets,
                negative_spans,
                negative_buckets,
                custom_values: Vec::new(),
            })));
        }
        let (positive_spans, positive) = compact(&self.positive.spans, &absolute(&self.positive.deltas), 0);
        let (negative_spans, negative) = compact(&self.negative.spans, &absolute(&self.negative.deltas), 0);
        Ok(NativeHistogram::Int(Arc::new(Histogram {
            reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive_spans,
            positive_deltas: deltas(&positive),
            negative_spans,
            negative_deltas: deltas(&negative),
            custom_values: Vec::new(),
        })))
    }
}

impl Buckets {
    /// Field 0 is a span, 1 a delta, 2 a count; the numbers may be packed.
    fn read(&mut self, field: u64, value: Value<'_>) -> Result<()> {
        match (field, value) {
            (0, Value::Message(span)) => self.spans.push(read_span(span)?),
            (1, Value::Varint(delta)) => self.deltas.push(zigzag(delta)),
            (1, Value::Message(mut packed)) => {
                while !packed.bytes.is_empty() {
                    self.deltas.push(zigzag(packed.varint()?));
                }
            }
            (2, Value::Fixed64(bits)) => self.counts.push(f64::from_bits(bits)),
            (2, Value::Message(mut packed)) => {
                while !packed.bytes.is_empty() {
                    self.counts.push(f64::from_bits(packed.fixed64()?));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn read_bucket(mut message: Message<'_>) -> Result<Bucket<'_>> {
    let (mut bucket, mut count, mut count_float) = (Bucket::default(), 0, 0.0);
    while let Some(field) = message.field()? {
        match field {
            (1, Value::Varint(value)) => count = value,
            (2, Value::Fixed64(bits)) => bucket.bound = f64::from_bits(bits),
            (3, Value::Message(exemplar)) => bucket.exemplar = Some(exemplar),
            (4, Value::Fixed64(bits)) => count_float = f64::from_bits(bits),
            _ => {}
        }
    }
    bucket.count = if count_float == 0.0 { count as f64 } else { count_float };
    Ok(bucket)
}

fn read_span(mut message: Message<'_>) -> Result<Span> {
    let mut span = Span { offset: 0, length: 0 };
    while let Some(field) = message.field()? {
        match field {
            (1, Value::Varint(offset)) => span.offset = zigzag(offset) as i32,
            (2, Value::Varint(length)) => span.length = length as u32,
            _ => {}
        }
    }
    Ok(span)
}

/// Counts from deltas.
fn absolute(deltas: &[i64]) -> Vec<i64> {
    let mut count = 0i64;
    let next = |delta: &i64| {
        count = count.wrapping_add(*delta);
        count
    };
    deltas.iter().map(next).collect()
}

/// Deltas from counts.
pub(crate) fn deltas(counts: &[i64]) -> Vec<i64> {
    let mut before = 0i64;
    counts.iter().map(|count| count.wrapping_sub(std::mem::replace(&mut before, *count))).collect()
}

/// The same buckets without empty ones, but for up to `empty_kept` in a row between others: those keep spans together.
/// `counts` are absolute.
pub(crate) fn compact<T: Copy + Default + PartialEq>(
    spans: &[Span],
    counts: &[T],
    empty_kept: usize,
) -> (Vec<Span>, Vec<T>) {
    let (mut out_spans, mut out_counts): (Vec<Span>, Vec<T>) = (Vec::new(), Vec::with_capacity(counts.len()));
    let (mut counts, mut index) = (counts.iter(), 0i64);
    // Behind the last bucket that was taken.
    let mut next = 0i64;
    for span in spans {
        index += i64::from(span.offset);
        for count in counts.by_ref().take(span.length as usize) {
            if *count != T::default() {
                let gap = index - next;
                match out_spans.last_mut() {
                    Some(last) if (0..=empty_kept as i64).contains(&gap) => {
                        last.length += gap as u32 + 1;
                        out_counts.extend(std::iter::repeat_n(T::default(), gap as usize));
                    }
                    _ => out_spans.push(Span { offset: gap as i32, length: 1 }),
                }
                out_counts.push(*count);
                next = index + 1;
            }
            index += 1;
        }
    }
    (out_spans, out_counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    #[test]
    fn empty_buckets_go() {
        for (spans, counts, kept, want_spans, want_counts) in [
            (vec![], vec![], 0, vec![], vec![]),
            (vec![span(0, 0)], vec![], 0, vec![], vec![]),
            (vec![span(-3, 2), span(0, 1)], vec![1, 2, 3], 0, vec![span(-3, 3)], vec![1, 2, 3]),
            (vec![span(2, 4)], vec![0, 1, 0, 2], 0, vec![span(3, 1), span(1, 1)], vec![1, 2]),
            (vec![span(2, 4)], vec![0, 1, 0, 2], 2, vec![span(3, 3)], vec![1, 0, 2]),
            (vec![span(0, 5)], vec![1, 0, 0, 0, 2], 2, vec![span(0, 1), span(3, 1)], vec![1, 2]),
            (vec![span(0, 1), span(2, 1)], vec![1, 2], 2, vec![span(0, 4)], vec![1, 0, 0, 2]),
            (vec![span(5, 3)], vec![0, 0, 0], 2, vec![], vec![]),
        ] {
            assert_eq!(compact(&spans, &counts, kept), (want_spans, want_counts), "{spans:?} {counts:?} {kept}");
        }
        assert_eq!(deltas(&absolute(&[3, -1, 4])), [3, -1, 4]);
    }
}
