//! The newest sample that a transaction has taken of each series.

use hashbrown::HashMap;
use storage::append::SeriesRef;

use super::parts::Value;
use super::rows::Batch;

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
/// they were made one after the other: as long as that holds for all rows, these tell by themselves, and nothing is listed.
/// Later such a run is searched, and nothing is hashed.
#[derive(Debug, Default)]
pub(crate) struct NewestOfEach {
    /// The series that came last, while nothing is listed.
    last: Option<SeriesRef>,
    is_listed: bool,
    entries: Vec<(SeriesRef, Newest)>,
    /// Where each run of ascending series begins.
    runs: Vec<usize>,
    /// Places of all series, while there are too many runs.
    places: HashMap<SeriesRef, usize>,
}

impl NewestOfEach {
    /// Whether each series so far came once, in ascending order, and this one goes on with it.
    #[inline]
    pub fn ascends(&self, series: SeriesRef) -> bool {
        !self.is_listed && self.last.is_none_or(|last| last < series)
    }

    /// The place of a series, for [`Self::at`]. `batches` are the rows that were taken.
    #[inline]
    pub fn find(&mut self, series: SeriesRef, batches: &[Batch]) -> Option<usize> {
        if self.ascends(series) {
            return None;
        }
        if !self.is_listed {
            self.list(batches);
        }
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

    /// Lists what the rows tell. All series came once: there is one batch.
    #[cold]
    fn list(&mut self, batches: &[Batch]) {
        self.is_listed = true;
        for (n, Batch { floats, histograms }) in batches.iter().enumerate() {
            let newest = |time_ms: i64, value, histogram| Newest { time_ms, value, batch: n as u32, histogram };
            let floats = floats.series.iter().zip(&floats.times_ms).zip(&floats.values);
            let floats = floats.map(|((series, time), value)| (*series, newest(*time, Value::Float(*value), false)));
            let histograms = histograms.series.iter().zip(&histograms.times_ms).zip(&histograms.values);
            let histograms = histograms
                .map(|((series, time), value)| (*series, newest(*time, Value::Histogram(value.clone()), true)));
            self.entries.extend(floats.chain(histograms));
        }
        self.entries.sort_unstable_by_key(|(series, _)| *series);
        if !self.entries.is_empty() {
            self.runs.push(0);
        }
    }

    /// Takes the first sample of a series that has no place.
    #[inline]
    pub fn push(&mut self, series: SeriesRef, newest: impl FnOnce() -> Newest) {
        if !self.is_listed {
            self.last = Some(series);
            return;
        }
        if self.entries.last().is_none_or(|(last, _)| *last > series) {
            self.begin_run();
        }
        if self.runs.len() > RUNS_MAX {
            self.places.insert(series, self.entries.len());
        }
        self.entries.push((series, newest()));
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
    use storage::append::{Column, HistogramValue};

    use super::super::rows::{Row, RowNumber};
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
            let mut batches = [Batch::default()];
            for (n, number) in series.into_iter().enumerate() {
                let (reference, time_ms) = (SeriesRef(number), n as i64);
                let place = all.find(reference, &batches);
                prop_assert_eq!(place.is_some(), right.contains_key(&number));
                let Some(place) = place else {
                    let value = Value::Float(0.0);
                    all.push(reference, || Newest { time_ms, value, batch: 0, histogram: number % 2 == 1 });
                    right.insert(number, time_ms);
                    let row = Row { series: reference, number, time_ms, start_ms: 0, value: (), row: RowNumber::new(Column::Floats, n) };
                    match number % 2 {
                        0 => batches[0].floats.push(row.with(0.0)),
                        _ => batches[0].histograms.push(row.with(HistogramValue::Int(Default::default()))),
                    }
                    continue;
                };
                let newest = all.at(place).unwrap();
                prop_assert_eq!(newest.time_ms, right[&number]);
                prop_assert_eq!(newest.histogram, number % 2 == 1);
            }
        }
    }
}
