//! Giving up what is in blocks now.

use std::sync::atomic::Ordering;

use super::core::Core;
use super::series::Series;
use super::slab::reference;

/// Symbols without use from which on they are freed.
const UNUSED_SYMBOLS_MAX: usize = 4096;

/// What [`super::Head::truncate`] gave up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Truncated {
    /// The numbers in the log of series that are gone. Segments and checkpoints that have samples of them need their
    /// labels still.
    pub series_removed: Vec<u64>,
    pub chunks_removed: usize,
    /// Chunks on disk that end before this belong to no series any more; `i64::MAX` if there are no samples at all.
    pub min_time_ms: i64,
}

impl Core {
    /// Drops chunks in order that end before `min_time_ms`, and series without data that nobody uses.
    pub fn truncate(&self, min_time_ms: i64) -> Truncated {
        let _one_at_a_time = self.maintenance.lock();
        self.times.raise_min_valid(min_time_ms);
        self.times.begin_count();
        let (mut done, mut idle) = (Truncated { min_time_ms: i64::MAX, ..Truncated::default() }, Vec::new());
        let kept_since_ms = self.clock.now_ms().saturating_sub(self.options.chunk_range_ms);
        for slot in 0..self.slab.end() {
            let Some(mut series) = self.slab.lock(slot) else { continue };
            let before = series.heap_bytes();
            done.chunks_removed += series.truncate(min_time_ms, kept_since_ms);
            self.counts.heap(before, series.heap_bytes());
            match series.first_time() {
                Some(first) => done.min_time_ms = done.min_time_ms.min(first),
                None if series.users == 0 && !series.has_data() => idle.push(reference(slot, series.generation)),
                None => {}
            }
        }
        self.times.end_count(done.min_time_ms);
        self.counts.chunks.fetch_sub(done.chunks_removed as i64, Ordering::Relaxed);
        self.metrics.chunks_removed.inc_by(done.chunks_removed as u64);
        done.series_removed = self.forget(&idle, |series| !series.has_data());
        self.sweep_symbols();
        self.rank_new_series();
        done
    }

    fn sweep_symbols(&self) {
        let symbols = self.symbols.read();
        let many = symbols.unused() > UNUSED_SYMBOLS_MAX || symbols.unused() * 8 > symbols.len();
        drop(symbols);
        if many {
            self.symbols.write().sweep();
        }
    }

    /// Counts chunks one by one.
    #[cfg(test)]
    pub fn count_chunks(&self) -> usize {
        (0..self.slab.end()).filter_map(|slot| self.slab.lock(slot).map(|series| series.chunks())).sum()
    }
}

impl Series {
    /// Drops chunks that end before; how many.
    fn truncate(&mut self, min_time_ms: i64, kept_since_ms: i64) -> usize {
        let before = self.mapped.len() + self.full().len() + usize::from(!self.open.is_none());
        let gone = self.mapped.partition_point(|chunk| chunk.max_time() < min_time_ms);
        if gone > 0 {
            self.mapped.drain(..gone);
            self.mapped.shrink_to_fit();
        }
        if self.open.times().is_some_and(|(_, last)| last < min_time_ms) {
            self.open = Default::default();
        }
        if let Some(extra) = &mut self.extra {
            extra.full.retain(|chunk| chunk.max_time >= min_time_ms);
            let idle = |late: &super::out_of_order::OutOfOrder| late.is_empty() && late.written_ms < kept_since_ms;
            if extra.out_of_order.as_deref().is_some_and(idle) {
                extra.out_of_order = None;
            }
            if self.open.is_none() {
                extra.last_histogram = None;
            }
        }
        // What reaches over the time keeps its deleted samples, until it goes.
        let first = self.first_time().unwrap_or(i64::MAX);
        if let Some(extra) = &mut self.extra {
            extra.tombstones.retain(|(_, max)| *max >= first);
        }
        self.tidy();
        before - self.mapped.len() - self.full().len() - usize::from(!self.open.is_none())
    }

    /// Chunks that it has.
    pub fn chunks(&self) -> usize {
        let late = self.out_of_order().map_or(0, |late| late.mapped.len() + late.full.len());
        let past = self.past().map_or(0, |past| past.full.len() + usize::from(!past.open.is_none()));
        self.mapped.len() + self.full().len() + usize::from(!self.open.is_none()) + late + past
    }

    /// Whether there is a reason to keep it.
    pub fn has_data(&self) -> bool {
        !self.open.is_none()
            || !self.mapped.is_empty()
            || !self.full().is_empty()
            || self.out_of_order().is_some()
            || self.past().is_some_and(|past| !past.is_empty())
    }

    /// Of its oldest sample.
    fn first_time(&self) -> Option<i64> {
        let open = self.open.times().map(|(first, _)| first);
        let mapped = self.mapped.first().map(|chunk| chunk.min_time);
        let full = self.full().first().map(|chunk| chunk.min_time);
        let late = self.out_of_order().and_then(|late| late.times()).map(|(first, _)| first);
        let past = self.past().and_then(|past| past.times()).map(|(first, _)| first);
        [open, mapped, full, late, past].into_iter().flatten().min()
    }
}
