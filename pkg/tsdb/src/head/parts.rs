//! Samples and chunks as the head holds them.

use bytes::Bytes;
use chunkenc::{Encoding, TimedChunk};
use storage::append::HistogramValue;

/// A sample's value.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Float(f64),
    Histogram(HistogramValue),
}

impl Value {
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Float(v) => model::is_stale(*v),
            Self::Histogram(h) => h.is_stale(),
        }
    }

    /// Whether it is the same to the bit, NaN included.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Histogram(a), Self::Histogram(b)) => same_histogram(a, b),
            _ => false,
        }
    }
}

/// As Prometheus compares: stale ones are the same, whatever else they say.
fn same_histogram(a: &HistogramValue, b: &HistogramValue) -> bool {
    let sums = |a: f64, b: f64| a.to_bits() == b.to_bits();
    match (a, b) {
        (HistogramValue::Int(a), HistogramValue::Int(b)) => {
            let plain = |h: &histogram::Histogram| histogram::Histogram {
                sum: 0.0,
                reset_hint: histogram::ResetHint::Unknown,
                ..h.clone()
            };
            sums(a.sum, b.sum) && (model::is_stale(a.sum) || plain(a) == plain(b))
        }
        (HistogramValue::Float(a), HistogramValue::Float(b)) => {
            let plain = |h: &histogram::FloatHistogram| histogram::FloatHistogram {
                sum: 0.0,
                reset_hint: histogram::ResetHint::Unknown,
                ..h.clone()
            };
            sums(a.sum, b.sum) && (model::is_stale(a.sum) || plain(a) == plain(b))
        }
        _ => false,
    }
}

/// A chunk on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mapped {
    pub reference: u64,
    pub min_time: i64,
    /// `max_time - min_time`. Chunks end where a chunk range ends, so that it fits.
    pub span_ms: u32,
    pub samples: u16,
    pub encoding: Encoding,
}

impl Mapped {
    pub fn max_time(&self) -> i64 {
        self.min_time.saturating_add(i64::from(self.span_ms))
    }
}

/// A chunk that is full and not yet on disk.
#[derive(Debug, Clone)]
pub(crate) struct Full {
    pub min_time: i64,
    pub max_time: i64,
    pub encoding: Encoding,
    pub samples: u16,
    pub data: Bytes,
}

impl Full {
    pub fn chunk(&self) -> TimedChunk {
        TimedChunk {
            min_time: self.min_time,
            max_time: self.max_time,
            encoding: self.encoding,
            data: self.data.clone(),
        }
    }
}
