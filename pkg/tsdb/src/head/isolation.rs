//! A reader sees the commits that were done before it began, and of others nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Numbers of commits, from 1.
#[derive(Debug)]
pub(crate) struct Isolation {
    state: Mutex<State>,
    /// All commits below are seen by every reader, of now and of later.
    settled: AtomicU64,
}

#[derive(Debug)]
struct State {
    next: u64,
    /// Commits at work.
    open: Vec<u64>,
    /// Readers by the first commit that they may not see.
    readers: BTreeMap<u64, usize>,
}

impl State {
    fn settled(&self) -> u64 {
        let open = self.open.iter().copied().min().unwrap_or(self.next);
        let read = self.readers.keys().next().copied().unwrap_or(self.next);
        open.min(read)
    }
}

impl Default for Isolation {
    fn default() -> Self {
        Self {
            state: Mutex::new(State { next: 1, open: Vec::new(), readers: BTreeMap::new() }),
            settled: AtomicU64::new(1),
        }
    }
}

impl Isolation {
    /// Begins a commit: what is written under its number is seen once it is dropped.
    pub fn begin(self: &Arc<Self>) -> Commit {
        let mut state = self.state.lock();
        let id = state.next;
        state.next += 1;
        state.open.push(id);
        Commit { isolation: self.clone(), id }
    }

    /// Begins reading.
    pub fn snapshot(self: &Arc<Self>) -> Snapshot {
        let mut state = self.state.lock();
        let first_unseen = state.open.iter().copied().min().unwrap_or(state.next);
        *state.readers.entry(first_unseen).or_default() += 1;
        self.settled.store(state.settled(), Ordering::Release);
        Snapshot { isolation: self.clone(), end: state.next, open: state.open.clone(), first_unseen }
    }

    /// Commits below this are seen by all. May lag behind.
    pub fn settled(&self) -> u64 {
        self.settled.load(Ordering::Acquire)
    }

    /// Whether no reader is left that began before the next commit was `mark`. A later one may wait for it too.
    pub fn is_past(&self, mark: u64) -> bool {
        let state = self.state.lock();
        state.readers.keys().next().is_none_or(|first_unseen| *first_unseen > mark)
    }

    /// The number that the next commit gets.
    pub fn next(&self) -> u64 {
        self.state.lock().next
    }
}

/// A commit that is being applied.
#[derive(Debug)]
pub(crate) struct Commit {
    isolation: Arc<Isolation>,
    pub id: u64,
}

impl Drop for Commit {
    fn drop(&mut self) {
        let mut state = self.isolation.state.lock();
        state.open.retain(|id| *id != self.id);
        self.isolation.settled.store(state.settled(), Ordering::Release);
    }
}

/// What a reader sees, until it is dropped.
#[derive(Debug)]
pub(crate) struct Snapshot {
    isolation: Arc<Isolation>,
    /// Commits from here on began later.
    end: u64,
    /// Commits that were at work.
    open: Vec<u64>,
    first_unseen: u64,
}

impl Snapshot {
    #[inline]
    pub fn sees(&self, commit: u64) -> bool {
        commit < self.first_unseen || commit < self.end && !self.open.contains(&commit)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let mut state = self.isolation.state.lock();
        if let Some(readers) = state.readers.get_mut(&self.first_unseen) {
            *readers -= 1;
            if *readers == 0 {
                state.readers.remove(&self.first_unseen);
            }
        }
        self.isolation.settled.store(state.settled(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_see_what_was_done_before() {
        let isolation = Arc::new(Isolation::default());
        let first = isolation.begin();
        let second = isolation.begin();
        let (one, two) = (first.id, second.id);
        drop(second);
        let reader = isolation.snapshot();
        assert!(!reader.sees(one) && reader.sees(two));
        drop(first);
        let third = isolation.begin();
        assert!(!reader.sees(one) && !reader.sees(third.id));
        assert_eq!(isolation.settled(), one, "a reader holds it down");
        let later = isolation.snapshot();
        assert!(later.sees(one) && later.sees(two) && !later.sees(third.id));
        drop(reader);
        assert_eq!(isolation.settled(), third.id);
        drop((later, third));
        assert_eq!(isolation.settled(), isolation.next());
    }
}
