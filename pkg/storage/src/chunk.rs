//! Series and chunks as they cross the seam: labels once, samples still encoded, bytes shared and not copied.

use std::sync::Arc;

use bytes::Bytes;
use chunkenc::{Column, Encoding, TimedChunk, aggr};
use labels::{LabelHasher, Labels};

/// A series with its chunks, ascending by `min_time`. Chunks may reach beyond the asked range, may overlap (replicas,
/// out-of-order blocks), and may come twice from two sources; readers cope.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The labels, external labels merged in, replica labels removed if that was asked.
    pub labels: Labels,
    /// Empty when the select skipped chunks.
    pub chunks: Vec<Chunk>,
}

/// A run of samples of one series; both times inclusive.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// Time of the first sample, ms.
    pub min_time: i64,
    /// Time of the last sample, ms.
    pub max_time: i64,
    /// The samples, encoded or decoded.
    pub data: ChunkData,
    /// Which replica's: [`replica_id`] of the labels that `without_replica_labels` took away; 0 = not known.
    pub replica: u64,
}

/// Raw samples, or downsampled aggregates.
#[derive(Debug, Clone, PartialEq)]
pub enum ChunkData {
    /// Samples as they were scraped.
    Raw(EncodedChunk),
    /// What a downsampled block holds instead. Boxed: raw chunks are the common case.
    Aggr(Box<AggrChunk>),
    /// Samples already decoded, by a stage within this process; never on a wire.
    Decoded(Arc<Column>),
}

/// Encoded samples. The CRC was checked by whoever read them from a block.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedChunk {
    /// How to read `data`. Never [`Encoding::Aggregates`].
    pub encoding: Encoding,
    /// The chunk's data without encoding byte and CRC.
    pub data: Bytes,
}

/// The five aggregates in their on-disk order; absent ones were not asked for or do not exist.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AggrChunk {
    /// One chunk per [`Aggregate`], by its number; `None` = not sent.
    pub parts: [Option<EncodedChunk>; 5],
}

/// One of Thanos' aggregates; the number is its place in an aggregate chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// How many raw samples the window has.
    Count = 0,
    /// Sum of the raw samples in the window.
    Sum = 1,
    /// The smallest raw sample in the window.
    Min = 2,
    /// The largest raw sample in the window.
    Max = 3,
    /// Running total of a counter, without its resets.
    Counter = 4,
}

impl Aggregate {
    /// All, in on-disk order.
    pub const ALL: [Self; 5] = [Self::Count, Self::Sum, Self::Min, Self::Max, Self::Counter];
}

/// A set of aggregates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Aggregates(u8);

impl Aggregates {
    /// No aggregate: raw data only.
    pub const NONE: Self = Self(0);

    /// The set of the aggregates in `list`.
    pub fn of(list: &[Aggregate]) -> Self {
        Self(list.iter().fold(0, |bits, a| bits | 1 << *a as u8))
    }

    /// Whether `a` is in the set.
    pub fn has(self, a: Aggregate) -> bool {
        self.0 & (1 << a as u8) != 0
    }

    /// The members, in on-disk order.
    pub fn iter(self) -> impl Iterator<Item = Aggregate> {
        Aggregate::ALL.into_iter().filter(move |a| self.has(*a))
    }

    /// True for [`Self::NONE`].
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl AggrChunk {
    /// The samples of one aggregate, if they are here.
    pub fn get(&self, a: Aggregate) -> Option<&EncodedChunk> {
        self.parts[a as usize].as_ref()
    }
}

impl Chunk {
    /// A raw chunk.
    pub fn raw(min_time: i64, max_time: i64, encoding: Encoding, data: Bytes) -> Self {
        Self { min_time, max_time, data: ChunkData::Raw(EncodedChunk { encoding, data }), replica: 0 }
    }

    /// A downsampled chunk.
    pub fn aggr(min_time: i64, max_time: i64, parts: AggrChunk) -> Self {
        Self { min_time, max_time, data: ChunkData::Aggr(Box::new(parts)), replica: 0 }
    }

    /// A chunk of samples that are decoded already; `None` without samples.
    pub fn decoded(column: Column) -> Option<Self> {
        let (min_time, max_time) = (*column.times.first()?, *column.times.last()?);
        Some(Self { min_time, max_time, data: ChunkData::Decoded(Arc::new(column)), replica: 0 })
    }

    /// Bytes of encoded samples; what budgets count.
    pub fn size_bytes(&self) -> usize {
        match &self.data {
            ChunkData::Raw(c) => c.data.len(),
            ChunkData::Decoded(c) => c.len() * 16,
            ChunkData::Aggr(a) => a.parts.iter().flatten().map(|c| c.data.len()).sum(),
        }
    }
}

impl Series {
    /// Takes the labels in `names` away and notes on each chunk whose it was.
    pub fn strip_replica_labels(&mut self, names: &[String]) {
        let replica = replica_id(&self.labels, names);
        if replica != 0 {
            self.labels = self.labels.without(names);
            self.chunks.iter_mut().for_each(|c| c.replica = replica);
        }
    }

    /// Approximate memory of labels and chunks, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.labels.size_bytes()
            + self.chunks.iter().map(|c| c.size_bytes() + size_of::<Chunk>()).sum::<usize>()
            + size_of::<Self>()
    }
}

/// Tells replicas apart: a hash of the labels in `names` that a series has, 0 when it has none of them. Equal on every
/// machine, since it crosses the wire.
pub fn replica_id(labels: &Labels, names: &[String]) -> u64 {
    let mut hasher = LabelHasher::new();
    let mut any = false;
    for (name, value) in labels.iter().filter(|(n, _)| names.iter().any(|r| r == n)) {
        hasher.add(name, value);
        any = true;
    }
    if any { hasher.finish().max(1) } else { 0 }
}

impl TryFrom<&Chunk> for TimedChunk {
    type Error = chunkenc::Error;

    /// Takes a chunk as it is; one of decoded samples is encoded.
    fn try_from(chunk: &Chunk) -> Result<Self, Self::Error> {
        let (encoding, data) = match &chunk.data {
            ChunkData::Raw(raw) => (raw.encoding, raw.data.clone()),
            ChunkData::Aggr(parts) => {
                let parts = parts.parts.each_ref().map(|p| p.as_ref().map(|c| (c.encoding, &*c.data)));
                (Encoding::Aggregates, aggr::encode(parts).into())
            }
            ChunkData::Decoded(column) => (Encoding::Xor, chunkenc::encode_xor(column.iter())?.into()),
        };
        Ok(Self { min_time: chunk.min_time, max_time: chunk.max_time, encoding, data })
    }
}
