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

/// Which chunks have a place for start timestamps: those that older readers cannot read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Encodings {
    /// Floats are XOR2.
    pub xor2: bool,
    /// Those of histograms.
    pub histogram_starts: bool,
}

impl Encodings {
    /// As those of a chunk.
    pub fn like(encoding: Encoding) -> Self {
        let histogram_starts = matches!(encoding, Encoding::HistogramSt | Encoding::FloatHistogramSt);
        Self { xor2: encoding == Encoding::Xor2, histogram_starts }
    }

    pub fn of_histogram(self, value: &HistogramValue) -> Encoding {
        match (value, self.histogram_starts) {
            (HistogramValue::Int(_), false) => Encoding::Histogram,
            (HistogramValue::Int(_), true) => Encoding::HistogramSt,
            (HistogramValue::Float(_), false) => Encoding::FloatHistogram,
            (HistogramValue::Float(_), true) => Encoding::FloatHistogramSt,
        }
    }

    /// Whether samples of this kind keep their start timestamps.
    pub fn keep_start(self, value: &Value) -> bool {
        match value {
            Value::Float(_) => self.xor2,
            Value::Histogram(_) => self.histogram_starts,
        }
    }

    /// An empty chunk of integer histograms.
    pub fn integers(self, flag: ResetFlag) -> HistogramAppender {
        if self.histogram_starts { HistogramAppender::with_starts(flag) } else { HistogramAppender::new(flag) }
    }

    /// An empty chunk of float histograms.
    pub fn floats(self, flag: ResetFlag) -> FloatHistogramAppender {
        if self.histogram_starts {
            FloatHistogramAppender::with_starts(flag)
        } else {
            FloatHistogramAppender::new(flag)
        }
    }
}

impl Row {
    /// What a chunk of it would be.
    fn encoding(&self, encodings: Encodings) -> Encoding {
        let has_start = self.start_ms != 0;
        match &self.value {
            Value::Float(_) if encodings.xor2 || has_start => Encoding::Xor2,
            Value::Float(_) => Encoding::Xor,
            Value::Histogram(value) => {
                let histogram_starts = encodings.histogram_starts || has_start;
                Encodings { histogram_starts, ..encodings }.of_histogram(value)
            }
        }
    }
}

/// Chunks of samples that ascend by time. A sample that has a start timestamp keeps it.
pub(crate) fn encode(rows: &[Row], encodings: Encodings) -> Result<Vec<Full>, chunkenc::Error> {
    let mut out = Vec::new();
    for run in rows.chunk_by(|a, b| a.encoding(encodings) == b.encoding(encodings)) {
        let Some(first) = run.first() else { continue };
        for part in run.chunks(SAMPLES) {
            encode_run(part, first.encoding(encodings), &mut out)?;
        }
    }
    Ok(out)
}

fn encode_run(rows: &[Row], encoding: Encoding, out: &mut Vec<Full>) -> Result<(), chunkenc::Error> {
    let float = |row: &Row| if let Value::Float(v) = row.value { v } else { f64::NAN };
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
    let encodings = Encodings::like(encoding);
    let mut flag = ResetFlag::Unknown;
    let mut begin = 0;
    while begin < rows.len() {
        let (mut ints, mut floats) = (encodings.integers(flag), encodings.floats(flag));
        let mut end = begin;
        for row in &rows[begin..] {
            let appended = match &row.value {
                Value::Histogram(HistogramValue::Int(h)) => ints.append_from(row.start_ms, row.time_ms, h)?,
                Value::Histogram(HistogramValue::Float(h)) => floats.append_from(row.start_ms, row.time_ms, h)?,
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
