//! Type, unit and help of series.

use encoding::{Corrupt, Cursor, put_string, put_uvarint};
use model::MetricType;

use super::{Kind, body};

const UNIT: &str = "UNIT";
const HELP: &str = "HELP";

/// What a series' metric says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataRow<'a> {
    /// The reference of the series.
    pub series_ref: u64,
    /// Numbers that are not known are read as [`MetricType::Unknown`].
    pub metric_type: MetricType,
    /// Such as `seconds`; mostly empty.
    pub unit: &'a str,
    /// For people.
    pub help: &'a str,
}

/// Reads a record of [`Kind::Metadata`], row by row.
#[derive(Debug)]
pub struct MetadataReader<'a> {
    cursor: Cursor<'a>,
}

impl<'a> MetadataReader<'a> {
    /// At the first row of `record`.
    ///
    /// # Errors
    /// [`Corrupt`] if it is another kind of record.
    pub fn new(record: &'a [u8]) -> Result<Self, Corrupt> {
        Ok(Self { cursor: body(record, &[Kind::Metadata])?.1 })
    }

    /// The next row, or `None` at the end. Fields other than unit and help are skipped.
    ///
    /// # Errors
    /// [`Corrupt`] if the bytes are not what the format says; what follows in the record cannot be read.
    pub fn read(&mut self) -> Result<Option<MetadataRow<'a>>, Corrupt> {
        let cursor = &mut self.cursor;
        if cursor.left() == 0 {
            return Ok(None);
        }
        let series_ref = cursor.uvarint()?;
        let metric_type = type_of(cursor.bytes(1)?);
        let mut row = MetadataRow { series_ref, metric_type, unit: "", help: "" };
        for _ in 0..cursor.uvarint()? {
            match (cursor.string()?, cursor.string()?) {
                (UNIT, unit) => row.unit = unit,
                (HELP, help) => row.help = help,
                _ => {}
            }
        }
        Ok(Some(row))
    }
}

/// Appends a record of [`Kind::Metadata`] to `out`.
pub fn encode_metadata<'m>(out: &mut Vec<u8>, rows: impl IntoIterator<Item = MetadataRow<'m>>) {
    out.push(Kind::Metadata as u8);
    for row in rows {
        put_uvarint(out, row.series_ref);
        out.push(number_of(row.metric_type));
        put_uvarint(out, 2);
        for (name, value) in [(UNIT, row.unit), (HELP, row.help)] {
            put_string(out, name);
            put_string(out, value);
        }
    }
}

fn type_of(number: &[u8]) -> MetricType {
    match number {
        [1] => MetricType::Counter,
        [2] => MetricType::Gauge,
        [3] => MetricType::Histogram,
        [4] => MetricType::GaugeHistogram,
        [5] => MetricType::Summary,
        [6] => MetricType::Info,
        [7] => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}

fn number_of(metric_type: MetricType) -> u8 {
    match metric_type {
        MetricType::Unknown => 0,
        MetricType::Counter => 1,
        MetricType::Gauge => 2,
        MetricType::Histogram => 3,
        MetricType::GaugeHistogram => 4,
        MetricType::Summary => 5,
        MetricType::Info => 6,
        MetricType::StateSet => 7,
    }
}
