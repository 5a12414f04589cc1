//! The labels of many series, to sort these by.
//!
//! Texts are compared once for each symbol and not for each pair of series: a scrape's series share most of their labels.

use std::cmp::Ordering;

use super::symbols::{LabelIds, Symbols};

/// Symbols from which on a few series are sorted by comparing texts: a table of all symbols would cost more.
const SYMBOLS_PER_SERIES: usize = 16;

/// Labels by symbols, series after series.
#[derive(Debug, Default)]
pub(crate) struct LabelColumns {
    rows: Vec<Row>,
    values: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    slot: u32,
    shape: u32,
    /// Where its values begin.
    begin: usize,
    /// Ranks of the name and the value that are looked at.
    key: u64,
}

impl LabelColumns {
    pub fn push(&mut self, slot: u32, labels: &LabelIds) {
        self.rows.push(Row { slot, shape: labels.shape, begin: self.values.len(), key: 0 });
        self.values.extend_from_slice(&labels.values);
    }

    /// The slots by the order of their labels.
    pub fn sort(mut self, symbols: &Symbols) -> Vec<u32> {
        let mut rows = std::mem::take(&mut self.rows);
        if rows.len() < 2 || symbols.len() > rows.len() * SYMBOLS_PER_SERIES {
            rows.sort_by(|a, b| self.compare_texts(symbols, a, b));
        } else {
            self.sort_by_ranks(symbols, &mut rows);
        }
        rows.into_iter().map(|row| row.slot).collect()
    }

    /// Sorts by the first label, then those that share it by the second, and so on.
    fn sort_by_ranks(&self, symbols: &Symbols, rows: &mut [Row]) {
        let ranks = self.ranks(symbols, rows);
        let mut left = vec![(0..rows.len(), 0)];
        while let Some((range, label)) = left.pop() {
            let begin = range.start;
            let Some(rows) = rows.get_mut(range) else { continue };
            for row in &mut *rows {
                let pair = symbols.names(row.shape).get(label).zip(self.values.get(row.begin + label));
                // No label at all comes before any.
                row.key =
                    pair.map_or(0, |(name, value)| u64::from(ranks.of(*name)) << 32 | u64::from(ranks.of(*value)));
            }
            rows.sort_unstable_by_key(|row| row.key);
            let mut at = begin;
            for same in rows.chunk_by(|a, b| a.key == b.key) {
                // Two series with the same labels there are only while one of them goes.
                if same.len() > 1 && same[0].key > 0 {
                    left.push((at..at + same.len(), label + 1));
                }
                at += same.len();
            }
        }
    }

    fn values_of(&self, symbols: &Symbols, row: &Row) -> &[u32] {
        let labels = symbols.names(row.shape).len();
        self.values.get(row.begin..row.begin + labels).unwrap_or_default()
    }

    /// Ranks of all symbols that these series have.
    fn ranks(&self, symbols: &Symbols, rows: &[Row]) -> Ranks {
        let mut ranks = Ranks(vec![0; symbols.end()]);
        let mut all = Vec::new();
        let mut shapes: Vec<u32> = rows.iter().map(|row| row.shape).collect();
        shapes.sort_unstable();
        shapes.dedup();
        let names = shapes.iter().flat_map(|shape| symbols.names(*shape));
        for id in names.chain(&self.values) {
            if let Some(seen) = ranks.0.get_mut(*id as usize).filter(|seen| **seen == 0) {
                *seen = 1;
                all.push(*id);
            }
        }
        all.sort_unstable_by(|a, b| symbols.text(*a).cmp(symbols.text(*b)));
        for (rank, id) in (1..).zip(all) {
            if let Some(place) = ranks.0.get_mut(id as usize) {
                *place = rank;
            }
        }
        ranks
    }

    fn compare_texts(&self, symbols: &Symbols, a: &Row, b: &Row) -> Ordering {
        let pairs = |row: &Row| symbols.texts(row.shape, self.values_of(symbols, row));
        pairs(a).cmp(pairs(b))
    }
}

/// The order of texts, by symbol.
struct Ranks(Vec<u32>);

impl Ranks {
    #[inline]
    fn of(&self, id: u32) -> u32 {
        self.0.get(id as usize).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// As label sets are ordered, whether the table of symbols is made or not.
        #[test]
        fn in_the_order_of_labels(
            sets in prop::collection::btree_set(prop::collection::btree_map("[a-c]{1,2}", "[x-z]{1,2}", 1..4), 1..40),
            more_symbols: bool,
        ) {
            let mut symbols = Symbols::new(7);
            if more_symbols {
                let many: Vec<String> = (0..1000).map(|n| format!("{n}")).collect();
                many.iter().for_each(|text| _ = symbols.intern_pairs(&[("other", text)], None));
            }
            let sets: Vec<Vec<(String, String)>> = sets.into_iter().map(|set| set.into_iter().collect()).collect();
            let mut all = LabelColumns::default();
            let mut right: Vec<(usize, Vec<(&str, &str)>)> = Vec::new();
            for (slot, set) in sets.iter().enumerate() {
                let pairs: Vec<_> = set.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                // From the last to the first, so that there is something to sort.
                right.insert(0, (slot, pairs));
            }
            for (slot, pairs) in &right {
                all.push(*slot as u32, &symbols.intern_pairs(pairs, None));
            }
            right.sort_by(|a, b| a.1.cmp(&b.1));
            let right: Vec<u32> = right.into_iter().map(|(slot, _)| slot as u32).collect();
            prop_assert_eq!(all.sort(&symbols), right);
        }
    }
}
