//! Samples as chunks.

use bytes::Bytes;
use chunkenc::{Appended, Encoding, FloatHistogramAppender, HistogramAppender, ResetFlag, encode_xor, encode_xor2};
use storage::append::HistogramValue;

use super::cutpoints::SAMPLES;
use super::parts::{Full, Value};

/// A sample.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub time_ms: i64,
    /// 0 = unknown.
    pub start_ms: i64,
    pub value: Value,
}

impl Row {
    /// What a chunk of it would be.
    pub fn encoding(&self) -> Encoding {
        match &self.value {
            Value::Float(_) if self.start_ms != 0 => Encoding::Xor2,
            Value::Float(_) => Encoding::Xor,
            Value::Histogram(HistogramValue::Int(_)) => Encoding::Histogram,
            Value::Histogram(HistogramValue::Float(_)) => Encoding::FloatHistogram,
        }
    }
}

/// Chunks of samples that ascend by time.
pub(crate) fn encode(rows: &[Row]) -> Result<Vec<Full>, chunkenc::Error> {
    let mut out = Vec::new();
    for run in rows.chunk_by(|a, b| a.encoding() == b.encoding()) {
        for part in run.chunks(SAMPLES) {
            encode_run(part, &mut out)?;
        }
    }
    Ok(out)
}

fn encode_run(rows: &[Row], out: &mut Vec<Full>) -> Result<(), chunkenc::Error> {
    let Some(first) = rows.first() else { return Ok(()) };
    let float = |row: &Row| if let Value::Float(v) = row.value { v } else { f64::NAN };
    let encoding = first.encoding();
    let data: Bytes = match encoding {
        Encoding::Xor => encode_xor(rows.iter().map(|r| (r.time_ms, float(r))))?.into(),
        Encoding::Xor2 => encode_xor2(rows.iter().map(|r| (r.start_ms, r.time_ms, float(r))))?.into(),
        _ => return encode_histograms(rows, encoding, out),
    };
    out.extend(full(rows, encoding, data));
    Ok(())
}

fn full(rows: &[Row], encoding: Encoding, data: Bytes) -> Option<Full> {
    let (first, last) = rows.first().zip(rows.last())?;
    Some(Full { min_time: first.time_ms, max_time: last.time_ms, encoding, samples: rows.len() as u16, data })
}

/// Of histograms, where a change of buckets or a reset begins a new chunk.
fn encode_histograms(rows: &[Row], encoding: Encoding, out: &mut Vec<Full>) -> Result<(), chunkenc::Error> {
    let mut flag = ResetFlag::Unknown;
    let mut begin = 0;
    while begin < rows.len() {
        let mut ints = HistogramAppender::new(flag);
        let mut floats = FloatHistogramAppender::new(flag);
        let mut end = begin;
        for row in &rows[begin..] {
            let appended = match &row.value {
                Value::Histogram(HistogramValue::Int(h)) => ints.append(row.time_ms, h)?,
                Value::Histogram(HistogramValue::Float(h)) => floats.append(row.time_ms, h)?,
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
        out.extend(full(&rows[begin..end], encoding, data.into()));
        begin = end;
    }
    Ok(())
}
