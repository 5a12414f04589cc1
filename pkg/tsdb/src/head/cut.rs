//! Samples of the head for blocks, series by series.

use std::sync::Arc;

use chunkenc::TimedChunk;
use labels::{Labels, SortedBuilder};
use model::TimeRange;
use storage::Result;

use super::core::Core;
use super::encode::{Encodings, Row, encode};
use super::piece::{Piece, corrupt};
use super::read::in_order;
use super::recode::rows;
use super::tombstones::cut_out;

/// The samples in order of a range, in label order. Series without any are left out.
#[derive(Debug)]
pub struct Cut {
    core: Arc<Core>,
    /// Both inclusive.
    range: TimeRange,
    slots: std::vec::IntoIter<u32>,
    builder: SortedBuilder,
}

impl Cut {
    /// From `min_ms` to before `end_ms`.
    pub(crate) fn new(core: Arc<Core>, min_ms: i64, end_ms: i64) -> Self {
        let slots = core.postings.read().all().to_vec();
        let slots = core.sort_by_labels(&slots);
        Self::of(core, slots, min_ms, end_ms)
    }

    /// The same of `slots`, which are in label order.
    pub(crate) fn of(core: Arc<Core>, slots: Vec<u32>, min_ms: i64, end_ms: i64) -> Self {
        let (slots, builder) = (slots.into_iter(), SortedBuilder::new());
        Self { core, range: TimeRange::new(min_ms, end_ms.saturating_sub(1)), slots, builder }
    }

    fn series(&mut self, slot: u32) -> Result<Option<(Labels, Vec<TimedChunk>)>> {
        let (labels, pieces, tombstones) = {
            let symbols = self.core.symbols.read();
            let Some(series) = self.core.slab.lock(slot) else { return Ok(None) };
            let pieces = in_order(&series, self.range, 0)?;
            if pieces.is_empty() {
                return Ok(None);
            }
            (symbols.labels(&series.labels, &mut self.builder), pieces, series.tombstones().to_vec())
        };
        let mut chunks = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let chunk = piece.load(&*self.core.store).map_err(|e| e.within(format_args!("series {labels}")))?;
            for chunk in cut_out(chunk, &tombstones)? {
                trim(chunk, self.range, &mut chunks)?;
            }
        }
        Ok((!chunks.is_empty()).then_some((labels, chunks)))
    }
}

/// A chunk as it is, if it lies inside; else its samples that do, encoded anew.
fn trim(chunk: TimedChunk, range: TimeRange, out: &mut Vec<TimedChunk>) -> Result<()> {
    if range.contains(chunk.min_time) && range.contains(chunk.max_time) {
        out.push(chunk);
        return Ok(());
    }
    let mut inside = rows(&chunk)?;
    inside.retain(|row| range.contains(row.time_ms));
    out.extend(encode(&inside, Encodings::like(chunk.encoding)).map_err(corrupt)?.iter().map(|full| full.chunk()));
    Ok(())
}

impl Iterator for Cut {
    type Item = Result<(Labels, Vec<TimedChunk>)>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(slot) = self.slots.next() {
            match self.series(slot) {
                Ok(Some(series)) => return Some(Ok(series)),
                Ok(None) => {}
                Err(e) => return Some(Err(e)),
            }
        }
        None
    }
}

/// The late samples that there were when it was made. They may be cut into several blocks; [`LateCut::finish`] gives
/// them up. What comes later is not in it.
#[derive(Debug)]
pub struct LateCut {
    core: Arc<Core>,
    /// Slots in label order, their generation, and how many of their oldest late chunks are in the cut.
    series: Vec<(u32, u32, usize)>,
    times: Option<(i64, i64)>,
}

