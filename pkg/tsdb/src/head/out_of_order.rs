//! Samples of a series that came late: a small sorted buffer, and chunks made of it when it is full. These chunks may
//! overlap one another and those in order.

use super::encode::{Encodings, Row, encode};
use super::parts::{Full, Value};
use super::piece::Piece;

/// A chunk of late samples on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LateMapped {
    pub reference: u64,
    pub min_time: i64,
    pub max_time: i64,
}

#[derive(Debug, Default)]
pub(crate) struct OutOfOrder {
    /// Ascending by time.
    pub rows: Vec<Row>,
    /// Full chunks that are not on disk yet, oldest first.
    pub full: Vec<Full>,
    pub mapped: Vec<LateMapped>,
    /// Times of samples that some reader may not see, and the commits that wrote them.
    pub unsettled: Vec<(i64, u64)>,
    /// Of the samples taken last, wall clock: series that get late samples only are kept for a while.
    pub written_ms: i64,
}

impl OutOfOrder {
    /// The sample of a time, if it is in the buffer.
    pub fn find(&self, time_ms: i64) -> Option<&Value> {
        let at = self.rows.binary_search_by_key(&time_ms, |row| row.time_ms).ok()?;
        self.rows.get(at).map(|row| &row.value)
    }

    /// Takes a sample of a time that is not in the buffer.
    pub fn insert(&mut self, row: Row) {
        let at = self.rows.partition_point(|other| other.time_ms < row.time_ms);
        if self.rows.len() == self.rows.capacity() {
            self.rows.reserve_exact(4);
        }
        self.rows.insert(at, row);
    }

    /// Makes chunks of the buffer.
    ///
    /// # Errors
    /// When a sample cannot be encoded; validated ones always can.
    pub fn seal(&mut self, encodings: Encodings) -> Result<(), chunkenc::Error> {
        let chunks = encode(&self.rows, encodings)?;
        self.rows = Vec::new();
        self.full.extend(chunks);
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.full.is_empty() && self.mapped.is_empty()
    }

    /// Its chunks, oldest first. The buffer is not among them.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        let mapped = self.mapped.iter().map(|mapped| Piece::Mapped {
            reference: mapped.reference,
            min_time: mapped.min_time,
            max_time: mapped.max_time,
            samples: None,
        });
        mapped.chain(self.full.iter().map(|full| Piece::Ready(full.chunk())))
    }

    /// Drops the oldest chunks; how many.
    pub fn drop_oldest(&mut self, count: usize) -> usize {
        let mapped = count.min(self.mapped.len());
        let full = (count - mapped).min(self.full.len());
        self.mapped.drain(..mapped);
        self.mapped.shrink_to_fit();
        self.full.drain(..full);
        mapped + full
    }

    /// First and last time of all.
    pub fn times(&self) -> Option<(i64, i64)> {
        let rows = self.rows.first().zip(self.rows.last()).map(|(a, b)| (a.time_ms, b.time_ms));
        let full = self.full.iter().map(|full| (full.min_time, full.max_time));
        let mapped = self.mapped.iter().map(|mapped| (mapped.min_time, mapped.max_time));
        rows.into_iter().chain(full).chain(mapped).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    pub fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + self.rows.capacity() * size_of::<Row>()
            + self.full.iter().map(|full| full.data.len() + size_of::<Full>()).sum::<usize>()
            + self.unsettled.capacity() * 16
            + self.mapped.capacity() * size_of::<LateMapped>()
    }
}
