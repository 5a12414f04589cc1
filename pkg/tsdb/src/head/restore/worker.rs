//! Samples of the log.

use std::sync::atomic::Ordering;

use chunkenc::{Encoding, TimedChunk, XorState};
use hashbrown::HashMap;
use storage::append::HistogramValue;
use storage::{Error, Result};

use super::{MappedChunk, Restore};
use crate::head::append::Step;
use crate::head::core::Core;
use crate::head::cutpoints::range_end;
use crate::head::encode::Row;
use crate::head::open::{Open, OpenXor};
use crate::head::out_of_order::LateMapped;
use crate::head::parts::{Full, Mapped, Value};
use crate::head::piece::corrupt;
use crate::head::recode::rows;
use crate::head::series::Series;

/// Fills in samples, for one thread. All samples of a series go through one worker, in the order of the log.
#[derive(Debug)]
pub struct RestoreWorker {
    restore: Restore,
    slots: HashMap<u64, u32>,
    min_ms: i64,
    max_ms: i64,
    chunks: i64,
    full: Vec<u32>,
    unknown: u64,
    skipped: u64,
    stale: i64,
    heap_bytes: i64,
}

impl RestoreWorker {
    pub(super) fn new(restore: Restore) -> Self {
        Self {
            restore,
            slots: HashMap::new(),
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

    #[inline]
    fn slot(&mut self, number: u64) -> Option<u32> {
        if let Some(slot) = self.slots.get(&number) {
            return Some(*slot);
        }
        let Some(slot) = self.restore.numbers.get(number) else {
            self.unknown += 1;
            return None;
        };
        self.slots.insert(number, slot);
        self.attach(number);
        Some(slot)
    }

    /// Gives a series the chunks on disk of this number of it, behind what it has.
    pub fn attach(&mut self, number: u64) {
        let Some(chunks) = self.restore.waiting.lock().remove(&number) else { return };
        let core = self.restore.core.clone();
        let Some(mut series) = self.restore.numbers.get(number).and_then(|slot| core.slab.lock(slot)) else {
            self.restore.tally.chunks_dropped.fetch_add(chunks.len() as u64, Ordering::Relaxed);
            return;
        };
        let before = series.heap_bytes();
        let min_valid_ms = core.times.min_valid();
        let mut dropped = 0;
        for chunk in chunks {
            if !chunk.out_of_order && chunk.max_time_ms < min_valid_ms {
                continue;
            }
            let present = series.present_begin();
            let taken = series.in_past(|series| self.take_chunk(series, &chunk, present));
            dropped += u64::from(!taken);
            if taken {
                self.extend(chunk.min_time_ms, chunk.max_time_ms);
                self.chunks += 1;
            }
        }
        self.heap_bytes += series.heap_bytes() as i64 - before as i64;
        self.restore.tally.chunks_dropped.fetch_add(dropped, Ordering::Relaxed);
    }

    fn take_chunk(&self, series: &mut Series, chunk: &MappedChunk, present: i64) -> bool {
        let MappedChunk { reference, min_time_ms, max_time_ms, encoding, samples, out_of_order } = *chunk;
        if out_of_order {
            let late = series.extra().out_of_order.get_or_insert_default();
            late.mapped.push(LateMapped { reference, min_time: min_time_ms, max_time: max_time_ms });
            return true;
        }
        if min_time_ms <= series.last_time || max_time_ms < min_time_ms || max_time_ms >= present {
            return false;
        }
        if series.open.is_none() && series.full().is_empty() {
            let span_ms = u32::try_from(max_time_ms - min_time_ms).unwrap_or(u32::MAX);
            series.mapped.push(Mapped { reference, min_time: min_time_ms, span_ms, samples, encoding });
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

    /// Float samples in order; `starts_ms` may be empty.
    pub fn floats(&mut self, numbers: &[u64], times_ms: &[i64], values: &[f64], starts_ms: &[i64]) {
        let core = self.restore.core.clone();
        for (n, ((number, time_ms), value)) in numbers.iter().zip(times_ms).zip(values).enumerate() {
            let start_ms = starts_ms.get(n).copied().unwrap_or(0);
            self.sample(&core, *number, *time_ms, |series, rules| {
                series.append_float(rules, (*time_ms, start_ms), *value)
            });
        }
        self.flush();
    }

    /// Histograms in order. Invalid ones are passed over.
    pub fn histograms(&mut self, numbers: &[u64], times_ms: &[i64], values: &[HistogramValue]) {
        let core = self.restore.core.clone();
        for ((number, time_ms), value) in numbers.iter().zip(times_ms).zip(values) {
            self.sample(&core, *number, *time_ms, |series, rules| series.append_histogram(rules, *time_ms, value));
        }
        self.flush();
    }

    #[inline]
    fn sample(
        &mut self,
        core: &Core,
        number: u64,
        time_ms: i64,
        append: impl FnOnce(&mut Series, crate::head::append::ChunkRules) -> std::result::Result<Step, chunkenc::Error>,
    ) {
        let Some(slot) = self.slot(number) else { return };
        let Some(mut series) = core.slab.lock(slot) else {
            self.unknown += 1;
            return;
        };
        let (stale, before) = (series.stale, series.heap_bytes());
        let present = series.present_begin();
        let rules = core.rules();
        let step = series.in_past(|series| {
            let is_new = time_ms > series.last_time && time_ms < present;
            is_new.then(|| append(series, rules))
        });
        self.stale += i64::from(series.stale) - i64::from(stale);
        self.heap_bytes += series.heap_bytes() as i64 - before as i64;
        match step {
            Some(Ok(step)) => {
                self.extend(time_ms, time_ms);
                self.chunks += i64::from(step != Step::Grew);
                if step == Step::Cut {
                    self.full.push(slot);
                }
            }
            Some(Err(_)) | None => self.skipped += 1,
        }
    }

    /// Late samples. Those of times that are there are passed over.
    pub fn late_floats(&mut self, numbers: &[u64], times_ms: &[i64], values: &[f64], starts_ms: &[i64]) {
        for (n, ((number, time_ms), value)) in numbers.iter().zip(times_ms).zip(values).enumerate() {
            let start_ms = starts_ms.get(n).copied().unwrap_or(0);
            self.late(*number, Row { time_ms: *time_ms, start_ms, value: Value::Float(*value) });
        }
        self.flush();
    }

    /// Late histograms.
    pub fn late_histograms(&mut self, numbers: &[u64], times_ms: &[i64], values: &[HistogramValue]) {
        for ((number, time_ms), value) in numbers.iter().zip(times_ms).zip(values) {
            self.late(*number, Row { time_ms: *time_ms, start_ms: 0, value: Value::Histogram(value.clone()) });
        }
        self.flush();
    }

    fn late(&mut self, number: u64, row: Row) {
        let Some(slot) = self.slot(number) else { return };
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
            if late.seal().is_ok() {
                self.chunks += (late.full.len() - full) as i64;
                self.full.push(slot);
            }
        }
        self.heap_bytes += series.heap_bytes() as i64 - before as i64;
        self.extend(time_ms, time_ms);
    }

    /// The late samples of the series so far are in chunks on disk.
    pub fn late_marker(&mut self, number: u64) {
        let Some(slot) = self.slot(number) else { return };
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

    /// The chunk that was open when a snapshot was made.
    pub(super) fn open_chunk(&mut self, number: u64, chunk: &TimedChunk) -> Result<()> {
        let Some(slot) = self.slot(number) else { return Ok(()) };
        let core = self.restore.core.clone();
        let resumed = match chunk.encoding {
            Encoding::Xor if !core.options.xor2 => Some(XorState::resume(&chunk.data).map_err(corrupt)?),
            _ => None,
        };
        let Some((state, buffer)) = resumed else {
            for row in rows(chunk)? {
                let (time, start) = (row.time_ms, row.start_ms);
                self.sample(&core, number, time, |series, rules| match &row.value {
                    Value::Float(v) => series.append_float(rules, (time, start), *v),
                    Value::Histogram(h) => series.append_histogram(rules, time, h),
                });
            }
            self.flush();
            return Ok(());
        };
        let Some(mut series) = core.slab.lock(slot) else { return Ok(()) };
        let present = series.present_begin();
        let fits = series.in_past(|series| {
            let fits = series.open.is_none() && chunk.min_time > series.last_time && chunk.max_time < present;
            if fits && !state.is_empty() {
                let cut_at = range_end(chunk.min_time, core.options.chunk_range_ms);
                series.last_time = state.last_time();
                series.stale = model::is_stale(state.last_value());
                series.open = Open::Xor(OpenXor { state, buffer, first_time: chunk.min_time, cut_at });
            }
            fits
        });
        if !fits {
            return Err(Error::Corrupt(format!("series {number}: the open chunk overlaps chunks on disk")));
        }
        self.stale += i64::from(series.stale);
        self.heap_bytes += series.open.heap_bytes() as i64;
        self.chunks += 1;
        drop(series);
        self.extend(chunk.min_time, chunk.max_time);
        self.flush();
        Ok(())
    }

    fn extend(&mut self, min_ms: i64, max_ms: i64) {
        self.min_ms = self.min_ms.min(min_ms);
        self.max_ms = self.max_ms.max(max_ms);
    }

    /// Tells the head what this worker has done.
    fn flush(&mut self) {
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

impl Drop for RestoreWorker {
    fn drop(&mut self) {
        self.flush();
    }
}
