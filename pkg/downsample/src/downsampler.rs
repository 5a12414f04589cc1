//! A series' chunks in, its downsampled chunks out.

use chunkenc::{Column, CounterReader, Encoding, TimedChunk, num_samples};

use crate::Error;
use crate::columns::{LeftOut, append_floats};
use crate::encode::Encoder;
use crate::float_windows::Windows;
use crate::histograms::Histograms;
use crate::sizing::{RAW_SPACING_MS, chunk_count, window_end};

/// What was done with one series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Raw samples, or windows, that went into windows.
    pub samples: u64,
    /// Stale markers, which windows do not count.
    pub stale: u64,
    /// Other NaN values left out.
    pub nan: u64,
    /// Samples left out because they are not later than the one before.
    pub out_of_order: u64,
    /// Input chunks that hold no sample.
    pub empty_chunks: u64,
    /// Raw chunks found where aggregates were due; they were brought to the input's resolution first.
    pub raw_chunks: u64,
}

impl Report {
    pub(crate) fn note(&mut self, left_out: LeftOut) {
        self.stale += left_out.stale;
        self.out_of_order += left_out.out_of_order;
    }
}

/// Downsamples series after series in the same memory; one per thread.
///
/// Chunks of a series are given in order of time and do not overlap. What stands out of order within them all the same
/// is left out and counted, and so are stale markers and NaN values, of which aggregates cannot tell.
///
/// Where Thanos (0.43) does worse, this does not follow it:
/// * it drops samples from before 1970, and aligns their windows differently;
/// * the minimum of infinite values comes out as the largest finite number, and one infinite value makes the rest of a
///   counter chunk NaN: here the minimum is infinite and the counter is that of the finite values;
/// * a batch of aggregates whose planned chunks outnumber the input's chunks goes on for ever: here each batch takes at
///   least one chunk;
/// * empty chunks and raw chunks in a downsampled block (upstream 5272, 6598) are stepped over, or read as raw, in any
///   mixture;
/// * native histograms with a NaN sum are dropped: here they are kept;
/// * native histograms of custom and exponential buckets in one batch panic, other custom bounds or another zero
///   threshold lose the windows before, a finer schema is taken for a counter reset with each chunk, and a total that has
///   risen above the true value hides or invents increase at the next chunk: here a new chunk begins where the layout
///   changes or the counter resets, so a total is always the true value;
/// * histograms of one batch are brought to its coarsest schema, at which a zero bucket may end within a bucket; to
///   readers the next total then looks like a counter reset, and the whole of it is counted again: here the zero bucket is
///   widened to the end of that bucket, where readers would see a reset that the samples did not have;
/// * histogram counters claim that no reset lies before their first chunk: here that is left open.
#[derive(Debug, Default)]
pub struct Downsampler {
    pub(crate) column: Column,
    pub(crate) clean: Column,
    pub(crate) windows: Windows,
    pub(crate) encoder: Encoder,
    pub(crate) counter: CounterReader,
    pub(crate) times: Vec<i64>,
    pub(crate) values: Vec<f64>,
    pub(crate) histograms: Histograms,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Float,
    Histogram,
}

impl Downsampler {
    /// A downsampler whose buffers grow with the first series.
    pub fn new() -> Self {
        Self::default()
    }

    /// Raw chunks to aggregates of `resolution_ms`, appended to `out` in order of time.
    ///
    /// # Errors
    /// [`Error`]; `out` is as before.
    pub fn raw(
        &mut self,
        chunks: &[TimedChunk],
        resolution_ms: i64,
        out: &mut Vec<TimedChunk>,
    ) -> Result<Report, Error> {
        if resolution_ms <= 0 {
            return Err(Error::Resolution { from_ms: 0, to_ms: resolution_ms });
        }
        let before = out.len();
        let mut report = Report::default();
        let result = self.raw_runs(chunks, resolution_ms, out, &mut report);
        if result.is_err() {
            out.truncate(before);
        }
        result.map(|()| report)
    }

