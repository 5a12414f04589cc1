//! Float samples.

use encoding::{Corrupt, Cursor};

use super::columns::{Key, KeysWithStarts, PlainKeys};
use super::rows::Rows;
use super::{Kind, body};

/// Float samples in columns of one length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    /// References of the series.
    pub refs: Vec<u64>,
    /// Times, ms since the epoch.
    pub times_ms: Vec<i64>,
    /// Values; stale markers keep their bits.
    pub values: Vec<f64>,
    /// When the counters started, ms since the epoch, 0 where that is not known. Empty if no record had starts.
    pub starts_ms: Vec<i64>,
}

/// The fewest bytes that a row takes.
const ROW_BYTES_MIN: usize = 10;
/// Rows for which room is made at a time.
const ROWS: usize = 256;

impl Samples {
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
        self.times_ms.truncate(len);
        self.values.truncate(len);
        self.starts_ms.truncate(len);
    }

    /// Appends the rows of a record of [`Kind::Samples`] or [`Kind::SamplesWithStarts`].
    ///
    /// # Errors
    /// [`Corrupt`] if the bytes are not such a record; the columns are as before then.
    pub fn decode(&mut self, record: &[u8]) -> Result<(), Corrupt> {
        let (kind, mut cursor) = body(record, &[Kind::Samples, Kind::SamplesWithStarts])?;
        let before = self.len();
        let more = cursor.left() / ROW_BYTES_MIN;
        self.refs.reserve(more);
        self.times_ms.reserve(more);
        self.values.reserve(more);
        let read = match kind {
            Kind::Samples => self.decode_plain(&mut cursor),
            _ => {
                self.starts_ms.reserve(before + more - self.starts_ms.len());
                self.starts_ms.resize(before, 0);
                self.decode_with_starts(&mut cursor)
            }
        };
        if read.is_err() {
            self.truncate(before);
        } else if !self.starts_ms.is_empty() {
            self.starts_ms.resize(self.len(), 0);
        }
        read
    }

    fn decode_plain(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Corrupt> {
        let Some(keys) = PlainKeys::read_base(cursor)? else { return Ok(()) };
        while cursor.left() > 0 {
            let (series_ref, time_ms) = keys.read(cursor)?;
            // At once: it is most of what a replay decodes.
            let bytes = cursor.bytes(size_of::<u64>())?.first_chunk();
            let value = f64::from_bits(bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes)));
            self.refs.push(series_ref);
            self.times_ms.push(time_ms);
            self.values.push(value);
        }
        Ok(())
    }

    fn decode_with_starts(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Corrupt> {
        let mut keys = KeysWithStarts::default();
        while cursor.left() > 0 {
            let key = keys.read(cursor)?;
            let value = f64::from_bits(cursor.be64()?);
            self.refs.push(key.series_ref);
            self.times_ms.push(key.time_ms);
            self.values.push(value);
            self.starts_ms.push(key.start_ms);
        }
        Ok(())
    }
}

/// Appends a record of [`Kind::Samples`] to `out`. The columns have one length.
pub fn encode_samples(out: &mut Vec<u8>, refs: &[u64], times_ms: &[i64], values: &[f64]) {
    out.push(Kind::Samples as u8);
    let (Some(first_ref), Some(first_ms)) = (refs.first(), times_ms.first()) else { return };
    let mut rows = Rows::behind(out);
    let keys = PlainKeys::write_base(&mut rows, *first_ref, *first_ms);
    for ((refs, times_ms), values) in refs.chunks(ROWS).zip(times_ms.chunks(ROWS)).zip(values.chunks(ROWS)) {
        rows.reserve(3 * refs.len());
        for ((series_ref, time_ms), value) in refs.iter().zip(times_ms).zip(values) {
            keys.write(&mut rows, *series_ref, *time_ms);
            rows.put_be64(value.to_bits());
        }
    }
    rows.end();
}

/// Appends a record of [`Kind::SamplesWithStarts`] to `out`. The columns have one length; a start of 0 is not known.
/// Prometheus before 3.11 cannot read such records.
pub fn encode_samples_with_starts(
    out: &mut Vec<u8>,
    refs: &[u64],
    times_ms: &[i64],
    starts_ms: &[i64],
    values: &[f64],
) {
    out.push(Kind::SamplesWithStarts as u8);
    let mut rows = Rows::behind(out);
    let mut keys = KeysWithStarts::default();
    for (((series_ref, time_ms), start_ms), value) in refs.iter().zip(times_ms).zip(starts_ms).zip(values) {
        rows.reserve(KeysWithStarts::NUMBERS + 1);
        keys.write(&mut rows, Key { series_ref: *series_ref, time_ms: *time_ms, start_ms: *start_ms });
        rows.put_be64(value.to_bits());
    }
    rows.end();
}
