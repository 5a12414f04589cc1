//! Fills in the samples of some series.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use super::batch::{Batch, Op};
use super::held::Held;
use crate::head::{Restore, RestoreWorker};

/// A number whose chunks on disk a series gets once the samples before it are filled in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attach {
    /// The place among the batch's operations.
    pub(super) op: usize,
    pub(super) number: u64,
}

/// What a worker is asked to do, in order.
pub(super) enum Job {
    /// Some operations of a batch.
    Fill { batch: Arc<Batch>, ops: Range<usize>, attach: Arc<Vec<Attach>> },
    /// To be answered when all before it is done; series are forgotten then.
    Renew(SyncSender<()>),
}

/// Which of the workers fills in a series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) own: u64,
    pub(super) of: u64,
}

/// Neighbours that one worker has: series of a scrape are neighbours mostly.
const NEIGHBOURS: u32 = 64;

impl Share {
    fn has(self, neighbours: u32) -> bool {
        u64::from(neighbours) % self.of == self.own
    }
}

/// Says whether slots are in a share, most of them in the neighbourhood of the one before.
struct Own {
    share: Share,
    neighbours: u32,
    is_own: bool,
}

impl Own {
    fn new(share: Share) -> Self {
        Self { share, neighbours: 0, is_own: share.has(0) }
    }

    #[inline]
    fn has(&mut self, slot: u32) -> bool {
        let neighbours = slot / NEIGHBOURS;
        if neighbours != self.neighbours {
            (self.neighbours, self.is_own) = (neighbours, self.share.has(neighbours));
        }
        self.is_own
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

impl Worker<'_> {
    /// Works until there are no more jobs.
    pub(super) fn run(&self, jobs: &Receiver<Job>) {
        let (mut worker, mut held) = (self.restore.worker(), Held::new(self.late));
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Fill { batch, ops, attach } => {
                    for at in ops {
                        self.op(&mut worker, &mut held, &batch, at);
                        for attach in attach.iter().filter(|attach| attach.op == at) {
                            if worker.slot(attach.number).is_some_and(|slot| Own::new(self.share).has(slot)) {
                                held.fill(&mut worker);
                                worker.attach(attach.number);
                            }
                        }
                    }
                }
                Job::Renew(done) => {
                    held.fill(&mut worker);
                    worker = self.restore.worker();
                    // Who asked may have given up.
                    _ = done.send(());
                }
            }
        }
        held.fill(&mut worker);
    }

    fn op(&self, worker: &mut RestoreWorker, held: &mut Held, batch: &Batch, at: usize) {
        match batch.ops.get(at) {
            Some(Op::Floats(range)) => self.floats(worker, held, batch, range.clone()),
            Some(Op::Histograms(range)) => self.histograms(worker, held, batch, range.clone()),
            Some(Op::Markers(range)) => {
                held.fill(worker);
                let mut own = Own::new(self.share);
                let markers = batch.markers.refs.iter().zip(&batch.markers.chunk_refs);
                for (number, chunk) in markers.skip(range.start).take(range.len()) {
                    let Some(slot) = worker.slot(*number) else { continue };
                    // Where the chunk is not on disk, the samples are only in the log (prometheus#12127).
                    if own.has(slot) && self.late_chunks.contains(chunk) {
                        worker.late_marker(slot);
                    }
                }
            }
            Some(Op::Series(_) | Op::Tombstones(_) | Op::Exemplars(_) | Op::Metadata(_)) | None => {}
        }
    }

    /// Shows the rows that are for this worker and not in chunks on disk. Late samples of any time are: they are in no
    /// block before those are cut.
    #[inline]
    fn each_own(&self, worker: &mut RestoreWorker, refs: &[u64], times_ms: &[i64], mut take: impl FnMut(usize, u32)) {
        let (mut own, mut unknown, mut skipped) = (Own::new(self.share), 0, 0);
        for (row, (number, time_ms)) in refs.iter().zip(times_ms).enumerate() {
            let Some(slot) = worker.slot(*number) else {
                unknown += 1;
                continue;
            };
            if !own.has(slot) || !self.late && *time_ms < self.min_valid_ms {
                continue;
            }
            if !self.late && *time_ms <= worker.covered_ms(slot) {
                skipped += 1;
                continue;
            }
            take(row, slot);
        }
        // One of them counts for all.
        worker.unknown(if self.share.own == 0 { unknown } else { 0 });
        worker.skipped(skipped);
    }

    fn floats(&self, worker: &mut RestoreWorker, held: &mut Held, batch: &Batch, range: Range<usize>) {
        let columns = &batch.floats;
        let Some((refs, times_ms)) = columns.refs.get(range.clone()).zip(columns.times_ms.get(range.clone())) else {
            return;
        };
        let values = columns.values.get(range.clone()).unwrap_or_default();
        let starts_ms = columns.starts_ms.get(range).unwrap_or_default();
        self.each_own(worker, refs, times_ms, |row, slot| {
            held.floats.push(slot, (times_ms[row], values[row]), starts_ms.get(row).copied().unwrap_or(0));
        });
        if held.floats.is_full() {
            held.fill(worker);
        }
    }

    fn histograms(&self, worker: &mut RestoreWorker, held: &mut Held, batch: &Batch, range: Range<usize>) {
        let columns = &batch.histograms;
        let Some((refs, times_ms)) = columns.refs.get(range.clone()).zip(columns.times_ms.get(range.clone())) else {
            return;
        };
        let (values, starts_ms) = (&columns.values[range.clone()], &columns.starts_ms[range]);
        let mut rows = Vec::new();
        self.each_own(worker, refs, times_ms, |row, slot| {
            rows.push((slot, (times_ms[row], starts_ms[row], values[row].clone())));
        });
        if rows.is_empty() {
            return;
        }
        // A series may change from floats to histograms.
        held.fill(worker);
        for (slot, sample) in rows {
            match self.late {
                false => worker.histograms(slot, &[sample]),
                true => worker.late_histograms(slot, &[sample]),
            }
        }
        worker.flush();
    }
}
