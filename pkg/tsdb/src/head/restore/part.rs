//! Series that are written to while their past is still being restored.

use chunkenc::Error;

use crate::head::open::Open;
use crate::head::past::Past;
use crate::head::series::Series;

impl Series {
    /// A sample that is not from the log is about to be appended: what is restored from now on stands before it.
    pub fn begin_present(&mut self) {
        if self.extra.as_ref().is_some_and(|extra| extra.past.is_some()) {
            return;
        }
        let (number, last_time, stale) = (self.reference, self.last_time, self.stale);
        let open = std::mem::take(&mut self.open);
        let extra = self.extra();
        let full = std::mem::take(&mut extra.full);
        let last_histogram = extra.last_histogram.clone();
        extra.past = Some(Box::new(Past { number, open, full, last_time, last_histogram, stale }));
    }

    /// Runs `restore` on the past of the series, if it has a present of its own, else on all of it.
    pub fn in_past<T>(&mut self, restore: impl FnOnce(&mut Self) -> T) -> T {
        self.swap_past();
        let done = restore(self);
        self.swap_past();
        done
    }

    /// The time before which samples are of the past; `i64::MAX` without a present.
    pub fn present_begin(&self) -> i64 {
        let Some(extra) = self.extra.as_ref().filter(|extra| extra.past.is_some()) else { return i64::MAX };
        let open = self.open.times().map(|(first, _)| first);
        extra.full.first().map(|full| full.min_time).or(open).unwrap_or(i64::MAX)
    }

    /// Drops what was restored of samples in order.
    pub fn forget_past(&mut self) {
        self.in_past(|series| {
            (series.last_time, series.stale, series.open) = (i64::MIN, false, Open::None);
            series.mapped = Vec::new();
            if let Some(extra) = &mut series.extra {
                extra.full = Vec::new();
                extra.last_histogram = None;
            }
        });
        self.tidy();
    }

    fn swap_past(&mut self) {
        let Some(extra) = &mut self.extra else { return };
        let Some(past) = &mut extra.past else { return };
        std::mem::swap(&mut past.open, &mut self.open);
        std::mem::swap(&mut past.full, &mut extra.full);
        std::mem::swap(&mut past.last_time, &mut self.last_time);
        std::mem::swap(&mut past.last_histogram, &mut extra.last_histogram);
        std::mem::swap(&mut past.stale, &mut self.stale);
    }

    /// Puts the past before the present; true if there are full chunks.
    pub fn join_replay(&mut self) -> Result<bool, Error> {
        let Some(extra) = &mut self.extra else { return Ok(false) };
        let Some(past) = extra.past.take() else { return Ok(!extra.full.is_empty()) };
        let Past { open, mut full, last_time, last_histogram, stale, .. } = *past;
        if self.open.is_none() && extra.full.is_empty() {
            // The present never came: the past goes on.
            self.open = open;
            self.last_time = self.last_time.max(last_time);
            self.stale = stale;
            extra.last_histogram = last_histogram;
        } else {
            full.extend(open.finish()?);
        }
        full.append(&mut extra.full);
        extra.full = full;
        let any = !extra.full.is_empty();
        self.tidy();
        Ok(any)
    }
}
