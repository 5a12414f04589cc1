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
            self.decode_short(&keys, cursor)?;
            if cursor.left() == 0 {
                break;
            }
            let (series_ref, time_ms) = keys.read(cursor)?;
            let value = f64::from_bits(cursor.be64()?);
            self.refs.push(series_ref);
            self.times_ms.push(time_ms);
            self.values.push(value);
        }
        Ok(())
    }

    /// Reads rows up to one whose numbers take more than four bytes each, or that is near the end. Each is taken out of
    /// sixteen bytes at once: such rows are most of what a replay decodes.
    fn decode_short(&mut self, keys: &PlainKeys, cursor: &mut Cursor<'_>) -> Result<(), Corrupt> {
        let mut ahead = *cursor;
        let rest = ahead.bytes(cursor.left())?;
        let mut at = 0;
        while let Some(bytes) = rest.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
            let word = u128::from_le_bytes(*bytes);
            // Top bits that are not set end a number.
            let ends = !(word as u64) & 0x8080_8080_8080_8080;
            let (first, both) = (ends.trailing_zeros() + 1, (ends & ends.wrapping_sub(1)).trailing_zeros() + 1);
            if first > 32 || both > 64 || both - first > 32 {
                break;
            }
            let (ref_delta, time_delta) =
                (short_varint(word as u32, first), short_varint((word >> first) as u32, both - first));
            let (series_ref, time_ms) = keys.at(ref_delta, time_delta);
            self.refs.push(series_ref);
            self.times_ms.push(time_ms);
            self.values.push(f64::from_bits(((word >> both) as u64).swap_bytes()));
            at += both as usize / 8 + size_of::<u64>();
        }
        cursor.bytes(at)?;
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

/// The zigzag number in the low `bits` of `word`, 8 to 32 of them, seven of each byte.
#[inline]
fn short_varint(word: u32, bits: u32) -> i64 {
    let x = word & u32::MAX >> (32 - bits);
    let zigzag = x & 0x7f | x >> 1 & 0x3f80 | x >> 2 & 0x1f_c000 | x >> 3 & 0xfe0_0000;
    i64::from(zigzag >> 1) ^ -i64::from(zigzag & 1)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Number by number.
    fn slowly(record: &[u8]) -> Result<Samples, Corrupt> {
        let mut out = Samples::default();
        let (_, mut cursor) = body(record, &[Kind::Samples])?;
        let Some(keys) = PlainKeys::read_base(&mut cursor)? else { return Ok(out) };
        while cursor.left() > 0 {
            let (series_ref, time_ms) = keys.read(&mut cursor)?;
            let value = f64::from_bits(cursor.be64()?);
            out.refs.push(series_ref);
            out.times_ms.push(time_ms);
            out.values.push(value);
        }
        Ok(out)
    }

    fn check(record: &[u8]) -> Result<(), TestCaseError> {
        let mut fast = Samples::default();
        let bits = |samples: &Samples| samples.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        match (fast.decode(record), slowly(record)) {
            (Ok(()), Ok(slow)) => {
                prop_assert_eq!(bits(&fast), bits(&slow));
                prop_assert_eq!((fast.refs, fast.times_ms), (slow.refs, slow.times_ms));
            }
            (Err(_), Err(_)) => prop_assert!(fast.is_empty()),
            (fast, slow) => prop_assert!(false, "{fast:?}, {slow:?}"),
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn rows_of_all_lengths(
            rows in prop::collection::vec((any::<u64>(), 0u32..64, any::<i64>(), 0u32..64, any::<u64>()), 0..40),
            cut in 0usize..30,
        ) {
            let refs: Vec<u64> = rows.iter().map(|row| row.0 >> row.1).collect();
            let times_ms: Vec<i64> = rows.iter().map(|row| row.2 >> row.3).collect();
            let values: Vec<f64> = rows.iter().map(|row| f64::from_bits(row.4)).collect();
            let mut record = Vec::new();
            encode_samples(&mut record, &refs, &times_ms, &values);
            check(&record)?;
            record.truncate(record.len().saturating_sub(cut));
            check(&record)?;
        }

        #[test]
        fn any_bytes(bytes in prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..200)) {
            check(&[&[Kind::Samples as u8][..], &bytes].concat())?;
        }
    }
}
