//! Chunks: what the index says of them, and what they hold.

use block::{BlockMeta, ChunkMeta};
use chunkenc::{Column, Encoding, HistogramColumn, aggr, decode_floats, decode_histograms};
use objstore::Bucket;

use crate::error::Result;
use crate::fetch::{ChunkStream, Record, Windows};
use crate::input::{Files, Segments};
use crate::verify::report::BlockReport;
use crate::wait::Wait;

/// Bytes of one ranged read.
const WINDOW: u64 = 1 << 20;

/// Checks chunks series by series.
pub(super) struct ChunkCheck<'a> {
    meta: &'a BlockMeta,
    segments: &'a Segments,
    stream: Option<ChunkStream>,
    /// Bytes of records that series point to, of each segment.
    used: Vec<u64>,
    floats: u64,
    histograms: u64,
    column: Column,
    histogram_column: HistogramColumn,
}

impl<'a> ChunkCheck<'a> {
    pub(super) fn new(bucket: &Bucket, wait: &Wait, meta: &'a BlockMeta, files: &'a Files, read: bool) -> Self {
        let windows = Windows { max: WINDOW, ahead: 3 };
        let stream =
            read.then(|| ChunkStream::new(bucket, wait, files.segments.clone(), windows, None, Default::default()));
        Self {
            meta,
            segments: &files.segments,
            stream,
            used: vec![0; files.segments.sizes.len()],
            floats: 0,
            histograms: 0,
            column: Column::new(),
            histogram_column: HistogramColumn::default(),
        }
    }

    /// The chunks of the series at `at` of the index.
    pub(super) fn series(&mut self, at: u64, chunks: &[ChunkMeta], report: &mut BlockReport) -> Result<()> {
        let mut end: Option<i64> = None;
        for chunk in chunks {
            let (from, to) = (chunk.min_time, chunk.max_time);
            if from > to {
                report.note("index", format!("offset {at}: chunk from {from} to {to}"));
            }
            if end.is_some_and(|end| from <= end) {
                report.note("index", format!("offset {at}: chunk from {from} overlaps or precedes the one before"));
            }
            if from < self.meta.min_time || to >= self.meta.max_time {
                let what = format!("offset {at}: chunk from {from} to {to} lies outside of the block's range");
                report.note("index", what);
            }
            end = Some(to);
            match &mut self.stream {
                Some(stream) => match stream.chunk(*chunk) {
                    Ok(record) => {
                        self.used[chunk.segment() as usize] += record.bytes.len() as u64;
                        self.record(chunk, &record, report);
                    }
                    Err(error) => report.problem(error)?,
                },
                None => {
                    let size = self.segments.sizes.get(chunk.segment() as usize).copied().unwrap_or(0);
                    if !(8..size).contains(&u64::from(chunk.offset())) {
                        let file = Segments::file(chunk.segment());
                        let what = format!("offset {}: the index points there, {size} bytes", chunk.offset());
                        report.note(&file, what);
                    }
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, chunk: &ChunkMeta, record: &Record, report: &mut BlockReport) {
        let found = match record.encoding {
            Encoding::Aggregates => self.aggregates(record),
            encoding => self.samples(encoding, &record.data()).map(|times| (times, 0)),
        };
        let note = |report: &mut BlockReport, what: String| {
            report.note(&Segments::file(chunk.segment()), format!("offset {}: {what}", chunk.offset()));
        };
        match found {
            Err(what) => note(report, what),
            Ok((None, _)) => note(report, "chunk without samples".to_owned()),
            Ok((Some((count, from, to)), windows)) => {
                report.samples += count;
                if record.encoding.is_float() {
                    self.floats += count;
                } else if record.encoding.is_histogram() {
                    self.histograms += count;
                }
                // Aggregates' times are those of windows; the chunk may begin with the first sample before.
                let same = match record.encoding {
                    Encoding::Aggregates => chunk.min_time <= from && to == chunk.max_time && windows > 0,
                    _ => (from, to) == (chunk.min_time, chunk.max_time),
                };
                if !same {
                    let (min, max) = (chunk.min_time, chunk.max_time);
                    note(report, format!("samples from {from} to {to}, the index says {min} to {max}"));
                }
            }
        }
    }

    /// Count, first and last time of a chunk's samples, which must ascend.
    fn samples(&mut self, encoding: Encoding, data: &[u8]) -> std::result::Result<Option<(u64, i64, i64)>, String> {
        let times = if encoding.is_float() {
            self.column.clear();
            decode_floats(encoding, data, &mut self.column).map_err(|e| e.to_string())?;
            &self.column.times
        } else {
            self.histogram_column.times.clear();
            self.histogram_column.values.clear();
            decode_histograms(encoding, data, &mut self.histogram_column).map_err(|e| e.to_string())?;
            &self.histogram_column.times
        };
        if let Some(p) = times.windows(2).find(|p| p[0] >= p[1]) {
            return Err(format!("sample at {} after one at {}", p[1], p[0]));
        }
        let ends = times.first().zip(times.last());
        Ok(ends.map(|(first, last)| (times.len() as u64, *first, *last)))
    }

    fn aggregates(&mut self, record: &Record) -> std::result::Result<(Option<(u64, i64, i64)>, u64), String> {
        let parts = aggr::decode(&record.data()).map_err(|e| e.to_string())?;
        let mut count = None;
        for (n, part) in parts.iter().enumerate() {
            let Some((encoding, data)) = part else { continue };
            match n {
                0 => count = self.samples(*encoding, data)?,
                // The counter's last time comes twice, by design.
                4 if encoding.is_float() => {
                    self.column.clear();
                    decode_floats(*encoding, data, &mut self.column).map_err(|e| e.to_string())?;
                }
                _ => {
                    self.samples(*encoding, data)?;
                }
            }
        }
        Ok((count, count.map_or(0, |c| c.0)))
    }

    /// After the last series.
    pub(super) fn finish(&self, report: &mut BlockReport) {
        if self.stream.is_none() {
            return;
        }
        for (size, used) in self.segments.sizes.iter().zip(&self.used) {
            report.unreferenced_bytes += size.saturating_sub(used + 8);
        }
        let stats = &self.meta.stats;
        if stats.num_samples != report.samples {
            let what = format!("{} samples, the chunks have {}", stats.num_samples, report.samples);
            report.note(block::META_FILE, what);
        }
        // Old writers do not count the kinds.
        let stated = (stats.num_float_samples, stats.num_histogram_samples);
        if stated != (0, 0) && stated != (self.floats, self.histograms) {
            let what = format!("{stated:?} floats and histograms, there are {:?}", (self.floats, self.histograms));
            report.note(block::META_FILE, what);
        }
    }
}