    /// Aggregates of `from_ms` to aggregates of `to_ms`, a multiple of it; appended to `out` in order of time.
    ///
    /// # Errors
    /// [`Error`]; `out` is as before.
    pub fn aggregates(
        &mut self,
        chunks: &[TimedChunk],
        from_ms: i64,
        to_ms: i64,
        out: &mut Vec<TimedChunk>,
    ) -> Result<Report, Error> {
        if from_ms <= 0 || to_ms < from_ms || to_ms % from_ms != 0 {
            return Err(Error::Resolution { from_ms, to_ms });
        }
        let before = out.len();
        let mut report = Report::default();
        let result = self.aggregate_runs(chunks, from_ms, to_ms, out, &mut report);
        if result.is_err() {
            out.truncate(before);
        }
        result.map(|()| report)
    }

    /// Runs of chunks of one kind: a chunk of aggregates is of floats or of histograms.
    pub(crate) fn raw_runs(
        &mut self,
        chunks: &[TimedChunk],
        resolution_ms: i64,
        out: &mut Vec<TimedChunk>,
        report: &mut Report,
    ) -> Result<(), Error> {
        let mut run: Option<Kind> = None;
        self.column.clear();
        self.histograms.finish();
        for chunk in chunks {
            let failed = |source| Error::Chunk { min_time: chunk.min_time, max_time: chunk.max_time, source };
            if chunk.encoding == Encoding::Aggregates {
                let source = chunkenc::Error::Encoding("Aggregates among raw chunks".to_owned());
                return Err(failed(source));
            }
            if num_samples(chunk.encoding, &chunk.data).map_err(failed)? == 0 {
                report.empty_chunks += 1;
                continue;
            }
            let kind = if chunk.encoding.is_float() { Kind::Float } else { Kind::Histogram };
            if run.is_some_and(|run| run != kind) {
                self.finish_run(run, resolution_ms, out, report)?;
            }
            run = Some(kind);
            match kind {
                Kind::Float => {
                    let mut left_out = LeftOut::default();
                    append_floats(chunk.encoding, &chunk.data, &mut self.column, &mut left_out).map_err(failed)?;
                    report.note(left_out);
                }
                Kind::Histogram => self.histograms.append_raw(chunk, report).map_err(failed)?,
            }
        }
        self.finish_run(run, resolution_ms, out, report)
    }

    fn finish_run(
        &mut self,
        run: Option<Kind>,
        resolution_ms: i64,
        out: &mut Vec<TimedChunk>,
        report: &mut Report,
    ) -> Result<(), Error> {
        match run {
            None => Ok(()),
            Some(Kind::Float) => self.float_run(resolution_ms, out, report),
            Some(Kind::Histogram) => self.histograms.raw_run(resolution_ms, out, report),
        }
    }

    /// Empties the column of floats into chunks.
    fn float_run(&mut self, resolution_ms: i64, out: &mut Vec<TimedChunk>, report: &mut Report) -> Result<(), Error> {
        let Self { column, clean, windows, encoder, .. } = self;
        let (mut times, mut values) = (&column.times[..], &column.values[..]);
        let (Some(first), Some(last)) = (times.first(), times.last()) else { return Ok(()) };
        let batch = times.len() / chunk_count(*first, *last, RAW_SPACING_MS, resolution_ms, times.len()) + 1;
        // All are looked at, without a branch for each.
        let with_nan = values.iter().fold(false, |any, v| any | v.is_nan());
        while !times.is_empty() {
            let mut len = batch.min(times.len());
            // A batch ends with a window, so that none is split.
            let end = window_end(times[len - 1], resolution_ms);
            len += times[len..].iter().take_while(|t| **t <= end).count();
            let (mut batch_times, mut batch_values) = (&times[..len], &values[..len]);
            (times, values) = (&times[len..], &values[len..]);
            if with_nan {
                clean.clear();
                let samples = batch_times.iter().zip(batch_values).filter(|(_, v)| !v.is_nan());
                samples.for_each(|(t, v)| clean.push(*t, *v));
                report.nan += (len - clean.len()) as u64;
                (batch_times, batch_values) = (&clean.times, &clean.values);
            }
            report.samples += batch_times.len() as u64;
            while !batch_times.is_empty() {
                let taken = windows.fill(batch_times, batch_values, resolution_ms);
                out.push(encoder.floats(windows)?);
                (batch_times, batch_values) = (&batch_times[taken..], &batch_values[taken..]);
            }
        }
        column.clear();
        Ok(())
    }
}
