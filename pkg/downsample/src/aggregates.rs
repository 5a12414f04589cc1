//! Aggregates of one resolution to a coarser one.

use std::ops::Range;

use bytes::Bytes;
use chunkenc::{Encoding, TimedChunk, aggr, num_samples};

use crate::Error;
use crate::columns::{LeftOut, append_floats};
use crate::downsampler::{Downsampler, Report};
use crate::float_windows::fold;
use crate::sizing::{WINDOWS_MAX, chunk_count};

/// An aggregate chunk taken apart.
pub(crate) struct Aggregate {
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) parts: aggr::Parts<Bytes>,
    /// Its windows.
    windows: usize,
}

impl Aggregate {
    fn of(chunk: &TimedChunk) -> Result<Self, Error> {
        let failed = |source| Error::Chunk { min_time: chunk.min_time, max_time: chunk.max_time, source };
        let parts = aggr::decode(&chunk.data).map_err(failed)?;
        let windows = match parts.iter().flatten().next() {
            Some((encoding, data)) => num_samples(*encoding, data).map_err(failed)?,
            None => 0,
        };
        Ok(Self { min_time: chunk.min_time, max_time: chunk.max_time, parts, windows })
    }

    fn is_histogram(&self) -> bool {
        [4, 1].iter().any(|place| matches!(&self.parts[*place], Some((encoding, _)) if encoding.is_histogram()))
    }

    pub(crate) fn failed(&self, source: chunkenc::Error) -> Error {
        Error::Chunk { min_time: self.min_time, max_time: self.max_time, source }
    }
}

impl Downsampler {
    pub(crate) fn aggregate_runs(
        &mut self,
        chunks: &[TimedChunk],
        from_ms: i64,
        to_ms: i64,
        out: &mut Vec<TimedChunk>,
        report: &mut Report,
    ) -> Result<(), Error> {
        let list = self.aggregates_of(chunks, from_ms, report)?;
        self.histograms.finish();
        for run in list.chunk_by(|a, b| a.is_histogram() == b.is_histogram()) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let windows = run.iter().map(|a| a.windows).sum();
            let planned = chunk_count(first.min_time, last.max_time, from_ms, to_ms, windows);
            // Along the input's chunks, since those begin and end with the counter's true values.
            let batches = batches(run, (run.len() / planned).max(1));
            if first.is_histogram() {
                batches.into_iter().try_for_each(|b| self.histograms.aggregates(&run[b], to_ms, out, report))?;
                self.histograms.finish();
            } else {
                batches.into_iter().try_for_each(|b| self.float_batch(&run[b], to_ms, out, report))?;
            }
        }
        Ok(())
    }

    /// The chunks taken apart, raw ones brought to `from_ms`, empty ones left out.
    fn aggregates_of(
        &mut self,
        chunks: &[TimedChunk],
        from_ms: i64,
        report: &mut Report,
    ) -> Result<Vec<Aggregate>, Error> {
        let mut list = Vec::with_capacity(chunks.len());
        for run in chunks.chunk_by(|a, b| is_aggregate(a) == is_aggregate(b)) {
            if run.first().is_some_and(is_aggregate) {
                for chunk in run {
                    let aggregate = Aggregate::of(chunk)?;
                    if aggregate.windows > 0 {
                        list.push(aggregate);
                    } else {
                        report.empty_chunks += 1;
                    }
                }
                continue;
            }
            let (mut fine, mut raw) = (Vec::new(), Report::default());
            self.raw_runs(run, from_ms, &mut fine, &mut raw)?;
            report.raw_chunks += run.len() as u64 - raw.empty_chunks;
            report.empty_chunks += raw.empty_chunks;
            report.stale += raw.stale;
            report.nan += raw.nan;
            report.out_of_order += raw.out_of_order;
            for chunk in &fine {
                list.push(Aggregate::of(chunk)?);
            }
        }
        Ok(list)
    }

    fn float_batch(
        &mut self,
        batch: &[Aggregate],
        to_ms: i64,
        out: &mut Vec<TimedChunk>,
        report: &mut Report,
    ) -> Result<(), Error> {
        let Self { column, windows, encoder, counter, times, values, .. } = self;
        let (mut min_time, mut max_time) = (i64::MAX, i64::MIN);
        let mut note_times = |times: &[i64]| {
            if let (Some(first), Some(last)) = (times.first(), times.last()) {
                (min_time, max_time) = (min_time.min(*first), max_time.max(*last));
            }
        };
        encoder.begin();
        for place in 0..4 {
            column.clear();
            let mut left_out = LeftOut::default();
            for aggregate in batch {
                let Some((encoding, data)) = &aggregate.parts[place] else { continue };
                append_floats(*encoding, data, column, &mut left_out).map_err(|e| aggregate.failed(e))?;
            }
            if place == 0 {
                report.note(left_out);
                report.samples += column.len() as u64;
            }
            let into = (&mut *times, &mut *values);
            match place {
                0 | 1 => fold(&column.times, &column.values, to_ms, 0.0, |a, v| a + v, into),
                2 => fold(&column.times, &column.values, to_ms, f64::INFINITY, |a, v| if v < a { v } else { a }, into),
                _ => {
                    let max = |a, v| if v > a { v } else { a };
                    fold(&column.times, &column.values, to_ms, f64::NEG_INFINITY, max, into);
                }
            }
            note_times(times);
            encoder.part(place, times, values)?;
        }
        column.clear();
        counter.reset();
        for aggregate in batch {
            let Some((encoding, data)) = &aggregate.parts[4] else { continue };
            counter.read(*encoding, data, column).map_err(|e| aggregate.failed(e))?;
        }
        windows.fill(&column.times, &column.values, to_ms);
        if let Some((_, last)) = counter.last_true() {
            note_times(&windows.times);
            encoder.counter(windows.first, &windows.times, &windows.counters, last)?;
        }
        column.clear();
        if min_time <= max_time {
            out.push(encoder.finish(min_time, max_time));
        }
        Ok(())
    }
}

fn is_aggregate(chunk: &TimedChunk) -> bool {
    chunk.encoding == Encoding::Aggregates
}

/// Consecutive chunks, `size` of them, or fewer where their windows might be too many for one chunk.
fn batches(run: &[Aggregate], size: usize) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    let mut windows = 0;
    for (i, aggregate) in run.iter().enumerate() {
        match out.last_mut() {
            Some(range) if range.len() < size && windows + aggregate.windows <= WINDOWS_MAX => {
                range.end = i + 1;
                windows += aggregate.windows;
            }
            _ => {
                out.push(i..i + 1);
                windows = aggregate.windows;
            }
        }
    }
    out
}
