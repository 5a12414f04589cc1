//! Samples of the log.

use std::sync::atomic::Ordering;

use storage::append::HistogramValue;

use super::numbers::Lookup;
use super::{MappedChunk, Restore};
use crate::head::append::{ChunkRules, Step};
use crate::head::encode::Row;
use crate::head::out_of_order::LateMapped;
use crate::head::parts::{Full, Mapped, Value};
use crate::head::series::Series;

/// Fills in samples, for one thread. All samples of a series go through one worker, in the order of the log.
#[derive(Debug)]
pub struct RestoreWorker {
    pub(super) restore: Restore,
    lookup: Lookup,
    /// By slot: the time of the last sample in a full chunk on disk. [`UNTOUCHED`] until the series has got its chunks.
    covered_ms: Vec<i64>,
    found: Vec<MappedChunk>,
    min_ms: i64,
    max_ms: i64,
    pub(super) chunks: i64,
    full: Vec<u32>,
    unknown: u64,
    skipped: u64,
    pub(super) stale: i64,
    pub(super) heap_bytes: i64,
}

/// Older than any sample.
const UNTOUCHED: i64 = i64::MIN;

impl RestoreWorker {
    pub(super) fn new(restore: Restore) -> Self {
        Self {
            lookup: Lookup::new(restore.numbers.clone()),
            restore,
            covered_ms: Vec::new(),
            found: Vec::new(),
            min_ms: i64::MAX,
            max_ms: i64::MIN,
            chunks: 0,
            full: Vec::new(),
            unknown: 0,
            skipped: 0,
            stale: 0,
            heap_bytes: 0,
        }
    }

    /// The slot of the series that the log calls `number`.
    #[inline]
    pub fn slot(&mut self, number: u64) -> Option<u32> {
        self.lookup.slot(number)
    }

    /// The time up to which a series has full chunks on disk, which it gets with the first call. Samples up to there need
    /// not be filled in.
    #[inline]
    pub fn covered_ms(&mut self, slot: u32) -> i64 {
        match self.covered_ms.get(slot as usize) {
            Some(covered_ms) if *covered_ms != UNTOUCHED => *covered_ms,
            _ => self.touch(slot),
        }
    }

    #[cold]
    fn touch(&mut self, slot: u32) -> i64 {
        let at = slot as usize;
        if self.covered_ms.len() <= at {
            self.covered_ms.resize((at + 1).next_multiple_of(1 << 12), UNTOUCHED);
        }
        let core = self.restore.core.clone();
        let number_in = |series: &Series| series.past().map_or(series.reference, |past| past.number);
        if let Some(number) = core.slab.lock(slot).map(|series| number_in(&series)) {
            self.attach(number);
        }
        let covered = core.slab.lock(slot).and_then(|series| Some(series.mapped.last()?.max_time()));
        self.covered_ms[at] = covered.unwrap_or(UNTOUCHED + 1);
        self.covered_ms[at]
    }

    /// Counts samples of numbers that no series has.
    pub fn unknown(&mut self, samples: u64) {
        self.unknown += samples;
    }

    /// Counts samples that are in chunks on disk.
    pub fn skipped(&mut self, samples: u64) {
        self.skipped += samples;
    }

    /// Gives a series the chunks on disk of this number of it, behind what it has. Of one that overlaps what it has, or newer
    /// samples, it gets the samples between.
    pub fn attach(&mut self, number: u64) {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        self.restore.waiting.take(number, &mut found);
        if !found.is_empty() {
            self.give(number, &found);
        }
        self.found = found;
    }

    fn give(&mut self, number: u64, chunks: &[MappedChunk]) {
        let core = self.restore.core.clone();
        let slot = self.restore.numbers.get(number);
        let Some((slot, mut series)) = slot.and_then(|slot| Some((slot, core.slab.lock(slot)?))) else {
            self.restore.tally.chunks_dropped.fetch_add(chunks.len() as u64, Ordering::Relaxed);
            return;
        };
        let mut before = series.heap_bytes();
        let min_valid_ms = core.times.min_valid();
        let is_wanted = |chunk: &&MappedChunk| chunk.out_of_order || chunk.max_time_ms >= min_valid_ms;
        series.mapped.reserve_exact(chunks.iter().filter(is_wanted).count());
        for chunk in chunks.iter().filter(is_wanted) {
            let present = series.present_begin();
            if series.in_past(|series| self.take_chunk(series, chunk, present)) {
                self.extend(chunk.min_time_ms, chunk.max_time_ms);
                self.chunks += 1;
                continue;
            }
            self.restore.tally.chunks_dropped.fetch_add(1, Ordering::Relaxed);
            self.heap_bytes += series.heap_bytes() as i64 - before as i64;
            drop(series);
            self.part_of(slot, chunk);
            let Some(again) = core.slab.lock(slot) else { return };
            series = again;
            before = series.heap_bytes();
        }
        self.heap_bytes += series.heap_bytes() as i64 - before as i64;
    }

