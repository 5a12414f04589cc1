//! A map bounded by bytes, small for each entry: what costs most with many small entries is not their data but what a
//! cache keeps beside it.
//!
//! Entries lie in vectors, found by a table of their numbers. The oldest makes way, unless it was used since the hand
//! last passed (CLOCK), so that reading something once does not drive out what is read often.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::Mutex;

/// Parts with a lock each.
const SHARDS: usize = 16;
/// What the table of numbers takes for an entry, bytes, when it is as full as it usually is.
const TABLE_BYTES: usize = 8;

#[derive(Debug)]
struct Slot<K, V> {
    key: K,
    /// `None` where the slot is free.
    value: Option<V>,
    bytes: u32,
    used: bool,
}

#[derive(Debug)]
struct Shard<K, V> {
    table: HashTable<u32>,
    slots: Vec<Slot<K, V>>,
    free: Vec<u32>,
    hand: usize,
}

/// The map. `K` is small and cheap to clone.
#[derive(Debug)]
pub(crate) struct ClockCache<K, V> {
    shards: Vec<Mutex<Shard<K, V>>>,
    hasher: DefaultHashBuilder,
    max_bytes: u64,
    bytes: AtomicU64,
    next: AtomicUsize,
}

impl<K: Hash + Eq + Clone, V> ClockCache<K, V> {
    /// What an entry takes beside its value's own memory, bytes.
    pub(crate) const OVERHEAD_BYTES: usize = size_of::<Slot<K, V>>() + TABLE_BYTES;

    /// An empty map of at most `max_bytes`.
    pub(crate) fn new(max_bytes: u64) -> Self {
        let shard = || Mutex::new(Shard { table: HashTable::new(), slots: Vec::new(), free: Vec::new(), hand: 0 });
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher: DefaultHashBuilder::default(),
            max_bytes,
            bytes: AtomicU64::new(0),
            next: AtomicUsize::new(0),
        }
    }

    /// Bytes held, overhead included.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes that it may hold.
    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Drops the value of `key`.
    pub(crate) fn remove(&self, key: &K) {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash).lock();
        let Shard { table, slots, free, .. } = &mut *shard;
        let Ok(found) = table.find_entry(hash, |at| slots[*at as usize].key == *key) else { return };
        let (at, _) = found.remove();
        let slot = &mut slots[at as usize];
        slot.value = None;
        self.bytes.fetch_sub(u64::from(slot.bytes), Ordering::Relaxed);
        free.push(at);
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard<K, V>> {
        // The table takes the other bits.
        &self.shards[(hash >> 40) as usize % SHARDS]
    }

    /// What `read` makes of the value of `key`, which must be quick: the value's part of the map waits.
    pub(crate) fn with<T>(&self, key: &K, read: impl FnOnce(&V) -> T) -> Option<T> {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash).lock();
        let shard = &mut *shard;
        let at = *shard.table.find(hash, |at| shard.slots[*at as usize].key == *key)?;
        let slot = &mut shard.slots[at as usize];
        slot.used = true;
        slot.value.as_ref().map(read)
    }

    /// Keeps `value`, whose own memory is `bytes`; `evicted` is told of each that makes way.
    pub(crate) fn insert(&self, key: K, value: V, bytes: usize, mut evicted: impl FnMut(&K)) {
        let Ok(bytes) = u32::try_from(bytes + Self::OVERHEAD_BYTES) else { return };
        let hash = self.hasher.hash_one(&key);
        {
            let mut shard = self.shard(hash).lock();
            let shard = &mut *shard;
            let found = shard.table.find(hash, |at| shard.slots[*at as usize].key == key).copied();
            let before = match found {
                Some(at) => {
                    let slot = &mut shard.slots[at as usize];
                    slot.value = Some(value);
                    std::mem::replace(&mut slot.bytes, bytes)
                }
                None => {
                    let slot = Slot { key, value: Some(value), bytes, used: false };
                    let Some(at) = shard.put(slot) else { return };
                    let slots = &shard.slots;
                    shard.table.insert_unique(hash, at, |at| self.hasher.hash_one(&slots[*at as usize].key));
                    0
                }
            };
            self.bytes.fetch_add(u64::from(bytes), Ordering::Relaxed);
            self.bytes.fetch_sub(u64::from(before), Ordering::Relaxed);
        }
        let mut empty = 0;
        while self.size_bytes() > self.max_bytes && empty < 2 * SHARDS {
            let at = self.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
            match self.evict(&mut self.shards[at].lock()) {
                Some(key) => {
                    evicted(&key);
                    empty = 0;
                }
                None => empty += 1,
            }
        }
    }

    /// Drops one entry that was not used since the hand last passed.
    fn evict(&self, shard: &mut Shard<K, V>) -> Option<K> {
        // Once around; where all were used, their marks are off now, and another part of the map gives something up.
        for _ in 0..shard.slots.len() {
            shard.hand = if shard.hand + 1 < shard.slots.len() { shard.hand + 1 } else { 0 };
            let slot = &mut shard.slots[shard.hand];
            if slot.value.is_none() || std::mem::take(&mut slot.used) {
                continue;
            }
            slot.value = None;
            self.bytes.fetch_sub(u64::from(slot.bytes), Ordering::Relaxed);
            let key = slot.key.clone();
            let at = shard.hand as u32;
            if let Ok(found) = shard.table.find_entry(self.hasher.hash_one(&key), |n| *n == at) {
                found.remove();
            }
            shard.free.push(at);
            return Some(key);
        }
        None
    }
}

