//! From label sets to slots.

use hashbrown::HashTable;
use parking_lot::RwLock;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const STRIPES: usize = 64;

/// A slot and 32 bits of the hash of its labels, which are enough to place it.
type Entry = (u32, u32);

#[derive(Debug)]
pub(crate) struct Index {
    stripes: Box<[RwLock<HashTable<Entry>>]>,
    seed: u64,
}

/// The hash of a label set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LabelHash(u64);

impl LabelHash {
    fn tag(self) -> u32 {
        self.0 as u32
    }

    /// What the cut points of a series are spread by.
    pub fn spread(self) -> u8 {
        (self.0 >> 48) as u8
    }
}

fn place(tag: u32) -> u64 {
    u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// One part of the index. Locked before the slots it leads to.
pub(crate) type Stripe = RwLock<HashTable<Entry>>;

impl Index {
    pub fn new(seed: u64) -> Self {
        Self { stripes: (0..STRIPES).map(|_| RwLock::default()).collect(), seed }
    }

    /// The hash of sorted pairs. `scratch` is overwritten.
    pub fn hash<'a>(&self, pairs: impl Iterator<Item = (&'a str, &'a str)>, scratch: &mut Vec<u8>) -> LabelHash {
        scratch.clear();
        for (name, value) in pairs {
            // No label text has this byte, so that no two sets make the same text.
            scratch.extend_from_slice(name.as_bytes());
            scratch.push(0xff);
            scratch.extend_from_slice(value.as_bytes());
            scratch.push(0xff);
        }
        LabelHash(xxh3_64_with_seed(scratch, self.seed))
    }

    pub fn stripe(&self, hash: LabelHash) -> &Stripe {
        &self.stripes[Self::stripe_number(hash)]
    }

    pub fn stripe_number(hash: LabelHash) -> usize {
        (hash.0 >> 58) as usize % STRIPES
    }

    pub fn find(stripe: &HashTable<Entry>, hash: LabelHash, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = hash.tag();
        stripe.find(place(tag), |(slot, t)| *t == tag && is(*slot)).map(|(slot, _)| *slot)
    }

    pub fn insert(stripe: &mut HashTable<Entry>, hash: LabelHash, slot: u32) {
        stripe.insert_unique(place(hash.tag()), (slot, hash.tag()), |(_, tag)| place(*tag));
    }

    pub fn remove(stripe: &mut HashTable<Entry>, hash: LabelHash, slot: u32) {
        if let Ok(entry) = stripe.find_entry(place(hash.tag()), |(s, _)| *s == slot) {
            entry.remove();
        }
    }

    pub fn size_bytes(&self) -> usize {
        self.stripes.iter().map(|s| s.read().capacity() * (size_of::<Entry>() + 1)).sum()
    }
}
