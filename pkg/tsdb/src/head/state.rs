//! The head's state for a start that need not read all of the log.

use chunkenc::Encoding;
use storage::append::HistogramValue;
use wal::record::ExemplarRow;

use super::Head;
use super::core::Core;
use super::series::Series;
use crate::snapshot::{Error, LastSample, OpenChunk, SnapshotWriter};

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] Error),
    /// A series is not in the state that a snapshot can hold.
    #[error("series {0} {1}")]
    Series(u64, String),
}

impl Head {
    /// Writes the open chunks of all series, what is deleted, and the exemplars. Full chunks have to be on disk before, and
    /// no transaction may be open.
    ///
    /// # Errors
    /// [`SnapshotError`]; the snapshot is not to be finished then.
    pub fn write_snapshot(&self, writer: &mut SnapshotWriter) -> Result<(), SnapshotError> {
        let core = &self.core;
        let mut deleted = Vec::new();
        for slot in 0..core.slab.end() {
            let symbols = core.symbols.read();
            let Some(series) = core.slab.lock(slot) else { continue };
            if !series.has_data() {
                continue;
            }
            let number = series.reference;
            if !series.logged {
                return Err(SnapshotError::Series(number, "is not in the log under this number".to_owned()));
            }
            // Its chunks on disk may have further numbers, which no log behind the snapshot names.
            for other in other_numbers(core, &series).map_err(|why| SnapshotError::Series(number, why.to_string()))? {
                writer.series(other, symbols.pairs(&series.labels), None)?;
            }
            let open = open_chunk(&series).map_err(|why| SnapshotError::Series(number, why))?;
            deleted.extend(series.tombstones().iter().map(|(min, max)| (number, *min, *max)));
            writer.series(number, symbols.pairs(&series.labels), open.as_ref())?;
        }
        writer.tombstones(deleted)?;
        let exemplars = core.exemplars.read();
        let rows = exemplars.all().filter_map(|(series, exemplar)| {
            let series_ref = core.slab.find(*series)?.reference;
            let (time_ms, value, labels) = (exemplar.timestamp_ms, exemplar.value, exemplar.labels.iter());
            Some(ExemplarRow { series_ref, time_ms, value, labels })
        });
        Ok(writer.exemplars(rows)?)
    }
}

/// The numbers, other than its own, that a series has in its chunks on disk, as these come.
fn other_numbers(core: &Core, series: &Series) -> storage::Result<Vec<u64>> {
    let late = series.out_of_order().into_iter().flat_map(|late| &late.mapped).map(|late| late.reference);
    let mut numbers = Vec::new();
    for place in series.mapped.iter().map(|mapped| mapped.reference).chain(late) {
        let number = core.store.number(place)?;
        if number != series.reference && !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    Ok(numbers)
}

fn open_chunk(series: &Series) -> Result<Option<OpenChunk>, String> {
    if !series.full().is_empty() {
        return Err("has full chunks that are not on disk".to_owned());
    }
    let Some(chunk) = series.open.chunk(series.open.len()).map_err(|e| e.to_string())? else { return Ok(None) };
    let last = match (chunk.encoding, series.last_histogram()) {
        (Encoding::Histogram | Encoding::HistogramSt, Some(HistogramValue::Int(last))) => {
            LastSample::Histogram((**last).clone())
        }
        (Encoding::FloatHistogram | Encoding::FloatHistogramSt, Some(HistogramValue::Float(last))) => {
            LastSample::FloatHistogram((**last).clone())
        }
        (encoding, _) if encoding.is_float() => LastSample::Float(series.open.last_float().unwrap_or(f64::NAN)),
        _ => return Err("has a last sample of another kind than its chunk".to_owned()),
    };
    Ok(Some(OpenChunk { chunk, last }))
}
