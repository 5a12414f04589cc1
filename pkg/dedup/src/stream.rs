//! Deduplication of a stream of series.

use chunkenc::Column;
use futures::stream::{self, StreamExt};
use storage::{Chunk, ChunkData, Series, SeriesEvent, SeriesStream};

use crate::pick::{Rules, pick};
use crate::read::{Lane, decode, is_float};
use crate::{by_chunks, lanes, quiet};

/// How replicas are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// Follow one replica, leave it where it has a gap or another one is denser.
    #[default]
    Penalty,
    /// Show every sample of every replica.
    Chain,
}

/// What deduplication needs to know of the query.
#[derive(Debug, Clone)]
pub struct DedupOptions {
    /// How replicas are put together.
    pub method: Method,
    /// The query's look-back, ms: no gap in the result is longer while a replica has samples.
    pub lookback_ms: i64,
    /// The PromQL function around the selector.
    pub function: Option<String>,
    /// The end of the selected range, ms: what chunks hold beyond is not shown.
    pub end_ms: i64,
}

impl DedupOptions {
    fn counter(&self) -> bool {
        let name = self.function.as_deref().unwrap_or("");
        // The last two are known to Thanos' engine only.
        promql_syntax::function(name).is_some_and(|f| f.counter) || matches!(name, "xrate" | "xincrease")
    }
}

/// Deduplicates each series of `stream`, whose label sets have lost their replica labels already.
pub fn dedup_stream(stream: SeriesStream, options: DedupOptions) -> SeriesStream {
    // A series may go on in the next batch: the last one is held back.
    let state = (stream, None::<Series>, options, false);
    stream::unfold(state, |(mut stream, mut held, options, done)| async move {
        if done {
            return None;
        }
        loop {
            let Some(event) = stream.next().await else {
                let (batch, warnings) = dedup_batch(held.take().into_iter().collect(), &options);
                if batch.is_empty() && warnings.is_empty() {
                    return None;
                }
                return Some((events(batch, warnings), (stream, None, options, true)));
            };
            match event {
                Ok(SeriesEvent::Batch(batch)) => {
                    let mut whole: Vec<Series> = Vec::with_capacity(batch.len());
                    for series in batch {
                        match &mut held {
                            Some(last) if last.labels == series.labels => last.chunks.extend(series.chunks),
                            _ => whole.extend(held.replace(series)),
                        }
                    }
                    let (batch, warnings) = dedup_batch(whole, &options);
                    if !batch.is_empty() || !warnings.is_empty() {
                        return Some((events(batch, warnings), (stream, held, options, false)));
                    }
                }
                Ok(warning) => return Some((vec![Ok(warning)], (stream, held, options, false))),
                Err(e) => return Some((vec![Err(e)], (stream, held, options, true))),
            }
        }
    })
    .flat_map(stream::iter)
    .boxed()
}

fn events(batch: Vec<Series>, warnings: Vec<String>) -> Vec<storage::Result<SeriesEvent>> {
    let mut out: Vec<_> = warnings.into_iter().map(|w| Ok(SeriesEvent::Warning(w))).collect();
    if !batch.is_empty() {
        out.push(Ok(SeriesEvent::Batch(batch)));
    }
    out
}

fn dedup_batch(batch: Vec<Series>, options: &DedupOptions) -> (Vec<Series>, Vec<String>) {
    let mut warnings = Vec::new();
    let batch = batch
        .into_iter()
        .map(|series| {
            let (series, corrupt) = dedup_series(series, options);
            warnings.extend(corrupt);
            series
        })
        .collect();
    (batch, warnings)
}

/// Deduplicates one series. The second value tells of chunks that did not decode; the other replicas stand in for them.
///
/// Downsampled chunks come out as they came in, doubles dropped, each with its replica. Their windows are aligned and say
/// how much they hold, so whoever decodes them can take one replica's for each; what a window holds would be lost here,
/// where samples come out.
pub fn dedup_series(mut series: Series, options: &DedupOptions) -> (Series, Vec<String>) {
    let is_raw = |c: &Chunk| !matches!(c.data, ChunkData::Aggr(_));
    let all_raw = series.chunks.iter().all(is_raw);
    if (all_raw && lanes::is_one(&series.chunks)) || !series.chunks.iter().any(is_raw) {
        // As most often: there is nothing to choose from.
        if !series.chunks.is_sorted_by_key(|c| (c.min_time, c.max_time, c.replica)) {
            series.chunks.sort_by_key(|c| (c.min_time, c.max_time, c.replica));
        }
        series.chunks.dedup();
        return (series, Vec::new());
    }
    if !all_raw {
        let (raw, mut downsampled): (Vec<Chunk>, Vec<Chunk>) = series.chunks.into_iter().partition(is_raw);
        let mut corrupt = Vec::new();
        series.chunks = raw;
        if !series.chunks.is_empty() {
            (series, corrupt) = dedup_series(series, options);
        }
        downsampled.sort_by_key(|c| (c.min_time, c.max_time, c.replica));
        downsampled.dedup();
        series.chunks.append(&mut downsampled);
        series.chunks.sort_by_key(|c| (c.min_time, c.max_time));
        return (series, corrupt);
    }
    if !series.chunks.is_sorted_by_key(|c| (c.min_time, c.max_time)) {
        series.chunks.sort_by_key(|c| (c.min_time, c.max_time));
    }
    let all_floats = series.chunks.iter().all(is_float);
    let mut split = lanes::split(std::mem::take(&mut series.chunks));
    if split.len() == 1 || options.method == Method::Chain || !all_floats {
        let followed = split.len() > 1 && options.method == Method::Penalty;
        series.chunks = split.drain(..).flatten().collect();
        series.chunks.sort_by_key(|c| (c.min_time, c.max_time));
        if !followed {
            return (series, Vec::new());
        }
        let (chunks, corrupt) = by_chunks::dedup(std::mem::take(&mut series.chunks), options);
        series.chunks = chunks;
        let corrupt = corrupt.into_iter().map(|d| format!("{}: {d}", series.labels)).collect();
        return (series, corrupt);
    }
    let mut corrupt = Vec::new();
    let column = floats(&split, options, &mut corrupt);
    series.chunks = Chunk::decoded(column).into_iter().collect();
    let corrupt = corrupt.into_iter().map(|d| format!("{}: {d}", series.labels)).collect();
    (series, corrupt)
}

/// Puts lanes of floats together. All but the one that begins first are decoded only if they may have something to add.
fn floats(lanes: &[Vec<Chunk>], options: &DedupOptions, corrupt: &mut Vec<String>) -> Column {
    let (gap_max_ms, end) = (options.lookback_ms, options.end_ms);
    let starts = lanes.iter().enumerate().filter_map(|(i, lane)| Some((lane.first()?.min_time, i)));
    let first = starts.min().map_or(0, |(_, i)| i);
    let followed = decode(&lanes[first], end, corrupt);
    let others = || lanes.iter().enumerate().filter(|(i, _)| *i != first);
    if corrupt.is_empty() && quiet::is_enough(&followed, others().map(|(_, lane)| &lane[..]), gap_max_ms, end) {
        return followed;
    }
    let mut columns: Vec<Column> = others().map(|(_, lane)| decode(lane, end, corrupt)).collect();
    columns.insert(first, followed);
    let mut lanes: Vec<Lane> = columns.into_iter().map(Lane::new).collect();
    pick(&mut lanes, Rules { gap_max_ms, counter: options.counter(), keep_values: false })
}
