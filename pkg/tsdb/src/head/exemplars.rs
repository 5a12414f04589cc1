//! Exemplars of all series in one ring: the newest push the oldest out.

use std::collections::VecDeque;

use hashbrown::HashMap;
use model::{Exemplar, TimeRange};
use storage::append::SeriesRef;

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

    /// Exemplars that are held, how many may be, and of how many series they are.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.ring.len(), self.max, self.by_series.len())
    }

    pub fn is_disabled(&self) -> bool {
        self.max == 0
    }

    pub fn newest(&self, series: SeriesRef) -> Option<&Exemplar> {
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
