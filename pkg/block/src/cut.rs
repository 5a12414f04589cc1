//! Removes deleted samples from a chunk: the chunk is rewritten with the others.

use bytes::Bytes;
use chunkenc::{
    Column, Encoding, Error, FloatHistogramAppender, HistogramColumn, ResetFlag, TimedChunk, decode_floats,
    decode_histograms,
};
use model::TimeRange;
use storage::{AggrChunk, Chunk, ChunkData, EncodedChunk};

/// The chunk without the samples inside `deleted`; `None` when none is left. Of downsampled chunks, whose windows are
/// `resolution_ms` long, every window goes that has a part in `deleted`.
///
/// # Errors
/// The chunk does not decode.
pub fn delete_from(chunk: Chunk, resolution_ms: i64, deleted: &[TimeRange]) -> Result<Option<Chunk>, Error> {
    let reach = match chunk.data {
        ChunkData::Aggr(_) => resolution_ms.max(1) - 1,
        _ => 0,
    };
    let span = TimeRange::new(chunk.min_time, chunk.max_time);
    let touching: Vec<TimeRange> = deleted
        .iter()
        .map(|d| TimeRange::new(d.min, d.max.saturating_add(reach)))
        .filter(|d| d.overlaps(span))
        .collect();
    if touching.is_empty() {
        return Ok(Some(chunk));
    }
    if touching.iter().any(|d| d.min <= span.min && span.max <= d.max) {
        return Ok(None);
    }
    let replica = chunk.replica;
    let left = match &chunk.data {
        ChunkData::Raw(raw) => {
            without(raw.encoding, &raw.data, &touching)?.map(|c| Chunk::raw(c.min_time, c.max_time, c.encoding, c.data))
        }
        ChunkData::Decoded(column) => {
            let (times, values) = column.iter().filter(|(t, _)| !touching.iter().any(|d| d.contains(*t))).unzip();
            Chunk::decoded(Column { times, values })
        }
        ChunkData::Aggr(aggr) => {
            let mut parts = AggrChunk::default();
            let mut times: Option<(i64, i64)> = None;
            for (part, left) in aggr.parts.iter().zip(&mut parts.parts) {
                let Some(part) = part else { continue };
                let Some(cut) = without(part.encoding, &part.data, &touching)? else { continue };
                let (min, max) = times.unwrap_or((cut.min_time, cut.max_time));
                times = Some((min.min(cut.min_time), max.max(cut.max_time)));
                *left = Some(EncodedChunk { encoding: cut.encoding, data: cut.data });
            }
            times.map(|(min, max)| Chunk::aggr(min, max, parts))
        }
    };
    Ok(left.map(|c| Chunk { replica, ..c }))
}

/// The chunk without the samples inside `deleted`; `None` when none is left. Float histograms take the place of integer
/// ones; of histograms start timestamps are not kept.
pub(crate) fn without(encoding: Encoding, data: &[u8], deleted: &[TimeRange]) -> Result<Option<TimedChunk>, Error> {
    let kept = |time: i64| !deleted.iter().any(|d| d.contains(time));
    if encoding == Encoding::Xor2 {
        let mut samples = chunkenc::decode_xor2(data)?;
        samples.retain(|(_, time, _)| kept(*time));
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Ok(None) };
        let (min_time, max_time) = (first.1, last.1);
        let data = chunkenc::encode_xor2(samples)?.into();
        return Ok(Some(TimedChunk { min_time, max_time, encoding, data }));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_timestamps_of_floats_are_kept() {
        let samples: Vec<_> = (0..10).map(|n| (n / 5 + 1, n * 1000, n as f64)).collect();
        let data = chunkenc::encode_xor2(samples.iter().copied()).unwrap();
        let left = without(Encoding::Xor2, &data, &[TimeRange::new(2000, 6500)]).unwrap().unwrap();
        assert_eq!((left.encoding, left.min_time, left.max_time), (Encoding::Xor2, 0, 9000));
        let want = [&samples[..2], &samples[7..]].concat();
        assert_eq!(chunkenc::decode_xor2(&left.data).unwrap(), want);
        assert_eq!(without(Encoding::Xor2, &data, &[TimeRange::new(0, 9000)]).unwrap(), None);
    }
}
