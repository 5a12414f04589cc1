//! Slots of series by number. Slots are found without a lock and never move.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};
use storage::append::SeriesRef;

use super::series::Series;

const LEAF_BITS: u32 = 9;
const MID_BITS: u32 = 11;
const LEAF: usize = 1 << LEAF_BITS;
const MID: usize = 1 << MID_BITS;
const TOP: usize = 1 << (32 - LEAF_BITS - MID_BITS);

type Leaf = Box<[Mutex<Series>]>;
type Mid = Box<[OnceLock<Leaf>]>;

#[derive(Debug)]
pub(crate) struct Slab {
    top: Box<[OnceLock<Mid>]>,
    numbers: Mutex<Numbers>,
    leaves: AtomicUsize,
}

#[derive(Debug, Default)]
struct Numbers {
    next: u32,
    free: Vec<u32>,
    /// Freed slots that a reader may still have in its hands, by the first commit that no such reader sees.
    resting: VecDeque<(u64, u32)>,
}

/// A reference as writers have it: the slot, and how often it was used before.
pub(crate) fn reference(slot: u32, generation: u32) -> SeriesRef {
    SeriesRef(u64::from(generation) << 32 | u64::from(slot))
}

impl Slab {
    pub fn new() -> Self {
        Self {
            top: (0..TOP).map(|_| OnceLock::new()).collect(),
            numbers: Mutex::default(),
            leaves: AtomicUsize::new(0),
        }
    }

    pub fn get(&self, slot: u32) -> Option<&Mutex<Series>> {
        let mid = self.top.get((slot >> (LEAF_BITS + MID_BITS)) as usize)?.get()?;
        let leaf = mid.get((slot >> LEAF_BITS) as usize & (MID - 1))?.get()?;
        leaf.get(slot as usize & (LEAF - 1))
    }

    /// The series of a slot, if there is one.
    pub fn lock(&self, slot: u32) -> Option<MutexGuard<'_, Series>> {
        let series = self.get(slot)?.lock();
        series.is_live().then_some(series)
    }

    /// The series of a reference, if it is still that one.
    #[inline]
    pub fn find(&self, series: SeriesRef) -> Option<MutexGuard<'_, Series>> {
        let found = self.lock(series.0 as u32)?;
        (found.generation == (series.0 >> 32) as u32).then_some(found)
    }

    /// The number of a slot without a series. `None` when all 2^32 are taken.
    pub fn allocate(&self, oldest_reader: u64) -> Option<u32> {
        let mut numbers = self.numbers.lock();
        while numbers.resting.front().is_some_and(|(until, _)| *until < oldest_reader) {
            let rested = numbers.resting.pop_front();
            numbers.free.extend(rested.map(|(_, slot)| slot));
        }
        if let Some(slot) = numbers.free.pop() {
            return Some(slot);
        }
        let slot = numbers.next;
        numbers.next = slot.checked_add(1)?;
        let mid = self.top.get((slot >> (LEAF_BITS + MID_BITS)) as usize)?;
        let mid = mid.get_or_init(|| (0..MID).map(|_| OnceLock::new()).collect());
        mid.get((slot >> LEAF_BITS) as usize & (MID - 1))?.get_or_init(|| {
            self.leaves.fetch_add(1, Ordering::Relaxed);
            (0..LEAF).map(|_| Mutex::default()).collect()
        });
        Some(slot)
    }

    /// Gives slots back that hold no series any more. Readers that began before commit `until` may still look at them.
    pub fn free(&self, slots: &[u32], until: u64) {
        self.numbers.lock().resting.extend(slots.iter().map(|slot| (until, *slot)));
    }

    /// One more than the largest number that was ever given.
    pub fn end(&self) -> u32 {
        self.numbers.lock().next
    }

    pub fn size_bytes(&self) -> usize {
        self.leaves.load(Ordering::Relaxed) * (LEAF * size_of::<Mutex<Series>>()) + TOP * size_of::<OnceLock<Mid>>()
    }
}
