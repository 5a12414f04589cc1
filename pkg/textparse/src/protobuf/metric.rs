//! One `Metric` message: labels, and the numbers of its type.

use super::histogram::HistogramMessage;
use super::wire::{Message, Value};
use crate::error::ParseError;

type Result<T> = std::result::Result<T, ParseError>;

/// A metric's parts. Its vectors are used again from metric to metric.
#[derive(Debug, Default)]
pub(super) struct Metric<'a> {
    /// `LabelPair`s as they stand on the wire.
    pub(super) labels: Vec<Message<'a>>,
    pub(super) timestamp_ms: i64,
    /// Of a counter, gauge or untyped metric.
    pub(super) value: f64,
    pub(super) exemplar: Option<Message<'a>>,
    pub(super) created_ms: i64,
    pub(super) summary: Summary,
    pub(super) histogram: HistogramMessage<'a>,
}

#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) count: u64,
    pub(super) sum: f64,
    /// Quantile and value.
    pub(super) quantiles: Vec<(f64, f64)>,
}

impl<'a> Metric<'a> {
    pub(super) fn read(&mut self, mut message: Message<'a>) -> Result<()> {
        self.labels.clear();
        (self.timestamp_ms, self.value, self.exemplar, self.created_ms) = (0, 0.0, None, 0);
        self.summary.quantiles.clear();
        (self.summary.count, self.summary.sum) = (0, 0.0);
        self.histogram.clear();
        while let Some(field) = message.field()? {
            match field {
                (1, Value::Message(label)) => self.labels.push(label),
                (2 | 3 | 5, Value::Message(number)) => self.read_number(number)?,
                (4, Value::Message(summary)) => self.read_summary(summary)?,
                (6, Value::Varint(time)) => self.timestamp_ms = time as i64,
                (7, Value::Message(histogram)) => {
                    self.histogram.read(histogram)?;
                    self.created_ms = self.histogram.created_ms;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// `Gauge`, `Counter` and `Untyped`, which agree in their fields.
    fn read_number(&mut self, mut message: Message<'a>) -> Result<()> {
        while let Some(field) = message.field()? {
            match field {
                (1, Value::Fixed64(bits)) => self.value = f64::from_bits(bits),
                (2, Value::Message(exemplar)) => self.exemplar = Some(exemplar),
                (3, Value::Message(time)) => self.created_ms = timestamp_ms(time)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_summary(&mut self, mut message: Message<'a>) -> Result<()> {
        while let Some(field) = message.field()? {
            match field {
                (1, Value::Varint(count)) => self.summary.count = count,
                (2, Value::Fixed64(bits)) => self.summary.sum = f64::from_bits(bits),
                (3, Value::Message(mut quantile)) => {
                    let mut pair = (0.0, 0.0);
                    while let Some(field) = quantile.field()? {
                        match field {
                            (1, Value::Fixed64(bits)) => pair.0 = f64::from_bits(bits),
                            (2, Value::Fixed64(bits)) => pair.1 = f64::from_bits(bits),
                            _ => {}
                        }
                    }
                    self.summary.quantiles.push(pair);
                }
                (4, Value::Message(time)) => self.created_ms = timestamp_ms(time)?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Name and value of a `LabelPair`.
pub(super) fn label_pair(mut message: Message<'_>) -> Result<(Message<'_>, Message<'_>)> {
    // A field that is missing is an empty one.
    let empty = Message { bytes: &[], offset: message.offset };
    let mut pair = (empty, empty);
    while let Some(field) = message.field()? {
        match field {
            (1, Value::Message(name)) => pair.0 = name,
            (2, Value::Message(value)) => pair.1 = value,
            _ => {}
        }
    }
    Ok(pair)
}

/// A `google.protobuf.Timestamp` in ms.
pub(super) fn timestamp_ms(mut message: Message<'_>) -> Result<i64> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    while let Some(field) = message.field()? {
        match field {
            (1, Value::Varint(value)) => seconds = value as i64,
            (2, Value::Varint(value)) => nanos = i64::from(value as i32),
            _ => {}
        }
    }
    Ok(seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000))
}
