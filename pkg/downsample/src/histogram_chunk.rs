//! Windows of histograms to aggregate chunks.

use bytes::Bytes;
use chunkenc::{Appended, Encoding, FloatHistogramAppender, ResetFlag, TimedChunk, XorAppender, aggr};
use histogram::FloatHistogram;

use crate::Error;
use crate::sizing::WINDOWS_MAX;

/// The chunk being written: counts as floats, sums and counters as float histograms; minimum and maximum do not exist.
#[derive(Debug, Default)]
pub(crate) struct HistogramChunk {
    min_time: i64,
    max_time: i64,
    counts: XorAppender,
    sums: Option<FloatHistogramAppender>,
    counters: Option<FloatHistogramAppender>,
    flag: ResetFlag,
    /// Schema and zero threshold of sums and counters: one chunk has one.
    layout: Option<[(i32, u64); 2]>,
}

impl HistogramChunk {
    /// Begins a new chunk; `flag` says whether a reset lies before its first window.
    pub(crate) fn begin(&mut self, flag: ResetFlag) {
        self.counts.clear();
        (self.sums, self.counters, self.layout) = (None, None, None);
        self.flag = flag;
    }

    /// Adds a window. Where its layout does not fit the chunk, that is put out and a new one begun.
    pub(crate) fn push(
        &mut self,
        time: i64,
        count: f64,
        sum: &FloatHistogram,
        counter: &FloatHistogram,
        out: &mut Vec<TimedChunk>,
    ) -> Result<(), Error> {
        let layout = Some([sum, counter].map(|h| (h.schema, h.zero_threshold.to_bits())));
        if self.layout != layout || self.counts.len() >= WINDOWS_MAX {
            self.cut(ResetFlag::NotReset, out)?;
        }
        if let Appended::Cut(flag) = self.append_counter(time, counter)? {
            self.cut(flag, out)?;
            self.append_counter(time, counter)?;
        }
        self.layout = layout;
        let sums = self.sums.get_or_insert_with(|| FloatHistogramAppender::new(ResetFlag::Gauge));
        if let Appended::Cut(_) = sums.append(time, sum).map_err(Error::Encode)? {
            return Err(Error::Encode(chunkenc::Error::Full));
        }
        if self.counts.is_empty() {
            self.min_time = time;
        }
        self.max_time = time;
        self.counts.append(time, count).map_err(Error::Encode)
    }

    fn append_counter(&mut self, time: i64, counter: &FloatHistogram) -> Result<Appended, Error> {
        let counters = self.counters.get_or_insert_with(|| FloatHistogramAppender::new(self.flag));
        counters.append(time, counter).map_err(Error::Encode)
    }

    /// Puts the chunk out, unless it is empty, and begins one in which the total goes on.
    fn cut(&mut self, flag: ResetFlag, out: &mut Vec<TimedChunk>) -> Result<(), Error> {
        if self.counts.is_empty() {
            return Ok(());
        }
        let flag = match (self.flag, flag) {
            (ResetFlag::Gauge, _) => ResetFlag::Gauge,
            (_, ResetFlag::Reset) => ResetFlag::Reset,
            _ => ResetFlag::NotReset,
        };
        self.finish(out)?;
        self.begin(flag);
        Ok(())
    }

    /// Puts the chunk out, unless it is empty.
    pub(crate) fn finish(&mut self, out: &mut Vec<TimedChunk>) -> Result<(), Error> {
        let (Some(sums), Some(counters)) = (self.sums.take(), self.counters.take()) else { return Ok(()) };
        let (counts, sums, counters) = (self.counts.to_vec(), sums.to_vec(), counters.to_vec());
        let parts = [
            Some((Encoding::Xor, &counts[..])),
            Some((Encoding::FloatHistogram, &sums[..])),
            None,
            None,
            Some((Encoding::FloatHistogram, &counters[..])),
        ];
        let data = Bytes::from(aggr::encode(parts));
        let (min_time, max_time) = (self.min_time, self.max_time);
        out.push(TimedChunk { min_time, max_time, encoding: Encoding::Aggregates, data });
        self.counts.clear();
        Ok(())
    }
}
