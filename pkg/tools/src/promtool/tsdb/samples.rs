//! The samples of a stream of series, one series at a time.

use chunkenc::{Column, Encoding, HistogramColumn};
use futures::StreamExt;
use histogram::FloatHistogram;
use labels::Labels;
use model::TimeRange;
use storage::{ChunkData, Series, SeriesEvent, SeriesStream};

use crate::Error;

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Sample {
    Float(f64),
    /// Whether its counts are whole numbers, too.
    Histogram(FloatHistogram, bool),
}

/// Calls `each` with every series that has samples within `range`, by time, none twice.
///
/// # Errors
/// Those of the stream, a chunk that cannot be decoded, those of `each`.
pub(super) async fn each_series(
    mut stream: SeriesStream,
    range: TimeRange,
    each: &mut (dyn FnMut(&Labels, Vec<(i64, Sample)>) -> Result<(), Error> + Send),
) -> Result<(), Error> {
    let failed = |e: storage::Error| Error::Failed(e.to_string());
    let mut current: Option<Series> = None;
    while let Some(event) = stream.next().await {
        match event.map_err(failed)? {
            SeriesEvent::Warning(warning) => tracing::error!(warning, "data is missing"),
            SeriesEvent::Batch(batch) => {
                for series in batch {
                    match &mut current {
                        Some(last) if last.labels == series.labels => last.chunks.extend(series.chunks),
                        _ => {
                            if let Some(last) = current.replace(series) {
                                give(&last, range, each)?;
                            }
                        }
                    }
                }
            }
        }
    }
    current.map_or(Ok(()), |last| give(&last, range, each))
}

fn give(
    series: &Series,
    range: TimeRange,
    each: &mut (dyn FnMut(&Labels, Vec<(i64, Sample)>) -> Result<(), Error> + Send),
) -> Result<(), Error> {
    let corrupt = |e: &dyn std::fmt::Display| Error::Failed(format!("series {}: {e}", series.labels));
    let mut samples: Vec<(i64, Sample)> = Vec::new();
    for chunk in &series.chunks {
        let raw = match &chunk.data {
            ChunkData::Raw(raw) => raw,
            ChunkData::Decoded(column) => {
                samples.extend(column.iter().map(|(time, value)| (time, Sample::Float(value))));
                continue;
            }
            ChunkData::Aggr(_) => return Err(corrupt(&"a downsampled chunk in a data directory")),
        };
        if raw.encoding.is_float() {
            let mut column = Column::new();
            chunkenc::decode_floats(raw.encoding, &raw.data, &mut column).map_err(|e| corrupt(&e))?;
            samples.extend(column.iter().map(|(time, value)| (time, Sample::Float(value))));
        } else {
            let mut column = HistogramColumn::default();
            chunkenc::decode_histograms(raw.encoding, &raw.data, &mut column).map_err(|e| corrupt(&e))?;
            let whole = matches!(raw.encoding, Encoding::Histogram | Encoding::HistogramSt);
            let values = column.values.into_iter().map(|value| Sample::Histogram(value, whole));
            samples.extend(column.times.into_iter().zip(values));
        }
    }
    samples.retain(|(time, _)| range.contains(*time));
    // Stable: of samples of the same time the first stays.
    samples.sort_by_key(|(time, _)| *time);
    samples.dedup_by_key(|(time, _)| *time);
    if samples.is_empty() { Ok(()) } else { each(&series.labels, samples) }
}
