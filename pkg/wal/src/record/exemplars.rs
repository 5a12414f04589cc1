//! Exemplars.

use encoding::{Corrupt, Cursor};

use super::columns::PlainKeys;
use super::pairs::{put_labels, read_labels};
use super::rows::Rows;
use super::{Kind, body};

/// One exemplar of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExemplarRow<L> {
    /// The reference of the series.
    pub series_ref: u64,
    /// When it was observed, ms since the epoch.
    pub time_ms: i64,
    /// What was observed.
    pub value: f64,
    /// The exemplar's own labels.
    pub labels: L,
}

/// Reads exemplars one by one; labels are borrowed from the record.
pub struct ExemplarReader<'a> {
    cursor: Cursor<'a>,
    keys: Option<PlainKeys>,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> ExemplarReader<'a> {
    /// At the first exemplar of a record of [`Kind::Exemplars`].
    ///
    /// # Errors
    /// [`Corrupt`] if it is another kind of record, or cut short.
    pub fn new(record: &'a [u8]) -> Result<Self, Corrupt> {
        Self::of_body(body(record, &[Kind::Exemplars])?.1)
    }

    /// At the first exemplar of bytes that begin behind a record's type, as snapshots of the head have them.
    ///
    /// # Errors
    /// [`Corrupt`] if they are cut short.
    pub fn of_body(mut cursor: Cursor<'a>) -> Result<Self, Corrupt> {
        let keys = PlainKeys::read_base(&mut cursor)?;
        Ok(Self { cursor, keys, pairs: Vec::new() })
    }

    /// The next exemplar, or `None` at the end.
    ///
    /// # Errors
    /// [`Corrupt`] if the bytes are not what the format says; what follows cannot be read.
    pub fn read(&mut self) -> Result<Option<ExemplarRow<&[(&'a str, &'a str)]>>, Corrupt> {
        let Some(keys) = self.keys.as_ref().filter(|_| self.cursor.left() > 0) else { return Ok(None) };
        let (series_ref, time_ms) = keys.read(&mut self.cursor)?;
        let value = f64::from_bits(self.cursor.be64()?);
        read_labels(&mut self.cursor, &mut self.pairs)?;
        Ok(Some(ExemplarRow { series_ref, time_ms, value, labels: &self.pairs }))
    }
}

/// Appends a record of [`Kind::Exemplars`] to `out`.
pub fn encode_exemplars<'l, L>(out: &mut Vec<u8>, rows: impl IntoIterator<Item = ExemplarRow<L>>)
where
    L: Iterator<Item = (&'l str, &'l str)> + Clone,
{
    out.push(Kind::Exemplars as u8);
    put_exemplars(out, rows);
}

/// Appends exemplars without a record's type to `out`.
pub fn put_exemplars<'l, L>(out: &mut Vec<u8>, rows: impl IntoIterator<Item = ExemplarRow<L>>)
where
    L: Iterator<Item = (&'l str, &'l str)> + Clone,
{
    let mut base = None;
    for row in rows {
        let mut numbers = Rows::behind(out);
        numbers.reserve(5);
        let keys = match base.take() {
            Some(keys) => keys,
            None => PlainKeys::write_base(&mut numbers, row.series_ref, row.time_ms),
        };
        keys.write(&mut numbers, row.series_ref, row.time_ms);
        numbers.put_be64(row.value.to_bits());
        numbers.end();
        put_labels(out, row.labels);
        base = Some(keys);
    }
}
