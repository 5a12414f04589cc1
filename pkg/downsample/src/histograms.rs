//! Native histograms.

use chunkenc::{Encoding, HistogramColumn, TimedChunk, decode_histograms};

use crate::Error;
use crate::aggregates::Aggregate;
use crate::downsampler::Report;

/// Memory of a run of histograms.
#[derive(Debug, Default)]
pub(crate) struct Histograms {
    column: HistogramColumn,
}

impl Histograms {
    pub(crate) fn append_raw(&mut self, chunk: &TimedChunk, _: &mut Report) -> Result<(), chunkenc::Error> {
        decode_histograms(chunk.encoding, &chunk.data, &mut self.column)
    }

    pub(crate) fn raw_run(&mut self, _: i64, _: &mut Vec<TimedChunk>, _: &mut Report) -> Result<(), Error> {
        Err(Error::Encode(chunkenc::Error::Encoding(format!("{:?} is not written yet", Encoding::FloatHistogram))))
    }

    pub(crate) fn aggregates(
        &mut self,
        _: &[Aggregate],
        _: i64,
        _: &mut Vec<TimedChunk>,
        _: &mut Report,
    ) -> Result<(), Error> {
        Err(Error::Encode(chunkenc::Error::Encoding(format!("{:?} is not written yet", Encoding::FloatHistogram))))
    }

    pub(crate) fn finish(&mut self) {}
}
