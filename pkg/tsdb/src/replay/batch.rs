//! Records on their way from the log into the head, some tens of kilobytes at a time.

use std::ops::Range;
use std::sync::Arc;

use encoding::Corrupt;
use histogram::{FloatHistogram, Histogram};
use storage::append::HistogramValue;
use wal::record::{BucketHistogram, Histograms, Kind, Markers, Samples};
use wal::{Compression, Packed, Position, Reader, Unpacker};

/// Bytes as stored, in a batch; it may end with a record that is longer.
const PACKED_BYTES: usize = 64 << 10;

/// Records that are looked at for one batch, at most.
const RECORDS: u64 = 1 << 12;

/// One record as it is stored.
#[derive(Debug)]
struct Stored {
    compression: Compression,
    bytes: Range<usize>,
    position: Position,
}

/// What records hold, in their order: ranges of the batch's columns or bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Op {
    Series(Range<usize>),
    Tombstones(Range<usize>),
    Exemplars(Range<usize>),
    Metadata(Range<usize>),
    Floats(Range<usize>),
    Histograms(Range<usize>),
    Markers(Range<usize>),
}

/// Histograms of all kinds, in columns of one length.
#[derive(Debug, Default)]
pub(super) struct HistogramColumns {
    pub(super) refs: Vec<u64>,
    pub(super) times_ms: Vec<i64>,
    /// 0 = unknown.
    pub(super) starts_ms: Vec<i64>,
    pub(super) values: Vec<HistogramValue>,
}

/// Records as they are stored, and what they hold.
#[derive(Debug, Default)]
pub(super) struct Batch {
    packed: Vec<u8>,
    stored: Vec<Stored>,
    /// How many were read, those that are left out among them.
    pub(super) records: u64,
    segment: u64,
    /// Corrupt places among the records, and where they stand.
    pub(super) corrupt: Vec<String>,
    pub(super) ops: Vec<Op>,
    /// Records that are no samples, unpacked.
    pub(super) bytes: Vec<u8>,
    pub(super) floats: Samples,
    pub(super) histograms: HistogramColumns,
    pub(super) markers: Markers,
    pub(super) invalid_histograms: u64,
    pub(super) unknown_records: u64,
    ints: Histograms<Histogram>,
    float_histograms: Histograms<FloatHistogram>,
}

impl Batch {
    /// Empties it and keeps its memory.
    pub(super) fn clear(&mut self) {
        self.packed.clear();
        self.stored.clear();
        self.corrupt.clear();
        self.ops.clear();
        self.bytes.clear();
        self.floats.clear();
        self.histograms.refs.clear();
        self.histograms.times_ms.clear();
        self.histograms.starts_ms.clear();
        self.histograms.values.clear();
        self.markers.clear();
        (self.records, self.invalid_histograms, self.unknown_records) = (0, 0, 0);
    }

    /// Takes the next records of the log, `with_samples` or without those that are seen to hold samples; false at its end.
    pub(super) fn fill(&mut self, reader: &mut Reader, with_samples: bool, at_segment: &mut dyn FnMut(u64)) -> bool {
        while self.packed.len() < PACKED_BYTES && self.records < RECORDS {
            match reader.read_packed() {
                None => break,
                Some(Packed::Corrupt(corruption)) => self.corrupt.push(corruption.to_string()),
                Some(Packed::Record { compression, bytes, position }) => {
                    if self.records == 0 || self.segment != position.segment {
                        self.segment = position.segment;
                        at_segment(position.segment);
                    }
                    self.records += 1;
                    if !with_samples && Unpacker::first_byte(compression, bytes).is_some_and(|byte| is_samples(&[byte]))
                    {
                        continue;
                    }
                    let begin = self.packed.len();
                    self.packed.extend_from_slice(bytes);
                    self.stored.push(Stored { compression, bytes: begin..self.packed.len(), position });
                }
            }
        }
        self.records > 0 || !self.corrupt.is_empty()
    }

