//! Series of the log.

use std::sync::atomic::Ordering;

use chunkenc::TimedChunk;
use model::Exemplar;
use storage::append::{LabelLimits, SeriesRef, SeriesRefusal};
use storage::{Error, Result};

use super::Restore;
use crate::head::rows::MetadataRow;
use crate::head::slab::reference;
use crate::head::tombstones;

/// A number in the log, and the series that it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbered {
    /// The first number that the labels came with.
    pub first: u64,
    /// The labels had another number before: the worker of the series has to call [`super::RestoreWorker::attach`] for the
    /// new number, behind the samples that come before this record in the log.
    pub again: bool,
}

impl Restore {
    /// Series of the log: number, and where the pairs of each end.
    ///
    /// # Errors
    /// For each: [`Error::Corrupt`] for labels that are none, [`Error::Limit`] when there are too many series.
    pub fn series(&self, series: &[(u64, usize)], pairs: &[(&str, &str)]) -> Vec<Result<Numbered>> {
        let mut begin = 0;
        let sets =
            series.iter().map(|(_, end)| pairs.get(std::mem::replace(&mut begin, *end)..*end).unwrap_or_default());
        let sets: Vec<&[(&str, &str)]> = sets.collect();
        let numbers: Vec<u64> = series.iter().map(|(number, _)| *number).collect();
        let highest = numbers.iter().max().copied().unwrap_or(0);
        self.core.next_reference.fetch_max(highest.saturating_add(1), Ordering::Relaxed);
        let found = self.core.resolve_numbered(&sets, &LabelLimits::default(), Some(&numbers));
        let new: Vec<SeriesRef> = found.iter().filter_map(|found| found.as_ref().ok().copied()).collect();
        self.core.add_to_index(&new);
        found.into_iter().zip(numbers).map(|(found, number)| self.numbered(number, found)).collect()
    }

    fn numbered(&self, number: u64, found: std::result::Result<SeriesRef, SeriesRefusal>) -> Result<Numbered> {
        let found = found.map_err(|refusal| match refusal {
            SeriesRefusal::TooManySeries { .. } => Error::Limit(refusal.to_string()),
            other => Error::Corrupt(format!("series {number}: {other}")),
        })?;
        let slot = found.0 as u32;
        let mut first = number;
        if let Some(mut series) = self.core.slab.find(found) {
            series.users = series.users.saturating_sub(1);
            if series.reference == number {
                series.logged = true;
            }
            first = series.reference;
        }
        self.numbers.insert(number, slot);
        if first != number {
            self.others.lock().entry(slot).or_default().push(number);
        }
        // A series that was written to during the restore has a number that the log does not know.
        if first != number && self.numbers.get(first) != Some(slot) {
            self.numbers.insert(first, slot);
        }
        Ok(Numbered { first, again: first != number })
    }

    /// A series of a snapshot, with the chunk that was open.
    ///
    /// # Errors
    /// Those of [`Restore::series`], and [`Error::Corrupt`] when the chunk cannot be read; the series is there then, without it.
    pub fn snapshot_series(&self, number: u64, pairs: &[(&str, &str)], open: Option<&TimedChunk>) -> Result<Numbered> {
        let numbered = self.series(&[(number, pairs.len())], pairs).pop();
        let numbered = numbered.unwrap_or_else(|| Err(Error::Corrupt(format!("series {number} has no labels"))))?;
        if numbered.again {
            // The open chunk stands behind those on disk.
            let mut worker = self.worker();
            let slot = worker.slot(number);
            slot.into_iter().for_each(|slot| _ = worker.covered_ms(slot));
            worker.attach(number);
            // The last number is the one that the log has for what comes next.
            let first_ours = self.core.first_reference.load(Ordering::Relaxed);
            if let Some(mut series) = slot.and_then(|slot| self.core.slab.lock(slot))
                && series.reference < first_ours
            {
                let before = std::mem::replace(&mut series.reference, number);
                drop(series);
                slot.into_iter().for_each(|slot| self.others.lock().entry(slot).or_default().push(before));
            }
        }
        if let Some(chunk) = open {
            self.worker().open_chunk(number, chunk)?;
        }
        Ok(numbered)
    }

