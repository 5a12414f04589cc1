//! The newest sample that a transaction has taken of each series.

use hashbrown::HashMap;
use storage::append::SeriesRef;

use super::parts::Value;

/// The newest sample of a series.
#[derive(Debug, Clone)]
pub(crate) struct Newest {
    pub time_ms: i64,
    pub value: Value,
    /// The last batch with rows of this series, and whether those are histograms.
    pub batch: u32,
    pub histogram: bool,
}

/// Runs of ascending series that are looked through; with more of them there is a table.
const RUNS_MAX: usize = 8;

/// The newest sample of each series, in the order in which the series came first. Those of a scrape or a request ascend, as
/// they were made one after the other: such a run is searched, and nothing is hashed.
#[derive(Debug, Default)]
pub(crate) struct NewestOfEach {
    entries: Vec<(SeriesRef, Newest)>,
    /// Where each run of ascending series begins.
    runs: Vec<usize>,
    /// Places of all series, while there are too many runs.
    places: HashMap<SeriesRef, usize>,
}

impl NewestOfEach {
    pub fn reserve(&mut self, more: usize) {
        self.entries.reserve(more);
    }

    /// The place of a series, for [`Self::at`].
    #[inline]
    pub fn find(&self, series: SeriesRef) -> Option<usize> {
        let (last, _) = self.entries.last()?;
        if *last == series {
            return Some(self.entries.len() - 1);
        }
        if self.runs.len() == 1 && *last < series {
            return None;
        }
        self.search(series)
    }

    fn search(&self, series: SeriesRef) -> Option<usize> {
        if self.runs.len() > RUNS_MAX {
            return self.places.get(&series).copied();
        }
        let ends = self.runs.iter().skip(1).copied().chain([self.entries.len()]);
        self.runs.iter().zip(ends).find_map(|(begin, end)| {
            let run = self.entries.get(*begin..end)?;
            let is_inside = run.first()?.0 <= series && series <= run.last()?.0;
            let found = is_inside.then(|| run.binary_search_by_key(&series, |(series, _)| *series).ok())?;
            found.map(|at| begin + at)
        })
    }

    pub fn at(&self, place: usize) -> Option<&Newest> {
        self.entries.get(place).map(|(_, newest)| newest)
    }

    pub fn at_mut(&mut self, place: usize) -> Option<&mut Newest> {
        self.entries.get_mut(place).map(|(_, newest)| newest)
    }

    /// Takes the first sample of a series that has no place.
    #[inline]
    pub fn push(&mut self, series: SeriesRef, newest: Newest) {
        if self.entries.last().is_none_or(|(last, _)| *last > series) {
            self.begin_run();
        }
        if self.runs.len() > RUNS_MAX {
            self.places.insert(series, self.entries.len());
        }
        self.entries.push((series, newest));
    }

    #[cold]
    fn begin_run(&mut self) {
        self.runs.push(self.entries.len());
        if self.runs.len() == RUNS_MAX + 1 {
            self.places = self.entries.iter().enumerate().map(|(at, (series, _))| (*series, at)).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// In whatever order series come, each has one place.
        #[test]
        fn each_series_has_one_place(series in prop::collection::vec(0u64..60, 0..200), sorted: bool) {
            let mut series = series;
            if sorted {
                series.sort_unstable();
            }
            let (mut all, mut right) = (NewestOfEach::default(), std::collections::HashMap::new());
            for (n, number) in series.into_iter().enumerate() {
                let place = all.find(SeriesRef(number));
                prop_assert_eq!(place, right.get(&number).copied());
                if place.is_none() {
                    let newest = Newest { time_ms: n as i64, value: Value::Float(0.0), batch: 0, histogram: false };
                    right.insert(number, right.len());
                    all.push(SeriesRef(number), newest);
                    let place = right[&number];
                    prop_assert_eq!(all.at(place).map(|newest| newest.time_ms), Some(n as i64));
                }
            }
        }
    }
}
