//! The labels of new series.

use encoding::{Corrupt, Cursor};

use super::pairs::{put_labels, read_labels};
use super::{Kind, body};

/// Reads a record of [`Kind::Series`], series by series; labels are borrowed from the record.
#[derive(Debug)]
pub struct SeriesReader<'a> {
    cursor: Cursor<'a>,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> SeriesReader<'a> {
    /// At the first series of `record`.
    ///
    /// # Errors
    /// [`Corrupt`] if it is another kind of record.
    pub fn new(record: &'a [u8]) -> Result<Self, Corrupt> {
        Ok(Self { cursor: body(record, &[Kind::Series])?.1, pairs: Vec::new() })
    }

    /// The next series: its reference and its labels in the order of the record, which is not checked. `None` at the end.
    ///
    /// # Errors
    /// [`Corrupt`] if the bytes are not what the format says; what follows in the record cannot be read.
    pub fn read(&mut self) -> Result<Option<(u64, &[(&'a str, &'a str)])>, Corrupt> {
        if self.cursor.left() == 0 {
            return Ok(None);
        }
        let series_ref = self.cursor.be64()?;
        read_labels(&mut self.cursor, &mut self.pairs)?;
        Ok(Some((series_ref, &self.pairs)))
    }
}

/// Appends a record of [`Kind::Series`] to `out`.
pub fn encode_series<'l, L>(out: &mut Vec<u8>, series: impl IntoIterator<Item = (u64, L)>)
where
    L: Iterator<Item = (&'l str, &'l str)> + Clone,
{
    out.push(Kind::Series as u8);
    for (series_ref, labels) in series {
        put_series(out, series_ref, labels);
    }
}

/// Appends one series to a record.
pub(crate) fn put_series<'l>(
    out: &mut Vec<u8>,
    series_ref: u64,
    labels: impl Iterator<Item = (&'l str, &'l str)> + Clone,
) {
    out.extend_from_slice(&series_ref.to_be_bytes());
    put_labels(out, labels);
}
