//! Deleted intervals of series, until a compaction drops the samples.

use std::collections::BTreeMap;

use encoding::{Cursor, check_crc, put_uvarint, put_varint};
use model::TimeRange;

use crate::{Error, Result};

/// Name of the file in a block's directory.
pub const TOMBSTONES_FILE: &str = "tombstones";
const MAGIC: u32 = 0x0130_BA30;
const HEADER_LEN: usize = 5;

/// Deleted intervals by series id; both ends inclusive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tombstones {
    by_series: BTreeMap<u64, Vec<TimeRange>>,
}

impl Tombstones {
    /// Reads the file's bytes; `file` is named in errors.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the bytes are not what was written, [`Error::Version`] if their format is not known.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        let mut head = Cursor::new(file, 0, bytes);
        let magic = head.be32()?;
        if magic != MAGIC {
            return Err(Error::corrupt(file, 0, format!("magic is {magic:08x}, tombstones begin with {MAGIC:08x}")));
        }
        let version = head.bytes(1)?[0];
        if version != 1 {
            return Err(Error::Version { file: file.to_owned(), what: "tombstones".to_owned(), found: version.into() });
        }
        let Some(body) = head.left().checked_sub(4).map(|len| &bytes[HEADER_LEN..HEADER_LEN + len]) else {
            return Err(head.corrupt("no checksum").into());
        };
        let mut tail = head.seek(HEADER_LEN + body.len());
        check_crc(file, HEADER_LEN as u64, "tombstones", body, tail.be32()?)?;
        let mut cursor = Cursor::new(file, HEADER_LEN as u64, body);
        let mut out = Self::default();
        while cursor.left() > 0 {
            out.add(cursor.uvarint()?, TimeRange::new(cursor.varint()?, cursor.varint()?));
        }
        Ok(out)
    }

    /// The intervals as the file `tombstones` has them.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_be_bytes().to_vec();
        out.push(1);
        for (id, ranges) in &self.by_series {
            for range in ranges {
                put_uvarint(&mut out, *id);
                put_varint(&mut out, range.min);
                put_varint(&mut out, range.max);
            }
        }
        let crc = encoding::crc32c(&out[HEADER_LEN..]);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    /// Marks an interval of a series as deleted.
    pub fn add(&mut self, series: u64, range: TimeRange) {
        self.by_series.entry(series).or_default().push(range);
    }

    /// The deleted intervals of a series, in no order.
    pub fn of(&self, series: u64) -> &[TimeRange] {
        self.by_series.get(&series).map_or(&[], Vec::as_slice)
    }

    /// How many intervals are deleted, of all series.
    pub fn len(&self) -> usize {
        self.by_series.values().map(Vec::len).sum()
    }

    /// Whether no interval is deleted.
    pub fn is_empty(&self) -> bool {
        self.by_series.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_prometheus() {
        let hex = |t: &str| {
            (0..t.len() / 2).map(|i| u8::from_str_radix(&t[2 * i..2 * i + 2], 16).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(Tombstones::default().to_bytes(), hex("0130ba300100000000"));
        let one = hex("0130ba30010e8090fd9abf6890cea09fbf684b62072e");
        let parsed = Tombstones::parse("tombstones", &one).unwrap();
        assert_eq!(parsed.of(14), [TimeRange::new(1_795_190_400_000, 1_795_194_885_000)]);
        assert_eq!((parsed.of(13).len(), parsed.len(), parsed.to_bytes()), (0, 1, one.clone()));
        for len in 0..one.len() {
            assert!(Tombstones::parse("tombstones", &one[..len]).is_err(), "prefix of {len}");
        }
        for bit in 0..one.len() * 8 {
            let mut bad = one.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Tombstones::parse("tombstones", &bad).is_err(), "bit {bit}");
        }
    }
}
