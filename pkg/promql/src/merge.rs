//! Bringing together the parts of series that came in several, and refusing equal series at one step.

use hashbrown::HashMap;
use labels::Labels;

use crate::QueryError;
use crate::eval::{Cx, Operator, Result, Stream};
use crate::series::StepSeries;

/// Two series with equal labels have a sample at one step.
pub(crate) fn same_labels() -> QueryError {
    QueryError::Execution("vector cannot contain metrics with the same labelset".to_owned())
}

/// Collects series; equal labels become one series.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    by_labels: HashMap<Labels, usize>,
    series: Vec<StepSeries>,
}

impl Collector {
    /// Adds a series, counting what it holds.
    pub fn add(&mut self, series: StepSeries, cx: &mut Cx) -> Result<()> {
        match self.by_labels.get(&series.labels) {
            None => {
                cx.hold(0, ENTRY_BYTES)?;
                cx.hold_series(&series)?;
                self.by_labels.insert(series.labels.clone(), self.series.len());
                self.series.push(series);
            }
            Some(at) => {
                cx.hold(series.column.count(), 0)?;
                join(&mut self.series[*at], &series)?;
                cx.recycle(series.column);
            }
        }
        Ok(())
    }

    /// The series collected. What they hold still counts in the query's budget.
    pub fn finish(self, cx: &mut Cx) -> Vec<StepSeries> {
        cx.release(0, self.by_labels.len() * ENTRY_BYTES);
        self.series
    }
}

/// Puts `part`'s samples into `whole`.
fn join(whole: &mut StepSeries, part: &StepSeries) -> Result<()> {
    if whole.column.occupied().iter().zip(part.column.occupied().iter()).any(|(a, b)| a & b != 0) {
        return Err(same_labels());
    }
    for (i, v) in part.column.floats() {
        whole.column.set(i, v);
    }
    for (i, h) in &part.column.native_histograms {
        match whole.column.native_histograms.binary_search_by_key(i, |(j, _)| *j) {
            Ok(_) => return Err(same_labels()),
            Err(at) => whole.column.native_histograms.insert(at, (*i, h.clone())),
        }
    }
    whole.drop_name |= part.drop_name;
    Ok(())
}

/// What an entry of a map takes beside the labels or bytes it is found by, about.
pub(crate) const ENTRY_BYTES: usize = 96;

/// The series that an operator has made ready, each counted with [`Cx::hold_series`] until it is handed out.
#[derive(Default)]
pub(crate) struct Ready {
    list: Option<std::vec::IntoIter<StepSeries>>,
}

impl Ready {
    pub fn is_filled(&self) -> bool {
        self.list.is_some()
    }

    pub fn fill(&mut self, list: Vec<StepSeries>) {
        self.list = Some(list.into_iter());
    }

    pub fn next(&mut self, cx: &mut Cx) -> Option<StepSeries> {
        let next = self.list.as_mut().and_then(Iterator::next);
        if let Some(series) = &next {
            cx.release_series(series);
        }
        next
    }
}

/// Hands out whole series, for those who need that; holds all.
pub(crate) struct Merged {
    inner: Stream,
    ready: Ready,
}

impl Merged {
    pub fn new(inner: Stream) -> Self {
        Self { inner, ready: Ready::default() }
    }
}

impl Operator for Merged {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        if !self.ready.is_filled() {
            let mut all = Collector::default();
            while let Some(series) = cx.next(&mut self.inner)? {
                all.add(series, cx)?;
            }
            self.ready.fill(all.finish(cx));
        }
        Ok(self.ready.next(cx))
    }
}

/// Lets series through and fails when two with equal labels share a step. Holds labels and one bit per step.
pub(crate) struct Distinct {
    inner: Stream,
    /// Equal labels are refused even over disjoint steps, as range functions do.
    strict: bool,
    seen: HashMap<Labels, Vec<u64>>,
}

impl Distinct {
    pub fn new(inner: Stream, strict: bool) -> Self {
        Self { inner, strict, seen: HashMap::new() }
    }
}

impl Operator for Distinct {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        let Some(series) = cx.next(&mut self.inner)? else { return Ok(None) };
        match self.seen.get_mut(&series.labels) {
            None => {
                cx.hold(0, series.labels.size_bytes() + series.column.present.len() * 8 + ENTRY_BYTES)?;
                self.seen.insert(series.labels.clone(), series.column.occupied().into_owned());
            }
            Some(present) => {
                let own = series.column.occupied();
                if self.strict || present.iter().zip(own.iter()).any(|(a, b)| a & b != 0) {
                    return Err(same_labels());
                }
                present.iter_mut().zip(own.iter()).for_each(|(a, b)| *a |= b);
            }
        }
        Ok(Some(series))
    }
}
