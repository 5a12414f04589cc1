//! A downsampled chunk as windows.

use bytes::Bytes;
use chunkenc::{
    Column, CounterReader, Encoding, Error, HistogramColumn, ResetFlag, aggr, decode_floats, decode_histograms,
};
use histogram::{FloatHistogram, ResetHint};

use super::chunk::{LaneChunk, MergeError};

/// The windows of one chunk.
#[derive(Debug)]
pub(crate) struct Windows {
    pub(crate) replica: u64,
    pub(crate) order: u32,
    /// No two chunks of a lane overlap.
    pub(crate) lane: usize,
    /// The chunk as it was; none if there was no such chunk.
    pub(crate) data: Option<Bytes>,
    pub(crate) times: Vec<i64>,
    counts: Vec<f64>,
    pub(crate) values: Values,
}

/// What the windows hold beside their counts.
#[derive(Debug)]
pub(crate) enum Values {
    /// Sum, minimum, maximum, each where present; and the counter.
    Floats([Option<Vec<f64>>; 3], Option<Counter>),
    /// The sum and the counter of each window, of native histograms.
    Histograms(Vec<FloatHistogram>, Vec<FloatHistogram>),
}

/// The counter aggregate of one chunk of floats.
#[derive(Debug)]
pub(crate) struct Counter {
    /// The chunk's first raw sample: time in ms and value.
    pub(crate) first: (i64, f64),
    /// Running total at the end of each window.
    pub(crate) totals: Vec<f64>,
    /// The value of the chunk's last raw sample.
    pub(crate) last: f64,
    /// The true last value of each window, where it is known.
    pub(crate) values: Vec<Option<f64>>,
}

impl Windows {
    /// Takes a chunk apart; with `keep` it may be put out as it is.
    pub(crate) fn of(lane: &LaneChunk, keep: bool) -> Result<Self, MergeError> {
        let chunk = &lane.chunk;
        let failed = |source| MergeError::Chunk {
            min_time: chunk.min_time,
            max_time: chunk.max_time,
            replica: lane.replica,
            source,
        };
        let parts = aggr::decode(&chunk.data).map_err(failed)?;
        let (times, counts, values) = decode(&parts).map_err(failed)?;
        let data = keep.then(|| chunk.data.clone());
        Ok(Self { replica: lane.replica, order: lane.order, lane: 0, data, times, counts, values })
    }

    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    pub(crate) fn count(&self, window: usize) -> f64 {
        self.counts[window]
    }

    /// The counter aggregate, where the values are floats and have one.
    pub(crate) fn counter(&self) -> Option<&Counter> {
        match &self.values {
            Values::Floats(_, counter) => counter.as_ref(),
            Values::Histograms(..) => None,
        }
    }

    /// Which aggregates there are: windows of one shape can stand in one chunk.
    pub(crate) fn shape(&self) -> [bool; 5] {
        match &self.values {
            Values::Floats([sum, min, max], counter) => {
                [false, sum.is_some(), min.is_some(), max.is_some(), counter.is_some()]
            }
            Values::Histograms(..) => [true; 5],
        }
    }
}

fn decode(parts: &aggr::Parts<Bytes>) -> Result<(Vec<i64>, Vec<f64>, Values), Error> {
    let Some((encoding, data)) = &parts[0] else {
        if parts.iter().all(Option::is_none) {
            return Ok((Vec::new(), Vec::new(), Values::Floats([None, None, None], None)));
        }
        return Err(Error::Header("the count aggregate is missing".to_owned()));
    };
    let mut count = Column::new();
    decode_floats(*encoding, data, &mut count)?;
    if !count.times.is_sorted_by(|a, b| a < b) {
        return Err(Error::Header("times of aggregates do not ascend".to_owned()));
    }
    let other_times = || Error::Header("aggregates have different times".to_owned());
    let histograms = |part: &(Encoding, Bytes)| -> Result<Vec<FloatHistogram>, Error> {
        let mut column = HistogramColumn::default();
        decode_histograms(part.0, &part.1, &mut column)?;
        if column.times == count.times { Ok(column.values) } else { Err(other_times()) }
    };
    if let (Some(sum), Some(counter)) = (&parts[1], &parts[4])
        && sum.0.is_histogram()
    {
        let mut counters = histograms(counter)?;
        if ResetFlag::of(counter.0, &counter.1) == ResetFlag::Reset
            && let Some(first) = counters.first_mut()
        {
            first.reset_hint = ResetHint::Reset;
        }
        let values = Values::Histograms(histograms(sum)?, counters);
        return Ok((count.times, count.values, values));
    }
    let mut values = [None, None, None];
    for (value, part) in values.iter_mut().zip(&parts[1..4]) {
        let Some((encoding, data)) = part else { continue };
        let mut column = Column::new();
        decode_floats(*encoding, data, &mut column)?;
        if column.times != count.times {
            return Err(other_times());
        }
        *value = Some(column.values);
    }
    let counter = match &parts[4] {
        Some((encoding, data)) => counter(*encoding, data, &count.times, values[2].as_deref())?,
        None => None,
    };
    Ok((count.times, count.values, Values::Floats(values, counter)))
}

fn counter(encoding: Encoding, data: &[u8], times: &[i64], maximums: Option<&[f64]>) -> Result<Option<Counter>, Error> {
    let (mut reader, mut column) = (CounterReader::new(), Column::new());
    reader.read(encoding, data, &mut column)?;
    let (Some(first), Some((_, last))) = (column.iter().next(), reader.last_true()) else { return Ok(None) };
    let total = |time: &i64| {
        let behind = column.times.partition_point(|t| t <= time);
        column.values[behind.saturating_sub(1)]
    };
    let totals: Vec<f64> = times.iter().map(total).collect();
    let values = true_values(&totals, last, maximums);
    Ok(Some(Counter { first, totals, last, values }))
}

/// The values at the ends of windows that are behind a chunk's last reset, or before its first, or where totals and
/// maximums rise alike.
fn true_values(totals: &[f64], last: f64, maximums: Option<&[f64]>) -> Vec<Option<f64>> {
    let Some(end) = totals.last() else { return Vec::new() };
    // What had been counted when the last reset came; totals beyond it are from after that.
    let at_reset = end - last;
    let behind = |total: &f64| (at_reset == 0.0 || *total > at_reset).then(|| total - at_reset);
    let mut values: Vec<Option<f64>> = totals.iter().map(behind).collect();
    // Before the first reset the total is the value, and so the window's maximum.
    let before = totals.iter().zip(maximums.unwrap_or(&[])).take_while(|(total, max)| total == max);
    values.iter_mut().zip(before).for_each(|(value, (total, _))| *value = Some(*total));
    for (i, max) in maximums.unwrap_or(&[]).windows(2).enumerate().take(totals.len().saturating_sub(1)) {
        let (rise, above) = (totals[i + 1] - totals[i], max[1] - max[0]);
        if (rise - above).abs() <= 1e-9 * (rise.abs() + max[1].abs()) {
            values[i].get_or_insert(max[0]);
            values[i + 1].get_or_insert(max[1]);
        }
    }
    if let Some(value) = values.last_mut() {
        *value = Some(last);
    }
    values
}
