//! A block made of samples in memory.

use std::collections::HashMap;
use std::path::Path;

use block::{BlockId, BlockMeta, BlockWriter, BlockWriterOptions};
use bytes::Bytes;
use chunkenc::{Appended, Column, Encoding, FloatHistogramAppender, ResetFlag, TimedChunk, encode_xor};
use histogram::FloatHistogram;
use labels::Labels;

use crate::Error;

/// Samples of a chunk, as a Prometheus head cuts them.
const SAMPLES_PER_CHUNK: usize = 120;
/// Blocks of Prometheus are so long, ms, or this times a power of 3.
pub(super) const BLOCK_MS: i64 = 2 * 3_600_000;
const LENGTHS: usize = 10;

/// The length of blocks where they may be as long as `max_ms`: 2 h times a power of 3, so that compaction takes them as its
/// own.
pub(super) fn block_ms(max_ms: i64) -> i64 {
    let lengths = std::iter::successors(Some(BLOCK_MS), |ms| ms.checked_mul(3)).take(LENGTHS);
    lengths.take_while(|ms| *ms <= max_ms.max(BLOCK_MS)).last().unwrap_or(BLOCK_MS)
}

/// The samples of a block to be.
#[derive(Debug, Default)]
pub(super) struct Gathered(HashMap<Labels, SeriesSamples>);

#[derive(Debug, Default)]
struct SeriesSamples {
    floats: Column,
    histograms: Vec<(i64, FloatHistogram)>,
}

impl Gathered {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn series(&self) -> usize {
        self.0.len()
    }

    pub fn float(&mut self, labels: Labels, time_ms: i64, value: f64) {
        self.0.entry(labels).or_default().floats.push(time_ms, value);
    }

    /// All samples of one series; those of other calls may lie between.
    pub fn extend(&mut self, labels: Labels, floats: &[(i64, f64)], histograms: Vec<(i64, FloatHistogram)>) {
        let samples = self.0.entry(labels).or_default();
        for (time_ms, value) in floats {
            samples.floats.push(*time_ms, *value);
        }
        samples.histograms.extend(histograms);
    }

    /// Writes the block below `parent`. Of samples that come twice one is written.
    ///
    /// # Errors
    /// Two different values of one series at one time; the disk.
    pub fn write(self, parent: &Path, id: BlockId, meta: BlockMeta) -> Result<BlockMeta, Error> {
        let mut all: Vec<(Labels, SeriesSamples)> = self.0.into_iter().collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let mut writer = BlockWriter::create(parent, id, BlockWriterOptions::default())?;
        for (labels, samples) in all {
            let chunks = chunks(samples).map_err(|why| Error::Failed(format!("series {labels}: {why}")))?;
            writer.add_series(&labels, &chunks)?;
        }
        Ok(writer.finish(meta)?)
    }
}

#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Float(f64),
    Histogram(&'a FloatHistogram),
}

impl Value<'_> {
    fn is_float(self) -> bool {
        matches!(self, Self::Float(_))
    }

    fn is_same(self, other: Value<'_>) -> bool {
        match (self, other) {
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (Value::Histogram(a), Value::Histogram(b)) => a == b,
            _ => false,
        }
    }
}

fn chunks(samples: SeriesSamples) -> Result<Vec<TimedChunk>, String> {
    let floats = samples.floats.iter().map(|(time, value)| (time, Value::Float(value)));
    let histograms = samples.histograms.iter().map(|(time, value)| (*time, Value::Histogram(value)));
    let mut all: Vec<(i64, Value<'_>)> = floats.chain(histograms).collect();
    all.sort_by_key(|(time, _)| *time);
    if let Some(pair) = all.windows(2).find(|pair| pair[0].0 == pair[1].0 && !pair[0].1.is_same(pair[1].1)) {
        return Err(format!("duplicate sample for timestamp {}", pair[0].0));
    }
    all.dedup_by_key(|(time, _)| *time);
    let mut out = Vec::new();
    for run in all.chunk_by(|a, b| a.1.is_float() == b.1.is_float()) {
        for part in run.chunks(SAMPLES_PER_CHUNK) {
            encode(part, &mut out).map_err(|e| e.to_string())?;
        }
    }
    Ok(out)
}

fn encode(part: &[(i64, Value<'_>)], out: &mut Vec<TimedChunk>) -> Result<(), chunkenc::Error> {
    let chunk = |samples: &[(i64, Value<'_>)], encoding, data: Bytes| TimedChunk {
        min_time: samples[0].0,
        max_time: samples[samples.len() - 1].0,
        encoding,
        data,
    };
    let floats = part.iter().filter_map(|(time, value)| match value {
        Value::Float(value) => Some((*time, *value)),
        Value::Histogram(_) => None,
    });
    if part.iter().all(|(_, value)| value.is_float()) {
        out.push(chunk(part, Encoding::Xor, encode_xor(floats)?.into()));
        return Ok(());
    }
    let (mut flag, mut begin) = (ResetFlag::Unknown, 0);
    while begin < part.len() {
        let mut appender = FloatHistogramAppender::new(flag);
        let mut end = begin;
        for (time, value) in &part[begin..] {
            let Value::Histogram(histogram) = value else { break };
            if let Appended::Cut(next) = appender.append(*time, histogram)? {
                flag = next;
                break;
            }
            end += 1;
        }
        // The first of a chunk always fits; if it did not, the loop would not end.
        if end == begin {
            return Err(chunkenc::Error::Encoding("the first histogram does not fit".to_owned()));
        }
        out.push(chunk(&part[begin..end], Encoding::FloatHistogram, appender.to_vec().into()));
        begin = end;
    }
    Ok(())
}

/// What the files of a block take.
pub(super) fn dir_bytes(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => dir_bytes(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        for (max_h, want_h) in [(0, 2), (5, 2), (6, 6), (24, 18), (1_000_000, 39_366)] {
            assert_eq!(block_ms(max_h * 3_600_000), want_h * 3_600_000, "{max_h}");
        }
    }

    #[test]
    fn kinds_change_the_chunk() {
        let histogram = |count: f64| FloatHistogram { count, zero_count: count, ..FloatHistogram::default() };
        let mut floats = Column::new();
        floats.push(3, 1.0);
        floats.push(1, 1.0);
        floats.push(1, 1.0);
        let samples = SeriesSamples { floats, histograms: vec![(2, histogram(1.0)), (4, histogram(2.0))] };
        let found = chunks(samples).unwrap();
        let shown: Vec<_> = found.iter().map(|c| (c.min_time, c.max_time, c.encoding)).collect();
        let (float, native) = (Encoding::Xor, Encoding::FloatHistogram);
        assert_eq!(shown, [(1, 1, float), (2, 2, native), (3, 3, float), (4, 4, native)]);
        let mut twice = Column::new();
        twice.push(1, 1.0);
        twice.push(1, 2.0);
        assert!(chunks(SeriesSamples { floats: twice, histograms: vec![] }).unwrap_err().contains("timestamp 1"));
    }
}
