//! Data points, read where they lie.

use ingest::wire::{Malformed, Reader, Value, zigzag};

use crate::limits::{ATTRIBUTES_MAX, BUCKETS_MAX, EXEMPLARS_MAX};

type Result<T> = std::result::Result<T, Malformed>;

/// A data point of any kind; fields that its kind has not are empty. One is used again and again.
#[derive(Debug, Default)]
pub(crate) struct Point<'a> {
    pub attributes: Vec<Reader<'a>>,
    pub exemplars: Vec<Reader<'a>>,
    /// 0 = unknown.
    pub start_ns: u64,
    pub time_ns: u64,
    pub flags: u64,
    /// Of a gauge or sum.
    pub number: Option<f64>,
    pub count: u64,
    pub sum: Option<f64>,
    pub bounds: Vec<f64>,
    /// Of a histogram with explicit bounds.
    pub counts: Vec<u64>,
    pub scale: i32,
    pub zero_count: u64,
    pub positive: Buckets,
    pub negative: Buckets,
    pub quantiles: Vec<(f64, f64)>,
}

/// Buckets of one side of an exponential histogram.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Buckets {
    /// Index of the first.
    pub offset: i32,
    pub counts: Vec<u64>,
}

const NO_RECORDED_VALUE: u64 = 1;

impl<'a> Point<'a> {
    fn clear(&mut self) {
        self.attributes.clear();
        self.exemplars.clear();
        (self.start_ns, self.time_ns, self.flags, self.number) = (0, 0, 0, None);
        (self.count, self.sum, self.scale, self.zero_count) = (0, None, 0, 0);
        self.bounds.clear();
        self.counts.clear();
        self.quantiles.clear();
        for side in [&mut self.positive, &mut self.negative] {
            side.offset = 0;
            side.counts.clear();
        }
    }

    /// Whether the point says that its series ended.
    pub fn is_stale(&self) -> bool {
        self.flags & NO_RECORDED_VALUE != 0
    }

    pub fn time_ms(&self) -> i64 {
        to_ms(self.time_ns)
    }

    /// 0 = unknown. A start that is not before its sample says nothing.
    pub fn start_ms(&self) -> i64 {
        let start_ms = to_ms(self.start_ns);
        if start_ms < self.time_ms() { start_ms } else { 0 }
    }

    fn attribute(&mut self, value: Value<'a>, at: &Reader<'_>) -> Result<()> {
        push(&mut self.attributes, value.part(at)?, ATTRIBUTES_MAX, at, "more than 16384 attributes")
    }

    fn exemplar(&mut self, value: Value<'a>, at: &Reader<'_>) -> Result<()> {
        push(&mut self.exemplars, value.part(at)?, EXEMPLARS_MAX, at, "more than 16384 exemplars in a data point")
    }

