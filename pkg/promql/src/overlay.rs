//! Downsampled data of a series, of one or several resolutions and replicas, over its raw data: one row of samples in
//! which everything counts once.
//!
//! Sources may give the same time several times: a sidecar its raw samples and a store windows of them, a downsampled chunk
//! where a finer one ends in its middle, each replica its own windows. Windows of a resolution are aligned, so it is
//! settled window by window: finer data stands where it holds all that the window counts; else the window does, and the
//! finer samples in it go. Of several replicas' windows the fullest stands.

use chunkenc::{Column, decode_floats};
use model::Resolution;
use promql_syntax::Reads;
use storage::{AggrChunk, Aggregate, EncodedChunk};

use crate::reads;
use crate::samples::{Cover, Samples, window_begin};

const FIVE_MINUTES_MS: i64 = Resolution::FiveMinutes.ms();
const HOUR_MS: i64 = Resolution::OneHour.ms();

/// One sample of a lane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub time: i64,
    /// Of counters the running total within the lane, resets taken out.
    pub value: f64,
    /// Of counters the value as scraped; NaN where that is not known.
    pub truth: f64,
    pub cover: Cover,
    /// Which lane it is from.
    pub lane: usize,
}

impl Row {
    /// A row whose count is not known.
    pub fn new(time: i64, value: f64) -> Self {
        let cover = Cover { count: f64::NAN, since_ms: time, resolution_ms: 0 };
        Self { time, value, truth: f64::NAN, cover, lane: 0 }
    }
}

/// Data of one resolution that does not overlap: of one replica, as far as that is known.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    resolution_ms: i64,
    replica: u64,
    pub rows: Vec<Row>,
}

#[derive(Debug)]
struct Part {
    /// `None` when the chunk is too short to tell.
    resolution_ms: Option<i64>,
    replica: u64,
    rows: Vec<Row>,
}

/// Collects the aggregate chunks of one series, then gives its samples.
#[derive(Debug)]
pub(crate) struct Overlay {
    wanted: Reads,
    /// No windows are longer, ms.
    window_max_ms: i64,
    parts: Vec<Part>,
    values: Column,
    counts: Column,
}

impl Overlay {
    /// Of windows that are no longer than `window_max_ms`.
    pub fn new(wanted: Reads, window_max_ms: i64) -> Self {
        Self { wanted, window_max_ms, parts: Vec::new(), values: Column::new(), counts: Column::new() }
    }

    /// Samples added since the last [`Overlay::finish`].
    pub fn len(&self) -> usize {
        self.parts.iter().map(|p| p.rows.len()).sum()
    }

    pub fn clear(&mut self) {
        self.parts.clear();
    }

    /// Adds a chunk, chunks in order of time. False when what is wanted of it is native histograms.
    pub fn add(&mut self, aggr: &AggrChunk, replica: u64) -> Result<bool, chunkenc::Error> {
        let aggregate = reads::aggregate(self.wanted);
        let Some(part) = aggr.get(aggregate) else {
            // Native histograms have counts, but no minima and maxima.
            let extremes = matches!(self.wanted, Reads::Min | Reads::Max);
            return Ok(!extremes || aggr.get(Aggregate::Count).is_none());
        };
        if !part.encoding.is_float() {
            return Ok(false);
        }
        decode(part, &mut self.values)?;
        let mut rows: Vec<Row> = match self.wanted {
            Reads::Counter => counter_rows(&self.values),
            _ => plain_rows(&self.values),
        };
        match aggr.get(Aggregate::Count).filter(|p| p.encoding.is_float()) {
            Some(_) if aggregate == Aggregate::Count => rows.iter_mut().for_each(|r| r.cover.count = r.value),
            Some(counts) => {
                decode(counts, &mut self.counts)?;
                count(&mut rows, &self.counts);
            }
            None => {}
        }
        // A counter's first sample as scraped stands before its window.
        let extra = usize::from(self.wanted == Reads::Counter && rows.len() > 1 && rows[0].cover.count.is_nan());
        if extra == 1 {
            rows[0].cover.count = 0.0;
        }
        if matches!(self.wanted, Reads::Average | Reads::WeightedSum) {
            rows.retain(|r| r.cover.count > 0.0);
        }
        if self.wanted == Reads::Average {
            rows.iter_mut().for_each(|r| r.value /= r.cover.count);
        }
        self.push(rows, extra, replica);
        Ok(true)
    }