    /// Unpacks and decodes the records.
    pub(super) fn decode(&mut self, unpacker: &mut Unpacker, with_samples: bool) {
        let (stored, packed) = (std::mem::take(&mut self.stored), std::mem::take(&mut self.packed));
        for Stored { compression, bytes, position } in &stored {
            let decoded = match unpacker.unpack(*compression, packed.get(bytes.clone()).unwrap_or_default()) {
                Ok(record) if !with_samples && is_samples(record) => Ok(()),
                Ok(record) => self.record(record).map_err(|e| e.to_string()),
                Err(why) => Err(why),
            };
            if let Err(why) = decoded {
                self.corrupt.push(format!("{position}: {why}"));
            }
        }
        (self.stored, self.packed) = (stored, packed);
    }

    fn record(&mut self, record: &[u8]) -> Result<(), Corrupt> {
        let op = match Kind::of(record) {
            None => {
                self.unknown_records += 1;
                return Ok(());
            }
            Some(Kind::Series) => Op::Series(self.keep(record)),
            Some(Kind::Tombstones) => Op::Tombstones(self.keep(record)),
            Some(Kind::Exemplars) => Op::Exemplars(self.keep(record)),
            Some(Kind::Metadata) => Op::Metadata(self.keep(record)),
            Some(Kind::Samples | Kind::SamplesWithStarts) => {
                let begin = self.floats.len();
                self.floats.decode(record)?;
                Op::Floats(begin..self.floats.len())
            }
            Some(Kind::MmapMarkers) => {
                let begin = self.markers.refs.len();
                self.markers.decode(record)?;
                Op::Markers(begin..self.markers.refs.len())
            }
            Some(Kind::Histograms | Kind::CustomHistograms | Kind::HistogramsWithStarts) => {
                let begin = self.histograms.refs.len();
                let invalid = self.histograms.take(&mut self.ints, record, |h| HistogramValue::Int(Arc::new(h)))?;
                self.invalid_histograms += invalid;
                Op::Histograms(begin..self.histograms.refs.len())
            }
            Some(Kind::FloatHistograms | Kind::CustomFloatHistograms | Kind::FloatHistogramsWithStarts) => {
                let (begin, decoder) = (self.histograms.refs.len(), &mut self.float_histograms);
                let invalid = self.histograms.take(decoder, record, |h| HistogramValue::Float(Arc::new(h)))?;
                self.invalid_histograms += invalid;
                Op::Histograms(begin..self.histograms.refs.len())
            }
        };
        self.ops.push(op);
        Ok(())
    }

    fn keep(&mut self, record: &[u8]) -> Range<usize> {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(record);
        begin..self.bytes.len()
    }

    /// The bytes of a record that is no samples.
    pub(super) fn bytes_of(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }
}

/// Whether a record holds samples, which chunks may have.
fn is_samples(record: &[u8]) -> bool {
    Kind::of(record).is_some_and(|kind| match kind {
        Kind::Series | Kind::Tombstones | Kind::Exemplars | Kind::MmapMarkers | Kind::Metadata => false,
        Kind::Samples | Kind::SamplesWithStarts => true,
        Kind::Histograms | Kind::CustomHistograms | Kind::HistogramsWithStarts => true,
        Kind::FloatHistograms | Kind::CustomFloatHistograms | Kind::FloatHistogramsWithStarts => true,
    })
}

impl HistogramColumns {
    /// Decodes a record and takes its histograms; how many of it make no sense.
    fn take<H: BucketHistogram>(
        &mut self,
        decoder: &mut Histograms<H>,
        record: &[u8],
        value: impl Fn(H) -> HistogramValue,
    ) -> Result<u64, Corrupt> {
        decoder.clear();
        let invalid = decoder.decode(record)?;
        self.refs.extend_from_slice(&decoder.refs);
        self.times_ms.extend_from_slice(&decoder.times_ms);
        self.starts_ms.extend_from_slice(&decoder.starts_ms);
        self.starts_ms.resize(self.refs.len(), 0);
        self.values.extend(decoder.values.drain(..).map(value));
        Ok(invalid.len() as u64)
    }
}