impl<K, V> Shard<K, V> {
    /// Stores `slot`; its number, or `None` when there are no more numbers.
    fn put(&mut self, slot: Slot<K, V>) -> Option<u32> {
        if let Some(at) = self.free.pop() {
            self.slots[at as usize] = slot;
            return Some(at);
        }
        let at = u32::try_from(self.slots.len()).ok()?;
        if self.slots.len() == self.slots.capacity() {
            // By a quarter, not to the double: what is reserved is memory too.
            self.slots.reserve_exact(self.slots.len() / 4 + 16);
        }
        self.slots.push(slot);
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_no_more_than_it_may() {
        let cache = ClockCache::<u64, Box<[u8]>>::new(20_000);
        let mut gone = 0;
        for key in 0..1000 {
            cache.insert(key, vec![key as u8; 100].into(), 100, |_| gone += 1);
            assert!(cache.size_bytes() <= 20_000, "{}", cache.size_bytes());
        }
        let kept: Vec<u64> = (0..1000).filter(|key| cache.with(key, |v| v[0] == *key as u8) == Some(true)).collect();
        assert_eq!(kept.len() + gone, 1000);
        let entry = 100 + ClockCache::<u64, Box<[u8]>>::OVERHEAD_BYTES;
        assert_eq!(cache.size_bytes(), (kept.len() * entry) as u64);
        assert!(kept.len() >= 20_000 / entry - 1, "{}", kept.len());
    }

    #[test]
    fn what_is_used_stays() {
        let cache = ClockCache::<u64, u64>::new(16 * 1024);
        for key in 0..20_000 {
            cache.insert(key, key, 64, |_| {});
            assert_eq!(cache.with(&0, |v| *v), Some(0), "after {key}");
        }
    }

    #[test]
    fn a_value_put_again_counts_once() {
        let cache = ClockCache::<u64, u64>::new(1 << 20);
        for value in 0..10 {
            cache.insert(7, value, 1000, |_| {});
        }
        assert_eq!(cache.with(&7, |v| *v), Some(9));
        assert_eq!(cache.size_bytes(), 1000 + ClockCache::<u64, u64>::OVERHEAD_BYTES as u64);
    }

    #[test]
    fn what_is_removed_makes_room() {
        let cache = ClockCache::<u64, u64>::new(1 << 20);
        cache.insert(7, 1, 1000, |_| {});
        cache.remove(&7);
        cache.remove(&8);
        assert_eq!((cache.with(&7, |v| *v), cache.size_bytes()), (None, 0));
        cache.insert(9, 2, 1000, |_| {});
        cache.insert(7, 3, 1000, |_| {});
        assert_eq!((cache.with(&7, |v| *v), cache.with(&9, |v| *v)), (Some(3), Some(2)));
    }

    #[test]
    fn larger_than_all() {
        let cache = ClockCache::<u64, u64>::new(500);
        cache.insert(1, 1, 10_000, |_| {});
        assert_eq!((cache.with(&1, |v| *v), cache.size_bytes()), (None, 0));
    }
}
