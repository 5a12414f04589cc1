//! The newest samples, in memory: written through [`storage::append`], read as a [`SeriesSource`].
//!
//! A series is a slot of a slab: labels as numbers of interned texts, the open chunk as one small buffer, full chunks as
//! places on disk. Readers find slots through postings and lock one after the other, each only to copy what they need, so
//! that nobody waits for a large query. What a reader may see is decided by the commits that were done when it began.

#![allow(missing_docs, reason = "a part of a component, not a library for others")]

mod append;
mod appender;
mod bounds;
mod commit;
mod core;
mod cutpoints;
mod encode;
mod exemplars;
mod index;
mod indexing;
mod isolation;
mod judge;
mod lookup;
mod map;
mod metadata;
mod metrics;
mod open;
mod options;
mod order;
mod out_of_order;
mod postings;
mod read;
mod recode;
mod records;
mod resolve;
mod rows;
mod seams;
mod series;
mod set;
mod shapes;
mod slab;
mod sources;
mod symbols;
mod tombstones;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::Clock;
use parking_lot::{Mutex, RwLock};
use telemetry::Metrics;

pub use options::HeadOptions;
pub use seams::{ChunkSink, ChunkStore, Journal, JournalError, LogBatch, MemoryChunks, NoJournal, Records};

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
            full: Mutex::default(),
            late: Mutex::default(),
            maintenance: Mutex::default(),
            next_reference: AtomicU64::new(1),
            counts: Counts::default(),
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
        for logged in logged {
            // A marker that is missing costs a second replay of its samples, which are then there twice.
            logged.await.map_err(|e| io::Error::other(e.message))?;
        }
        mapped
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

    /// Series whose newest sample is a stale marker.
    pub fn stale_series(&self) -> usize {
        usize::try_from(self.core.counts.stale.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Bytes of memory, about.
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
            + heap
    }
}
