//! What appenders, readers and the background share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use model::Clock;
use parking_lot::{Mutex, RwLock};

use super::append::ChunkRules;
use super::bounds::{Bounds, Floors, Times};
use super::census::Census;
use super::exemplars::ExemplarRing;
use super::in_flight::InFlight;
use super::index::Index;
use super::isolation::Isolation;
use super::metadata::MetadataTable;
use super::metrics::HeadMetrics;
use super::options::HeadOptions;
use super::postings::Postings;
use super::ranks::Order;
use super::seams::{ChunkStore, Journal};
use super::series::Series;
use super::slab::Slab;
use super::symbols::Symbols;

/// Locks are taken in this order: `maintenance`, `late`, `symbols`, a stripe of `index`, `postings`, `order`, a slot. None is
/// held over I/O but `maintenance`.
#[derive(Debug)]
pub(crate) struct Core {
    pub options: HeadOptions,
    pub clock: Arc<dyn Clock>,
    pub journal: Arc<dyn Journal>,
    pub store: Arc<dyn ChunkStore>,
    pub metrics: HeadMetrics,
    pub times: Times,
    pub symbols: RwLock<Symbols>,
    pub index: Index,
    pub postings: RwLock<Postings>,
    pub order: RwLock<Order>,
    pub slab: Slab,
    pub exemplars: RwLock<ExemplarRing>,
    pub metadata: RwLock<MetadataTable>,
    pub isolation: Arc<Isolation>,
    pub in_flight: InFlight,
    /// Slots with full chunks that are not on disk yet.
    pub full: Mutex<Vec<u32>>,
    pub floors: Floors,
    /// Whoever writes the log of late samples.
    pub late: Mutex<()>,
    /// What goes through all series and must not be done twice at a time.
    pub maintenance: Mutex<()>,
    /// A restore is at work.
    pub replaying: AtomicBool,
    /// The number in the log that the next series gets.
    pub next_reference: AtomicU64,
    /// The log that is replayed has only lower ones.
    pub first_reference: AtomicU64,
    pub counts: Counts,
    pub census: Census,
}

/// Kept up with every change, so that nobody has to count.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub series: AtomicUsize,
    pub chunks: AtomicI64,
    pub stale: AtomicI64,
    /// Series that readers find and whose place in the order is not known yet.
    pub unranked: AtomicI64,
    /// Bytes that series have on the heap, about.
    pub heap_bytes: AtomicI64,
}

impl Counts {
    /// Bytes on the heap were `before`, and are `after`.
    pub fn heap(&self, before: usize, after: usize) {
        if before != after {
            self.heap_bytes.fetch_add(after as i64 - before as i64, Ordering::Relaxed);
        }
    }
}

impl Core {
    pub fn rules(&self) -> ChunkRules {
        ChunkRules { range_ms: self.options.chunk_range_ms, encodings: self.options.encodings() }
    }

    pub fn bounds(&self) -> Bounds {
        let now_ms = self.clock.now_ms();
        self.times.bounds(now_ms, self.options.ahead_max_ms, self.options.chunk_range_ms)
    }

    /// A number for a new series in the log.
    pub fn reference(&self) -> u64 {
        self.next_reference.fetch_add(1, Ordering::Relaxed)
    }

    /// A series that the log names goes on under a new number while the log is replayed: further on, the log may say that
    /// it left, and the next replay must not take that for an end of what is written now.
    #[inline]
    pub fn part_from_log(&self, series: &mut Series) {
        if !self.replaying.load(Ordering::Acquire) {
            return;
        }
        if series.logged && series.reference < self.first_reference.load(Ordering::Relaxed) {
            let before = series.heap_bytes();
            series.begin_present();
            (series.reference, series.logged) = (self.reference(), false);
            self.counts.heap(before, series.heap_bytes());
        }
    }
}
