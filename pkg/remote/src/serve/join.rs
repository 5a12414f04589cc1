//! The chunks of one series in the order of their samples: those that overlap become one run.

use chunkenc::{Appended, Column, Encoding, FloatHistogramAppender, HistogramColumn, ResetFlag, XorAppender};
use chunkenc::{TimedChunk, decode_floats, decode_histograms};
use histogram::FloatHistogram;
use storage::{Chunk, ChunkData, Error, Result};

/// Samples of a chunk that is made here.
const CHUNK_SAMPLES: usize = 120;

/// Chunks that follow one another; only those that overlap are decoded. Of samples at one time the first is taken.
///
/// # Errors
/// A chunk that cannot be decoded, or is downsampled.
pub(super) fn in_order(mut chunks: Vec<Chunk>) -> Result<Vec<TimedChunk>> {
    chunks.sort_by_key(|c| (c.min_time, c.max_time));
    let mut out = Vec::with_capacity(chunks.len());
    let mut run: Vec<Chunk> = Vec::new();
    let mut run_end = i64::MIN;
    for chunk in chunks {
        if matches!(chunk.data, ChunkData::Aggr(_)) {
            return Err(Error::Unsupported("downsampled data has no form in remote read".to_owned()));
        }
        if !run.is_empty() && chunk.min_time > run_end {
            close(std::mem::take(&mut run), &mut out)?;
        }
        run_end = run_end.max(chunk.max_time);
        run.push(chunk);
    }
    close(run, &mut out)?;
    Ok(out)
}

/// One chunk passes as it is; several are put together.
fn close(run: Vec<Chunk>, out: &mut Vec<TimedChunk>) -> Result<()> {
    match run.as_slice() {
        [] => Ok(()),
        [one] => {
            out.push(TimedChunk::try_from(one).map_err(corrupt)?);
            Ok(())
        }
        many => {
            let mut samples = Vec::new();
            many.iter().try_for_each(|chunk| decode(chunk, &mut samples))?;
            // A stable sort: the chunk that came first stays first.
            samples.sort_by_key(|(time, _)| *time);
            samples.dedup_by_key(|(time, _)| *time);
            encode(&samples, out).map_err(corrupt)
        }
    }
}

fn corrupt(e: chunkenc::Error) -> Error {
    Error::Corrupt(e.to_string())
}

/// A sample of either kind.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Float(f64),
    /// With the encoding that it came in, which tells whether its counts are whole.
    Histogram(Box<FloatHistogram>, Encoding),
}

/// Adds the samples of a chunk.
pub(super) fn decode(chunk: &Chunk, out: &mut Vec<(i64, Value)>) -> Result<()> {
    match &chunk.data {
        ChunkData::Decoded(column) => out.extend(column.iter().map(|(t, v)| (t, Value::Float(v)))),
        ChunkData::Raw(raw) => decode_raw(raw.encoding, &raw.data, out)?,
        ChunkData::Aggr(_) => return Err(Error::Unsupported("downsampled data has no form in remote read".to_owned())),
    }
    Ok(())
}

/// Adds the samples of encoded data.
pub(super) fn decode_raw(encoding: Encoding, data: &[u8], out: &mut Vec<(i64, Value)>) -> Result<()> {
    if encoding.is_float() {
        let mut column = Column::new();
        decode_floats(encoding, data, &mut column).map_err(corrupt)?;
        out.extend(column.iter().map(|(t, v)| (t, Value::Float(v))));
    } else {
        let mut column = HistogramColumn::default();
        decode_histograms(encoding, data, &mut column).map_err(corrupt)?;
        let values = column.values.into_iter().map(|h| Value::Histogram(Box::new(h), encoding));
        out.extend(column.times.into_iter().zip(values));
    }
    Ok(())
}

fn encode(samples: &[(i64, Value)], out: &mut Vec<TimedChunk>) -> std::result::Result<(), chunkenc::Error> {
    let is_float = |sample: &(i64, Value)| matches!(sample.1, Value::Float(_));
    for run in samples.chunk_by(|a, b| is_float(a) == is_float(b)) {
        for part in run.chunks(CHUNK_SAMPLES) {
            match part.first() {
                Some((_, Value::Float(_))) => floats(part, out)?,
                Some(_) => histograms(part, out)?,
                None => {}
            }
        }
    }
    Ok(())
}

