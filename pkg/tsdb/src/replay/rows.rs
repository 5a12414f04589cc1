//! Floats on their way into series: held over many scrapes, so that each series comes into the processor's cache once for
//! several samples. Among the samples of a series their order stays.

use crate::head::RestoreWorker;

/// Rows that are held at most; for very many series one of each.
const ROWS: usize = 1 << 16;

/// Rows in the order of the log.
#[derive(Default)]
pub(super) struct Rows {
    slots: Vec<u32>,
    /// Time and value.
    samples: Vec<(i64, f64)>,
    /// Empty as long as all are unknown.
    starts_ms: Vec<i64>,
    /// Behind the highest slot.
    end: usize,
}

impl Rows {
    /// Makes room for all that it mostly gets, at once: memory that is outgrown costs more than what is done with it.
    pub(super) fn make_room(&mut self) {
        if self.slots.capacity() == 0 {
            self.slots.reserve(ROWS + ROWS / 8);
            self.samples.reserve(ROWS + ROWS / 8);
        }
    }

    #[inline]
    pub(super) fn push(&mut self, slot: u32, sample: (i64, f64), start_ms: i64) {
        if start_ms != 0 || !self.starts_ms.is_empty() {
            self.starts_ms.resize(self.slots.len(), 0);
            self.starts_ms.push(start_ms);
        }
        self.slots.push(slot);
        self.samples.push(sample);
        self.end = self.end.max(slot as usize + 1);
    }

    pub(super) fn is_full(&self) -> bool {
        self.slots.len() >= ROWS.max(self.end)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Empties it and keeps its memory.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.samples.clear();
        self.starts_ms.clear();
        self.end = 0;
    }
}

/// Fills rows in, series by series.
#[derive(Default)]
pub(super) struct Filler {
    /// By slot: where the next of its rows goes.
    ends: Vec<u32>,
    samples: Vec<(i64, f64)>,
    starts_ms: Vec<i64>,
}

impl Filler {
    /// Fills in `rows`, which are `late` ones or not.
    pub(super) fn fill(&mut self, rows: &Rows, late: bool, worker: &mut RestoreWorker) {
        self.sort(rows);
        let mut begin = 0;
        for (slot, end) in self.ends.iter().enumerate() {
            let rows = begin..*end as usize;
            begin = rows.end;
            if rows.is_empty() {
                continue;
            }
            let starts_ms = self.starts_ms.get(rows.clone()).unwrap_or_default();
            match late {
                false => worker.floats(slot as u32, &self.samples[rows], starts_ms),
                true => worker.late_floats(slot as u32, &self.samples[rows], starts_ms),
            }
        }
        worker.flush();
    }

    /// Puts the rows of each slot side by side; `ends` says where those of each end.
    fn sort(&mut self, Rows { slots, samples, starts_ms, end }: &Rows) {
        self.ends.clear();
        self.ends.resize(*end, 0);
        for slot in slots {
            self.ends[*slot as usize] += 1;
        }
        let mut sum = 0;
        for count in &mut self.ends {
            (*count, sum) = (sum, sum + *count);
        }
        self.samples.resize(slots.len(), (0, 0.0));
        self.starts_ms.clear();
        self.starts_ms.resize(starts_ms.len(), 0);
        for (row, (slot, sample)) in slots.iter().zip(samples).enumerate() {
            let place = &mut self.ends[*slot as usize];
            self.samples[*place as usize] = *sample;
            if let Some(start_ms) = starts_ms.get(row) {
                self.starts_ms[*place as usize] = *start_ms;
            }
            *place += 1;
        }
    }
}
