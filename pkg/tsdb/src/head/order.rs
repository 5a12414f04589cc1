//! The order of series by their labels, kept as a rank for each slot: most results are sorted by comparing numbers.

use std::sync::atomic::Ordering as Atomic;

use super::core::Core;
use super::label_columns::LabelColumns;
use super::ranks::Order;
use super::symbols::Symbols;

/// Series without a rank from which on all are ranked again, and the share of all series.
const NEW_MIN: usize = 512;
const NEW_SHARE: usize = 32;

impl Core {
    /// Sorts slots by the labels of their series. Slots without a series are left out.
    pub fn sort_by_labels(&self, slots: &[u32]) -> Vec<u32> {
        let mut ranked: Vec<(u32, u32)> = Vec::with_capacity(slots.len());
        let mut unranked = Vec::new();
        let order = self.order.read();
        for slot in slots {
            match order.rank(*slot) {
                0 => unranked.push(*slot),
                rank => ranked.push((rank, *slot)),
            }
        }
        drop(order);
        ranked.sort_unstable();
        let ranked: Vec<u32> = ranked.into_iter().map(|(_, slot)| slot).collect();
        if unranked.is_empty() { ranked } else { self.merge(ranked, &unranked) }
    }

    /// Merges slots in any order into sorted ones.
    fn merge(&self, sorted: Vec<u32>, more: &[u32]) -> Vec<u32> {
        let symbols = self.symbols.read();
        let more = self.sorted(&symbols, more);
        let mut all = Vec::with_capacity(sorted.len() + more.len());
        let mut from = 0;
        for slot in more {
            // A slot whose series is gone is nowhere shown.
            let to = if from < sorted.len() { from + self.first_after(&symbols, &sorted[from..], slot) } else { from };
            all.extend_from_slice(&sorted[from..to]);
            all.push(slot);
            from = to;
        }
        all.extend_from_slice(&sorted[from..]);
        all
    }

    /// Slots by their labels, in order.
    fn sorted(&self, symbols: &Symbols, slots: &[u32]) -> Vec<u32> {
        let mut all = LabelColumns::default();
        for slot in slots {
            if let Some(series) = self.slab.lock(*slot) {
                all.push(*slot, &series.labels);
            }
        }
        all.sort(symbols)
    }

    /// How many of sorted slots come before `slot`. One whose series is gone counts as before.
    fn first_after(&self, symbols: &Symbols, sorted: &[u32], slot: u32) -> usize {
        let Some(ids) = self.slab.lock(slot).map(|series| series.labels.clone()) else { return 0 };
        let before = |slot: u32| self.slab.lock(slot).is_none_or(|other| symbols.compare(&other.labels, &ids).is_lt());
        // New series come together: look nearby first.
        let mut step = 1;
        while step < sorted.len() && before(sorted[step - 1]) {
            step *= 2;
        }
        let begin = step / 2;
        let end = step.min(sorted.len());
        begin + sorted[begin..end].partition_point(|slot| before(*slot))
    }

    /// Ranks the series that have none, once they are many. Called from the background, with `maintenance` held.
    pub fn rank_new_series(&self) {
        let unranked = self.counts.unranked.load(Atomic::Relaxed);
        let series = self.counts.series.load(Atomic::Relaxed);
        if unranked < (NEW_MIN + series / NEW_SHARE) as i64 {
            return;
        }
        let all = self.postings.read().all().to_vec();
        let ranked = {
            let order = self.order.read();
            all.iter().filter(|slot| order.rank(**slot) == 0).count()
        };
        self.counts.unranked.fetch_sub(ranked as i64, Atomic::Relaxed);
        let sorted = self.sort_by_labels(&all);
        let mut ranks = vec![0; self.slab.end() as usize];
        for (rank, slot) in sorted.iter().enumerate() {
            if let Some(place) = ranks.get_mut(*slot as usize) {
                *place = rank as u32 + 1;
            }
        }
        *self.order.write() = Order::new(ranks);
    }
}
