//! What the head holds of one series.

use storage::append::HistogramValue;

use super::open::Open;
use super::out_of_order::OutOfOrder;
use super::parts::{Full, Mapped, Value};
use super::past::Past;
use super::symbols::LabelIds;

/// What few series have.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    /// Full chunks, oldest first.
    pub full: Vec<Full>,
    /// Earlier commits and their samples that some reader may not see, oldest first.
    pub earlier: Vec<(u64, u32)>,
    pub out_of_order: Option<Box<OutOfOrder>>,
    /// The last sample, where it is a histogram.
    pub last_histogram: Option<HistogramValue>,
    /// What is being restored, if there are newer samples.
    pub past: Option<Box<Past>>,
    /// Times that were deleted, both inclusive.
    pub tombstones: Vec<(i64, i64)>,
}

impl Extra {
    fn is_empty(&self) -> bool {
        self.full.is_empty()
            && self.earlier.is_empty()
            && self.out_of_order.is_none()
            && self.last_histogram.is_none()
            && self.past.is_none()
            && self.tombstones.is_empty()
    }
}

/// A slot. Without `reference` it is empty.
#[derive(Debug)]
pub(crate) struct Series {
    /// The number in the log, never used for another series.
    pub reference: u64,
    /// How many series were in this slot before.
    pub generation: u32,
    /// Open transactions that have resolved it.
    pub users: u32,
    pub labels: LabelIds,
    /// Of the newest sample in order; `i64::MIN` without one.
    pub last_time: i64,
    /// The commit that wrote last, in order, and its samples.
    pub written: u64,
    pub written_samples: u32,
    /// Its entry among the metadata; 0 = none.
    pub metadata: u32,
    /// What its cut points are shifted by.
    pub spread: u8,
    /// Its record is in the log.
    pub logged: bool,
    /// Readers find it.
    pub indexed: bool,
    /// The newest sample is a stale marker.
    pub stale: bool,
    pub open: Open,
    pub mapped: Vec<Mapped>,
    pub extra: Option<Box<Extra>>,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            reference: 0,
            generation: 1,
            users: 0,
            labels: LabelIds::default(),
            last_time: i64::MIN,
            written: 0,
            written_samples: 0,
            metadata: 0,
            spread: 0,
            logged: false,
            indexed: false,
            stale: false,
            open: Open::None,
            mapped: Vec::new(),
            extra: None,
        }
    }
}

impl Series {
    pub fn is_live(&self) -> bool {
        self.reference != 0
    }

    pub fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Gives the rare parts' memory back, if they are empty.
    pub fn tidy(&mut self) {
        if self.extra.as_ref().is_some_and(|extra| extra.is_empty()) {
            self.extra = None;
        }
    }

    pub fn full(&self) -> &[Full] {
        self.extra.as_ref().map_or(&[], |extra| &extra.full)
    }

    /// The full chunks that come right behind those on disk.
    pub fn oldest_full(&self) -> &[Full] {
        self.past().map_or(self.full(), |past| &past.full)
    }

    pub fn past(&self) -> Option<&Past> {
        self.extra.as_ref()?.past.as_deref()
    }

    pub fn out_of_order(&self) -> Option<&OutOfOrder> {
        self.extra.as_ref()?.out_of_order.as_deref()
    }

    pub fn tombstones(&self) -> &[(i64, i64)] {
        self.extra.as_ref().map_or(&[], |extra| &extra.tombstones)
    }

    pub fn last_histogram(&self) -> Option<&HistogramValue> {
        self.extra.as_ref()?.last_histogram.as_ref()
    }

    pub fn has_samples(&self) -> bool {
        self.last_time != i64::MIN || self.out_of_order().is_some()
    }

    /// The value of the newest sample in order. `None` without one, or when it is in a chunk on disk only.
    pub fn last_value(&self) -> Option<Value> {
        if let Some(last) = self.last_histogram() {
            return Some(Value::Histogram(last.clone()));
        }
        self.open.last_float().map(Value::Float)
    }

    /// Notes that `commit` wrote one more sample in order, where commits below `settled` are seen by all.
    #[inline]
    pub fn wrote(&mut self, commit: u64, settled: u64) {
        if self.written == commit {
            self.written_samples += 1;
            return;
        }
        let before = (self.written, self.written_samples);
        (self.written, self.written_samples) = (commit, 1);
        if before.0 >= settled {
            let earlier = &mut self.extra().earlier;
            earlier.retain(|(id, _)| *id >= settled);
            earlier.push(before);
        } else if let Some(extra) = &mut self.extra
            && !extra.earlier.is_empty()
        {
            extra.earlier = Vec::new();
            self.tidy();
        }
    }

    /// Notes that `commit` wrote a late sample.
    pub fn wrote_late(&mut self, time_ms: i64, commit: u64, settled: u64) {
        if let Some(late) = self.extra.as_mut().and_then(|extra| extra.out_of_order.as_deref_mut()) {
            if late.unsettled.len() == late.unsettled.capacity() {
                late.unsettled.retain(|(_, id)| *id >= settled);
            }
            late.unsettled.push((time_ms, commit));
        }
    }

    /// Times of late samples that a reader does not see.
    pub fn unseen_late(&self, sees: impl Fn(u64) -> bool) -> impl Iterator<Item = i64> {
        let unsettled = self.out_of_order().map_or(&[][..], |late| &late.unsettled);
        unsettled.iter().filter(move |(_, commit)| !sees(*commit)).map(|(time, _)| *time)
    }

    /// How many of the newest samples in order a reader does not see.
    pub fn unseen(&self, sees: impl Fn(u64) -> bool) -> usize {
        let earlier = self.extra.as_ref().map_or(&[][..], |extra| &extra.earlier);
        let writes = earlier.iter().copied().chain([(self.written, self.written_samples)]);
        // What came after the first unseen one is not seen either: a reader gets no series with holes.
        writes.skip_while(|(id, _)| sees(*id)).map(|(_, samples)| samples as usize).sum()
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        let extra = self.extra.as_ref().map_or(0, |extra| {
            size_of::<Extra>()
                + extra.full.iter().map(|full| full.data.len() + size_of::<Full>()).sum::<usize>()
                + extra.past.as_ref().map_or(0, |past| past.heap_bytes())
                + extra.earlier.capacity() * 16
                + extra.tombstones.capacity() * 16
                + extra.last_histogram.as_ref().map_or(0, HistogramValue::size_bytes)
                + extra.out_of_order.as_ref().map_or(0, |o| o.size_bytes())
        });
        self.labels.values.len() * 4 + self.open.heap_bytes() + self.mapped.capacity() * size_of::<Mapped>() + extra
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_small() {
        assert!(size_of::<parking_lot::Mutex<Series>>() <= 184, "{}", size_of::<parking_lot::Mutex<Series>>());
        assert_eq!(size_of::<Mapped>(), 24);
    }

    #[test]
    fn unseen_samples_are_the_newest() {
        let mut series = Series::default();
        for (commit, settled) in [(1, 1), (1, 1), (2, 1), (5, 1), (5, 1)] {
            series.wrote(commit, settled);
        }
        assert_eq!(series.unseen(|id| id < 1), 5);
        assert_eq!(series.unseen(|id| id < 2), 3);
        assert_eq!(series.unseen(|id| id != 2), 3, "no holes");
        assert_eq!(series.unseen(|_| true), 0);
        series.wrote(6, 6);
        assert_eq!((series.unseen(|id| id < 6), series.extra.is_none()), (1, true));
    }
}
