//! Deleted intervals, and markers of chunks of out-of-order samples.

use encoding::{Corrupt, Cursor, put_varint};

use super::{Kind, body};

/// Deleted intervals in columns of one length. The interval from `i64::MIN` to `i64::MAX` says that the series as a whole
/// was removed; Prometheus writes it from 3.10 on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tombstones {
    /// References of the series.
    pub refs: Vec<u64>,
    /// The first deleted ms since the epoch.
    pub mins_ms: Vec<i64>,
    /// The last deleted ms since the epoch.
    pub maxs_ms: Vec<i64>,
}

impl Tombstones {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.refs.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.refs.is_empty()
    }

    /// Removes all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    fn truncate(&mut self, len: usize) {
        self.refs.truncate(len);
        self.mins_ms.truncate(len);
        self.maxs_ms.truncate(len);
    }

    /// Appends the rows of a record of [`Kind::Tombstones`].
    ///
    /// # Errors
    /// [`Corrupt`] if the bytes are not such a record; the columns are as before then.
    pub fn decode(&mut self, record: &[u8]) -> Result<(), Corrupt> {
        let (_, cursor) = body(record, &[Kind::Tombstones])?;
        let before = self.len();
        let read = self.decode_rows(cursor);
        if read.is_err() {
            self.truncate(before);
        }
        read
    }

    fn decode_rows(&mut self, mut cursor: Cursor<'_>) -> Result<(), Corrupt> {
        while cursor.left() > 0 {
            let (series_ref, min_ms, max_ms) = (cursor.be64()?, cursor.varint()?, cursor.varint()?);
            self.refs.push(series_ref);
            self.mins_ms.push(min_ms);
            self.maxs_ms.push(max_ms);
        }
        Ok(())
    }
}

/// Appends a record of [`Kind::Tombstones`] to `out`: series reference, first and last deleted ms of each row.
pub fn encode_tombstones(out: &mut Vec<u8>, rows: impl IntoIterator<Item = (u64, i64, i64)>) {
    out.push(Kind::Tombstones as u8);
    for (series_ref, min_ms, max_ms) in rows {
        out.extend_from_slice(&series_ref.to_be_bytes());
        put_varint(out, min_ms);
        put_varint(out, max_ms);
    }
}

/// Markers in columns of one length: all out-of-order samples that the log has of the series up to here are in chunks on
/// disk up to this one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Markers {
    /// References of the series.
    pub refs: Vec<u64>,
    /// References of the chunks: file number in the upper 32 bits, offset in the lower; 0 if the chunk could not be
    /// written.
    pub chunk_refs: Vec<u64>,
}

impl Markers {
    /// Removes all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.refs.clear();
        self.chunk_refs.clear();
    }

    /// Appends the rows of a record of [`Kind::MmapMarkers`].
    ///
    /// # Errors
    /// [`Corrupt`] if the bytes are not such a record; the columns are as before then.
    pub fn decode(&mut self, record: &[u8]) -> Result<(), Corrupt> {
        let (_, cursor) = body(record, &[Kind::MmapMarkers])?;
        let (rows, rest) = record.get(1..).unwrap_or_default().as_chunks::<16>();
        if !rest.is_empty() {
            return Err(cursor.corrupt(format!("{} bytes, which are no whole rows of 16", cursor.left())));
        }
        let mut numbers = cursor;
        for _ in rows {
            self.refs.push(numbers.be64()?);
            self.chunk_refs.push(numbers.be64()?);
        }
        Ok(())
    }
}

/// Appends a record of [`Kind::MmapMarkers`] to `out`: series reference and chunk reference of each row.
pub fn encode_markers(out: &mut Vec<u8>, rows: impl IntoIterator<Item = (u64, u64)>) {
    out.push(Kind::MmapMarkers as u8);
    for (series_ref, chunk_ref) in rows {
        out.extend_from_slice(&series_ref.to_be_bytes());
        out.extend_from_slice(&chunk_ref.to_be_bytes());
    }
}
