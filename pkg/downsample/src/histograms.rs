//! Runs of native histograms: what goes into a batch, and where a batch must begin a new chunk.

use std::ops::Range;

use chunkenc::{
    Column, Encoding, Error as Damage, HistogramColumn, ResetFlag, TimedChunk, decode_floats, decode_histograms,
};
use histogram::{FloatHistogram, ResetHint};
use model::is_stale;

use crate::Error;
use crate::aggregates::Aggregate;
use crate::downsampler::Report;
use crate::histogram_chunk::HistogramChunk;
use crate::sizing::{RAW_SPACING_MS, chunk_count, window_end};

/// Memory of a run of histograms.
#[derive(Debug, Default)]
pub(crate) struct Histograms {
    /// Raw samples, or windows: times and what they add to the sum.
    column: HistogramColumn,
    /// What goes into the counter where that is not the same.
    counters: HistogramColumn,
    /// How many raw samples each stands for.
    counts: Column,
    /// The last one of the batch before.
    previous: Option<FloatHistogram>,
    chunk: HistogramChunk,
}

/// Consecutive samples or windows.
#[derive(Clone, Copy)]
struct Entries<'a> {
    times: &'a [i64],
    /// One each where absent.
    counts: Option<&'a [f64]>,
    sums: &'a [FloatHistogram],
    counters: &'a [FloatHistogram],
}

impl<'a> Entries<'a> {
    fn slice(self, range: Range<usize>) -> Self {
        Self {
            times: &self.times[range.clone()],
            counts: self.counts.map(|c| &c[range.clone()]),
            sums: &self.sums[range.clone()],
            counters: &self.counters[range],
        }
    }
}

impl Histograms {
    /// Adds a raw chunk to the run.
    pub(crate) fn append_raw(&mut self, chunk: &TimedChunk, report: &mut Report) -> Result<(), Damage> {
        let from = self.column.times.len();
        decode_histograms(chunk.encoding, &chunk.data, &mut self.column)?;
        note_reset(chunk.encoding, &chunk.data, self.column.values.get_mut(from));
        let HistogramColumn { times, values } = &mut self.column;
        let mut kept = from;
        let mut gone: Option<ResetHint> = None;
        for i in from..times.len() {
            if is_stale(values[i].sum) {
                report.stale += 1;
            } else if kept > 0 && times[i] <= times[kept - 1] {
                report.out_of_order += 1;
            } else {
                if gone.take() == Some(ResetHint::Reset) && values[i].reset_hint != ResetHint::Gauge {
                    values[i].reset_hint = ResetHint::Reset;
                }
                times[kept] = times[i];
                values.swap(kept, i);
                kept += 1;
                continue;
            }
            // What is told of a sample that goes holds for the next one.
            gone = gone.or(Some(values[i].reset_hint));
        }
        times.truncate(kept);
        values.truncate(kept);
        Ok(())
    }

    /// Empties the run of raw samples into chunks.
    pub(crate) fn raw_run(
        &mut self,
        resolution_ms: i64,
        out: &mut Vec<TimedChunk>,
        report: &mut Report,
    ) -> Result<(), Error> {
        let HistogramColumn { times, values } = &self.column;
        if let (Some(first), Some(last)) = (times.first(), times.last()) {
            report.samples += times.len() as u64;
            let size = times.len() / chunk_count(*first, *last, RAW_SPACING_MS, resolution_ms, times.len()) + 1;
            let all = Entries { times, counts: None, sums: values, counters: values };
            let mut from = 0;
            while from < times.len() {
                let mut to = (from + size).min(times.len());
                let end = window_end(times[to - 1], resolution_ms);
                to += times[to..].iter().take_while(|t| **t <= end).count();
                batch(all.slice(from..to), &mut self.previous, resolution_ms, &mut self.chunk, out)?;
                from = to;
            }
        }
        self.finish();
        Ok(())
    }

    /// A batch of chunks of aggregates.
    pub(crate) fn aggregates(
        &mut self,
        list: &[Aggregate],
        to_ms: i64,
        out: &mut Vec<TimedChunk>,
        report: &mut Report,
    ) -> Result<(), Error> {
        self.clear();
        for aggregate in list {
            self.append(aggregate, report).map_err(|e| aggregate.failed(e))?;
        }
        report.samples += self.counts.len() as u64;
        let entries = Entries {
            times: &self.counts.times,
            counts: Some(&self.counts.values),
            sums: &self.column.values,
            counters: &self.counters.values,
        };
        batch(entries, &mut self.previous, to_ms, &mut self.chunk, out)
    }

    fn append(&mut self, aggregate: &Aggregate, report: &mut Report) -> Result<(), Damage> {
        let missing = |place: usize| Damage::Header(format!("aggregate {place} of histograms is missing"));
        let part = |place: usize| aggregate.parts[place].as_ref().ok_or_else(|| missing(place));
        let (count, sum, counter) = (part(0)?, part(1)?, part(4)?);
        let from = self.counts.len();
        decode_floats(count.0, &count.1, &mut self.counts)?;
        decode_histograms(sum.0, &sum.1, &mut self.column)?;
        decode_histograms(counter.0, &counter.1, &mut self.counters)?;
        note_reset(counter.0, &counter.1, self.counters.values.get_mut(from));
        let times = &self.counts.times[from..];
        if times != &self.column.times[from..] || times != &self.counters.times[from..] {
            return Err(Damage::Header("aggregates of histograms have different times".to_owned()));
        }
        let mut kept = from;
        for i in from..self.counts.len() {
            let time = self.counts.times[i];
            if kept > 0 && time <= self.counts.times[kept - 1] {
                report.out_of_order += 1;
                continue;
            }
            self.counts.times[kept] = time;
            self.counts.values[kept] = self.counts.values[i];
            self.column.values.swap(kept, i);
            self.counters.values.swap(kept, i);
            kept += 1;
        }
        self.counts.times.truncate(kept);
        self.counts.values.truncate(kept);
        for column in [&mut self.column, &mut self.counters] {
            column.values.truncate(kept);
            column.times.clear();
            column.times.extend_from_slice(&self.counts.times);
        }
        Ok(())
    }

