//! The newest samples, in memory: written through [`storage::append`], read as a [`SeriesSource`].
//!
//! A series is a slot of a slab: labels as numbers of interned texts, the open chunk as one small buffer, full chunks as
//! places on disk. Readers find slots through postings and lock one after the other, each only to copy what they need, so
//! that nobody waits for a large query. What a reader may see is decided by the commits that were done when it began.

#![allow(missing_docs, reason = "a part of a component, not a library for others")]

mod append;
mod appender;
mod beside;
mod bounds;
mod census;
mod commit;
mod core;
mod cut;
mod cutpoints;
mod delete;
mod encode;
mod exemplars;
mod floors;
mod gc;
mod in_flight;
mod index;
mod indexing;
mod inventory;
mod isolation;
mod judge;
mod label_columns;
mod lookup;
mod map;
mod metadata;
mod metrics;
mod newest;
mod open;
mod options;
mod order;
mod out_of_order;
mod parts;
mod past;
mod piece;
mod postings;
mod ranks;
mod read;
mod recode;
mod records;
mod resolve;
mod restore;
mod rows;
mod save;
mod seams;
mod series;
mod set;
mod shapes;
mod slab;
mod sources;
mod stale;
mod state;
mod statistics;
mod symbols;
mod tombstones;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::future::BoxFuture;
use labels::Matcher;
use model::{Clock, TimeRange};
use parking_lot::{Mutex, RwLock};
use telemetry::Metrics;

pub use cut::{Cut, LateCut};
pub use gc::Truncated;
pub use options::HeadOptions;
pub use restore::{MappedChunk, Numbered, Restore, RestoreWorker, Restored};
pub use seams::{ChunkSink, ChunkStore, Journal, JournalError, LogBatch, MemoryChunks, NoJournal, Records};
pub use stale::StaleSeries;
pub use state::SnapshotError;

use self::core::{Core, Counts};

/// What a head is made of.
#[derive(Debug)]
pub struct HeadParts {
    pub clock: Arc<dyn Clock>,
    pub metrics: Metrics,
    pub journal: Arc<dyn Journal>,
    pub chunks: Arc<dyn ChunkStore>,
    /// What hashes of label texts begin with: random, so that nobody can make them meet.
    pub seed: u64,
}

/// The head. Clones share it.
#[derive(Debug, Clone)]
pub struct Head {
    core: Arc<Core>,
}

impl Head {
    /// An empty head.
    pub fn new(parts: HeadParts, options: HeadOptions) -> Self {
        let core = Core {
            clock: parts.clock,
            journal: parts.journal,
            store: parts.chunks,
            metrics: metrics::HeadMetrics::new(&parts.metrics),
            times: bounds::Times::new(options.out_of_order_window_ms),
            symbols: RwLock::new(symbols::Symbols::new(parts.seed)),
            index: index::Index::new(parts.seed),
            postings: RwLock::default(),
            order: RwLock::default(),
            slab: slab::Slab::new(),
            exemplars: RwLock::new(exemplars::ExemplarRing::new(options.exemplars_max)),
            metadata: RwLock::default(),
            isolation: Arc::default(),
            in_flight: Default::default(),
            full: Mutex::default(),
            floors: bounds::Floors::default(),
            late: Mutex::default(),
            maintenance: Mutex::default(),
            replaying: AtomicBool::new(false),
            next_reference: AtomicU64::new(1),
            first_reference: AtomicU64::new(0),
            counts: Counts::default(),
            census: census::Census::default(),
            options,
        };
        Self { core: Arc::new(core) }
    }

    /// Writes full chunks to disk and keeps only their places; how many. To be called every second or so. What could not
    /// be written stays in memory until the next call.
    ///
    /// # Errors
    /// The first of the disk or of the log of late samples.
    pub async fn map_full_chunks(&self, sink: &dyn ChunkSink) -> io::Result<usize> {
        let (mapped, logged) = self.core.map_full_chunks(sink);
        self.core.update_gauges();
        // Whoever holds it ranks them too.
        if let Some(_one_at_a_time) = self.core.maintenance.try_lock() {
            self.core.rank_new_series();
        }
        for logged in logged {
            // A marker that is missing costs a second replay of its samples, which are then there twice.
            logged.await.map_err(|e| io::Error::other(e.message))?;
        }
        mapped
    }

    /// Prepares a snapshot.
    ///
    /// # Errors
    /// The log of late samples refuses.
    pub async fn log_late_again(&self) -> Result<(), JournalError> {
        match self.core.log_late_again() {
            Some(logged) => logged.await,
            None => Ok(()),
        }
    }

