//! A metric's own fields.

use ingest::wire::{Malformed, Reader};

use crate::any;
use crate::names::Kind;

/// A metric but for its data points.
pub(crate) struct ReadMetric<'a> {
    pub name: &'a str,
    pub description: &'a str,
    pub unit: &'a str,
    /// Field number and message of its data.
    data: Option<(u64, Reader<'a>)>,
    pub temporality: u64,
    is_monotonic: bool,
}

impl<'a> ReadMetric<'a> {
    pub fn read(mut message: Reader<'a>) -> Result<Self, Malformed> {
        let mut metric = Self { name: "", description: "", unit: "", data: None, temporality: 0, is_monotonic: false };
        while let Some((field, value)) = message.field()? {
            match field {
                1 => metric.name = any::text(value.part(&message)?)?,
                2 => metric.description = any::text(value.part(&message)?)?,
                3 => metric.unit = any::text(value.part(&message)?)?,
                5 | 7 | 9 | 10 | 11 => metric.data = Some((field, value.part(&message)?)),
                _ => {}
            }
        }
        if let Some((7 | 9 | 10, mut data)) = metric.data {
            while let Some((field, value)) = data.field()? {
                match field {
                    2 => metric.temporality = value.varint(&data)?,
                    3 => metric.is_monotonic = value.varint(&data)? != 0,
                    _ => {}
                }
            }
        }
        Ok(metric)
    }

    /// What the metric is, and the message of its data; `None` = it has none.
    pub fn kind(&self) -> Option<(Kind, Reader<'a>)> {
        let (field, data) = self.data?;
        let kind = match field {
            5 => Kind::Gauge,
            7 if self.is_monotonic => Kind::Counter,
            7 => Kind::Sum,
            9 => Kind::Histogram,
            10 => Kind::ExponentialHistogram,
            _ => Kind::Summary,
        };
        Some((kind, data))
    }
}

/// How many data points the data of a metric has.
pub(crate) fn count_points(mut data: Reader<'_>) -> Result<u64, Malformed> {
    let mut points = 0;
    while let Some((field, _)) = data.field()? {
        points += u64::from(field == 1);
    }
    Ok(points)
}

/// A temporality for a message.
pub(crate) fn temporality(temporality: u64) -> &'static str {
    match temporality {
        1 => "it is delta; send cumulative values, or enable the feature otlp-deltatocumulative",
        2 => "it is cumulative",
        _ => "it has no temporality",
    }
}

/// Whether any metric of a request holds deltas.
pub(crate) fn has_delta(plain: &[u8]) -> Result<bool, Malformed> {
    let mut request = Reader::new(plain, 0);
    while let Some((field, value)) = request.field()? {
        if field != 1 {
            continue;
        }
        let mut resource = value.part(&request)?;
        while let Some((field, value)) = resource.field()? {
            if field != 2 {
                continue;
            }
            let mut scope = value.part(&resource)?;
            while let Some((field, value)) = scope.field()? {
                if field == 2 && ReadMetric::read(value.part(&scope)?)?.temporality == 1 {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}