    /// Ends a run.
    pub(crate) fn finish(&mut self) {
        self.clear();
        self.previous = None;
    }

    fn clear(&mut self) {
        for column in [&mut self.column, &mut self.counters] {
            column.times.clear();
            column.values.clear();
        }
        self.counts.clear();
    }
}

/// What a chunk's header tells of a reset goes to its first sample; that none lies before it is not believed, since the
/// chunk before may be another than its writer saw.
fn note_reset(encoding: Encoding, data: &[u8], first: Option<&mut FloatHistogram>) {
    if let (ResetFlag::Reset, Some(first)) = (ResetFlag::of(encoding, data), first) {
        first.reset_hint = ResetHint::Reset;
    }
}

/// Histograms that can stand in one chunk: exponential ones, or custom ones of the same bounds; counters or gauges.
fn alike(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    let gauge = |h: &FloatHistogram| h.reset_hint == ResetHint::Gauge;
    gauge(a) == gauge(b) && a.has_custom_buckets() == b.has_custom_buckets() && a.has_same_bounds(b)
}

/// One chunk of a batch, or several where resets lie or the layout changes. `previous` is the sample before the batch.
fn batch(
    entries: Entries<'_>,
    previous: &mut Option<FloatHistogram>,
    resolution_ms: i64,
    chunk: &mut HistogramChunk,
    out: &mut Vec<TimedChunk>,
) -> Result<(), Error> {
    let len = entries.times.len();
    let mut from = 0;
    while from < len {
        let first = &entries.counters[from];
        let gauge = first.reset_hint == ResetHint::Gauge;
        let flag = match &*previous {
            _ if gauge => ResetFlag::Gauge,
            Some(previous) if first.is_reset_since(previous) => ResetFlag::Reset,
            Some(_) => ResetFlag::NotReset,
            None if first.reset_hint == ResetHint::Reset => ResetFlag::Reset,
            None => ResetFlag::Unknown,
        };
        let pairs = entries.counters[from..].windows(2);
        let stays =
            |pair: &&[FloatHistogram]| alike(&pair[0], &pair[1]) && (gauge || !pair[1].is_reset_since(&pair[0]));
        let to = from + 1 + pairs.take_while(|pair| stays(pair)).count();
        // The window of the last sample goes on in the next chunk.
        let shared = to == len || entries.times[to] <= window_end(entries.times[to - 1], resolution_ms);
        segment(entries.slice(from..to), flag, shared, resolution_ms, chunk, out)?;
        *previous = Some(entries.counters[to - 1].clone());
        from = to;
    }
    Ok(())
}

/// Samples without a reset between them. With `cap` the last window ends at the last sample.
fn segment(
    entries: Entries<'_>,
    flag: ResetFlag,
    cap: bool,
    resolution_ms: i64,
    chunk: &mut HistogramChunk,
    out: &mut Vec<TimedChunk>,
) -> Result<(), Error> {
    let len = entries.times.len();
    let coarsest = |list: &[FloatHistogram]| list.iter().map(|h| h.schema).min().unwrap_or_default();
    let (sum_schema, counter_schema) = (coarsest(entries.sums), coarsest(entries.counters));
    let incompatible = |e: histogram::Incompatible| Error::Encode(Damage::Header(e.to_string()));
    let reduced = |h: &FloatHistogram, schema: i32| {
        let mut h = h.clone();
        h.reduce_to(schema);
        h
    };
    let hint = if flag == ResetFlag::Gauge { ResetHint::Gauge } else { ResetHint::Unknown };
    let mut counter = reduced(&entries.counters[0], counter_schema);
    let mut last = counter.clone();
    chunk.begin(flag);
    let mut at = 0;
    while at < len {
        let end = window_end(entries.times[at], resolution_ms);
        let mut sum: Option<FloatHistogram> = None;
        let mut count = 0.0;
        while at < len && entries.times[at] <= end {
            if at > 0 {
                let now = reduced(&entries.counters[at], counter_schema);
                // By differences as Thanos does it: the floats come out the same.
                let mut delta = now.clone();
                delta.sub(&last).map_err(incompatible)?;
                counter.add(&delta).map_err(incompatible)?;
                last = now;
            }
            let more = reduced(&entries.sums[at], sum_schema);
            match &mut sum {
                Some(sum) => {
                    sum.add(&more).map_err(incompatible)?;
                }
                None => sum = Some(more),
            }
            count += entries.counts.map_or(1.0, |counts| counts[at]);
            at += 1;
        }
        let Some(mut sum) = sum else { break };
        let time = if cap && at == len { end.min(entries.times[len - 1]) } else { end };
        // A sum of counters falls from window to window.
        sum.reset_hint = ResetHint::Gauge;
        counter.reset_hint = hint;
        chunk.push(time, count, &sum, &counter, out)?;
    }
    chunk.finish(out)
}
