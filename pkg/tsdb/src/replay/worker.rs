//! Fills in the samples of some series.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use storage::append::HistogramValue;

use super::batch::{Batch, Op};
use crate::head::{Restore, RestoreWorker};

/// Numbers that mean the same series as an earlier one.
pub(super) type Aliases = HashMap<u64, u64>;

/// A number whose chunks on disk a series gets once the samples before it are filled in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attach {
    /// The place among the batch's operations.
    pub(super) op: usize,
    pub(super) number: u64,
    pub(super) first: u64,
}

/// What a worker is asked to do, in order.
pub(super) enum Job {
    /// Some operations of a batch.
    Fill { batch: Arc<Batch>, ops: Range<usize>, attach: Arc<Vec<Attach>>, aliases: Arc<Aliases> },
    /// To be answered when all before it is done; series are forgotten then.
    Renew(SyncSender<()>),
}

/// Which of the workers fills in the series of a number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) own: u64,
    pub(super) of: u64,
}

impl Share {
    #[inline]
    fn has(self, number: u64, aliases: &Aliases) -> bool {
        let first = if aliases.is_empty() { number } else { aliases.get(&number).copied().unwrap_or(number) };
        // The upper half of a product is spread over all numbers.
        let spread = first.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        (spread * self.of) >> 32 == self.own
    }
}

pub(super) struct Worker<'a> {
    pub(super) restore: &'a Restore,
    /// Chunks of late samples that are on disk.
    pub(super) late_chunks: &'a HashSet<u64>,
    pub(super) share: Share,
    pub(super) min_valid_ms: i64,
    /// The samples are late ones.
    pub(super) late: bool,
}

/// Rows of one worker.
#[derive(Default)]
struct Rows {
    numbers: Vec<u64>,
    times_ms: Vec<i64>,
    starts_ms: Vec<i64>,
    values: Vec<f64>,
    histograms: Vec<HistogramValue>,
}

impl Rows {
    fn clear(&mut self) {
        self.numbers.clear();
        self.times_ms.clear();
        self.starts_ms.clear();
        self.values.clear();
        self.histograms.clear();
    }
}

impl Worker<'_> {
    /// Works until there are no more jobs.
    pub(super) fn run(&self, jobs: &Receiver<Job>) {
        let (mut worker, mut rows) = (self.restore.worker(), Rows::default());
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Fill { batch, ops, attach, aliases } => {
                    for at in ops {
                        self.op(&mut worker, &mut rows, &batch, at, &aliases);
                        for attach in attach.iter().filter(|a| a.op == at && self.share.has(a.first, &aliases)) {
                            worker.attach(attach.number);
                        }
                    }
                }
                Job::Renew(done) => {
                    worker = self.restore.worker();
                    // Who asked may have given up.
                    _ = done.send(());
                }
            }
        }
    }

    fn op(&self, worker: &mut RestoreWorker, rows: &mut Rows, batch: &Batch, at: usize, aliases: &Aliases) {
        match batch.ops.get(at) {
            Some(Op::Floats(range)) => self.floats(worker, rows, batch, range.clone(), aliases),
            Some(Op::Histograms(range)) => self.histograms(worker, rows, batch, range.clone(), aliases),
            Some(Op::Markers(range)) => {
                let markers = batch.markers.refs.iter().zip(&batch.markers.chunk_refs);
                for (number, chunk) in markers.skip(range.start).take(range.len()) {
                    // Where the chunk is not on disk, the samples are only in the log (prometheus#12127).
                    if self.share.has(*number, aliases) && self.late_chunks.contains(chunk) {
                        worker.late_marker(*number);
                    }
                }
            }
            Some(Op::Series(_) | Op::Tombstones(_) | Op::Exemplars(_) | Op::Metadata(_)) | None => {}
        }
    }

    /// Whether a row is for this worker. Late samples of any time are: they are in no block before those are cut.
    #[inline]
    fn takes(&self, number: u64, time_ms: i64, aliases: &Aliases) -> bool {
        (self.late || time_ms >= self.min_valid_ms) && self.share.has(number, aliases)
    }

    fn floats(
        &self,
        worker: &mut RestoreWorker,
        rows: &mut Rows,
        batch: &Batch,
        range: Range<usize>,
        aliases: &Aliases,
    ) {
        let columns = &batch.floats;
        rows.clear();
        let with_starts = !columns.starts_ms.is_empty();
        let all = columns.refs.iter().zip(&columns.times_ms).zip(&columns.values).enumerate();
        for (at, ((number, time_ms), value)) in all.skip(range.start).take(range.len()) {
            if self.takes(*number, *time_ms, aliases) {
                rows.numbers.push(*number);
                rows.times_ms.push(*time_ms);
                rows.values.push(*value);
                if with_starts {
                    rows.starts_ms.push(columns.starts_ms.get(at).copied().unwrap_or_default());
                }
            }
        }
        match self.late {
            false => worker.floats(&rows.numbers, &rows.times_ms, &rows.values, &rows.starts_ms),
            true => worker.late_floats(&rows.numbers, &rows.times_ms, &rows.values, &rows.starts_ms),
        }
    }

    fn histograms(
        &self,
        worker: &mut RestoreWorker,
        rows: &mut Rows,
        batch: &Batch,
        range: Range<usize>,
        aliases: &Aliases,
    ) {
        let columns = &batch.histograms;
        rows.clear();
        let all = columns.refs.iter().zip(&columns.times_ms).zip(&columns.values);
        for ((number, time_ms), value) in all.skip(range.start).take(range.len()) {
            if self.takes(*number, *time_ms, aliases) {
                rows.numbers.push(*number);
                rows.times_ms.push(*time_ms);
                rows.histograms.push(value.clone());
            }
        }
        match self.late {
            false => worker.histograms(&rows.numbers, &rows.times_ms, &rows.histograms),
            true => worker.late_histograms(&rows.numbers, &rows.times_ms, &rows.histograms),
        }
    }
}
