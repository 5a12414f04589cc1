//! From numbers in the log to slots. Numbers are given one after the other, so that a scrape's lie in few pages.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hashbrown::HashMap;
use parking_lot::RwLock;

const PAGE_NUMBERS: u64 = 64;

/// The slots of neighbouring numbers, plus 1; 0 = none.
type Page = [AtomicU32; PAGE_NUMBERS as usize];

/// Written by one thread; what it wrote is seen by those that it sends work to.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    pages: RwLock<HashMap<u64, Arc<Page>>>,
}

fn slot_in(page: &Page, number: u64) -> Option<u32> {
    page[(number % PAGE_NUMBERS) as usize].load(Ordering::Relaxed).checked_sub(1)
}

impl Numbers {
    fn page(&self, number: u64) -> Option<Arc<Page>> {
        self.pages.read().get(&(number / PAGE_NUMBERS)).cloned()
    }

    pub fn get(&self, number: u64) -> Option<u32> {
        slot_in(&*self.page(number)?, number)
    }

    pub fn insert(&self, number: u64, slot: u32) {
        let page = self.page(number).unwrap_or_else(|| {
            let new = || Arc::new(std::array::from_fn(|_| AtomicU32::new(0)));
            self.pages.write().entry(number / PAGE_NUMBERS).or_insert_with(new).clone()
        });
        page[(number % PAGE_NUMBERS) as usize].store(slot + 1, Ordering::Relaxed);
    }

    pub fn remove(&self, number: u64) -> Option<u32> {
        let page = self.page(number)?;
        page[(number % PAGE_NUMBERS) as usize].swap(0, Ordering::Relaxed).checked_sub(1)
    }

    /// Shows all numbers and their slots to `visit`.
    pub fn each(&self, mut visit: impl FnMut(u64, u32)) {
        for (page, slots) in &*self.pages.read() {
            for at in 0..PAGE_NUMBERS {
                let number = page * PAGE_NUMBERS + at;
                if let Some(slot) = slot_in(slots, number) {
                    visit(number, slot);
                }
            }
        }
    }
}

/// Looks numbers up for one thread, most of them in the page of the one before.
#[derive(Debug)]
pub(crate) struct Lookup {
    numbers: Arc<Numbers>,
    at: u64,
    page: Option<Arc<Page>>,
}

impl Lookup {
    pub fn new(numbers: Arc<Numbers>) -> Self {
        Self { numbers, at: u64::MAX, page: None }
    }

    #[inline]
    pub fn slot(&mut self, number: u64) -> Option<u32> {
        if self.at != number / PAGE_NUMBERS || self.page.is_none() {
            self.at = number / PAGE_NUMBERS;
            self.page = self.numbers.page(number);
        }
        slot_in(self.page.as_deref()?, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_to_slots_until_they_are_removed() {
        let numbers = Arc::new(Numbers::default());
        let mut lookup = Lookup::new(numbers.clone());
        assert_eq!(lookup.slot(7), None);
        let all = [(0, 3), (7, 0), (63, 9), (64, 7), (u64::MAX, u32::MAX - 1)];
        all.iter().for_each(|(number, slot)| numbers.insert(*number, *slot));
        for (number, slot) in all {
            assert_eq!((lookup.slot(number), numbers.get(number)), (Some(slot), Some(slot)), "{number}");
        }
        let mut seen = Vec::new();
        numbers.each(|number, slot| seen.push((number, slot)));
        seen.sort_unstable();
        assert_eq!(seen, all);
        assert_eq!((numbers.remove(64), numbers.remove(64), lookup.slot(64)), (Some(7), None, None));
    }
}