    fn take_chunk(&self, series: &mut Series, chunk: &MappedChunk, present: i64) -> bool {
        let MappedChunk { reference, min_time_ms, max_time_ms, encoding, samples, out_of_order } = *chunk;
        if out_of_order {
            let late = series.extra().out_of_order.get_or_insert_default();
            late.mapped.push(LateMapped { reference, min_time: min_time_ms, max_time: max_time_ms });
            return true;
        }
        if max_time_ms < min_time_ms || max_time_ms >= present {
            return false;
        }
        if min_time_ms <= series.last_time {
            // Of a series with several numbers, the first may have got the newest chunks.
            let at = series.mapped.partition_point(|mapped| mapped.min_time < min_time_ms);
            let is_behind = at.checked_sub(1).is_none_or(|before| series.mapped[before].max_time() < min_time_ms);
            let is_before = series.mapped.get(at).is_some_and(|behind| max_time_ms < behind.min_time);
            if is_behind && is_before {
                series.mapped.insert(at, mapped(chunk));
            }
            return is_behind && is_before;
        }
        if series.open.is_none() && series.full().is_empty() {
            series.mapped.push(mapped(chunk));
        } else {
            // It stands behind samples that are in no chunk on disk: these must come first.
            let Ok(loaded) = self.restore.core.store.read(reference) else { return false };
            if series.seal().is_err() {
                return false;
            }
            let full = Full { min_time: min_time_ms, max_time: max_time_ms, encoding, samples, data: loaded.data };
            series.extra().full.push(full);
        }
        series.last_time = max_time_ms;
        true
    }

    /// Float samples of one series, in the order of the log; `starts_ms` may be empty.
    pub fn floats(&mut self, slot: u32, samples: &[(i64, f64)], starts_ms: &[i64]) {
        let starts_ms = starts_ms.iter().copied().chain(std::iter::repeat(0));
        let rows = samples.iter().zip(starts_ms);
        self.fill(
            slot,
            rows,
            |((time_ms, _), _)| *time_ms,
            |series, rules, ((time_ms, value), start_ms)| series.append_float(rules, (*time_ms, start_ms), *value),
        );
    }

    /// Histograms of one series, in the order of the log. Invalid ones are passed over.
    pub fn histograms(&mut self, slot: u32, samples: &[(i64, i64, HistogramValue)]) {
        self.fill(
            slot,
            samples.iter(),
            |(time_ms, ..)| *time_ms,
            |series, rules, (time_ms, start_ms, value)| series.append_histogram(rules, (*time_ms, *start_ms), value),
        );
    }

    /// Appends those samples of a series that are newer than what it has.
    #[inline]
    fn fill<T>(
        &mut self,
        slot: u32,
        samples: impl Iterator<Item = T>,
        time: impl Fn(&T) -> i64,
        append: impl Fn(&mut Series, ChunkRules, T) -> std::result::Result<Step, chunkenc::Error>,
    ) {
        self.covered_ms(slot);
        // Counting references to the core would be most of the work where there is one sample.
        let Self { restore, min_ms, max_ms, chunks, full, unknown, skipped, stale, heap_bytes, .. } = self;
        let core = &*restore.core;
        let Some(mut series) = core.slab.lock(slot) else {
            *unknown += samples.count() as u64;
            return;
        };
        *stale -= i64::from(series.stale);
        *heap_bytes -= series.heap_bytes() as i64;
        let (present, rules) = (series.present_begin(), core.rules());
        series.in_past(|series| {
            for sample in samples {
                let time_ms = time(&sample);
                let is_new = time_ms > series.last_time && time_ms < present;
                match if is_new { append(series, rules, sample) } else { Ok(Step::Grew) } {
                    Ok(step) if is_new => {
                        (*min_ms, *max_ms) = ((*min_ms).min(time_ms), (*max_ms).max(time_ms));
                        *chunks += i64::from(step != Step::Grew);
                        if step == Step::Cut {
                            full.push(slot);
                        }
                    }
                    _ => *skipped += 1,
                }
            }
        });
        *stale += i64::from(series.stale);
        *heap_bytes += series.heap_bytes() as i64;
    }

