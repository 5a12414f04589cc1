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
    /// Places in the ring, by the exemplars' times.
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

    /// Adds an exemplar; false if it is late and the series has one of its time.
    pub fn add(&mut self, series: SeriesRef, exemplar: Exemplar) -> bool {
        if self.max == 0 || self.is_there(series, exemplar.timestamp_ms) {
            return false;
        }
        let time_ms = exemplar.timestamp_ms;
        let place = if self.ring.len() < self.max {
            self.ring.push((series, exemplar));
            self.ring.len() - 1
        } else {
            let place = self.next;
            self.next = (self.next + 1) % self.max;
            let old = std::mem::replace(&mut self.ring[place], (series, exemplar));
            self.forget(old.0, place as u32);
            place
        };
        let (ring, places) = (&self.ring, self.by_series.entry(series).or_default());
        let is_before = |place: &u32| ring.get(*place as usize).is_some_and(|(_, e)| e.timestamp_ms <= time_ms);
        // Late ones are not very late.
        let behind = places.iter().rev().take_while(|place| !is_before(place)).count();
        places.insert(places.len() - behind, place as u32);
        true
    }

    /// Whether the series has an exemplar of this time, which is before its newest. Those of the newest time are several
    /// where a native histogram has several buckets.
    fn is_there(&self, series: SeriesRef, time_ms: i64) -> bool {
        let times = self.by_series.get(&series).into_iter().flatten().rev();
        let mut times = times.filter_map(|place| self.ring.get(*place as usize)).map(|(_, e)| e.timestamp_ms);
        times.next().is_some_and(|newest| time_ms < newest)
            && times.take_while(|other| *other >= time_ms).any(|other| other == time_ms)
    }

    fn forget(&mut self, series: SeriesRef, place: u32) {
        if let Some(places) = self.by_series.get_mut(&series) {
            places.retain(|other| *other != place);
            if places.is_empty() {
                self.by_series.remove(&series);
            }
        }
    }

    /// The exemplars of a series, by their times.
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
        assert!(ring.add(b, one(3)) && !ring.add(b, one(3)), "one of a time");
        assert_eq!((times(&ring, a), times(&ring, b)), (vec![], vec![3, 4, 5]), "by time, not as they came");
        ring.add(a, one(3));
        assert_eq!((times(&ring, a), times(&ring, b)), (vec![3], vec![3, 5]), "what came first goes first");
        ring.add(b, one(4));
        assert_eq!((times(&ring, a), times(&ring, b)), (vec![3], vec![3, 4]));
        ring.add(b, one(5));
        ring.resize(2);
        assert_eq!((times(&ring, a), times(&ring, b)), (vec![], vec![4, 5]));
        ring.resize(4);
        ring.add(a, one(9));
        assert_eq!(ring.all().map(|(_, e)| e.timestamp_ms).collect::<Vec<_>>(), [4, 5, 9]);
    }
}