impl LateCut {
    pub(crate) fn new(core: Arc<Core>) -> Result<Self> {
        // No sample may be between memory and log meanwhile.
        let _order = core.late.lock();
        let (mut found, mut times) = (hashbrown::HashMap::new(), None);
        for slot in 0..core.slab.end() {
            let Some(mut series) = core.slab.lock(slot) else { continue };
            let generation = series.generation;
            let Some(late) = series.extra.as_mut().and_then(|extra| extra.out_of_order.as_deref_mut()) else {
                continue;
            };
            let full = late.full.len();
            late.seal(core.options.encodings()).map_err(corrupt)?;
            core.counts.chunks.fetch_add((late.full.len() - full) as i64, std::sync::atomic::Ordering::Relaxed);
            let Some((first, last)) = late.times() else { continue };
            let (min, max) = times.unwrap_or((first, last));
            times = Some((first.min(min), last.max(max)));
            found.insert(slot, (generation, late.mapped.len() + late.full.len()));
            core.full.lock().push(slot);
        }
        drop(_order);
        let slots: Vec<u32> = found.keys().copied().collect();
        let sorted = core.sort_by_labels(&slots);
        let series = sorted.into_iter().filter_map(|slot| found.get(&slot).map(|(g, count)| (slot, *g, *count)));
        let series = series.collect();
        Ok(Self { core, series, times })
    }

    /// First and last time of its samples, both inclusive.
    pub fn times(&self) -> Option<(i64, i64)> {
        self.times
    }

    /// The samples from `min_ms` to before `end_ms`, in label order, without overlaps. Of two samples of one time the one
    /// that came first is taken.
    pub fn range(&self, min_ms: i64, end_ms: i64) -> impl Iterator<Item = Result<(Labels, Vec<TimedChunk>)>> + '_ {
        let range = TimeRange::new(min_ms, end_ms.saturating_sub(1));
        let mut builder = SortedBuilder::new();
        self.series.iter().filter_map(move |place| self.cut(*place, range, &mut builder).transpose())
    }

    fn cut(
        &self,
        (slot, generation, count): (u32, u32, usize),
        range: TimeRange,
        builder: &mut SortedBuilder,
    ) -> Result<Option<(Labels, Vec<TimedChunk>)>> {
        let (labels, pieces, tombstones) = {
            let symbols = self.core.symbols.read();
            let Some(series) = self.core.slab.lock(slot).filter(|series| series.generation == generation) else {
                return Ok(None);
            };
            let Some(late) = series.out_of_order() else { return Ok(None) };
            let pieces: Vec<Piece> = late.pieces().take(count).filter(|piece| range.overlaps(piece.range())).collect();
            if pieces.is_empty() {
                return Ok(None);
            }
            (symbols.labels(&series.labels, builder), pieces, series.tombstones().to_vec())
        };
        let mut all: Vec<Row> = Vec::new();
        for piece in pieces {
            let chunk = piece.load(&*self.core.store).map_err(|e| e.within(format_args!("series {labels}")))?;
            all.extend(rows(&chunk)?);
        }
        let deleted = |time: i64| tombstones.iter().any(|(min, max)| *min <= time && time <= *max);
        all.retain(|row| range.contains(row.time_ms) && !deleted(row.time_ms));
        // Stable: of one time the first stays first.
        all.sort_by_key(|row| row.time_ms);
        all.dedup_by_key(|row| row.time_ms);
        let chunks: Vec<_> =
            encode(&all, self.core.options.encodings()).map_err(corrupt)?.iter().map(|full| full.chunk()).collect();
        Ok((!chunks.is_empty()).then_some((labels, chunks)))
    }

    /// The samples are in blocks: gives them up. What is said of them in the log of late samples up to the making of this
    /// cut is not needed any more.
    pub fn finish(self) {
        let mut removed = 0;
        for (slot, generation, count) in self.series {
            let Some(mut series) = self.core.slab.lock(slot).filter(|series| series.generation == generation) else {
                continue;
            };
            let before = series.heap_bytes();
            if let Some(late) = series.extra.as_mut().and_then(|extra| extra.out_of_order.as_deref_mut()) {
                removed += late.drop_oldest(count);
            }
            self.core.counts.heap(before, series.heap_bytes());
        }
        self.core.counts.chunks.fetch_sub(removed as i64, std::sync::atomic::Ordering::Relaxed);
        self.core.metrics.chunks_removed.inc_by(removed as u64);
    }
}