    /// Adds the rows of a chunk, whose counts are known. The first `extra` ones stand before its windows.
    pub fn push(&mut self, rows: Vec<Row>, extra: usize, replica: u64) {
        let resolution_ms = if self.window_max_ms < HOUR_MS {
            Some(FIVE_MINUTES_MS)
        } else {
            resolution_of(rows[extra..].iter().map(|r| r.time))
        };
        if !rows.is_empty() {
            self.parts.push(Part { resolution_ms, replica, rows });
        }
    }

    /// Puts all that was added, and `raw`, into `out`. `blended`: the raw values are put together from several replicas,
    /// so that a counter may be a little off.
    pub fn finish(&mut self, raw: &Column, blended: bool, out: &mut Samples) {
        let mut lanes = vec![Lane::default()];
        lanes[0].rows = if self.wanted == Reads::Counter { raw_counter_rows(raw) } else { raw_rows(raw) };
        assign(std::mem::take(&mut self.parts), self.wanted == Reads::Counter, &mut lanes);
        out.clear();
        // As most often: windows of one resolution and replica, and nothing else.
        if let [raw, only] = &lanes[..]
            && raw.rows.is_empty()
        {
            return even(&only.rows, out);
        }
        let several = |r: i64| lanes.iter().filter(|l| l.resolution_ms == r).count() > 1;
        let blurred = blended || Resolution::DOWNSAMPLED.iter().any(|r| several(r.ms()));
        let mut rows = lanes[0].rows.clone();
        for resolution_ms in Resolution::DOWNSAMPLED.map(Resolution::ms) {
            let windows = fullest(&lanes, resolution_ms);
            if rows.is_empty() {
                rows = windows;
            } else if !windows.is_empty() {
                rows = lay_over(&rows, &windows, resolution_ms, blurred);
            }
        }
        if self.wanted == Reads::Counter {
            crate::totals::join(&mut rows, &lanes, blended);
        }
        even(&rows, out);
    }
}

fn decode(part: &EncodedChunk, into: &mut Column) -> Result<(), chunkenc::Error> {
    into.clear();
    decode_floats(part.encoding, &part.data, into)
}

/// Whether a query can ask for the time; around such times one can reckon.
fn possible(time: i64) -> bool {
    (model::MIN_TIME_MS..=model::MAX_TIME_MS).contains(&time)
}

/// Rows of ascending time; what is not later than the one before is left out.
fn plain_rows(values: &Column) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::with_capacity(values.len());
    for (t, v) in values.iter().filter(|(t, _)| possible(*t)) {
        if rows.last().is_none_or(|r| r.time < t) {
            rows.push(Row::new(t, v));
        }
    }
    rows
}

/// A counter part begins with the true first sample, goes on with totals, and ends with a sample at the last time again
/// that carries the true last value.
fn counter_rows(values: &Column) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::with_capacity(values.len());
    let mut stored = f64::NAN;
    for (t, v) in values.iter().filter(|(t, v)| possible(*t) && !v.is_nan()) {
        match rows.last_mut() {
            None => rows.push(Row { truth: v, ..Row::new(t, v) }),
            Some(last) if t > last.time => {
                let value = last.value + if v < stored { v } else { v - stored };
                rows.push(Row::new(t, value));
            }
            Some(last) if t == last.time => last.truth = v,
            Some(_) => continue,
        }
        stored = v;
    }
    let Some(last) = rows.last_mut() else { return rows };
    if last.truth.is_nan() {
        last.truth = stored;
    }
    // What the resets in the chunk took away, which is in the totals still. A total above that is from after the last
    // reset: before it, totals rose no higher. Without resets all are. Sums of differences are a little off.
    let lost = last.value - last.truth;
    let none = lost.abs() <= 1e-9 * last.truth.abs();
    for row in rows.iter_mut().filter(|r| r.truth.is_nan()) {
        if none {
            row.truth = row.value;
        } else if row.value > lost * (1.0 + 1e-9) {
            row.truth = row.value - lost;
        }
    }
    rows
}

