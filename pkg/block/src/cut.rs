//! Taking deleted samples out of a chunk by writing the others anew.

use bytes::Bytes;
use chunkenc::{
    Column, Encoding, Error, FloatHistogramAppender, HistogramColumn, ResetFlag, TimedChunk, decode_floats,
    decode_histograms,
};
use model::TimeRange;

/// The chunk without the samples inside `deleted`; `None` when none is left. Float histograms take the place of integer
/// ones; start timestamps are not kept.
pub(crate) fn without(encoding: Encoding, data: &[u8], deleted: &[TimeRange]) -> Result<Option<TimedChunk>, Error> {
    let kept = |time: i64| !deleted.iter().any(|d| d.contains(time));
    if encoding.is_float() {
        let mut column = Column::new();
        decode_floats(encoding, data, &mut column)?;
        let samples: Vec<_> = column.iter().filter(|(t, _)| kept(*t)).collect();
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Ok(None) };
        let (min_time, max_time) = (first.0, last.0);
        let data = chunkenc::encode_xor(samples)?.into();
        return Ok(Some(TimedChunk { min_time, max_time, encoding: Encoding::Xor, data }));
    }
    let mut column = HistogramColumn::default();
    decode_histograms(encoding, data, &mut column)?;
    let mut samples = column.times.into_iter().zip(column.values).filter(|(t, _)| kept(*t)).peekable();
    let Some((min_time, _)) = samples.peek() else { return Ok(None) };
    let (min_time, mut max_time) = (*min_time, *min_time);
    let mut appender = FloatHistogramAppender::new(ResetFlag::Unknown);
    for (time, histogram) in samples {
        appender.append_same_layout(time, &histogram)?;
        max_time = time;
    }
    let data = Bytes::from(appender.to_vec());
    Ok(Some(TimedChunk { min_time, max_time, encoding: Encoding::FloatHistogram, data }))
}
