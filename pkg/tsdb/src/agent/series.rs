//! The series that the log has, by number and by the digest of their labels.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_secret};

const SHARDS: u64 = 64;
const SECRET_BYTES: usize = 192;

/// What is known of a series.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    pub digest: u128,
    /// The newest sample; `i64::MIN` = none yet.
    pub newest_ms: i64,
    /// Open transactions that resolved it.
    pub users: u32,
    /// Whether its labels are in the log.
    pub logged: bool,
    /// Of the exemplar that came last; 0 = none.
    pub exemplar: u64,
    /// Of the metadata that came last; 0 = none.
    pub metadata: u64,
}

/// All series.
#[derive(Debug)]
pub(super) struct SeriesMap {
    secret: [u8; SECRET_BYTES],
    by_number: Vec<Mutex<HashMap<u64, State>>>,
    by_digest: Vec<Mutex<HashMap<u128, u64>>>,
    count: AtomicUsize,
    next: AtomicU64,
}

impl SeriesMap {
    pub fn new(seed: u64) -> Self {
        let mut secret = [0; SECRET_BYTES];
        for (n, part) in (0u64..).zip(secret.chunks_exact_mut(8)) {
            part.copy_from_slice(&xxh3_64_with_seed(&n.to_le_bytes(), seed).to_le_bytes());
        }
        Self {
            secret,
            by_number: (0..SHARDS).map(|_| Mutex::default()).collect(),
            by_digest: (0..SHARDS).map(|_| Mutex::default()).collect(),
            count: AtomicUsize::new(0),
            next: AtomicU64::new(1),
        }
    }

    /// The digest of sorted labels.
    pub fn digest<'l>(&self, labels: impl Iterator<Item = (&'l str, &'l str)>, scratch: &mut Vec<u8>) -> u128 {
        scratch.clear();
        for (name, value) in labels {
            for text in [name, value] {
                scratch.extend((text.len() as u32).to_le_bytes());
                scratch.extend(text.as_bytes());
            }
        }
        xxh3_128_with_secret(scratch, &self.secret)
    }

    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn shard(&self, number: u64) -> MutexGuard<'_, HashMap<u64, State>> {
        self.by_number[(number % SHARDS) as usize].lock()
    }

    /// Works on the state of a series; `None` if there is none of this number.
    pub fn with<T>(&self, number: u64, work: impl FnOnce(&mut State) -> T) -> Option<T> {
        self.shard(number).get_mut(&number).map(work)
    }

    /// The series of a digest, used once more; made if there is none and `may_make` says so of the number of series. Also
    /// whether its labels are in the log.
    pub fn use_or_make(&self, digest: u128, may_make: impl FnOnce(usize) -> bool) -> Option<(u64, bool)> {
        let mut index = self.by_digest[(digest % u128::from(SHARDS)) as usize].lock();
        if let Some(number) = index.get(&digest).copied() {
            let logged = self.with(number, |state| {
                state.users += 1;
                state.logged
            });
            if let Some(logged) = logged {
                return Some((number, logged));
            }
        }
        if !may_make(self.count.fetch_add(1, Ordering::Relaxed)) {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let state = State { digest, newest_ms: i64::MIN, users: 1, logged: false, exemplar: 0, metadata: 0 };
        self.shard(number).insert(number, state);
        index.insert(digest, number);
        Some((number, false))
    }

    /// Notes a series of the log under its number. Returns the number that the series has, which is another one if the log
    /// has the same labels twice: the first counts.
    pub fn restore(&self, digest: u128, number: u64) -> u64 {
        self.next.fetch_max(number + 1, Ordering::Relaxed);
        let mut index = self.by_digest[(digest % u128::from(SHARDS)) as usize].lock();
        let known = *index.entry(digest).or_insert(number);
        if known == number {
            let state = State { digest, newest_ms: i64::MIN, users: 0, logged: true, exemplar: 0, metadata: 0 };
            if self.shard(number).insert(number, state).is_none() {
                self.count.fetch_add(1, Ordering::Relaxed);
            }
        }
        known
    }

    /// Forgets all series that `gone` says, unless somebody uses them; their numbers.
    pub fn forget(&self, gone: impl Fn(&State) -> bool) -> Vec<u64> {
        let mut forgotten = Vec::new();
        for index in &self.by_digest {
            // Both locks are held, so that nobody finds a number without a state.
            let mut index = index.lock();
            index.retain(|_, number| {
                let mut shard = self.shard(*number);
                let is_gone = shard.get(number).is_none_or(|state| state.users == 0 && gone(state));
                if is_gone {
                    shard.remove(number);
                    forgotten.push(*number);
                }
                !is_gone
            });
        }
        self.count.fetch_sub(forgotten.len(), Ordering::Relaxed);
        forgotten
    }

    /// Forgets series whose labels never came into the log.
    pub fn forget_unlogged(&self, numbers: &[u64]) {
        for number in numbers {
            let Some(digest) = self.with(*number, |state| (!state.logged).then_some(state.digest)).flatten() else {
                continue;
            };
            let mut index = self.by_digest[(digest % u128::from(SHARDS)) as usize].lock();
            let mut shard = self.shard(*number);
            if shard.get(number).is_some_and(|state| !state.logged && state.users == 0) {
                shard.remove(number);
                index.remove(&digest);
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Whether there is a series of this number.
    pub fn has(&self, number: u64) -> bool {
        self.shard(number).contains_key(&number)
    }
}
