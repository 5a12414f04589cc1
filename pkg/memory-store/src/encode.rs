//! The samples of a [`crate::MemoryStore`] as chunks.

use bytes::Bytes;
use chunkenc::{Appended, Encoding, FloatHistogramAppender, HistogramAppender, ResetFlag, encode_xor, encode_xor2};

use storage::append::HistogramValue;
use storage::{Chunk, Error, Result, Series};

use crate::state::{MemorySeries, Sample, State, Value};

/// Samples per chunk, as a Prometheus head cuts them.
const SAMPLES_PER_CHUNK: usize = 120;

/// All series that have samples.
pub(super) fn series(state: &State) -> Result<Vec<Series>> {
    let with_samples = state.in_label_order().filter(|s| !s.samples.is_empty());
    with_samples
        .map(|s| {
            // Most series have no new sample since they were read last.
            let mut known = s.chunks.lock();
            let chunks = match &*known {
                Some(chunks) => chunks.clone(),
                None => known.insert(chunks(s)?).clone(),
            };
            Ok(Series { labels: s.labels.clone(), chunks })
        })
        .collect()
}

/// What one chunk can hold.
fn encoding(sample: &Sample) -> Encoding {
    match &sample.value {
        Value::Float(_) if sample.start_ms != 0 => Encoding::Xor2,
        Value::Float(_) => Encoding::Xor,
        Value::Histogram(HistogramValue::Int(_)) => Encoding::Histogram,
        Value::Histogram(HistogramValue::Float(_)) => Encoding::FloatHistogram,
    }
}

fn chunks(series: &MemorySeries) -> Result<Vec<Chunk>> {
    let samples: Vec<(i64, &Sample)> = series.samples.iter().map(|(t, s)| (*t, s)).collect();
    let mut out = Vec::new();
    for run in samples.chunk_by(|a, b| encoding(a.1) == encoding(b.1)) {
        for part in run.chunks(SAMPLES_PER_CHUNK) {
            encode(part, &mut out).map_err(|e| Error::other(format!("{}: {e}", series.labels)))?;
        }
    }
    Ok(out)
}

/// Appends the chunks of samples of one encoding.
fn encode(samples: &[(i64, &Sample)], out: &mut Vec<Chunk>) -> std::result::Result<(), chunkenc::Error> {
    let Some((first, last)) = samples.first().zip(samples.last()) else { return Ok(()) };
    let float = |s: &Sample| if let Value::Float(v) = s.value { v } else { f64::NAN };
    let encoding = encoding(first.1);
    let data: Bytes = match encoding {
        Encoding::Xor => encode_xor(samples.iter().map(|(t, s)| (*t, float(s))))?.into(),
        Encoding::Xor2 => encode_xor2(samples.iter().map(|(t, s)| (s.start_ms, *t, float(s))))?.into(),
        _ => return encode_histograms(samples, encoding, out),
    };
    out.push(Chunk::raw(first.0, last.0, encoding, data));
    Ok(())
}

/// The same of histograms, of which a change of buckets or a reset begins a new chunk.
fn encode_histograms(
    samples: &[(i64, &Sample)],
    encoding: Encoding,
    out: &mut Vec<Chunk>,
) -> std::result::Result<(), chunkenc::Error> {
    let mut flag = ResetFlag::Unknown;
    let mut begin = 0;
    while begin < samples.len() {
        let mut ints = HistogramAppender::new(flag);
        let mut floats = FloatHistogramAppender::new(flag);
        let mut end = begin;
        for (time_ms, sample) in &samples[begin..] {
            let appended = match &sample.value {
                Value::Histogram(HistogramValue::Int(h)) => ints.append(*time_ms, h)?,
                Value::Histogram(HistogramValue::Float(h)) => floats.append(*time_ms, h)?,
                Value::Float(_) => Appended::InPlace,
            };
            if let Appended::Cut(next) = appended {
                flag = next;
                break;
            }
            end += 1;
        }
        // The first of a chunk is never cut off; if it were, the loop would not end.
        if end == begin {
            return Err(chunkenc::Error::Encoding(format!("{encoding:?}: the first histogram does not fit")));
        }
        let data = if ints.is_empty() { floats.to_vec() } else { ints.to_vec() };
        out.push(Chunk::raw(samples[begin].0, samples[end - 1].0, encoding, data.into()));
        begin = end;
    }
    Ok(())
}