    /// The series is to be forgotten, as the log says of series that left early.
    pub fn forget(&self, number: u64) {
        self.waiting.take(number, &mut Vec::new());
        self.gone.lock().push(number);
        let Some(slot) = self.numbers.get(number) else { return };
        let Some((generation, first)) = self.core.slab.lock(slot).map(|s| (s.generation, s.reference)) else { return };
        if self.core.forget(&[reference(slot, generation)], |series| series.present_begin() == i64::MAX).is_empty() {
            // One that has new samples stays. What it had before is in a block, and may have been deleted there since.
            self.forget_past(slot, number);
            self.numbers.remove(number);
            return;
        }
        // Another series may get the slot: no number may lead to it any more.
        let others = self.others.lock().remove(&slot).unwrap_or_default();
        for number in others.into_iter().chain([number, first]) {
            if self.numbers.get(number) == Some(slot) {
                self.numbers.remove(number);
            }
        }
    }

    fn forget_past(&self, slot: u32, number: u64) {
        let Some(mut series) = self.core.slab.lock(slot) else { return };
        let (bytes, chunks, stale) = (series.heap_bytes(), series.chunks() as i64, i64::from(series.stale));
        series.forget_past();
        if series.reference == number {
            // What comes under this number is forgotten by the next replay.
            (series.reference, series.logged) = (self.core.reference(), false);
        }
        let counts = &self.core.counts;
        counts.chunks.fetch_add(series.chunks() as i64 - chunks, Ordering::Relaxed);
        counts.stale.fetch_add(i64::from(series.stale) - stale, Ordering::Relaxed);
        counts.heap(bytes, series.heap_bytes());
    }

    /// Deleted times of a series, both inclusive.
    pub fn tombstone(&self, number: u64, min_ms: i64, max_ms: i64) {
        if (min_ms, max_ms) == (i64::MIN, i64::MAX) {
            return self.forget(number);
        }
        match self.numbers.get(number).and_then(|slot| self.core.slab.lock(slot)) {
            Some(mut series) => tombstones::add(&mut series.extra().tombstones, (min_ms, max_ms)),
            None => {
                self.tally.unknown.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// An exemplar; those of times that are in blocks, and those that are there already, are passed over.
    pub fn exemplar(&self, number: u64, exemplar: Exemplar) {
        if exemplar.timestamp_ms < self.core.times.min_valid() {
            return;
        }
        let Some((slot, generation)) = self.find(number) else {
            self.tally.unknown.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let series = reference(slot, generation);
        if let Ok(Some(_)) = self.core.judge_exemplar(series, &exemplar, None) {
            self.core.exemplars.write().add(series, exemplar);
        }
    }

    /// Type, help and unit of a series; `family` is that of its metric's name if it is not known.
    pub fn metadata(&self, number: u64, family: Option<&str>, metadata: model::MetricMetadata) {
        let Some((slot, generation)) = self.find(number) else {
            self.tally.unknown.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let family = match family {
            Some(family) => family.to_owned(),
            None => self.family(slot, &metadata.metric_type),
        };
        self.core.apply_metadata(&[MetadataRow { series: reference(slot, generation), number, family, metadata }]);
    }

    fn find(&self, number: u64) -> Option<(u32, u32)> {
        let slot = self.numbers.get(number)?;
        let generation = self.core.slab.lock(slot)?.generation;
        Some((slot, generation))
    }

    /// The metric's name without what series of a family of this type have behind it.
    fn family(&self, slot: u32, metric_type: &str) -> String {
        let symbols = self.core.symbols.read();
        let Some(series) = self.core.slab.lock(slot) else { return String::new() };
        let name = symbols.pairs(&series.labels).find(|(name, _)| *name == labels::METRIC_NAME).map_or("", |(_, v)| v);
        let suffixes: &[&str] = match metric_type {
            "histogram" | "gaugehistogram" | "summary" => &["_bucket", "_count", "_sum", "_gcount", "_gsum"],
            _ => &[],
        };
        suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name).to_owned()
    }
}
