//! The labels of the log's series, once for all queues.

use hashbrown::HashMap;
use labels::Labels;
use model::MetricType;
use parking_lot::{RwLock, RwLockReadGuard};

use super::symbols::Symbols;

/// Names and values of labels in turn, by the numbers of their texts, sorted by name.
pub(super) type LabelIds = Box<[u32]>;

/// Series by their numbers in the log.
#[derive(Debug, Default)]
pub(super) struct SeriesTable {
    known: RwLock<Known>,
}

/// Series of neighbouring numbers lie together: rows of one record are mostly of such.
const PAGE: u64 = 64;

/// A page of series; most of its slots are in use.
#[derive(Debug)]
struct Page {
    slots: Box<[Option<Series>]>,
    used: u32,
}

/// What is known of series.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub symbols: Symbols,
    /// By number / [`PAGE`].
    pages: HashMap<u64, Page>,
    count: usize,
    metadata: HashMap<u64, Metadata>,
    /// Changes when series are removed.
    pub generation: u64,
}

#[derive(Debug)]
struct Series {
    labels: LabelIds,
    /// The last segment that has its record.
    segment: u64,
}

/// What a record says of a series' metric, by the numbers of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Metadata {
    pub metric_type: MetricType,
    pub unit: u32,
    pub help: u32,
}

impl SeriesTable {
    pub fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read()
    }

    /// Notes a series whose record is in `segment`.
    pub fn add(&self, number: u64, labels: &[(&str, &str)], segment: u64) {
        let mut known = self.known.write();
        if let Some(series) = known.slot_mut(number).and_then(Option::as_mut) {
            series.segment = series.segment.max(segment);
            return;
        }
        let labels = known.intern(labels);
        known.insert(number, Series { labels, segment });
    }

    /// Notes what a record says of a series' metric.
    pub fn add_metadata(&self, number: u64, metric_type: MetricType, unit: &str, help: &str) {
        let mut known = self.known.write();
        let (unit, help) = (known.symbols.take(unit), known.symbols.take(help));
        if let Some(old) = known.metadata.insert(number, Metadata { metric_type, unit, help }) {
            known.symbols.give_back(old.unit);
            known.symbols.give_back(old.help);
        }
    }

    /// Numbers for labels, to be given back.
    pub fn intern(&self, labels: &Labels) -> LabelIds {
        let pairs: Vec<_> = labels.iter().collect();
        self.known.write().intern(&pairs)
    }

    /// Gives numbers of labels back.
    pub fn give_back<'a>(&self, all: impl Iterator<Item = &'a LabelIds>) {
        let mut known = self.known.write();
        for number in all.flat_map(|labels| labels.iter()) {
            known.symbols.give_back(*number);
        }
    }

    /// Forgets series whose records are all in segments up to `segment`, those of `kept` excepted.
    pub fn forget(&self, segment: u64, kept: &dyn Fn(u64) -> bool) -> usize {
        let mut known = self.known.write();
        let gone = known.extract(|number, series| series.segment <= segment && !kept(number));
        for (number, series) in &gone {
            series.labels.iter().for_each(|text| known.symbols.give_back(*text));
            if let Some(metadata) = known.metadata.remove(number) {
                known.symbols.give_back(metadata.unit);
                known.symbols.give_back(metadata.help);
            }
        }
        known.generation += u64::from(!gone.is_empty());
        gone.len()
    }
}

impl Known {
    fn intern(&mut self, labels: &[(&str, &str)]) -> LabelIds {
        let mut sorted = labels.to_vec();
        sorted.sort_unstable();
        sorted.iter().flat_map(|(name, value)| [self.symbols.take(name), self.symbols.take(value)]).collect()
    }

    fn slot_mut(&mut self, number: u64) -> Option<&mut Option<Series>> {
        self.pages.get_mut(&(number / PAGE))?.slots.get_mut((number % PAGE) as usize)
    }

    fn insert(&mut self, number: u64, series: Series) {
        let page = self.pages.entry(number / PAGE).or_insert_with(|| {
            let slots = std::iter::repeat_with(|| None).take(PAGE as usize).collect();
            Page { slots, used: 0 }
        });
        if page.slots[(number % PAGE) as usize].replace(series).is_none() {
            page.used += 1;
            self.count += 1;
        }
    }

    /// Takes out the series for which `is_gone` says so.
    fn extract(&mut self, is_gone: impl Fn(u64, &Series) -> bool) -> Vec<(u64, Series)> {
        let mut gone = Vec::new();
        self.pages.retain(|at, page| {
            for (slot, number) in page.slots.iter_mut().zip(at * PAGE..) {
                if let Some(series) = slot.take_if(|series| is_gone(number, series)) {
                    page.used -= 1;
                    gone.push((number, series));
                }
            }
            page.used > 0
        });
        self.count -= gone.len();
        gone
    }

    /// The labels of a series.
    pub fn labels(&self, number: u64) -> Option<&LabelIds> {
        let slot = self.pages.get(&(number / PAGE))?.slots.get((number % PAGE) as usize)?;
        slot.as_ref().map(|series| &series.labels)
    }

    /// Looks labels up for series of which neighbours mostly follow each other.
    pub fn in_turn(&self) -> InTurn<'_> {
        InTurn { known: self, at: u64::MAX, page: None }
    }

    /// What the log says of a series' metric.
    pub fn metadata(&self, number: u64) -> Option<Metadata> {
        self.metadata.get(&number).copied()
    }

    /// Names and values as texts.
    pub fn pairs<'a>(&'a self, labels: &'a [u32]) -> impl Iterator<Item = (&'a str, &'a str)> + Clone {
        labels.as_chunks::<2>().0.iter().map(|[name, value]| (self.symbols.text(*name), self.symbols.text(*value)))
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.count
    }
}

/// See [`Known::in_turn`].
#[derive(Debug)]
pub(super) struct InTurn<'k> {
    known: &'k Known,
    at: u64,
    page: Option<&'k Page>,
}

impl<'k> InTurn<'k> {
    /// The labels of a series.
    #[inline]
    pub fn labels(&mut self, number: u64) -> Option<&'k LabelIds> {
        let at = number / PAGE;
        if at != self.at {
            (self.at, self.page) = (at, self.known.pages.get(&at));
        }
        self.page?.slots[(number % PAGE) as usize].as_ref().map(|series| &series.labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_go_when_no_segment_has_them() {
        let table = SeriesTable::default();
        table.add(1, &[("b", "2"), ("a", "1")], 3);
        table.add(2, &[("a", "1")], 3);
        table.add(2, &[("a", "1")], 5);
        table.add(3, &[("c", "1")], 2);
        let text = |number| {
            let known = table.read();
            known
                .labels(number)
                .map(|ids| known.pairs(ids).map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(","))
        };
        assert_eq!(text(1).as_deref(), Some("a=1,b=2"));
        assert_eq!(table.forget(4, &|number| number == 3), 1);
        assert_eq!((text(1), text(2).as_deref(), text(3).as_deref()), (None, Some("a=1"), Some("c=1")));
        let known = table.read();
        assert_eq!((known.len(), known.symbols.len()), (2, 3));
        let mut in_turn = known.in_turn();
        for number in [2, 3, 1, 2, PAGE, PAGE + 2, 2, u64::MAX] {
            assert_eq!(in_turn.labels(number), known.labels(number), "{number}");
        }
    }
}
