//! Fills in the samples of some series.

use std::sync::mpsc::{Receiver, SyncSender};

use storage::append::HistogramValue;

use super::rows::{Filler, Rows};
use crate::head::Restore;

/// Slots of histograms, and time, start and value of each.
pub(super) type HistogramRows = Vec<(u32, (i64, i64, HistogramValue))>;

/// What a worker is asked to do, in order.
pub(super) enum Job {
    Floats(Rows),
    Histograms(HistogramRows),
    /// The late samples so far of these slots are in chunks on disk.
    Markers(Vec<u32>),
    /// A number of a series, whose chunks on disk it gets behind the samples so far.
    Attach(u64),
    /// To be answered when all before it is done; series are forgotten then.
    Renew(SyncSender<()>),
}

pub(super) struct Worker<'a> {
    pub(super) restore: &'a Restore,
    /// The samples are late ones.
    pub(super) late: bool,
}

impl Worker<'_> {
    /// Works until there are no more jobs. Rows that are done with go back, for their memory.
    pub(super) fn run(&self, jobs: &Receiver<Job>, back: &SyncSender<Rows>) {
        let (mut worker, mut filler) = (self.restore.worker(), Filler::default());
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Floats(mut rows) => {
                    filler.fill(&rows, self.late, &mut worker);
                    rows.clear();
                    // There may be enough of them.
                    _ = back.try_send(rows);
                }
                Job::Histograms(rows) => {
                    for (slot, sample) in rows {
                        match self.late {
                            false => worker.histograms(slot, &[sample]),
                            true => worker.late_histograms(slot, &[sample]),
                        }
                    }
                    worker.flush();
                }
                Job::Markers(slots) => slots.into_iter().for_each(|slot| worker.late_marker(slot)),
                Job::Attach(number) => worker.attach(number),
                Job::Renew(done) => {
                    worker = self.restore.worker();
                    // Who asked may have given up.
                    _ = done.send(());
                }
            }
        }
    }
}
