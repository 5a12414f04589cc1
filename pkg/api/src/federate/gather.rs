//! The latest sample of each series.

use chunkenc::{Column, HistogramColumn, decode_floats_between, decode_histograms_between};
use futures::StreamExt;
use histogram::FloatHistogram;
use labels::{Labels, METRIC_NAME, Matcher};
use model::{TimeRange, is_stale};
use storage::{
    Chunk, ChunkData, Ctx, Error, PartialResponse, Reservation, Result, Select, Series, SeriesEvent, SeriesSource,
    merge_streams,
};

/// A sample of either kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Float(f64),
    Histogram(Box<FloatHistogram>),
}

/// The latest sample of a series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Latest {
    pub labels: Labels,
    pub time_ms: i64,
    pub value: Value,
}

/// The latest sample in `range` of each series that matches any of `selectors`, by name, then by labels. Series that have
/// ended are left out. Also what they hold of the request's budget.
///
/// # Errors
/// [`Error::Limit`] above `series_max` series (0 = any number), and what reading fails with; a warning is an error.
pub(super) async fn gather(
    source: &dyn SeriesSource,
    ctx: &Ctx,
    selectors: Vec<Vec<Matcher>>,
    range: TimeRange,
    series_max: usize,
) -> Result<(Vec<Latest>, Reservation)> {
    let select = |set: Vec<Matcher>| {
        source.select(ctx, Select { partial_response: PartialResponse::Abort, ..Select::new(range, set) })
    };
    let streams =
        selectors.into_iter().enumerate().map(|(n, set)| (format!("match[] {}", n + 1), select(set))).collect();
    let mut stream = merge_streams(streams);
    let mut found: Vec<Latest> = Vec::new();
    let mut held = ctx.budget.reserve(0)?;
    while let Some(event) = stream.next().await {
        let batch = match event? {
            SeriesEvent::Batch(batch) => batch,
            SeriesEvent::Warning(text) => return Err(Error::other(text)),
        };
        for series in batch {
            let Some(latest) = latest(series, range)? else { continue };
            match found.last_mut() {
                // A series may go on in the next entry, or come of two selectors.
                Some(last) if last.labels == latest.labels => {
                    if last.time_ms < latest.time_ms {
                        *last = latest;
                    }
                }
                _ => {
                    if series_max > 0 && found.len() >= series_max {
                        let text = format!("federation of more than {series_max} series: narrow match[]");
                        return Err(Error::Limit(text));
                    }
                    held.grow((latest.labels.size_bytes() + size_of::<Latest>()) as u64)?;
                    found.push(latest);
                }
            }
        }
    }
    found.retain(|latest| !latest.is_end());
    // Labels with capital letters come before the name in the order of label sets.
    found.sort_by(|a, b| a.labels.value(METRIC_NAME).cmp(b.labels.value(METRIC_NAME)));
    Ok((found, held))
}

impl Latest {
    /// A stale marker: no format can tell of the end of a series.
    fn is_end(&self) -> bool {
        is_stale(match &self.value {
            Value::Float(v) => *v,
            Value::Histogram(h) => h.sum,
        })
    }
}

/// The last sample in `range`, out of the chunks that may have it.
fn latest(mut series: Series, range: TimeRange) -> Result<Option<Latest>> {
    series.chunks.sort_by_key(|c| std::cmp::Reverse(c.max_time));
    let mut last: Option<(i64, Value)> = None;
    for chunk in &series.chunks {
        let beyond = |(time, _): &(i64, Value)| chunk.max_time <= *time;
        if chunk.min_time > range.max || chunk.max_time < range.min || last.as_ref().is_some_and(beyond) {
            continue;
        }
        let of_chunk = last_of(chunk, range).map_err(|e| e.within(&series.labels))?;
        match (&last, of_chunk) {
            (Some((time, _)), Some((newer, _))) if newer <= *time => {}
            (_, Some(newer)) => last = Some(newer),
            (_, None) => {}
        }
    }
    Ok(last.map(|(time_ms, value)| Latest { labels: series.labels, time_ms, value }))
}

fn last_of(chunk: &Chunk, range: TimeRange) -> Result<Option<(i64, Value)>> {
    let corrupt = |e: chunkenc::Error| Error::Corrupt(e.to_string());
    match &chunk.data {
        ChunkData::Raw(raw) if raw.encoding.is_float() => {
            let mut column = Column::new();
            decode_floats_between(raw.encoding, &raw.data, range.min, range.max, &mut column).map_err(corrupt)?;
            Ok(last_float(&column))
        }
        ChunkData::Raw(raw) => {
            let mut column = HistogramColumn::default();
            decode_histograms_between(raw.encoding, &raw.data, range.min, range.max, &mut column).map_err(corrupt)?;
            let last = column.times.last().copied().zip(column.values.pop());
            Ok(last.map(|(time, h)| (time, Value::Histogram(Box::new(h)))))
        }
        ChunkData::Decoded(column) => {
            let last = column.iter().filter(|(time, _)| range.contains(*time)).last();
            Ok(last.map(|(time, value)| (time, Value::Float(value))))
        }
        ChunkData::Aggr(_) => Err(Error::Unsupported("downsampled data cannot be federated".to_owned())),
    }
}

fn last_float(column: &Column) -> Option<(i64, Value)> {
    Some((*column.times.last()?, Value::Float(*column.values.last()?)))
}
