//! The threads of a replay, and the queues between them.

use std::collections::{HashSet, VecDeque};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use wal::{Reader, Unpacker};

use super::batch::Batch;
use super::lanes::{Lane, Lanes};
use super::rows::Rows;
use super::sequence::Sequence;
use super::worker::{Job, Worker};
use super::{Error, Replayed};
use crate::head::Restore;

/// Batches that wait for each decoder.
const QUEUE: usize = 2;
/// Jobs that wait for each worker: many samples.
const JOBS: usize = 1;

pub(super) struct Work<'a> {
    pub(super) restore: &'a Restore,
    pub(super) late_chunks: &'a HashSet<u64>,
    pub(super) min_valid_ms: i64,
    pub(super) threads: usize,
    /// Whether samples are filled in.
    pub(super) with_samples: bool,
    /// Whether series, deletions, exemplars and metadata are.
    pub(super) with_others: bool,
    pub(super) is_cancelled: &'a dyn Fn() -> bool,
}

/// A thread that decodes: batches go in and come out in one order.
struct Decoder {
    to: SyncSender<Batch>,
    from: Receiver<Batch>,
}

/// Replays one of the logs, if there is one.
pub(super) fn run(
    work: &Work<'_>,
    reader: Option<Reader>,
    late: bool,
    at_segment: &mut dyn FnMut(u64),
    tally: &mut Replayed,
) -> Result<(), Error> {
    let Some(mut reader) = reader else { return Ok(()) };
    thread::scope(|scope| {
        let mut decoders = Vec::new();
        for _ in 0..work.threads {
            let (to, jobs) = sync_channel::<Batch>(QUEUE);
            let (done, from) = sync_channel(QUEUE);
            let with_samples = work.with_samples;
            scope.spawn(move || decode(&jobs, &done, with_samples));
            decoders.push(Decoder { to, from });
        }
        let mut lanes = Vec::new();
        for _ in 0..work.threads {
            let (to, jobs) = sync_channel::<Job>(JOBS);
            let (give_back, back) = sync_channel::<Rows>(JOBS);
            let worker = Worker { restore: work.restore, late };
            scope.spawn(move || worker.run(&jobs, &give_back));
            lanes.push(Lane::new(to, back));
        }
        let (chooser, min_valid_ms) = (work.restore.worker(), work.min_valid_ms);
        let lanes = Lanes { all: lanes, chooser, min_valid_ms, late };
        let (restore, late_chunks, with_others) = (work.restore, work.late_chunks, work.with_others);
        let sequence = Sequence { restore, lanes, late_chunks, late, with_others };
        drive(work, &mut reader, &decoders, sequence, at_segment, tally)
    })
}

fn decode(jobs: &Receiver<Batch>, done: &SyncSender<Batch>, with_samples: bool) {
    let mut unpacker = Unpacker::default();
    while let Ok(mut batch) = jobs.recv() {
        batch.decode(&mut unpacker, with_samples);
        if done.send(batch).is_err() {
            return;
        }
    }
}

fn drive(
    work: &Work<'_>,
    reader: &mut Reader,
    decoders: &[Decoder],
    mut sequence: Sequence<'_>,
    at_segment: &mut dyn FnMut(u64),
    tally: &mut Replayed,
) -> Result<(), Error> {
    let (mut waiting, mut next, mut ended) = (VecDeque::new(), 0, false);
    // Batches that are done with, for their memory.
    let mut done: Vec<Batch> = Vec::new();
    loop {
        while !ended && waiting.len() < QUEUE * decoders.len() {
            let mut batch = done.pop().unwrap_or_default();
            batch.clear();
            if !batch.fill(reader, work.with_samples, at_segment) {
                ended = true;
                break;
            }
            let decoder = &decoders[next];
            decoder.to.send(batch).map_err(|_| Error::ThreadEnded)?;
            waiting.push_back(decoder);
            next = (next + 1) % decoders.len();
        }
        let Some(decoder) = waiting.pop_front() else { return sequence.end() };
        let batch = decoder.from.recv().map_err(|_| Error::ThreadEnded)?;
        sequence.batch(&batch, tally)?;
        done.push(batch);
        if (work.is_cancelled)() {
            return Err(Error::Cancelled);
        }
    }
}
