//! What the records of samples and histograms have in common: reference, time and start of each row.

use encoding::{Corrupt, Cursor};

use super::rows::Rows;

/// Reference, time and start of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) series_ref: u64,
    pub(super) time_ms: i64,
    pub(super) start_ms: i64,
}

/// Start timestamps: none, that of the row before, or one of its own.
const NO_START: u8 = 0;
const SAME_START: u8 = 1;
const OWN_START: u8 = 2;

/// Reads rows of the first version: reference and time are differences to those before all rows.
pub(super) struct PlainKeys {
    base_ref: u64,
    base_ms: i64,
}

impl PlainKeys {
    /// `None` for a record without rows.
    pub(super) fn read_base(cursor: &mut Cursor<'_>) -> Result<Option<Self>, Corrupt> {
        if cursor.left() == 0 {
            return Ok(None);
        }
        Ok(Some(Self { base_ref: cursor.be64()?, base_ms: cursor.be64()? as i64 }))
    }

    #[inline]
    pub(super) fn read(&self, cursor: &mut Cursor<'_>) -> Result<(u64, i64), Corrupt> {
        Ok(self.at(cursor.varint()?, cursor.varint()?))
    }

    /// Reference and time of a row with these differences.
    #[inline]
    pub(super) fn at(&self, ref_delta: i64, time_delta: i64) -> (u64, i64) {
        (self.base_ref.wrapping_add_signed(ref_delta), self.base_ms.wrapping_add(time_delta))
    }

    pub(super) fn write_base(rows: &mut Rows<'_>, series_ref: u64, time_ms: i64) -> Self {
        rows.reserve(2);
        rows.put_be64(series_ref);
        rows.put_be64(time_ms as u64);
        Self { base_ref: series_ref, base_ms: time_ms }
    }

    #[inline]
    pub(super) fn write(&self, rows: &mut Rows<'_>, series_ref: u64, time_ms: i64) {
        rows.put_signed(series_ref.wrapping_sub(self.base_ref) as i64);
        rows.put_signed(time_ms.wrapping_sub(self.base_ms));
    }
}

/// Reads and writes rows of the second version: the reference is a difference to the row before, the time to the first
/// row, and there is a start.
#[derive(Default)]
pub(super) struct KeysWithStarts {
    first: Option<Key>,
    last: Option<Key>,
}

impl KeysWithStarts {
    /// Numbers that a row takes at most, its value apart.
    pub(super) const NUMBERS: usize = 4;

    #[inline]
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<Key, Corrupt> {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            let (series_ref, time_ms) = (cursor.varint()? as u64, cursor.varint()?);
            let key = Key { series_ref, time_ms, start_ms: cursor.varint()? };
            (self.first, self.last) = (Some(key), Some(key));
            return Ok(key);
        };
        let series_ref = last.series_ref.wrapping_add_signed(cursor.varint()?);
        let time_ms = first.time_ms.wrapping_add(cursor.varint()?);
        let at = *cursor;
        let start_ms = match cursor.bytes(1)? {
            [NO_START] => 0,
            [SAME_START] => last.start_ms,
            [OWN_START] => first.start_ms.wrapping_add(cursor.varint()?),
            other => return Err(at.corrupt(format!("marker {other:?} of a start timestamp is not known"))),
        };
        let key = Key { series_ref, time_ms, start_ms };
        self.last = Some(key);
        Ok(key)
    }

    #[inline]
    pub(super) fn write(&mut self, rows: &mut Rows<'_>, key: Key) {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            rows.put_signed(key.series_ref as i64);
            rows.put_signed(key.time_ms);
            rows.put_signed(key.start_ms);
            (self.first, self.last) = (Some(key), Some(key));
            return;
        };
        rows.put_signed(key.series_ref.wrapping_sub(last.series_ref) as i64);
        rows.put_signed(key.time_ms.wrapping_sub(first.time_ms));
        match key.start_ms {
            0 => rows.put_byte(NO_START),
            start if start == last.start_ms => rows.put_byte(SAME_START),
            start => {
                rows.put_byte(OWN_START);
                rows.put_signed(start.wrapping_sub(first.start_ms));
            }
        }
        self.last = Some(key);
    }
}