fn timed(part: &[(i64, Value)], encoding: Encoding, data: Vec<u8>) -> Option<TimedChunk> {
    let (min_time, max_time) = (part.first()?.0, part.last()?.0);
    Some(TimedChunk { min_time, max_time, encoding, data: data.into() })
}

fn floats(part: &[(i64, Value)], out: &mut Vec<TimedChunk>) -> std::result::Result<(), chunkenc::Error> {
    let mut appender = XorAppender::new();
    for (time, value) in part {
        if let Value::Float(value) = value {
            appender.append(*time, *value)?;
        }
    }
    out.extend(timed(part, Encoding::Xor, appender.to_vec()));
    Ok(())
}

fn histograms(part: &[(i64, Value)], out: &mut Vec<TimedChunk>) -> std::result::Result<(), chunkenc::Error> {
    let mut begin = 0;
    let mut open = FloatHistogramAppender::new(ResetFlag::Unknown);
    for (at, (time, value)) in part.iter().enumerate() {
        let Value::Histogram(h, _) = value else { continue };
        if let Appended::Cut(flag) = open.append(*time, h)? {
            out.extend(timed(part.get(begin..at).unwrap_or_default(), Encoding::FloatHistogram, open.to_vec()));
            begin = at;
            open = FloatHistogramAppender::new(flag);
            open.append(*time, h)?;
        }
    }
    out.extend(timed(part.get(begin..).unwrap_or_default(), Encoding::FloatHistogram, open.to_vec()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(samples: &[(i64, f64)]) -> Chunk {
        let data = chunkenc::encode_xor(samples.iter().copied()).unwrap();
        Chunk::raw(samples[0].0, samples[samples.len() - 1].0, Encoding::Xor, data.into())
    }

    #[test]
    fn only_what_overlaps_is_made_anew() {
        let (a, b, c) = (chunk(&[(1, 1.0), (5, 5.0)]), chunk(&[(3, 3.0), (5, 9.0), (6, 6.0)]), chunk(&[(7, 7.0)]));
        let out = in_order(vec![c.clone(), b, a]).unwrap();
        assert_eq!(out.len(), 2);
        let mut samples = Vec::new();
        decode_raw(out[0].encoding, &out[0].data, &mut samples).unwrap();
        let times: Vec<_> = samples
            .iter()
            .map(|(t, v)| match v {
                Value::Float(v) => (*t, *v),
                Value::Histogram(..) => panic!("a histogram"),
            })
            .collect();
        assert_eq!(times, [(1, 1.0), (3, 3.0), (5, 5.0), (6, 6.0)]);
        assert_eq!((out[0].min_time, out[0].max_time), (1, 6));
        let ChunkData::Raw(raw) = &c.data else { panic!("not raw") };
        assert_eq!(out[1].data, raw.data);
    }

    #[test]
    fn histograms_that_overlap() {
        let histogram = |count: f64| FloatHistogram { count, sum: count, ..FloatHistogram::default() };
        let made = |samples: &[(i64, f64)]| {
            let mut appender = FloatHistogramAppender::new(ResetFlag::Unknown);
            for (time, count) in samples {
                let appended = appender.append(*time, &histogram(*count)).unwrap();
                assert_eq!(appended, Appended::InPlace);
            }
            let (min, max) = (samples[0].0, samples[samples.len() - 1].0);
            Chunk::raw(min, max, Encoding::FloatHistogram, appender.to_vec().into())
        };
        // Put together the count falls at 2, which begins a chunk.
        let out = in_order(vec![made(&[(1, 5.0), (4, 6.0)]), made(&[(2, 1.0), (3, 1.0)])]).unwrap();
        let mut samples = Vec::new();
        out.iter().for_each(|c| decode_raw(c.encoding, &c.data, &mut samples).unwrap());
        assert_eq!(samples.iter().map(|(t, _)| *t).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(out.iter().map(|c| (c.min_time, c.max_time)).collect::<Vec<_>>(), [(1, 1), (2, 4)]);
    }
}
