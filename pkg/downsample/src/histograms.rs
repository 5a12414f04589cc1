//! Runs of native histograms: what goes into a batch, and where a batch must begin a new chunk.

use std::ops::Range;

use chunkenc::{
    Column, Encoding, Error as Corrupt, HistogramColumn, ResetFlag, TimedChunk, decode_floats, decode_histograms,
};
use histogram::{FloatHistogram, ResetHint, upper_bound};
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
    before: Before,
    chunk: HistogramChunk,
}

/// What the batch before ended with.
#[derive(Debug, Default)]
struct Before {
    /// Its last sample.
    sample: Option<FloatHistogram>,
    /// The counter that was put out for it.
    counter: Option<FloatHistogram>,
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
    pub(crate) fn append_raw(&mut self, chunk: &TimedChunk, report: &mut Report) -> Result<(), Corrupt> {
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
            // The hint of a sample that is dropped holds for the next one.
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
                batch(all.slice(from..to), &mut self.before, resolution_ms, &mut self.chunk, out)?;
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
        batch(entries, &mut self.before, to_ms, &mut self.chunk, out)
    }

    fn append(&mut self, aggregate: &Aggregate, report: &mut Report) -> Result<(), Corrupt> {
        let missing = |place: usize| Corrupt::Header(format!("aggregate {place} of histograms is missing"));
        let part = |place: usize| aggregate.parts[place].as_ref().ok_or_else(|| missing(place));
        let (count, sum, counter) = (part(0)?, part(1)?, part(4)?);
        let from = self.counts.len();
        decode_floats(count.0, &count.1, &mut self.counts)?;
        decode_histograms(sum.0, &sum.1, &mut self.column)?;
        decode_histograms(counter.0, &counter.1, &mut self.counters)?;
        note_reset(counter.0, &counter.1, self.counters.values.get_mut(from));
        let times = &self.counts.times[from..];
        if times != &self.column.times[from..] || times != &self.counters.times[from..] {
            return Err(Corrupt::Header("aggregates of histograms have different times".to_owned()));
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
        self.before = Before::default();
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

/// One chunk of a batch, or several where resets lie or the layout changes. `before` is what lies before the batch.
fn batch(
    entries: Entries<'_>,
    before: &mut Before,
    resolution_ms: i64,
    chunk: &mut HistogramChunk,
    out: &mut Vec<TimedChunk>,
) -> Result<(), Error> {
    let len = entries.times.len();
    let mut from = 0;
    while from < len {
        let first = &entries.counters[from];
        let gauge = first.reset_hint == ResetHint::Gauge;
        let flag = match &before.sample {
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
        segment(entries.slice(from..to), flag, shared, resolution_ms, &mut before.counter, chunk, out)?;
        before.sample = Some(entries.counters[to - 1].clone());
        from = to;
    }
    Ok(())
}

/// Samples without a reset between them. With `cap` the last window ends at the last sample. `shown` is the counter put
/// out last.
fn segment(
    entries: Entries<'_>,
    flag: ResetFlag,
    cap: bool,
    resolution_ms: i64,
    shown: &mut Option<FloatHistogram>,
    chunk: &mut HistogramChunk,
    out: &mut Vec<TimedChunk>,
) -> Result<(), Error> {
    let len = entries.times.len();
    let coarsest = |list: &[FloatHistogram]| list.iter().map(|h| h.schema).min().unwrap_or_default();
    let (sum_schema, counter_schema) = (coarsest(entries.sums), coarsest(entries.counters));
    let incompatible = |e: histogram::Incompatible| Error::Encode(Corrupt::Header(e.to_string()));
    let reduced = |h: &FloatHistogram, schema: i32| {
        let mut h = h.clone();
        h.reduce_to(schema);
        h
    };
    let hint = if flag == ResetFlag::Gauge { ResetHint::Gauge } else { ResetHint::Unknown };
    let mut counter = reduced(&entries.counters[0], counter_schema);
    let mut last = counter.clone();
    chunk.begin(flag);
    let (mut at, mut at_first) = (0, true);
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
        let goes_on = match flag {
            ResetFlag::Gauge => false,
            ResetFlag::NotReset => true,
            // The first window may begin with a reset.
            ResetFlag::Reset | ResetFlag::Unknown => !at_first,
        };
        at_first = false;
        if let (true, Some(shown)) = (goes_on, &*shown) {
            follow(&mut counter, shown);
        }
        *shown = Some(counter.clone());
        chunk.push(time, count, &sum, &counter, out)?;
    }
    chunk.finish(out)
}

/// Makes readers see no reset between `before` and `counter`, where there was none. A counter that was brought to a
/// coarser schema may have a zero bucket that ends within one of its buckets. Counts of `before` that are in that zero
/// bucket now are then looked for in the bucket beside it. So the zero bucket is widened to the end of that bucket; and
/// never is it narrower than before.
fn follow(counter: &mut FloatHistogram, before: &FloatHistogram) {
    if counter.has_custom_buckets() || before.has_custom_buckets() || !counter.is_reset_since(before) {
        return;
    }
    let hint = counter.reset_hint;
    let mut fitted = counter.clone();
    fitted.reduce_to(before.schema);
    let schema = fitted.schema;
    for threshold in [fitted.zero_threshold.max(before.zero_threshold), f64::NAN] {
        // The second time whatever the first one led to is brought to the end of its bucket.
        let threshold = if threshold.is_nan() { bucket_end(fitted.zero_threshold, schema) } else { threshold };
        let zero_bucket = FloatHistogram { schema: MAX_SCHEMA, zero_threshold: threshold, ..FloatHistogram::default() };
        if fitted.add(&zero_bucket).is_err() {
            return;
        }
        fitted.reset_hint = hint;
        if !fitted.is_reset_since(before) {
            *counter = fitted;
            return;
        }
    }
}

/// The finest schema.
const MAX_SCHEMA: i32 = 8;

/// The upper bound of the bucket that `value`, not negative, is in.
fn bucket_end(value: f64, schema: i32) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return value;
    }
    let index = (value.log2() * f64::from(schema).exp2()).floor() as i32;
    // The logarithm may be off by a hair.
    let near = index.saturating_sub(1)..=index.saturating_add(2);
    near.map(|index| upper_bound(index, schema)).find(|bound| *bound >= value).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use histogram::Span;

    fn exponential(schema: i32, zero_threshold: f64, zero_count: f64, bucket: Option<(i32, f64)>) -> FloatHistogram {
        let mut h =
            FloatHistogram { schema, zero_threshold, zero_count, count: zero_count, ..FloatHistogram::default() };
        if let Some((offset, count)) = bucket {
            h.positive_spans.push(Span { offset, length: 1 });
            h.positive_buckets.push(count);
            h.count += count;
        }
        h
    }

    #[test]
    fn a_zero_bucket_that_ends_within_a_bucket_is_no_reset() {
        // The bucket up to 0.84 became part of the zero bucket; at schema 1 that ends within (0.71, 1].
        let end = upper_bound(-2, 3);
        let before = exponential(3, 0.4, 0.0, Some((-2, 4.0)));
        for beside in [None, Some((0, 3.0))] {
            let mut counter = exponential(1, end, 4.0, beside);
            follow(&mut counter, &before);
            assert!(!counter.is_reset_since(&before));
            assert_eq!((counter.zero_threshold, counter.schema), (1.0, 1));
            // The next one is as the samples were.
            let mut next = exponential(1, end, 5.0, beside);
            assert!(next.is_reset_since(&counter));
            follow(&mut next, &counter);
            assert!(!next.is_reset_since(&counter));
            assert_eq!(next.count, 5.0 + beside.map_or(0.0, |b| b.1));
        }
    }

    #[test]
    fn what_needs_no_fitting_and_real_falls_stay_as_they_are() {
        let before = exponential(3, 0.4, 1.0, Some((-2, 4.0)));
        for counter in [exponential(3, 0.4, 1.0, Some((-2, 5.0))), exponential(3, 0.4, 1.0, Some((-2, 3.0)))] {
            let mut fitted = counter.clone();
            follow(&mut fitted, &before);
            assert_eq!(fitted, counter);
        }
    }

    #[test]
    fn ends_of_buckets() {
        for schema in -4..=8 {
            for index in [-9, -1, 0, 1, 5] {
                let end = upper_bound(index, schema);
                assert_eq!(bucket_end(end, schema), end);
                assert_eq!(bucket_end(end * 1.0001, schema), upper_bound(index + 1, schema));
            }
        }
        assert_eq!(bucket_end(0.0, 3), 0.0);
    }
}
