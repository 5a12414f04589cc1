//! Rows as the bodies of requests, in both versions. No message is built: bytes are written once.

mod block;
mod histogram;
mod put;
mod repeats;
mod v1;
mod v2;

use hashbrown::HashMap;
use model::{MetricMetadata, MetricType};

pub(super) use v1::metadata_request;

use super::rewrite::Rewrites;
use super::rows::Row;
use super::series::SeriesTable;
use crate::receive::MessageType;

/// Metadata by the name of a metric family.
pub(super) type Families = HashMap<String, MetricMetadata>;

/// Makes bodies; keeps its memory.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    v1: v1::Buffers,
    v2: v2::Buffers,
    snappy: Snappy,
}

/// A body as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Body {
    pub bytes: bytes::Bytes,
    /// Rows of which no metadata goes along, though it could.
    pub without_metadata: u64,
}

impl Encoder {
    /// The body of a request with `rows`, whose order by series is stable.
    pub fn encode(
        &mut self,
        message: MessageType,
        rows: &[Row],
        rewrites: &Rewrites,
        table: &SeriesTable,
        families: &Families,
    ) -> Body {
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        order.sort_by_key(|n| rows[*n as usize].series);
        let groups = order.chunk_by(|a, b| rows[*a as usize].series == rows[*b as usize].series);
        let groups = groups.map(|group| group.iter().map(|n| &rows[*n as usize]));
        let known = table.read();
        match message {
            MessageType::V1 => {
                Body { bytes: self.v1.encode(groups, rewrites, &known, &mut self.snappy), without_metadata: 0 }
            }
            MessageType::V2 => {
                let (plain, without_metadata) = self.v2.encode(groups, rewrites, &known, families);
                drop(known);
                Body { bytes: bytes::Bytes::copy_from_slice(self.snappy.compress(plain)), without_metadata }
            }
        }
    }
}

/// Compresses; keeps its memory.
pub(super) struct Snappy(snap::raw::Encoder, Vec<u8>);

impl Default for Snappy {
    fn default() -> Self {
        Self(snap::raw::Encoder::new(), Vec::new())
    }
}

impl std::fmt::Debug for Snappy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Snappy")
    }
}

impl Snappy {
    pub fn compress(&mut self, plain: &[u8]) -> &[u8] {
        let most = snap::raw::max_compress_len(plain.len());
        if self.1.len() < most {
            self.1.resize(most, 0);
        }
        // It fails for no room and for 4 GiB only.
        let len = self.0.compress(plain, &mut self.1).unwrap_or(0);
        &self.1[..len]
    }
}

/// The number of a type in both versions.
fn type_number(metric_type: MetricType) -> u64 {
    match metric_type {
        MetricType::Unknown => 0,
        MetricType::Counter => 1,
        MetricType::Gauge => 2,
        MetricType::Histogram => 3,
        MetricType::GaugeHistogram => 4,
        MetricType::Summary => 5,
        MetricType::Info => 6,
        MetricType::StateSet => 7,
    }
}

/// The type that a text names.
fn type_of(text: &str) -> MetricType {
    use MetricType::{Counter, Gauge, GaugeHistogram, Histogram, Info, StateSet, Summary, Unknown};
    let all = [Counter, Gauge, Histogram, GaugeHistogram, Summary, Info, StateSet];
    all.into_iter().find(|t| t.as_str() == text).unwrap_or(Unknown)
}
