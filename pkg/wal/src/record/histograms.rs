//! Native histograms.

use encoding::{Corrupt, Cursor};
use histogram::CUSTOM_BUCKETS_SCHEMA;

use super::columns::{Key, KeysWithStarts, PlainKeys};
use super::histogram_bytes::{BucketHistogram, put_histogram, read_histogram};
use super::rows::Rows;
use super::{Kind, body};

/// Histograms in columns of one length, with integer or float counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histograms<H> {
    /// References of the series.
    pub refs: Vec<u64>,
    /// Times, ms since the epoch.
    pub times_ms: Vec<i64>,
    /// When the counters started, ms since the epoch, 0 where that is not known. Empty if no record had starts.
    pub starts_ms: Vec<i64>,
    /// The histograms.
    pub values: Vec<H>,
    /// Histograms whose memory is used again.
    spare: Vec<H>,
}

impl<H: BucketHistogram> Histograms<H> {
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
        self.starts_ms.truncate(len);
        self.spare.extend(self.values.drain(len.min(self.values.len())..));
    }

    /// Appends the rows of a record of one of the three kinds that hold such histograms. Returns the errors of histograms
    /// that make no sense, which are left out.
    ///
    /// # Errors
    /// [`Corrupt`] if the bytes are not such a record; the columns are as before then.
    pub fn decode(&mut self, record: &[u8]) -> Result<Vec<Corrupt>, Corrupt> {
        let (kind, mut cursor) = body(record, &H::KINDS)?;
        let before = self.len();
        let read = if kind == H::KINDS[2] {
            self.starts_ms.resize(before, 0);
            self.decode_with_starts(&mut cursor)
        } else {
            self.decode_plain(&mut cursor)
        };
        if read.is_err() {
            self.truncate(before);
        } else if !self.starts_ms.is_empty() {
            self.starts_ms.resize(self.len(), 0);
        }
        read
    }

    fn decode_plain(&mut self, cursor: &mut Cursor<'_>) -> Result<Vec<Corrupt>, Corrupt> {
        let mut invalid = Vec::new();
        let Some(keys) = PlainKeys::read_base(cursor)? else { return Ok(invalid) };
        while cursor.left() > 0 {
            let (series_ref, time_ms) = keys.read(cursor)?;
            self.decode_row(cursor, series_ref, time_ms, &mut invalid)?;
        }
        Ok(invalid)
    }

    fn decode_with_starts(&mut self, cursor: &mut Cursor<'_>) -> Result<Vec<Corrupt>, Corrupt> {
        let mut invalid = Vec::new();
        let mut keys = KeysWithStarts::default();
        while cursor.left() > 0 {
            let key = keys.read(cursor)?;
            if self.decode_row(cursor, key.series_ref, key.time_ms, &mut invalid)? {
                self.starts_ms.push(key.start_ms);
            }
        }
        Ok(invalid)
    }

    /// Whether the histogram made sense and was taken.
    fn decode_row(
        &mut self,
        cursor: &mut Cursor<'_>,
        series_ref: u64,
        time_ms: i64,
        invalid: &mut Vec<Corrupt>,
    ) -> Result<bool, Corrupt> {
        let mut histogram = self.spare.pop().unwrap_or_default();
        if let Err(e) = read_histogram(cursor, &mut histogram)? {
            self.spare.push(histogram);
            invalid.push(e);
            return Ok(false);
        }
        self.refs.push(series_ref);
        self.times_ms.push(time_ms);
        self.values.push(histogram);
        Ok(true)
    }
}

/// Appends a record to `out` with those rows whose histograms have custom buckets, or with those that have not. Nothing
/// is appended if there are none; returns whether there were. Prometheus keeps the two in records of their own, so a
/// batch with both takes two calls.
pub fn encode_histograms<'h, H: BucketHistogram + 'h>(
    out: &mut Vec<u8>,
    custom_buckets: bool,
    rows: impl IntoIterator<Item = (u64, i64, &'h H)>,
) -> bool {
    let wanted = |h: &H| (h.schema() == CUSTOM_BUCKETS_SCHEMA) == custom_buckets;
    let kind = H::KINDS[usize::from(custom_buckets)];
    encode_histograms_as(out, kind, rows.into_iter().filter(|(_, _, h)| wanted(h)))
}

/// The same with all rows in a record of `kind`, which is without start timestamps.
pub(crate) fn encode_histograms_as<'h, H: BucketHistogram + 'h>(
    out: &mut Vec<u8>,
    kind: Kind,
    rows: impl Iterator<Item = (u64, i64, &'h H)>,
) -> bool {
    let mut base = None;
    for (series_ref, time_ms, histogram) in rows {
        if base.is_none() {
            out.push(kind as u8);
        }
        let mut numbers = Rows::behind(out);
        numbers.reserve(4);
        let keys = match base.take() {
            Some(keys) => keys,
            None => PlainKeys::write_base(&mut numbers, series_ref, time_ms),
        };
        keys.write(&mut numbers, series_ref, time_ms);
        numbers.end();
        put_histogram(out, histogram);
        base = Some(keys);
    }
    base.is_some()
}

/// Appends a record with start timestamps to `out`: reference, time, start (0: not known) and histogram of each row.
/// Prometheus before 3.12 cannot read such records.
pub fn encode_histograms_with_starts<'h, H: BucketHistogram + 'h>(
    out: &mut Vec<u8>,
    rows: impl IntoIterator<Item = (u64, i64, i64, &'h H)>,
) {
    out.push(H::KINDS[2] as u8);
    let mut keys = KeysWithStarts::default();
    for (series_ref, time_ms, start_ms, histogram) in rows {
        let mut numbers = Rows::behind(out);
        numbers.reserve(KeysWithStarts::NUMBERS);
        keys.write(&mut numbers, Key { series_ref, time_ms, start_ms });
        numbers.end();
        put_histogram(out, histogram);
    }
}
