//! Native histograms as remote write carries them; both versions have one layout, the second a start timestamp more.

use std::sync::Arc;

use histogram::{FloatHistogram, Histogram, ResetHint, SCHEMA_MAX, Span};
use storage::append::HistogramValue;

use super::wire::{Malformed, Reader, Value, zigzag};

/// Finer schemas than this are not defined.
const SCHEMA_DEFINED_MAX: i32 = 52;

/// A histogram sample.
#[derive(Debug)]
pub(super) struct Sample {
    pub time_ms: i64,
    /// 0 = unknown.
    pub start_ms: i64,
    /// The histogram, its resolution reduced where it is finer than what is stored; or why it does not hold together.
    pub value: Result<HistogramValue, String>,
}

/// Either kind, as it comes.
#[derive(Default)]
struct Raw {
    time_ms: i64,
    start_ms: i64,
    reset_hint: ResetHint,
    schema: i32,
    zero_threshold: f64,
    sum: f64,
    count: Count,
    zero_count: Count,
    negative: Side,
    positive: Side,
    custom_values: Vec<f64>,
}

#[derive(Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

#[derive(Clone, Copy)]
enum Count {
    Int(u64),
    Float(f64),
}

impl Default for Count {
    fn default() -> Self {
        Self::Int(0)
    }
}

impl Count {
    fn float(self) -> f64 {
        match self {
            Self::Int(count) => count as f64,
            Self::Float(count) => count,
        }
    }

    fn int(self) -> u64 {
        match self {
            Self::Int(count) => count,
            Self::Float(_) => 0,
        }
    }
}

/// Reads one message.
pub(super) fn decode(mut message: Reader<'_>) -> Result<Sample, Malformed> {
    let mut raw = Raw::default();
    while let Some((field, value)) = message.field()? {
        match field {
            1 => raw.count = Count::Int(value.varint(&message)?),
            2 => raw.count = Count::Float(value.double(&message)?),
            3 => raw.sum = value.double(&message)?,
            // Out of the range of 32 bits is out of that of schemas.
            4 => raw.schema = i32::try_from(zigzag(value.varint(&message)?)).unwrap_or(i32::MAX),
            5 => raw.zero_threshold = value.double(&message)?,
            6 => raw.zero_count = Count::Int(value.varint(&message)?),
            7 => raw.zero_count = Count::Float(value.double(&message)?),
            8 => raw.negative.spans.push(span(value.part(&message)?)?),
            9 => deltas(value, &message, &mut raw.negative.deltas)?,
            10 => value.doubles(&message, &mut raw.negative.counts)?,
            11 => raw.positive.spans.push(span(value.part(&message)?)?),
            12 => deltas(value, &message, &mut raw.positive.deltas)?,
            13 => value.doubles(&message, &mut raw.positive.counts)?,
            14 => raw.reset_hint = hint(value.varint(&message)?),
            15 => raw.time_ms = value.varint(&message)? as i64,
            16 => value.doubles(&message, &mut raw.custom_values)?,
            17 => raw.start_ms = value.varint(&message)? as i64,
            _ => {}
        }
    }
    Ok(raw.sample())
}

fn deltas(value: Value<'_>, at: &Reader<'_>, out: &mut Vec<i64>) -> Result<(), Malformed> {
    value.varints(at, |delta| out.push(zigzag(delta)))
}

fn span(mut message: Reader<'_>) -> Result<Span, Malformed> {
    let mut span = Span { offset: 0, length: 0 };
    while let Some((field, value)) = message.field()? {
        match field {
            1 => {
                let offset = zigzag(value.varint(&message)?);
                span.offset =
                    i32::try_from(offset).map_err(|_| message.malformed("a span's offset is out of range"))?;
            }
            2 => {
                let length = value.varint(&message)?;
                span.length =
                    u32::try_from(length).map_err(|_| message.malformed("a span's length is out of range"))?;
            }
            _ => {}
        }
    }
    Ok(span)
}

fn hint(value: u64) -> ResetHint {
    match value {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}

impl Raw {
    fn sample(self) -> Sample {
        let (time_ms, start_ms) = (self.time_ms, self.start_ms);
        let value = match self.count {
            Count::Int(_) => self.integer(),
            Count::Float(_) => self.float(),
        };
        Sample { time_ms, start_ms, value }
    }

    fn integer(self) -> Result<HistogramValue, String> {
        let mut h = Histogram {
            reset_hint: self.reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count.int(),
            count: self.count.int(),
            sum: self.sum,
            positive_spans: self.positive.spans,
            positive_deltas: self.positive.deltas,
            negative_spans: self.negative.spans,
            negative_deltas: self.negative.deltas,
            custom_values: self.custom_values,
        };
        if is_too_fine(h.schema) {
            // Reducing reads as many buckets as both spans and counts have: the two must agree first.
            Histogram { schema: SCHEMA_MAX, ..h.clone() }.validate().map_err(|e| e.to_string())?;
            h.reduce_to(SCHEMA_MAX);
        }
        h.validate().map_err(|e| e.to_string())?;
        Ok(HistogramValue::Int(Arc::new(h)))
    }

    fn float(self) -> Result<HistogramValue, String> {
        let mut h = FloatHistogram {
            reset_hint: self.reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count.float(),
            count: self.count.float(),
            sum: self.sum,
            positive_spans: self.positive.spans,
            positive_buckets: self.positive.counts,
            negative_spans: self.negative.spans,
            negative_buckets: self.negative.counts,
            custom_values: self.custom_values,
        };
        if is_too_fine(h.schema) {
            FloatHistogram { schema: SCHEMA_MAX, ..h.clone() }.validate().map_err(|e| e.to_string())?;
            h.reduce_to(SCHEMA_MAX);
        }
        h.validate().map_err(|e| e.to_string())?;
        Ok(HistogramValue::Float(Arc::new(h)))
    }
}

fn is_too_fine(schema: i32) -> bool {
    schema > SCHEMA_MAX && schema <= SCHEMA_DEFINED_MAX
}
