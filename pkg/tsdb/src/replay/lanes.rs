//! Hands rows to the workers: each has series of its own.

use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use wal::record::Samples;

use super::Error;
use super::batch::HistogramColumns;
use super::rows::Rows;
use super::worker::{HistogramRows, Job};
use crate::head::RestoreWorker;

/// Neighbours that one worker has: series of a scrape are neighbours mostly.
const NEIGHBOURS: u32 = 64;

/// The way to one worker.
pub(super) struct Lane {
    pub(super) to: SyncSender<Job>,
    /// Rows that it is done with.
    pub(super) back: Receiver<Rows>,
    rows: Rows,
}

impl Lane {
    pub(super) fn new(to: SyncSender<Job>, back: Receiver<Rows>) -> Self {
        Self { to, back, rows: Rows::default() }
    }

    fn send(&self, job: Job) -> Result<(), Error> {
        self.to.send(job).map_err(|_| Error::ThreadEnded)
    }

    /// Hands over the rows that are held.
    fn hand_over(&mut self) -> Result<(), Error> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let empty = self.back.try_recv().unwrap_or_default();
        let rows = std::mem::replace(&mut self.rows, empty);
        self.send(Job::Floats(rows))
    }
}

/// Chooses the rows that are to be filled in, and who does it.
pub(super) struct Lanes {
    pub(super) all: Vec<Lane>,
    /// Knows numbers, and up to where series have chunks.
    pub(super) chooser: RestoreWorker,
    /// Samples before this are in blocks, ms. Late samples of any time are in none before those are cut.
    pub(super) min_valid_ms: i64,
    /// The samples are late ones.
    pub(super) late: bool,
}

impl Lanes {
    fn of(&self, slot: u32) -> usize {
        (slot / NEIGHBOURS) as usize % self.all.len()
    }

    /// Shows the rows that are not in chunks on disk or in blocks: lane, row and slot.
    #[inline]
    fn each(&mut self, refs: &[u64], times_ms: &[i64], mut take: impl FnMut(&mut Lane, usize, u32)) {
        let Self { all, chooser, min_valid_ms, late, .. } = self;
        let (mut neighbours, mut at) = (0, 0);
        let (mut unknown, mut skipped) = (0, 0);
        for (row, (number, time_ms)) in refs.iter().zip(times_ms).enumerate() {
            let Some(slot) = chooser.slot(*number) else {
                unknown += 1;
                continue;
            };
            if !*late && time_ms < min_valid_ms {
                continue;
            }
            if !*late && *time_ms <= chooser.covered_ms(slot) {
                skipped += 1;
                continue;
            }
            if slot / NEIGHBOURS != neighbours {
                neighbours = slot / NEIGHBOURS;
                at = neighbours as usize % all.len();
            }
            if let Some(lane) = all.get_mut(at) {
                take(lane, row, slot);
            }
        }
        chooser.unknown(unknown);
        chooser.skipped(skipped);
    }

    pub(super) fn floats(&mut self, columns: &Samples, range: Range<usize>) -> Result<(), Error> {
        let Some((refs, times_ms)) = columns.refs.get(range.clone()).zip(columns.times_ms.get(range.clone())) else {
            return Ok(());
        };
        let values = columns.values.get(range.clone()).unwrap_or_default();
        let starts_ms = columns.starts_ms.get(range).unwrap_or_default();
        self.all.iter_mut().for_each(|lane| lane.rows.make_room());
        self.each(refs, times_ms, |lane, row, slot| {
            lane.rows.push(slot, (times_ms[row], values[row]), starts_ms.get(row).copied().unwrap_or(0));
        });
        self.all.iter_mut().filter(|lane| lane.rows.is_full()).try_for_each(Lane::hand_over)
    }

    pub(super) fn histograms(&mut self, columns: &HistogramColumns, range: Range<usize>) -> Result<(), Error> {
        let Some((refs, times_ms)) = columns.refs.get(range.clone()).zip(columns.times_ms.get(range.clone())) else {
            return Ok(());
        };
        let (values, starts_ms) = (&columns.values[range.clone()], &columns.starts_ms[range]);
        let mut chosen = HistogramRows::new();
        self.each(refs, times_ms, |_, row, slot| {
            chosen.push((slot, (times_ms[row], starts_ms[row], values[row].clone())));
        });
        let mut of_lanes: Vec<HistogramRows> = self.all.iter().map(|_| Vec::new()).collect();
        for row in chosen {
            of_lanes[self.of(row.0)].push(row);
        }
        for (lane, rows) in self.all.iter_mut().zip(of_lanes).filter(|(_, rows)| !rows.is_empty()) {
            // A series may change from floats to histograms.
            lane.hand_over()?;
            lane.send(Job::Histograms(rows))?;
        }
        Ok(())
    }

    /// The late samples so far of these numbers are in chunks on disk.
    pub(super) fn markers(&mut self, numbers: impl Iterator<Item = u64>) -> Result<(), Error> {
        let mut of_lanes: Vec<Vec<u32>> = self.all.iter().map(|_| Vec::new()).collect();
        for number in numbers {
            if let Some(slot) = self.chooser.slot(number) {
                of_lanes[self.of(slot)].push(slot);
            }
        }
        for (lane, slots) in self.all.iter_mut().zip(of_lanes).filter(|(_, slots)| !slots.is_empty()) {
            lane.hand_over()?;
            lane.send(Job::Markers(slots))?;
        }
        Ok(())
    }

    /// A series has one more number: its chunks come behind the samples so far.
    pub(super) fn attach(&mut self, number: u64) -> Result<(), Error> {
        let Some(slot) = self.chooser.slot(number) else { return Ok(()) };
        // Those of the first number come before.
        self.chooser.covered_ms(slot);
        let at = self.of(slot);
        let lane = &mut self.all[at];
        lane.hand_over()?;
        lane.send(Job::Attach(number))
    }

    /// Hands over all that is held.
    pub(super) fn hand_over(&mut self) -> Result<(), Error> {
        self.all.iter_mut().try_for_each(Lane::hand_over)
    }

    /// Waits until the workers have done all they were given: series are forgotten then.
    pub(super) fn renew(&mut self, chooser: RestoreWorker) -> Result<(), Error> {
        self.hand_over()?;
        let (done, wait) = sync_channel(self.all.len());
        for lane in &self.all {
            lane.send(Job::Renew(done.clone()))?;
        }
        drop(done);
        for _ in &self.all {
            wait.recv().map_err(|_| Error::ThreadEnded)?;
        }
        self.chooser = chooser;
        Ok(())
    }
}