    /// Reads a `NumberDataPoint`.
    pub fn read_number(&mut self, mut message: Reader<'a>) -> Result<()> {
        self.clear();
        while let Some((field, value)) = message.field()? {
            match field {
                2 => self.start_ns = value.fixed64(&message)?,
                3 => self.time_ns = value.fixed64(&message)?,
                4 => self.number = Some(value.double(&message)?),
                5 => self.exemplar(value, &message)?,
                6 => self.number = Some(value.fixed64(&message)? as i64 as f64),
                7 => self.attribute(value, &message)?,
                8 => self.flags = value.varint(&message)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads a `HistogramDataPoint`.
    pub fn read_histogram(&mut self, mut message: Reader<'a>) -> Result<()> {
        self.clear();
        while let Some((field, value)) = message.field()? {
            match field {
                2 => self.start_ns = value.fixed64(&message)?,
                3 => self.time_ns = value.fixed64(&message)?,
                4 => self.count = value.fixed64(&message)?,
                5 => self.sum = Some(value.double(&message)?),
                6 => value.fixed64s(&message, |count| self.counts.push(count))?,
                7 => value.doubles(&message, &mut self.bounds)?,
                8 => self.exemplar(value, &message)?,
                9 => self.attribute(value, &message)?,
                10 => self.flags = value.varint(&message)?,
                _ => {}
            }
        }
        check_buckets(self.counts.len().max(self.bounds.len()), &message)
    }

    /// Reads an `ExponentialHistogramDataPoint`.
    pub fn read_exponential(&mut self, mut message: Reader<'a>) -> Result<()> {
        self.clear();
        while let Some((field, value)) = message.field()? {
            match field {
                1 => self.attribute(value, &message)?,
                2 => self.start_ns = value.fixed64(&message)?,
                3 => self.time_ns = value.fixed64(&message)?,
                4 => self.count = value.fixed64(&message)?,
                5 => self.sum = Some(value.double(&message)?),
                6 => self.scale = signed(value, &message)?,
                7 => self.zero_count = value.fixed64(&message)?,
                8 => self.positive.read(value.part(&message)?)?,
                9 => self.negative.read(value.part(&message)?)?,
                10 => self.flags = value.varint(&message)?,
                11 => self.exemplar(value, &message)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads a `SummaryDataPoint`.
    pub fn read_summary(&mut self, mut message: Reader<'a>) -> Result<()> {
        self.clear();
        while let Some((field, value)) = message.field()? {
            match field {
                2 => self.start_ns = value.fixed64(&message)?,
                3 => self.time_ns = value.fixed64(&message)?,
                4 => self.count = value.fixed64(&message)?,
                5 => self.sum = Some(value.double(&message)?),
                6 => {
                    let quantile = quantile(value.part(&message)?)?;
                    push(&mut self.quantiles, quantile, BUCKETS_MAX, &message, "more than 16384 quantiles")?;
                }
                7 => self.attribute(value, &message)?,
                8 => self.flags = value.varint(&message)?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl Buckets {
    fn read(&mut self, mut message: Reader<'_>) -> Result<()> {
        while let Some((field, value)) = message.field()? {
            match field {
                1 => self.offset = signed(value, &message)?,
                2 => {
                    if let Value::Bytes(part) = value {
                        // Each takes a byte or more.
                        check_buckets(self.counts.len() + part.bytes().len() / 10, &message)?;
                    }
                    value.varints(&message, |count| self.counts.push(count))?;
                    check_buckets(self.counts.len(), &message)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn quantile(mut message: Reader<'_>) -> Result<(f64, f64)> {
    let mut read = (0.0, 0.0);
    while let Some((field, value)) = message.field()? {
        match field {
            1 => read.0 = value.double(&message)?,
            2 => read.1 = value.double(&message)?,
            _ => {}
        }
    }
    Ok(read)
}

/// Adds attributes of a message that is not a data point, such as a resource.
pub(crate) fn push_attribute<'a>(out: &mut Vec<Reader<'a>>, value: Value<'a>, at: &Reader<'_>) -> Result<()> {
    push(out, value.part(at)?, ATTRIBUTES_MAX, at, "more than 16384 attributes")
}

fn push<T>(out: &mut Vec<T>, one: T, max: usize, at: &Reader<'_>, why: &'static str) -> Result<()> {
    if out.len() >= max {
        return Err(at.malformed(why));
    }
    out.push(one);
    Ok(())
}

fn check_buckets(buckets: usize, at: &Reader<'_>) -> Result<()> {
    match buckets > BUCKETS_MAX {
        true => Err(at.malformed("more than 16384 buckets in a histogram")),
        false => Ok(()),
    }
}

fn signed(value: Value<'_>, at: &Reader<'_>) -> Result<i32> {
    i32::try_from(zigzag(value.varint(at)?)).map_err(|_| at.malformed("a number has more than 32 bits"))
}

/// Milliseconds of nanoseconds.
pub(crate) fn to_ms(ns: u64) -> i64 {
    // The largest is 1.8e13.
    (ns / 1_000_000) as i64
}