fn raw_rows(raw: &Column) -> Vec<Row> {
    let one = |(t, v)| {
        let mut row = Row::new(t, v);
        row.cover.count = 1.0;
        row
    };
    raw.iter().filter(|(t, _)| possible(*t)).map(one).collect()
}

fn raw_counter_rows(raw: &Column) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::with_capacity(raw.len());
    let mut before: Option<(f64, f64)> = None;
    for (t, v) in raw.iter().filter(|(t, v)| possible(*t) && !v.is_nan()) {
        let value = before.map_or(v, |(truth, value)| value + if v < truth { v } else { v - truth });
        before = Some((v, value));
        let mut row = Row { truth: v, ..Row::new(t, value) };
        row.cover.count = 1.0;
        rows.push(row);
    }
    rows
}

/// Fills in counts, which stand at the same times; where corrupt data has none, they stay unknown.
fn count(rows: &mut [Row], counts: &Column) {
    let mut at = 0;
    for row in rows {
        while at < counts.len() && counts.times[at] < row.time {
            at += 1;
        }
        if counts.times.get(at).is_some_and(|t| *t == row.time) {
            row.cover.count = counts.values[at];
        }
    }
}

/// The length of a chunk's windows by their `times`, which are a ms before its multiples; the last one may be cut short.
pub(crate) fn resolution_of(mut times: impl DoubleEndedIterator<Item = i64>) -> Option<i64> {
    let last = times.next_back()?;
    let before = times.next_back()?;
    if times.chain([before]).any(|time| (time + 1) % HOUR_MS != 0) {
        return Some(FIVE_MINUTES_MS);
    }
    // Two windows of which only the second may be cut short: nearer than their length they are not.
    Some(if last - before <= FIVE_MINUTES_MS { FIVE_MINUTES_MS } else { HOUR_MS })
}

/// Chunks to lanes: a chunk goes on in the lane of its replica and resolution that ended last before it.
fn assign(parts: Vec<Part>, counter: bool, lanes: &mut Vec<Lane>) {
    let known: Vec<Option<i64>> = parts.iter().map(|p| p.resolution_ms).collect();
    for (i, part) in parts.into_iter().enumerate() {
        // Its neighbour's resolution, where it cannot be told.
        let near = known[..=i].iter().rev().chain(&known[i..]).find_map(|r| *r);
        let resolution_ms = near.unwrap_or_else(|| {
            let whole_hour = part.rows.last().is_some_and(|r| (r.time + 1) % HOUR_MS == 0);
            if whole_hour { HOUR_MS } else { FIVE_MINUTES_MS }
        });
        let Some(begin) = part.rows.first().map(|r| r.time) else { continue };
        let end = |lane: &Lane| lane.rows.last().map_or(i64::MIN, |r| r.time);
        let fits =
            |lane: &Lane| (lane.resolution_ms, lane.replica) == (resolution_ms, part.replica) && end(lane) < begin;
        let found = (1..lanes.len()).filter(|l| fits(&lanes[*l])).max_by_key(|l| end(&lanes[*l]));
        let at = found.unwrap_or_else(|| {
            lanes.push(Lane { resolution_ms, replica: part.replica, rows: Vec::new() });
            lanes.len() - 1
        });
        let lane = &mut lanes[at].rows;
        let (last, first) = (lane.last().copied(), part.rows[0]);
        let shift = match last {
            Some(last) if counter => {
                let rise = if first.truth < last.truth { first.truth } else { first.truth - last.truth };
                last.value + rise - first.value
            }
            _ => 0.0,
        };
        lane.reserve(part.rows.len());
        for mut row in part.rows {
            let begin = window_begin(row.time, resolution_ms);
            row.cover.since_ms = lane.last().map_or(begin, |r| begin.max(r.time + 1));
            row.cover.resolution_ms = resolution_ms;
            row.value += shift;
            row.lane = at;
            lane.push(row);
        }
    }
}

