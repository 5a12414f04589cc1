//! What series raw label bytes stand for, so that a series that is known is found without reading its labels.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::RwLock;
use storage::append::SeriesRef;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_secret};

/// So many requests can note series at one time.
const SHARDS: usize = 64;
const SECRET_BYTES: usize = 192;

/// Hashes bytes with a key that senders do not know, so that none can make two series look like one.
#[derive(Debug)]
pub struct Hasher {
    secret: [u8; SECRET_BYTES],
}

impl Hasher {
    /// A hasher whose key is made of `seed`, a random number.
    pub fn new(seed: u64) -> Self {
        let mut secret = [0; SECRET_BYTES];
        for (n, part) in (0u64..).zip(secret.chunks_exact_mut(8)) {
            part.copy_from_slice(&xxh3_64_with_seed(&n.to_le_bytes(), seed).to_le_bytes());
        }
        Self { secret }
    }

    /// The digest of bytes.
    #[inline]
    pub fn digest(&self, bytes: &[u8]) -> u128 {
        xxh3_128_with_secret(bytes, &self.secret)
    }
}

/// What is known of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its reference in the store.
    pub series: SeriesRef,
    /// Digest of the metadata that was noted last for it; 0 = none.
    pub metadata: u64,
}

/// Series by the digest of their labels. It holds a bounded number of them: of each shard's two tables the older one is
/// dropped when the newer one is full, and what is asked for moves to the newer one.
#[derive(Debug)]
pub struct SeriesCache {
    shards: Vec<RwLock<Shard>>,
    /// Entries of one table at most.
    table_max: usize,
}

#[derive(Debug, Default)]
struct Shard {
    new: Table,
    old: Table,
}

type Table = HashTable<(u128, Known)>;

/// The digest is a hash already.
fn hash_of(digest: u128) -> u64 {
    (digest >> 64) as u64
}

impl SeriesCache {
    /// A cache of at most about `series_max` series.
    pub fn new(series_max: usize) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        Self { shards, table_max: (series_max / SHARDS / 2).max(1) }
    }

    fn shard(&self, digest: u128) -> &RwLock<Shard> {
        // Bits that the tables do not use first.
        &self.shards[digest as usize % SHARDS]
    }

    /// What is known of the series with this digest.
    #[inline]
    pub fn get(&self, digest: u128) -> Option<Known> {
        let shard = self.shard(digest);
        {
            let shard = shard.read();
            if let Some((_, known)) = shard.new.find(hash_of(digest), |(d, _)| *d == digest) {
                return Some(*known);
            }
            if shard.old.is_empty() {
                return None;
            }
        }
        let mut shard = shard.write();
        let found = shard.old.find(hash_of(digest), |(d, _)| *d == digest).map(|(_, known)| *known)?;
        shard.put(digest, found, self.table_max);
        Some(found)
    }

    /// Notes a series.
    pub fn put(&self, digest: u128, known: Known) {
        self.shard(digest).write().put(digest, known, self.table_max);
    }

    /// Forgets a series that the store no longer has.
    pub fn remove(&self, digest: u128) {
        let mut shard = self.shard(digest).write();
        let Shard { new, old } = &mut *shard;
        for table in [new, old] {
            if let Ok(found) = table.find_entry(hash_of(digest), |(d, _)| *d == digest) {
                found.remove();
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|s| s.read().new.len() + s.read().old.len()).sum()
    }
}

impl Shard {
    fn put(&mut self, digest: u128, known: Known, table_max: usize) {
        if self.new.len() >= table_max {
            // A table that was full keeps its room for the next round.
            std::mem::swap(&mut self.new, &mut self.old);
            self.new.clear();
        }
        match self.new.entry(hash_of(digest), |(d, _)| *d == digest, |(d, _)| hash_of(*d)) {
            Entry::Occupied(mut found) => found.get_mut().1 = known,
            Entry::Vacant(vacant) => {
                vacant.insert((digest, known));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(number: u64) -> Known {
        Known { series: SeriesRef(number), metadata: 0 }
    }

    #[test]
    fn bounded_and_keeps_what_is_used() {
        let (hasher, cache) = (Hasher::new(7), SeriesCache::new(1280));
        let digest = |n: u64| hasher.digest(&n.to_le_bytes());
        for n in 0..100_000 {
            cache.put(digest(n), known(n));
            // This one is in every request.
            if cache.get(digest(0)) != Some(known(0)) {
                panic!("lost after {n}");
            }
        }
        assert!(cache.len() <= 1280, "{}", cache.len());
        assert_eq!(cache.get(digest(99_999)), Some(known(99_999)));
        assert_eq!(cache.get(digest(50)), None);
        cache.remove(digest(0));
        assert_eq!(cache.get(digest(0)), None);
    }

    #[test]
    fn the_key_matters() {
        assert_ne!(Hasher::new(1).digest(b"up"), Hasher::new(2).digest(b"up"));
        assert_ne!(Hasher::new(1).digest(&[b'a'; 300]), Hasher::new(2).digest(&[b'a'; 300]));
    }
}
