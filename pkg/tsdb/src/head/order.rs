//! The order of series by their labels, kept as a rank for each slot: most results are sorted by comparing numbers.

use std::sync::atomic::Ordering as Atomic;

use super::core::Core;
use super::ranks::Order;
use super::symbols::{LabelIds, Symbols};

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
        let mut more: Vec<(u32, LabelIds)> = more.iter().filter_map(|slot| Some((*slot, self.ids(*slot)?))).collect();
        more.sort_unstable_by(|(_, a), (_, b)| symbols.compare(a, b));
        let mut all = Vec::with_capacity(sorted.len() + more.len());
        let mut from = 0;
        for (slot, ids) in more {
            let to = from + self.first_after(&symbols, &sorted[from..], &ids);
            all.extend_from_slice(&sorted[from..to]);
            all.push(slot);
            from = to;
        }
        all.extend_from_slice(&sorted[from..]);
        all
    }

    /// How many of sorted slots come before `ids`. A slot whose series is gone counts as before: it is nowhere shown.
    fn first_after(&self, symbols: &Symbols, sorted: &[u32], ids: &LabelIds) -> usize {
        let before = |slot: u32| self.ids(slot).is_none_or(|other| symbols.compare(&other, ids).is_lt());
        // New series come together: look nearby first.
        let mut step = 1;
        while step < sorted.len() && before(sorted[step - 1]) {
            step *= 2;
        }
        let begin = step / 2;
        let end = step.min(sorted.len());
        begin + sorted[begin..end].partition_point(|slot| before(*slot))
    }

    fn ids(&self, slot: u32) -> Option<LabelIds> {
        Some(self.slab.lock(slot)?.labels.clone())
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
