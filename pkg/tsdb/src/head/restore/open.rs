//! Chunks that were open, from snapshots and from where they are saved; samples of chunks that cannot be taken whole.

use chunkenc::{Encoding, TimedChunk, XorState};
use storage::{Error, Result};

use super::{MappedChunk, RestoreWorker};
use crate::head::cutpoints::range_end;
use crate::head::encode::Row;
use crate::head::open::{Open, OpenXor};
use crate::head::parts::Value;
use crate::head::piece::corrupt;
use crate::head::recode::rows;
use crate::open_chunks::{SavedChunk, SavedData};

impl RestoreWorker {
    /// The chunk that was open when a snapshot was made.
    pub(super) fn open_chunk(&mut self, number: u64, chunk: &TimedChunk) -> Result<()> {
        let Some(slot) = self.slot(number) else { return Ok(()) };
        self.covered_ms(slot);
        self.attach(number);
        let options = &self.restore.core.options;
        let resumed = match chunk.encoding {
            Encoding::Xor if !options.xor2 => Some(XorState::resume(&chunk.data).map_err(corrupt)?),
            _ => None,
        };
        let cut_at = range_end(chunk.min_time, options.chunk_range_ms);
        match resumed {
            None => self.samples_of(slot, chunk)?,
            Some((state, _)) if state.is_empty() => {}
            Some((state, buffer)) => {
                if !self.go_on(slot, OpenXor { state, buffer, first_time: chunk.min_time, cut_at }) {
                    return Err(Error::Corrupt(format!("series {number}: the open chunk overlaps chunks on disk")));
                }
            }
        }
        self.flush();
        Ok(())
    }

    /// A chunk that was saved. One of a series that the log names further on, with a number from `next_number` on, is left to
    /// the log, and so is what is in blocks.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it cannot be read, or is of a series that the log should have named.
    pub fn saved_chunk(&mut self, saved: &SavedChunk<'_>, next_number: u64) -> Result<()> {
        let Some(slot) = self.slot(saved.number) else {
            // The log may have its samples under another number.
            let is_missed = saved.number < next_number && saved.max_time_ms >= self.restore.core.times.min_valid();
            let unknown = || Error::Corrupt(format!("the log does not name series {}", saved.number));
            return if is_missed { Err(unknown()) } else { Ok(()) };
        };
        self.covered_ms(slot);
        self.attach(saved.number);
        let core = &self.restore.core;
        if saved.max_time_ms < core.times.min_valid() {
            return Ok(());
        }
        if let SavedData::Growing { state, data, cut_at_ms } = saved.data
            && !core.options.xor2
        {
            let (state, buffer) = XorState::restore(state, data).map_err(corrupt)?;
            if state.last_time() != saved.max_time_ms || saved.min_time_ms > saved.max_time_ms {
                return Err(Error::Corrupt("the times of an open chunk are not those of its samples".to_owned()));
            }
            let open = OpenXor { state, buffer, first_time: saved.min_time_ms, cut_at: cut_at_ms };
            if self.go_on(slot, open) {
                return Ok(());
            }
        }
        saved.chunk().map_or(Ok(()), |chunk| self.samples_of(slot, &chunk))
    }

    /// Gives a series that has no open chunk this one, which holds samples; false if it does not stand between what the
    /// series has of the past and of the present.
    fn go_on(&mut self, slot: u32, open: OpenXor) -> bool {
        let core = self.restore.core.clone();
        let Some(mut series) = core.slab.lock(slot) else { return true };
        let (first_ms, last_ms) = (open.first_time, open.state.last_time());
        let (present, before) = (series.present_begin(), series.heap_bytes() as i64);
        self.stale -= i64::from(series.stale);
        let fits = series.in_past(|series| {
            let fits = series.open.is_none() && first_ms > series.last_time && last_ms < present;
            if fits {
                (series.last_time, series.stale) = (last_ms, model::is_stale(open.state.last_value()));
                series.open = Open::Xor(open);
            }
            fits
        });
        self.stale += i64::from(series.stale);
        self.heap_bytes += series.heap_bytes() as i64 - before;
        drop(series);
        if fits {
            self.chunks += 1;
            self.extend(first_ms, last_ms);
        }
        fits
    }

    /// Fills in what fits of a chunk on disk that cannot be taken as it is: the log is not read for its samples.
    pub(super) fn part_of(&mut self, slot: u32, chunk: &MappedChunk) {
        let filled = self.restore.core.store.read(chunk.reference).and_then(|loaded| {
            let (min_time, max_time) = (chunk.min_time_ms, chunk.max_time_ms);
            self.samples_of(slot, &TimedChunk { min_time, max_time, encoding: loaded.encoding, data: loaded.data })
        });
        if let Err(error) = filled {
            tracing::warn!(%error, "a chunk of the head that overlaps others cannot be read: its samples are missing");
        }
    }

    /// Fills in those samples of a chunk that are newer than what the series has.
    fn samples_of(&mut self, slot: u32, chunk: &TimedChunk) -> Result<()> {
        for Row { time_ms, start_ms, value } in rows(chunk)? {
            match value {
                Value::Float(value) => self.floats(slot, &[(time_ms, value)], &[start_ms]),
                Value::Histogram(value) => self.histograms(slot, &[(time_ms, start_ms, value)]),
            }
        }
        Ok(())
    }
}
