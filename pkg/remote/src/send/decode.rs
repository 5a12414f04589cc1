//! From records of the log to rows.

use std::sync::Arc;

use encoding::Corrupt;
use histogram::{FloatHistogram, Histogram};
use labels::Labels;
use storage::append::HistogramValue;
use wal::record::{BucketHistogram, ExemplarReader, Histograms, Kind, MetadataReader, Samples, SeriesReader};

use super::rows::{Row, Value};
use super::series::SeriesTable;

/// What is taken of the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub exemplars: bool,
    pub histograms: bool,
}

/// Decodes records; keeps its memory.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    samples: Samples,
    integers: Histograms<Histogram>,
    floats: Histograms<FloatHistogram>,
}

impl Decoder {
    /// Appends the rows of a record to `out`, and notes series and metadata in `table`. The kind of the record; `None` for
    /// one that is not known.
    ///
    /// # Errors
    /// [`Corrupt`] if the bytes are not what their kind says.
    pub fn decode(
        &mut self,
        record: &[u8],
        segment: u64,
        table: &SeriesTable,
        wanted: Wanted,
        out: &mut Vec<Row>,
    ) -> Result<Option<Kind>, Corrupt> {
        let Some(kind) = Kind::of(record) else { return Ok(None) };
        match kind {
            Kind::Series => series(record, segment, table)?,
            Kind::Metadata => metadata(record, table)?,
            Kind::Samples | Kind::SamplesWithStarts => self.samples(record, out)?,
            Kind::Exemplars if wanted.exemplars => exemplars(record, out)?,
            Kind::Histograms | Kind::CustomHistograms | Kind::HistogramsWithStarts if wanted.histograms => {
                histograms(&mut self.integers, record, |h| HistogramValue::Int(Arc::new(h)), out)?;
            }
            Kind::FloatHistograms | Kind::CustomFloatHistograms | Kind::FloatHistogramsWithStarts
                if wanted.histograms =>
            {
                histograms(&mut self.floats, record, |h| HistogramValue::Float(Arc::new(h)), out)?;
            }
            _ => {}
        }
        Ok(Some(kind))
    }

    fn samples(&mut self, record: &[u8], out: &mut Vec<Row>) -> Result<(), Corrupt> {
        let columns = &mut self.samples;
        columns.clear();
        columns.decode(record)?;
        let starts = columns.starts_ms.iter().copied().chain(std::iter::repeat(0));
        let rows = columns.refs.iter().zip(&columns.times_ms).zip(&columns.values).zip(starts);
        out.extend(rows.enumerate().map(|(index, (((series, time_ms), value), start_ms))| Row {
            series: *series,
            time_ms: *time_ms,
            start_ms,
            value: Value::Float(*value),
            index: index as u32,
        }));
        Ok(())
    }
}

fn histograms<H: BucketHistogram>(
    columns: &mut Histograms<H>,
    record: &[u8],
    make: impl Fn(H) -> HistogramValue,
    out: &mut Vec<Row>,
) -> Result<(), Corrupt> {
    columns.clear();
    // What makes no sense is left out, each time in the same way.
    columns.decode(record)?;
    for index in 0..columns.len() {
        out.push(Row {
            series: columns.refs[index],
            time_ms: columns.times_ms[index],
            start_ms: columns.starts_ms.get(index).copied().unwrap_or(0),
            value: Value::Histogram(make(columns.values[index].clone())),
            index: index as u32,
        });
    }
    Ok(())
}

fn exemplars(record: &[u8], out: &mut Vec<Row>) -> Result<(), Corrupt> {
    let mut reader = ExemplarReader::new(record)?;
    let mut index = 0;
    while let Some(row) = reader.read()? {
        let labels = Labels::from_pairs(row.labels.iter().copied());
        let value = Value::Exemplar(Box::new((row.value, labels)));
        out.push(Row { series: row.series_ref, time_ms: row.time_ms, start_ms: 0, value, index });
        index += 1;
    }
    Ok(())
}

/// Notes the series of a record.
pub(super) fn series(record: &[u8], segment: u64, table: &SeriesTable) -> Result<(), Corrupt> {
    let mut reader = SeriesReader::new(record)?;
    while let Some((number, labels)) = reader.read()? {
        table.add(number, labels, segment);
    }
    Ok(())
}

/// Notes what a record says of series' metrics.
pub(super) fn metadata(record: &[u8], table: &SeriesTable) -> Result<(), Corrupt> {
    let mut reader = MetadataReader::new(record)?;
    while let Some(row) = reader.read()? {
        table.add_metadata(row.series_ref, row.metric_type, row.unit, row.help);
    }
    Ok(())
}
