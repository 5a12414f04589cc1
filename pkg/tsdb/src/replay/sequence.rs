//! What must be done in the order of the log: series, deletions, exemplars, metadata.

use std::collections::HashSet;
use std::ops::Range;

use encoding::Corrupt;
use labels::Labels;
use model::{Exemplar, MetricMetadata};
use wal::record::{ExemplarReader, MetadataReader, SeriesReader, Tombstones};

use super::batch::{Batch, Op};
use super::lanes::Lanes;
use super::{Error, Replayed};
use crate::head::Restore;

/// Labels that are resolved in one call, about.
const PAIRS: usize = 1 << 14;

/// A number whose chunks on disk a series gets once the samples before it are filled in.
struct Attach {
    /// The place among the batch's operations.
    op: usize,
    number: u64,
}

pub(super) struct Sequence<'a> {
    pub(super) restore: &'a Restore,
    pub(super) lanes: Lanes,
    /// Chunks of late samples that are on disk.
    pub(super) late_chunks: &'a HashSet<u64>,
    pub(super) late: bool,
    /// Whether anything but samples is taken.
    pub(super) with_others: bool,
}

impl Sequence<'_> {
    /// Does the batch's operations, and hands what is left of them to the workers.
    pub(super) fn batch(&mut self, batch: &Batch, tally: &mut Replayed) -> Result<(), Error> {
        tally.records += batch.records;
        tally.invalid_histograms += batch.invalid_histograms;
        tally.unknown_records += batch.unknown_records;
        batch.corrupt.iter().for_each(|what| tally.corrupt(self.late, what));
        let (mut begin, mut attach) = (0, Vec::new());
        for (at, op) in batch.ops.iter().enumerate() {
            let done = match op {
                Op::Series(_) | Op::Exemplars(_) | Op::Metadata(_) | Op::Tombstones(_) if !self.with_others => Ok(()),
                Op::Series(range) => self.series(batch.bytes_of(range), at, &mut attach, tally),
                Op::Exemplars(range) => self.exemplars(batch.bytes_of(range)),
                Op::Metadata(range) => self.metadata(batch.bytes_of(range)),
                Op::Tombstones(range) => {
                    let mut rows = Tombstones::default();
                    let decoded = rows.decode(batch.bytes_of(range));
                    let is_gone = |(min, max): (&i64, &i64)| (*min, *max) == (i64::MIN, i64::MAX);
                    if rows.mins_ms.iter().zip(&rows.maxs_ms).any(is_gone) {
                        // Samples before it belong to the series that is forgotten, those behind it to another one.
                        self.fill(batch, begin..at, &mut attach)?;
                        self.lanes.renew(self.restore.worker())?;
                        begin = at;
                    }
                    for ((number, min_ms), max_ms) in rows.refs.iter().zip(&rows.mins_ms).zip(&rows.maxs_ms) {
                        self.restore.tombstone(*number, *min_ms, *max_ms);
                    }
                    decoded
                }
                Op::Floats(_) | Op::Histograms(_) | Op::Markers(_) => Ok(()),
            };
            if let Err(corrupt) = done {
                tally.corrupt(self.late, &corrupt);
            }
        }
        self.fill(batch, begin..batch.ops.len(), &mut attach)
    }

    /// Hands the samples of operations to the workers.
    fn fill(&mut self, batch: &Batch, ops: Range<usize>, attach: &mut Vec<Attach>) -> Result<(), Error> {
        let mut attach = attach.drain(..).peekable();
        for at in ops {
            match batch.ops.get(at) {
                Some(Op::Floats(range)) => self.lanes.floats(&batch.floats, range.clone())?,
                Some(Op::Histograms(range)) => self.lanes.histograms(&batch.histograms, range.clone())?,
                Some(Op::Markers(range)) => {
                    let markers = batch.markers.refs.iter().zip(&batch.markers.chunk_refs);
                    let markers = markers.skip(range.start).take(range.len());
                    // Where the chunk is not on disk, the samples are only in the log (prometheus#12127).
                    let on_disk = markers.filter(|(_, chunk)| self.late_chunks.contains(*chunk));
                    self.lanes.markers(on_disk.map(|(number, _)| *number))?;
                }
                Some(Op::Series(_) | Op::Tombstones(_) | Op::Exemplars(_) | Op::Metadata(_)) | None => {}
            }
            while let Some(Attach { number, .. }) = attach.next_if(|attach| attach.op == at) {
                self.lanes.attach(number)?;
            }
        }
        self.lanes.chooser.flush();
        Ok(())
    }

    /// Hands over what is held.
    pub(super) fn end(mut self) -> Result<(), Error> {
        self.lanes.hand_over()
    }

    fn series(&self, record: &[u8], op: usize, attach: &mut Vec<Attach>, tally: &mut Replayed) -> Result<(), Corrupt> {
        let mut reader = SeriesReader::new(record)?;
        let (mut pairs, mut series) = (Vec::new(), Vec::new());
        loop {
            let read = reader.read().map(|read| {
                read.map(|(number, labels)| {
                    pairs.extend_from_slice(labels);
                    series.push((number, pairs.len()));
                })
            });
            if pairs.len() < PAIRS && matches!(read, Ok(Some(()))) {
                continue;
            }
            for (numbered, (number, _)) in self.restore.series(&series, &pairs).into_iter().zip(&series) {
                match numbered {
                    Ok(numbered) if numbered.again => attach.push(Attach { op, number: *number }),
                    Ok(_) => {}
                    Err(error) => tally.refused(&error),
                }
            }
            if read?.is_none() {
                return Ok(());
            }
            pairs.clear();
            series.clear();
        }
    }

    fn exemplars(&self, record: &[u8]) -> Result<(), Corrupt> {
        let mut reader = ExemplarReader::new(record)?;
        while let Some(row) = reader.read()? {
            let labels = Labels::from_pairs(row.labels.iter().copied());
            let exemplar = Exemplar { labels, value: row.value, timestamp_ms: row.time_ms };
            self.restore.exemplar(row.series_ref, exemplar);
        }
        Ok(())
    }

    fn metadata(&self, record: &[u8]) -> Result<(), Corrupt> {
        let mut reader = MetadataReader::new(record)?;
        while let Some(row) = reader.read()? {
            let metadata = MetricMetadata {
                metric_type: row.metric_type.as_str().to_owned(),
                help: row.help.to_owned(),
                unit: row.unit.to_owned(),
            };
            self.restore.metadata(row.series_ref, None, metadata);
        }
        Ok(())
    }
}