/// The windows of one resolution: of several lanes the one that counts most in each window.
fn fullest(lanes: &[Lane], resolution_ms: i64) -> Vec<Row> {
    let mut left: Vec<&[Row]> =
        lanes.iter().filter(|l| l.resolution_ms == resolution_ms).map(|l| &l.rows[..]).collect();
    if left.len() < 2 {
        return left.first().map_or_else(Vec::new, |rows| rows.to_vec());
    }
    let mut out: Vec<Row> = Vec::new();
    let mut current = 0;
    while let Some(window) = left.iter().filter_map(|l| Some(l.first()?.time.div_euclid(resolution_ms))).min() {
        let mut best: Option<(f64, usize, &[Row])> = None;
        for (i, lane) in left.iter_mut().enumerate() {
            let (inside, rest) = lane.split_at(lane.partition_point(|r| r.time.div_euclid(resolution_ms) <= window));
            *lane = rest;
            if inside.is_empty() {
                continue;
            }
            let count = held(inside);
            let more = best.is_none_or(|(most, _, _)| count > most || (count == most && i == current));
            if more {
                best = Some((count, i, inside));
            }
        }
        if let Some((_, i, rows)) = best {
            current = i;
            out.extend_from_slice(rows);
        }
    }
    out
}

/// Rows into samples. The last window of a chunk stands at its last sample's time; where that is as near to the window's
/// end as samples are to one another, it is put at the end, where it would stand in the middle of a chunk. A counter's true
/// first sample goes where the window before it has one. No window begins before the sample before it, of whatever lane,
/// has ended.
fn even(rows: &[Row], out: &mut Samples) {
    let Samples { column: Column { times, values }, covers, .. } = out;
    times.reserve(rows.len());
    values.reserve(rows.len());
    covers.reserve(rows.len());
    let mut before = i64::MIN;
    for (i, row) in rows.iter().enumerate() {
        let Row { mut time, value, mut cover, .. } = *row;
        let end = cover.window_end(time);
        if end > time {
            let spacing = (time - cover.since_ms) as f64 / (cover.count - 1.0);
            if (end - time) as f64 <= spacing * 1.1 && rows.get(i + 1).is_none_or(|next| next.time > end) {
                time = end;
            }
        }
        let is_extra = cover.resolution_ms > 0 && cover.count == 0.0;
        // A sample of the same window, or a later one.
        if is_extra && before > i64::MIN && before >= end - cover.resolution_ms {
            continue;
        }
        cover.since_ms = cover.since_ms.max(before.saturating_add(1)).min(time);
        before = time;
        times.push(time);
        values.push(value);
        covers.push(cover);
    }
}

/// How many raw samples that are numbers.
fn held(rows: &[Row]) -> f64 {
    rows.iter().filter(|r| !r.value.is_nan()).map(|r| r.cover.count).sum()
}

/// Windows over finer rows. `blurred`: the two are put together from several replicas, whose numbers of samples differ
/// a little.
fn lay_over(fine: &[Row], windows: &[Row], resolution_ms: i64, blurred: bool) -> Vec<Row> {
    let mut out = Vec::with_capacity(fine.len() + windows.len());
    let (mut fine, mut windows) = (fine, windows);
    while let Some(first) = windows.first() {
        let window = first.time.div_euclid(resolution_ms);
        let (inside, rest) = windows.split_at(windows.partition_point(|w| w.time.div_euclid(resolution_ms) == window));
        windows = rest;
        let (before, from) = fine.split_at(fine.partition_point(|r| r.time < window * resolution_ms));
        out.extend_from_slice(before);
        let last = inside.last().map_or(first.time, |r| r.time);
        // A shorter window that began before the longer ones end is about the same time.
        let (same, after) = from.split_at(from.partition_point(|r| r.cover.since_ms <= last));
        fine = after;
        let counted = held(inside);
        let enough = if blurred { counted * 0.95 - 1.0 } else { counted };
        let whole = !same.is_empty() && held(same) >= enough;
        out.extend_from_slice(if whole { same } else { inside });
    }
    out.extend_from_slice(fine);
    out
}
