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

/// Rows of floats that are held at most.
const HELD_ROWS: usize = 1 << 18;

/// Rows of one worker.
#[derive(Default)]
struct Rows {
    numbers: Vec<u64>,
    times_ms: Vec<i64>,
    starts_ms: Vec<i64>,
    values: Vec<f64>,
}

impl Rows {
    fn clear(&mut self) {
        self.numbers.clear();
        self.times_ms.clear();
        self.starts_ms.clear();
        self.values.clear();
    }

    fn push(&mut self, number: u64, time_ms: i64, start_ms: i64, value: f64) {
        self.numbers.push(number);
        self.times_ms.push(time_ms);
        self.starts_ms.push(start_ms);
        self.values.push(value);
    }
}

/// Floats are filled in series by series, many scrapes at a time: so each series comes into the processor's cache once
/// for several samples. Among the samples of a series their order stays.
#[derive(Default)]
struct Held {
    rows: Rows,
    /// By row: the first number of its series.
    firsts: Vec<(u64, u32)>,
    sorted: Rows,
}

impl Worker<'_> {
    /// Works until there are no more jobs.
    pub(super) fn run(&self, jobs: &Receiver<Job>) {
        let (mut worker, mut held) = (self.restore.worker(), Held::default());
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Fill { batch, ops, attach, aliases } => {
                    for at in ops {
                        self.op(&mut worker, &mut held, &batch, at, &aliases);
                        for attach in attach.iter().filter(|a| a.op == at && self.share.has(a.first, &aliases)) {
                            self.flush(&mut worker, &mut held);
                            worker.attach(attach.number);
                        }
                    }
                }
                Job::Renew(done) => {
                    self.flush(&mut worker, &mut held);
                    worker = self.restore.worker();
                    // Who asked may have given up.
                    _ = done.send(());
                }
            }
        }
        self.flush(&mut worker, &mut held);
    }

    fn op(&self, worker: &mut RestoreWorker, held: &mut Held, batch: &Batch, at: usize, aliases: &Aliases) {
        match batch.ops.get(at) {
            Some(Op::Floats(range)) => self.floats(worker, held, batch, range.clone(), aliases),
            Some(Op::Histograms(range)) => self.histograms(worker, held, batch, range.clone(), aliases),
            Some(Op::Markers(range)) => {
                self.flush(worker, held);
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
        held: &mut Held,
        batch: &Batch,
        range: Range<usize>,
        aliases: &Aliases,
    ) {
        let columns = &batch.floats;
        let all = columns.refs.iter().zip(&columns.times_ms).zip(&columns.values).enumerate();
        for (at, ((number, time_ms), value)) in all.skip(range.start).take(range.len()) {
            if self.takes(*number, *time_ms, aliases) {
                let first = if aliases.is_empty() { number } else { aliases.get(number).unwrap_or(number) };
                held.firsts.push((*first, held.rows.numbers.len() as u32));
                let start_ms = columns.starts_ms.get(at).copied().unwrap_or_default();
                held.rows.push(*number, *time_ms, start_ms, *value);
            }
        }
        if held.firsts.len() >= HELD_ROWS {
            self.flush(worker, held);
        }
    }

    /// Fills in the floats that are held.
    fn flush(&self, worker: &mut RestoreWorker, held: &mut Held) {
        let Held { rows, firsts, sorted } = held;
        // Rows of a scrape ascend mostly, so that this merges a few runs.
        firsts.sort_by_key(|(first, _)| *first);
        for (_, at) in &*firsts {
            let at = *at as usize;
            sorted.push(rows.numbers[at], rows.times_ms[at], rows.starts_ms[at], rows.values[at]);
        }
        match self.late {
            false => worker.floats(&sorted.numbers, &sorted.times_ms, &sorted.values, &sorted.starts_ms),
            true => worker.late_floats(&sorted.numbers, &sorted.times_ms, &sorted.values, &sorted.starts_ms),
        }
        firsts.clear();
        rows.clear();
        sorted.clear();
    }

    fn histograms(
        &self,
        worker: &mut RestoreWorker,
        held: &mut Held,
        batch: &Batch,
        range: Range<usize>,
        aliases: &Aliases,
    ) {
        let columns = &batch.histograms;
        let (mut numbers, mut times_ms, mut values) = (Vec::new(), Vec::new(), Vec::<HistogramValue>::new());
        let all = columns.refs.iter().zip(&columns.times_ms).zip(&columns.values);
        for ((number, time_ms), value) in all.skip(range.start).take(range.len()) {
            if self.takes(*number, *time_ms, aliases) {
                numbers.push(*number);
                times_ms.push(*time_ms);
                values.push(value.clone());
            }
        }
        if numbers.is_empty() {
            return;
        }
        // A series may change from floats to histograms.
        self.flush(worker, held);
        match self.late {
            false => worker.histograms(&numbers, &times_ms, &values),
            true => worker.late_histograms(&numbers, &times_ms, &values),
        }
    }
}