    /// Late floats of one series. Those of times that are there are passed over.
    pub fn late_floats(&mut self, slot: u32, samples: &[(i64, f64)], starts_ms: &[i64]) {
        for (n, (time_ms, value)) in samples.iter().enumerate() {
            let start_ms = starts_ms.get(n).copied().unwrap_or(0);
            self.late(slot, Row { time_ms: *time_ms, start_ms, value: Value::Float(*value) });
        }
    }

    /// Late histograms of one series.
    pub fn late_histograms(&mut self, slot: u32, samples: &[(i64, i64, HistogramValue)]) {
        for (time_ms, start_ms, value) in samples {
            let value = Value::Histogram(value.clone());
            self.late(slot, Row { time_ms: *time_ms, start_ms: *start_ms, value });
        }
    }

    fn late(&mut self, slot: u32, row: Row) {
        self.covered_ms(slot);
        let core = self.restore.core.clone();
        let Some(mut series) = core.slab.lock(slot) else { return };
        let before = series.heap_bytes();
        if series.find(row.time_ms).is_some() {
            self.skipped += 1;
            return;
        }
        let time_ms = row.time_ms;
        let late = series.extra().out_of_order.get_or_insert_default();
        late.written_ms = core.clock.now_ms();
        late.insert(row);
        if late.rows.len() >= core.options.out_of_order_samples_max {
            let full = late.full.len();
            if late.seal(core.options.encodings()).is_ok() {
                self.chunks += (late.full.len() - full) as i64;
                self.full.push(slot);
            }
        }
        self.heap_bytes += series.heap_bytes() as i64 - before as i64;
        self.extend(time_ms, time_ms);
    }

    /// The late samples of the series so far are in chunks on disk.
    pub fn late_marker(&mut self, slot: u32) {
        self.covered_ms(slot);
        let core = self.restore.core.clone();
        let Some(mut series) = core.slab.lock(slot) else { return };
        let Some(late) = series.extra.as_mut().and_then(|extra| extra.out_of_order.as_deref_mut()) else { return };
        // Without a chunk that was found they are only here.
        if !late.mapped.is_empty() {
            late.rows = Vec::new();
            self.chunks -= late.full.len() as i64;
            late.full = Vec::new();
        }
    }

    pub(super) fn extend(&mut self, min_ms: i64, max_ms: i64) {
        self.min_ms = self.min_ms.min(min_ms);
        self.max_ms = self.max_ms.max(max_ms);
    }

    /// Tells the head what this worker has done.
    pub fn flush(&mut self) {
        let core = &self.restore.core;
        if self.min_ms <= self.max_ms {
            core.times.extend(self.min_ms, self.max_ms);
            (self.min_ms, self.max_ms) = (i64::MAX, i64::MIN);
        }
        core.counts.chunks.fetch_add(std::mem::take(&mut self.chunks), Ordering::Relaxed);
        core.counts.stale.fetch_add(std::mem::take(&mut self.stale), Ordering::Relaxed);
        core.counts.heap_bytes.fetch_add(std::mem::take(&mut self.heap_bytes), Ordering::Relaxed);
        if !self.full.is_empty() {
            core.full.lock().append(&mut self.full);
        }
        let tally = &self.restore.tally;
        tally.unknown.fetch_add(std::mem::take(&mut self.unknown), Ordering::Relaxed);
        tally.skipped.fetch_add(std::mem::take(&mut self.skipped), Ordering::Relaxed);
    }
}

fn mapped(chunk: &MappedChunk) -> Mapped {
    let MappedChunk { reference, min_time_ms: min_time, max_time_ms, encoding, samples, .. } = *chunk;
    let span_ms = u32::try_from(max_time_ms.saturating_sub(min_time)).unwrap_or(u32::MAX);
    Mapped { reference, min_time, span_ms, samples, encoding }
}

impl Drop for RestoreWorker {
    fn drop(&mut self) {
        self.flush();
    }
}
