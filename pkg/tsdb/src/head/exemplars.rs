//! Exemplars of all series in one ring: the newest push the oldest out.

use std::collections::VecDeque;

use hashbrown::HashMap;
use model::{Exemplar, TimeRange};
use storage::append::{Column, Committed, Refusal, Refused, SeriesRef};

use super::core::Core;
use super::rows::ExemplarRow;

/// OpenMetrics' limit on the labels of an exemplar, names and values together.
const CHARS_MAX: usize = 128;

#[derive(Debug, Default)]
pub(crate) struct ExemplarRing {
    max: usize,
    ring: Vec<(SeriesRef, Exemplar)>,
    /// Where the next one goes once the ring is full.
    next: usize,
    /// Places in the ring, oldest first.
    by_series: HashMap<SeriesRef, VecDeque<u32>>,
}

impl ExemplarRing {
    pub fn new(max: usize) -> Self {
        Self { max: max.min(u32::MAX as usize), ..Self::default() }
    }

    pub fn is_disabled(&self) -> bool {
        self.max == 0
    }

    fn newest(&self, series: SeriesRef) -> Option<&Exemplar> {
        let place = self.by_series.get(&series)?.back()?;
        self.ring.get(*place as usize).map(|(_, exemplar)| exemplar)
    }

    /// Adds an exemplar that is newer than those of its series.
    pub fn add(&mut self, series: SeriesRef, exemplar: Exemplar) {
        if self.max == 0 {
            return;
        }
        let place = if self.ring.len() < self.max {
            self.ring.push((series, exemplar));
            self.ring.len() - 1
        } else {
            let place = self.next;
            self.next = (self.next + 1) % self.max;
            let old = std::mem::replace(&mut self.ring[place], (series, exemplar));
            self.drop_oldest(old.0);
            place
        };
        self.by_series.entry(series).or_default().push_back(place as u32);
    }

    fn drop_oldest(&mut self, series: SeriesRef) {
        if let Some(places) = self.by_series.get_mut(&series) {
            places.pop_front();
            if places.is_empty() {
                self.by_series.remove(&series);
            }
        }
    }

    /// The exemplars of a series, oldest first.
    pub fn of(&self, series: SeriesRef, range: TimeRange) -> Vec<Exemplar> {
        let places = self.by_series.get(&series).into_iter().flatten();
        let all = places.filter_map(|place| self.ring.get(*place as usize)).map(|(_, exemplar)| exemplar);
        all.filter(|exemplar| range.contains(exemplar.timestamp_ms)).cloned().collect()
    }

    /// All, oldest first.
    pub fn all(&self) -> impl Iterator<Item = &(SeriesRef, Exemplar)> {
        let (newer, older) = self.ring.split_at(self.next.min(self.ring.len()));
        older.iter().chain(newer)
    }

    /// Holds at most `max` from now on, the newest of those that are there.
    pub fn resize(&mut self, max: usize) {
        let all: Vec<_> = self.all().cloned().collect();
        *self = Self::new(max);
        let skip = all.len().saturating_sub(self.max);
        for (series, exemplar) in all.into_iter().skip(skip) {
            self.add(series, exemplar);
        }
    }

    pub fn size_bytes(&self) -> usize {
        let labels: usize = self.ring.iter().map(|(_, e)| e.labels.size_bytes()).sum();
        labels + self.ring.capacity() * size_of::<(SeriesRef, Exemplar)>() + self.by_series.capacity() * 64
    }
}

/// Whether it is new; the same as the newest one is no error, an older one is.
fn is_new(before: Option<&Exemplar>, exemplar: &Exemplar) -> Result<bool, Refusal> {
    match before {
        Some(last) if last == exemplar => Ok(false),
        Some(last) if last.timestamp_ms > exemplar.timestamp_ms => Err(Refusal::ExemplarOutOfOrder),
        _ => Ok(true),
    }
}

impl Core {
    /// The number of the series in the log, if the exemplar is new. `before` is the newest one that the same transaction
    /// has of the series.
    pub fn judge_exemplar(
        &self,
        series: SeriesRef,
        exemplar: &Exemplar,
        before: Option<&Exemplar>,
    ) -> Result<Option<u64>, Refusal> {
        let Some(number) = self.slab.find(series).map(|series| series.reference) else {
            return Err(Refusal::UnknownSeries);
        };
        let chars = exemplar.labels.iter().map(|(n, v)| n.chars().count() + v.chars().count()).sum::<usize>();
        if chars > CHARS_MAX {
            return Err(Refusal::ExemplarTooLong { max: CHARS_MAX });
        }
        let ring = self.exemplars.read();
        if ring.is_disabled() {
            return Err(Refusal::NoRoomForExemplars);
        }
        let new = is_new(before.or_else(|| ring.newest(series)), exemplar);
        if new == Err(Refusal::ExemplarOutOfOrder) {
            self.metrics.exemplars_out_of_order.inc();
        }
        Ok(new?.then_some(number))
    }

    pub fn apply_exemplars(&self, rows: &[ExemplarRow], committed: &mut Committed) {
        if rows.is_empty() {
            return;
        }
        let mut ring = self.exemplars.write();
        for row in rows {
            if self.slab.find(row.series).is_none() {
                continue;
            }
            match is_new(ring.newest(row.series), &row.exemplar) {
                Ok(true) => {
                    ring.add(row.series, row.exemplar.clone());
                    self.metrics.exemplars_appended.inc();
                }
                Ok(false) => {}
                Err(why) => committed.refused.push((Column::Exemplars, Refused { row: row.row, why })),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_push_the_oldest_out() {
        let one = |time_ms: i64| Exemplar { labels: labels::Labels::empty(), value: 1.0, timestamp_ms: time_ms };
        let mut ring = ExemplarRing::new(3);
        let (a, b) = (SeriesRef(1), SeriesRef(2));
        for (series, time_ms) in [(a, 1), (b, 2), (a, 3), (b, 4), (b, 5)] {
            ring.add(series, one(time_ms));
        }
        let times = |ring: &ExemplarRing, series| {
            ring.of(series, TimeRange::ALL).iter().map(|e| e.timestamp_ms).collect::<Vec<_>>()
        };
        assert_eq!((times(&ring, a), times(&ring, b)), (vec![3], vec![4, 5]));
        assert_eq!(ring.newest(b).map(|e| e.timestamp_ms), Some(5));
        ring.resize(2);
        assert_eq!((times(&ring, a), times(&ring, b)), (vec![], vec![4, 5]));
        ring.resize(4);
        ring.add(a, one(9));
        assert_eq!(ring.all().map(|(_, e)| e.timestamp_ms).collect::<Vec<_>>(), [4, 5, 9]);
    }
}
