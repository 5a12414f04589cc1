//! The threads of a replay, and the queues between them.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use wal::{Reader, Unpacker};

use super::batch::Batch;
use super::sequence::Sequence;
use super::worker::{Job, Share, Worker};
use super::{Error, Replayed};
use crate::head::Restore;

/// Batches that wait for each decoder, and each worker.
const QUEUE: usize = 2;

pub(super) struct Work<'a> {
    pub(super) restore: &'a Restore,
    pub(super) late_chunks: &'a HashSet<u64>,
    pub(super) min_valid_ms: i64,
    pub(super) threads: usize,
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
            scope.spawn(move || decode(&jobs, &done));
            decoders.push(Decoder { to, from });
        }
        let mut workers = Vec::new();
        for own in 0..work.threads as u64 {
            let (to, jobs) = sync_channel::<Job>(QUEUE);
            let worker = Worker {
                restore: work.restore,
                late_chunks: work.late_chunks,
                share: Share { own, of: work.threads as u64 },
                min_valid_ms: work.min_valid_ms,
                late,
            };
            scope.spawn(move || worker.run(&jobs));
            workers.push(to);
        }
        let sequence = Sequence { restore: work.restore, workers, late };
        drive(work, &mut reader, &decoders, sequence, at_segment, tally)
    })
}

fn decode(jobs: &Receiver<Batch>, done: &SyncSender<Batch>) {
    let mut unpacker = Unpacker::default();
    while let Ok(mut batch) = jobs.recv() {
        batch.decode(&mut unpacker);
        if done.send(batch).is_err() {
            return;
        }
    }
}

fn drive(
    work: &Work<'_>,
    reader: &mut Reader,
    decoders: &[Decoder],
    sequence: Sequence<'_>,
    at_segment: &mut dyn FnMut(u64),
    tally: &mut Replayed,
) -> Result<(), Error> {
    let (mut waiting, mut next, mut ended) = (VecDeque::new(), 0, false);
    let mut given = Given::default();
    loop {
        while !ended && waiting.len() < QUEUE * decoders.len() {
            let mut batch = given.reuse();
            if !batch.fill(reader, at_segment) {
                ended = true;
                break;
            }
            let decoder = &decoders[next];
            decoder.to.send(batch).map_err(|_| Error::ThreadEnded)?;
            waiting.push_back(decoder);
            next = (next + 1) % decoders.len();
        }
        let Some(decoder) = waiting.pop_front() else { return Ok(()) };
        let batch = Arc::new(decoder.from.recv().map_err(|_| Error::ThreadEnded)?);
        sequence.batch(&batch, tally)?;
        given.0.push_back(batch);
        if (work.is_cancelled)() {
            return Err(Error::Cancelled);
        }
    }
}

/// Batches that the workers have or had.
#[derive(Default)]
struct Given(VecDeque<Arc<Batch>>);

impl Given {
    /// An empty batch, with the memory of one that all workers are done with.
    fn reuse(&mut self) -> Batch {
        let done = self.0.front().is_some_and(|batch| Arc::strong_count(batch) == 1);
        let oldest = if done { self.0.pop_front() } else { None };
        let mut batch = oldest.and_then(Arc::into_inner).unwrap_or_default();
        batch.clear();
        batch
    }
}
