//! Filling a head from what a restart finds. New samples may be written meanwhile: they stand behind those of the log.

mod numbers;
mod open;
mod part;
mod series;
mod waiting;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use parking_lot::Mutex;
use storage::Result;

pub use series::Numbered;
pub use worker::RestoreWorker;

use self::numbers::Numbers;
use self::waiting::Waiting;
use super::core::Core;
use super::piece::corrupt;
use super::slab::reference;

/// A full chunk that was found on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappedChunk {
    /// For [`super::ChunkStore::read`].
    pub reference: u64,
    pub min_time_ms: i64,
    pub max_time_ms: i64,
    pub encoding: chunkenc::Encoding,
    pub samples: u16,
    pub out_of_order: bool,
}

/// What was restored, and what was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    pub series: usize,
    /// Samples, exemplars, tombstones and metadata of numbers without a series.
    pub unknown: u64,
    /// Samples that are in chunks on disk or were there already.
    pub skipped: u64,
    /// Chunks on disk that belong to no series, or overlap others of their series.
    pub chunks_dropped: u64,
    /// Numbers that the log has for series which are known by another one, or left the head early. A checkpoint must keep
    /// their labels as long as it keeps samples of theirs.
    pub other_numbers: Vec<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub unknown: AtomicU64,
    pub skipped: AtomicU64,
    pub chunks_dropped: AtomicU64,
}

/// A restore at work. Series come first, from one thread in the order of the log; then samples, from several threads
/// ([`Restore::worker`]), each with series of its own. Ends with [`Restore::finish`].
#[derive(Debug, Clone)]
pub struct Restore {
    core: Arc<Core>,
    numbers: Arc<Numbers>,
    /// Chunks on disk by number, until somebody asks for the series.
    waiting: Arc<Waiting>,
    /// Further numbers of series that have several.
    others: Arc<Mutex<HashMap<u32, Vec<u64>>>>,
    /// Numbers that the log says are gone.
    gone: Arc<Mutex<Vec<u64>>>,
    tally: Arc<Tally>,
}

impl Restore {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        core.replaying.store(true, Ordering::Release);
        let (numbers, waiting, others) = (Arc::default(), Arc::default(), Arc::default());
        Self { core, numbers, waiting, others, gone: Arc::default(), tally: Arc::default() }
    }

    /// A full chunk on disk. Those of one series come by time.
    pub fn mapped_chunk(&self, number: u64, chunk: MappedChunk) {
        self.waiting.push(number, chunk);
    }

    /// Whether a full chunk is there that waits for its series.
    pub fn has_mapped_chunk(&self, number: u64, reference: u64) -> bool {
        self.waiting.contains(number, reference)
    }

    /// The same of chunks of any numbers: a series may have had another one when they were written.
    pub fn has_mapped_chunks(&self, references: Vec<u64>) -> bool {
        self.waiting.has_all(references)
    }

    /// None of the full chunks that were told so far is there.
    pub fn drop_mapped_chunks(&self) {
        self.waiting.clear();
    }

    /// Somebody who fills in samples, for one thread.
    pub fn worker(&self) -> RestoreWorker {
        RestoreWorker::new(self.clone())
    }

    /// What is restored is as if it had been written just now.
    ///
    /// # Errors
    /// When a chunk cannot be encoded, which chunks of valid samples always can.
    pub fn finish(self) -> Result<Restored> {
        let mut worker = self.worker();
        for number in self.waiting.numbers() {
            worker.attach(number);
        }
        drop(worker);
        self.core.replaying.store(false, Ordering::Release);
        let mut idle = Vec::new();
        for slot in 0..self.core.slab.end() {
            let Some(mut series) = self.core.slab.lock(slot) else { continue };
            let before = series.heap_bytes();
            if series.join_replay().map_err(corrupt)? {
                self.core.full.lock().push(slot);
            }
            self.core.counts.heap(before, series.heap_bytes());
            if series.users == 0 && !series.has_data() {
                idle.push(reference(slot, series.generation));
            }
        }
        self.core.forget(&idle, |series| !series.has_data());
        let mut other_numbers = std::mem::take(&mut *self.gone.lock());
        self.numbers.each(|number, slot| {
            if self.core.slab.lock(slot).is_none_or(|series| series.reference != number) {
                other_numbers.push(number);
            }
        });
        let _one_at_a_time = self.core.maintenance.lock();
        self.core.rank_new_series();
        Ok(Restored {
            other_numbers,
            series: self.core.counts.series.load(Ordering::Relaxed),
            unknown: self.tally.unknown.load(Ordering::Relaxed),
            skipped: self.tally.skipped.load(Ordering::Relaxed),
            chunks_dropped: self.tally.chunks_dropped.load(Ordering::Relaxed),
        })
    }
}
