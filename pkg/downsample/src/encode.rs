//! Columns of windows to an aggregate chunk.

use bytes::Bytes;
use chunkenc::{Encoding, TimedChunk, XorAppender, aggr};

use crate::Error;
use crate::float_windows::Windows;

/// Memory for the five parts, used again for every chunk.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    appender: XorAppender,
    bytes: Vec<u8>,
    ends: [usize; 5],
}

impl Encoder {
    /// One chunk of all windows, at least one.
    pub(crate) fn floats(&mut self, w: &Windows) -> Result<TimedChunk, Error> {
        self.begin();
        for (place, values) in [&w.counts, &w.sums, &w.mins, &w.maxs].into_iter().enumerate() {
            self.part(place, &w.times, values)?;
        }
        self.counter(w.first, &w.times, &w.counters, w.last)?;
        Ok(self.finish(w.times[0], w.times[w.times.len() - 1]))
    }

    pub(crate) fn begin(&mut self) {
        self.bytes.clear();
        self.ends = [0; 5];
    }

    /// Writes an aggregate at its place, in ascending order; absent when it is empty.
    pub(crate) fn part(&mut self, place: usize, times: &[i64], values: &[f64]) -> Result<(), Error> {
        if !times.is_empty() {
            self.appender.clear();
            self.appender.append_all(times, values).map_err(Error::Encode)?;
            self.appender.write_to(&mut self.bytes);
        }
        self.ends[place] = self.bytes.len();
        Ok(())
    }

    /// The counter between its true first and last sample.
    pub(crate) fn counter(&mut self, first: (i64, f64), times: &[i64], values: &[f64], last: f64) -> Result<(), Error> {
        if let Some(end) = times.last() {
            self.appender.clear();
            self.appender.append(first.0, first.1).map_err(Error::Encode)?;
            self.appender.append_all(times, values).map_err(Error::Encode)?;
            self.appender.append(*end, last).map_err(Error::Encode)?;
            self.appender.write_to(&mut self.bytes);
        }
        self.ends[4] = self.bytes.len();
        Ok(())
    }

    pub(crate) fn finish(&self, min_time: i64, max_time: i64) -> TimedChunk {
        let mut parts: aggr::Parts<&[u8]> = [None; 5];
        let mut from = 0;
        for (part, end) in parts.iter_mut().zip(self.ends) {
            if end > from {
                *part = Some((Encoding::Xor, &self.bytes[from..end]));
                from = end;
            }
        }
        let data = Bytes::from(aggr::encode(parts));
        TimedChunk { min_time, max_time, encoding: Encoding::Aggregates, data }
    }
}
