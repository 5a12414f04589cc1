//! Full chunks go to disk.

use std::io;

use wal::record::encode_markers;

use super::core::Core;
use super::encode::Row;
use super::out_of_order::LateMapped;
use super::parts::{Full, Mapped};
use super::records::put_late;
use super::seams::{ChunkSink, JournalError, LogBatch};

type Logged = futures::future::BoxFuture<'static, Result<(), JournalError>>;

impl Core {
    /// Writes full chunks and keeps where they are. Slots are locked only to look, not while writing. What could not be
    /// written stays in memory and is tried again with the next call.
    pub fn map_full_chunks(&self, sink: &dyn ChunkSink) -> (io::Result<usize>, Vec<Logged>) {
        let mut slots = std::mem::take(&mut *self.full.lock());
        slots.sort_unstable();
        slots.dedup();
        let (mut mapped, mut logged) = (0, Vec::new());
        for (n, slot) in slots.iter().enumerate() {
            match self.map_slot(*slot, sink, &mut logged) {
                Ok(chunks) => mapped += chunks,
                Err(e) => {
                    self.full.lock().extend_from_slice(&slots[n..]);
                    return (Err(e), logged);
                }
            }
        }
        (Ok(mapped), logged)
    }

    fn map_slot(&self, slot: u32, sink: &dyn ChunkSink, logged: &mut Vec<Logged>) -> io::Result<usize> {
        let look = || {
            let series = self.slab.lock(slot)?;
            let late = series.out_of_order().map(|late| late.full.clone()).unwrap_or_default();
            Some((series.reference, series.oldest_full().to_vec(), late))
        };
        let Some((number, full, late)) = look() else { return Ok(0) };
        for chunk in &full {
            let reference = sink.write(number, &chunk.chunk(), false)?;
            self.keep(slot, number, chunk, reference);
        }
        if !late.is_empty() {
            let mut places = Vec::with_capacity(late.len());
            for chunk in &late {
                let reference = sink.write(number, &chunk.chunk(), true)?;
                places.push(LateMapped { reference, min_time: chunk.min_time, max_time: chunk.max_time });
            }
            logged.extend(self.keep_late(slot, number, &places));
        }
        self.metrics.chunks_mapped.inc_by((full.len() + late.len()) as u64);
        Ok(full.len() + late.len())
    }

    /// Puts the place of a chunk where the chunk was, unless it was dropped meanwhile.
    fn keep(&self, slot: u32, number: u64, chunk: &Full, reference: u64) {
        let Some(mut series) = self.slab.lock(slot).filter(|series| series.reference == number) else { return };
        let before = series.heap_bytes();
        if series.oldest_full().first().is_none_or(|first| first.min_time != chunk.min_time) {
            return;
        }
        let Some(extra) = &mut series.extra else { return };
        let full = extra.past.as_mut().map_or(&mut extra.full, |past| &mut past.full);
        full.remove(0);
        if full.is_empty() {
            *full = Vec::new();
        }
        series.mapped.reserve_exact(1);
        series.mapped.push(Mapped {
            reference,
            min_time: chunk.min_time,
            span_ms: u32::try_from(chunk.max_time.saturating_sub(chunk.min_time)).unwrap_or(u32::MAX),
            samples: chunk.samples,
            encoding: chunk.encoding,
        });
        series.tidy();
        self.counts.heap(before, series.heap_bytes());
    }

    /// Logs late samples that are in no chunk again: a snapshot names series by their newest number only, and they may have
    /// been logged under another one.
    pub fn log_late_again(&self) -> Option<Logged> {
        let _order = self.late.lock();
        let mut rows: Vec<(u64, Row)> = Vec::new();
        for slot in 0..self.slab.end() {
            let Some(series) = self.slab.lock(slot) else { continue };
            let late = series.out_of_order().into_iter().flat_map(|late| &late.rows);
            rows.extend(late.map(|row| (series.reference, row.clone())));
        }
        let mut log = LogBatch::default();
        put_late(&rows, &mut log.wbl);
        (!rows.is_empty()).then(|| self.journal.log(log))
    }

    /// The same for late chunks, and a marker in their log: what it has of the series so far is in chunks. What is not
    /// is logged again behind the marker.
    fn keep_late(&self, slot: u32, number: u64, places: &[LateMapped]) -> Option<Logged> {
        let _order = self.late.lock();
        let mut series = self.slab.lock(slot).filter(|series| series.reference == number)?;
        let before = series.heap_bytes();
        let late = series.extra.as_mut()?.out_of_order.as_deref_mut()?;
        let same = late.full.iter().zip(places).all(|(full, place)| full.min_time == place.min_time);
        if late.full.len() < places.len() || !same {
            return None;
        }
        late.full.drain(..places.len());
        late.mapped.reserve_exact(places.len());
        late.mapped.extend_from_slice(places);
        let last = places.last()?;
        // Chunks that are not on disk yet are told by the log only.
        let all_mapped = late.full.is_empty();
        let rows: Vec<(u64, Row)> = late.rows.iter().map(|row| (number, row.clone())).collect();
        self.counts.heap(before, series.heap_bytes());
        if !all_mapped {
            return None;
        }
        let mut log = LogBatch::default();
        log.wbl.push(|out| encode_markers(out, [(number, last.reference)]));
        drop(series);
        put_late(&rows, &mut log.wbl);
        Some(self.journal.log(log))
    }
}