    /// Begins to fill the head from what a restart finds. Numbers of new series are above all that the log has:
    /// [`Head::set_next_number`] has to be called before, if samples are written meanwhile.
    pub fn restore(&self) -> Restore {
        Restore::new(self.core.clone())
    }

    /// New series get numbers in the log from this one on.
    pub fn set_next_number(&self, number: u64) {
        self.core.next_reference.fetch_max(number, Ordering::Relaxed);
        self.core.first_reference.store(number, Ordering::Relaxed);
    }

    /// The number in the log that the next new series gets.
    pub fn next_number(&self) -> u64 {
        self.core.next_reference.load(Ordering::Relaxed)
    }

    /// No sample in order before `min_valid_ms` is taken any more, once it is ready: to be awaited before a [`Head::cut`] up to
    /// there.
    pub fn settle_before(&self, min_valid_ms: i64) -> BoxFuture<'static, ()> {
        Box::pin(self.core.clone().settle_before(min_valid_ms))
    }

    /// The samples in order from `min_ms` to before `end_ms`, series by series in label order.
    pub fn cut(&self, min_ms: i64, end_ms: i64) -> Cut {
        Cut::new(self.core.clone(), min_ms, end_ms)
    }

    /// The late samples that there are. To be finished, or dropped and begun again later.
    ///
    /// # Errors
    /// When a chunk cannot be encoded, which chunks of valid samples always can.
    pub fn cut_out_of_order(&self) -> storage::Result<LateCut> {
        LateCut::new(self.core.clone())
    }

    /// Gives up chunks in order that end before `min_time_ms`, and series that have no data then and are not in use.
    pub fn truncate(&self, min_time_ms: i64) -> Truncated {
        let gone = self.core.truncate(min_time_ms);
        self.core.update_gauges();
        gone
    }

    /// Deletes the samples that there are of a range, both ends inclusive; of how many series.
    ///
    /// # Errors
    /// When it cannot be logged; nothing is deleted then.
    pub fn delete(&self, range: TimeRange, matchers: Vec<Matcher>) -> BoxFuture<'static, storage::Result<usize>> {
        Box::pin(self.core.clone().delete(range, matchers))
    }

    /// A mark that readers who begin from now on do not hold.
    pub fn mark(&self) -> u64 {
        self.core.isolation.next()
    }

    /// Whether all readers who began before the mark are done: what was given up before it can be removed from disk.
    pub fn is_past(&self, mark: u64) -> bool {
        self.core.isolation.is_past(mark)
    }

    /// First and last sample's time, ms, both inclusive; `None` while there is no sample.
    pub fn range(&self) -> Option<(i64, i64)> {
        let (min, max) = self.core.times.range();
        (min <= max).then_some((min, max))
    }

    /// Samples before this are in blocks and are not taken any more. Never goes back.
    pub fn set_min_valid_time(&self, min_valid_ms: i64) {
        self.core.times.raise_min_valid(min_valid_ms);
    }

    /// Samples up to this much older than the newest are taken from now on.
    pub fn set_out_of_order_window(&self, window_ms: i64) {
        self.core.times.set_window(window_ms);
    }

    /// Holds at most this many exemplars from now on.
    pub fn set_exemplars_max(&self, max: usize) {
        self.core.exemplars.write().resize(max);
    }

    /// Series that are there.
    pub fn series(&self) -> usize {
        self.core.counts.series.load(Ordering::Relaxed)
    }

    /// Takes no new series while `why` is given: samples of those that are there are taken.
    pub fn refuse_new_series(&self, why: Option<String>) {
        self.core.census.set_closed(why);
    }

    /// The metric that got the most new series since this was asked last, and how many.
    pub fn fastest_growing_metric(&self) -> Option<(String, usize)> {
        self.core.census.fastest_growing(&self.core.symbols.read())
    }

    /// Chunks of all series, those on disk among them.
    pub fn chunks(&self) -> usize {
        usize::try_from(self.core.counts.chunks.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Series whose newest sample is a stale marker.
    pub fn stale_series(&self) -> usize {
        usize::try_from(self.core.counts.stale.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Bytes of memory, about: what is held, and what an allocator takes beside many small pieces.
    pub fn memory_bytes(&self) -> usize {
        let core = &self.core;
        let heap = usize::try_from(core.counts.heap_bytes.load(Ordering::Relaxed)).unwrap_or(0);
        core.symbols.read().size_bytes()
            + core.slab.size_bytes()
            + core.index.size_bytes()
            + core.postings.read().size_bytes()
            + core.order.read().size_bytes()
            + core.exemplars.read().size_bytes()
            + core.metadata.read().size_bytes()
            + core.census.size_bytes()
            + heap
            + heap / 4
    }
}
