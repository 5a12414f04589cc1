//! What a target's series were at the scrapes before, so that the labels of a series are read once.
//!
//! A series is known by a digest of the bytes that name it in the body. The digest is keyed with a secret of the process, so
//! that no target can make two series that look like one; their number is part of it. Bodies come in nearly the same order
//! every time: the entry that followed the last one in the scrape before is tried first.

use hashbrown::HashTable;
use storage::append::SeriesRef;
use textparse::Format;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// A series that is in no store yet, or not any more.
const UNRESOLVED: u64 = u64::MAX;
/// A series that relabelling drops.
const DROPPED: u64 = u64::MAX - 1;

/// A marker is due when the series disappears: its samples carry the scrape's time, and the last one was stored. There are
/// two of these flags, of which the current one tells of the last scrape that succeeded, the other one of the scrape that is
/// being read; one that fails changes nothing.
const LIVE: [u32; 2] = [1, 2];
/// Its last sample was a histogram.
const HISTOGRAM: u32 = 4;
/// It outlives a scrape that fails.
const KEPT: u32 = 8;
const FLAGS: u32 = 15;
const GENERATION_SHIFT: u32 = 4;

/// Series of scrapes that failed which are remembered, beyond twice as many as the last one had that succeeded.
const LEFT_MAX: usize = 1000;

/// Where a digest has the number of bytes, and the most that is told.
const BYTES_SHIFT: u32 = 112;
const BYTES_MAX: usize = 0xffff;

/// An entry of a [`Cache`], by number.
pub(crate) type Id = u32;

#[derive(Debug, Clone, Copy)]
struct Entry {
    key: u128,
    /// A [`SeriesRef`] or one of the values above.
    series: u64,
    /// The last scrape that had it, and flags below.
    seen: u32,
    /// Where it stands in the order of that scrape.
    position: u32,
}

/// What is known of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// Its reference.
    Series(SeriesRef),
    /// Nothing: its labels must be read.
    Unresolved,
    /// Relabelling drops it.
    Dropped,
}

/// A series of a scrape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) id: Id,
    /// It was no series of the scrapes before.
    pub(crate) is_new: bool,
    /// This scrape had it before.
    pub(crate) is_repeated: bool,
}

/// A series that has disappeared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) series: SeriesRef,
    pub(crate) is_histogram: bool,
}

#[derive(Debug)]
pub(crate) struct Cache {
    seed: u64,
    entries: Vec<Entry>,
    free: Vec<Id>,
    by_key: HashTable<Id>,
    /// Of the last scrape that succeeded.
    order: Vec<Id>,
    /// Of the scrape that is being read.
    next: Vec<Id>,
    /// Which entry of `order` is expected.
    cursor: usize,
    /// The formats of the bodies that `order` and `next` come from.
    formats: (Option<Format>, Option<Format>),
    /// Entries that this scrape has made.
    made: Vec<Id>,
    /// Entries that scrapes which failed have made since the last one that succeeded: they are new only once.
    left: Vec<Id>,
    generation: u32,
    /// Which flag of [`LIVE`] is the current one.
    current: usize,
}

impl Cache {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            entries: Vec::new(),
            free: Vec::new(),
            by_key: HashTable::new(),
            order: Vec::new(),
            next: Vec::new(),
            cursor: 0,
            formats: (None, None),
            made: Vec::new(),
            left: Vec::new(),
            generation: 0,
            current: 0,
        }
    }

    /// How many series it knows.
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Begins a scrape whose body has this format.
    pub(crate) fn begin(&mut self, format: Format) {
        self.formats.1 = Some(format);
        self.generation = (self.generation + 1) & (u32::MAX >> GENERATION_SHIFT);
        self.cursor = 0;
        self.next.clear();
        self.made.clear();
    }

    /// The digest of a series' bytes. `context` is what else makes it another series.
    #[inline]
    pub(crate) fn digest(&self, bytes: &[u8], context: u64) -> u128 {
        let digest = xxh3_128_with_seed(bytes, self.seed ^ context);
        digest & (u128::MAX >> (128 - BYTES_SHIFT)) | (bytes.len().min(BYTES_MAX) as u128) << BYTES_SHIFT
    }

    /// How many bytes the series that is expected next has in a body of the same format; 0 where that is not known.
    #[inline]
    pub(crate) fn expected_bytes(&self) -> usize {
        let expected = self.order.get(self.cursor).and_then(|id| self.entry(*id));
        let bytes = expected.map_or(0, |entry| (entry.key >> BYTES_SHIFT) as usize);
        if self.formats.0 == self.formats.1 && bytes < BYTES_MAX { bytes } else { 0 }
    }

    /// Whether a series whose labels need not be read is expected next, and this is its digest.
    #[inline]
    pub(crate) fn expects(&self, key: u128) -> bool {
        let expected = self.order.get(self.cursor).and_then(|id| self.entry(*id));
        expected.is_some_and(|entry| entry.key == key && entry.series != UNRESOLVED)
    }

    /// The entry of a series of this scrape, made if there is none.
    #[inline]
    pub(crate) fn look_up(&mut self, key: u128) -> Found {
        let predicted = self.order.get(self.cursor).copied();
        let id = match predicted {
            Some(id) if self.entries.get(id as usize).is_some_and(|entry| entry.key == key) => {
                self.cursor += 1;
                Some(id)
            }
            _ => self.search(key),
        };
        let position = self.next.len() as u32;
        let generation = self.generation;
        let Some((id, entry)) = id.and_then(|id| self.entries.get_mut(id as usize).map(|entry| (id, entry))) else {
            let id = self.make(key);
            return Found { id, is_new: true, is_repeated: false };
        };
        let is_repeated = entry.seen >> GENERATION_SHIFT == generation;
        if !is_repeated {
            entry.seen = generation << GENERATION_SHIFT | entry.seen & FLAGS;
            entry.position = position;
            self.next.push(id);
        }
        Found { id, is_new: false, is_repeated }
    }

    /// The entry of a series, wherever it stands.
    pub(crate) fn find(&self, key: u128) -> Option<Id> {
        self.by_key.find(key as u64, |id| self.entry(*id).is_some_and(|entry| entry.key == key)).copied()
    }

    #[cold]
    fn search(&mut self, key: u128) -> Option<Id> {
        let id = self.find(key)?;
        let position = self.entry(id).map_or(usize::MAX, |entry| entry.position as usize);
        // What follows it in the order of the scrape before is expected next.
        if self.order.get(position) == Some(&id) {
            self.cursor = position + 1;
        }
        Some(id)
    }

    #[cold]
    fn make(&mut self, key: u128) -> Id {
        let entry = Entry {
            key,
            series: UNRESOLVED,
            seen: self.generation << GENERATION_SHIFT,
            position: self.next.len() as u32,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id as usize] = entry;
                id
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as Id - 1
            }
        };
        let entries = &self.entries;
        self.by_key.insert_unique(key as u64, id, |id| entries[*id as usize].key as u64);
        self.next.push(id);
        self.made.push(id);
        id
    }

    fn entry(&self, id: Id) -> Option<&Entry> {
        self.entries.get(id as usize)
    }

    fn remove(&mut self, id: Id) {
        let Some(key) = self.entry(id).map(|entry| entry.key) else { return };
        if let Ok(found) = self.by_key.find_entry(key as u64, |other| *other == id) {
            found.remove();
            self.free.push(id);
        }
    }

    #[inline]
    pub(crate) fn known(&self, id: Id) -> Known {
        match self.entry(id).map_or(UNRESOLVED, |entry| entry.series) {
            UNRESOLVED => Known::Unresolved,
            DROPPED => Known::Dropped,
            series => Known::Series(SeriesRef(series)),
        }
    }

    pub(crate) fn key(&self, id: Id) -> Option<u128> {
        self.entry(id).map(|entry| entry.key)
    }

    pub(crate) fn set_series(&mut self, id: Id, series: SeriesRef) {
        self.set(id, series.0);
    }

    pub(crate) fn set_dropped(&mut self, id: Id) {
        self.set(id, DROPPED);
    }

    /// The store does not know the reference any more.
    pub(crate) fn forget_series(&mut self, id: Id) {
        self.set(id, UNRESOLVED);
    }

    /// Labels mean something else now: all series must be read again. Those that do not come again get their markers.
    pub(crate) fn forget_all(&mut self) {
        // Under other digests none of them is recognised; they disappear with the next scrape.
        self.seed = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    }

    fn set(&mut self, id: Id, series: u64) {
        if let Some(entry) = self.entries.get_mut(id as usize) {
            entry.series = series;
        }
    }

    /// A series that is not new again if the scrape fails.
    #[cold]
    pub(crate) fn keep(&mut self, id: Id) {
        if let Some(entry) = self.entries.get_mut(id as usize) {
            entry.seen |= KEPT;
        }
    }

    /// Notes a sample: whether it was a histogram, and whether a marker is due when the series disappears.
    #[inline]
    pub(crate) fn note(&mut self, id: Id, is_histogram: bool, is_tracked: bool) {
        let live = LIVE[1 - self.current];
        if let Some(entry) = self.entries.get_mut(id as usize) {
            let flags = (if is_tracked { live } else { 0 }) | (if is_histogram { HISTOGRAM } else { 0 });
            entry.seen = entry.seen & !(live | HISTOGRAM) | flags;
        }
    }

    /// Ends a scrape that succeeded: forgets the series that it did not have, and tells those that markers are due for.
    pub(crate) fn succeed(&mut self) -> Vec<Gone> {
        let mut gone = Vec::new();
        if self.next.len() < self.by_key.len() {
            let generation = self.generation;
            let ids: Vec<Id> = self.by_key.iter().copied().collect();
            for id in ids {
                let Some(entry) = self.entry(id).copied() else { continue };
                if entry.seen >> GENERATION_SHIFT != generation {
                    gone.extend(marker(&entry, LIVE[self.current]));
                    self.remove(id);
                }
            }
            self.shrink();
        }
        std::mem::swap(&mut self.order, &mut self.next);
        self.formats.0 = self.formats.1;
        self.made.clear();
        self.left.clear();
        self.current = 1 - self.current;
        gone
    }

    /// Ends a scrape that failed: all series that markers are due for have disappeared.
    pub(crate) fn fail(&mut self) -> Vec<Gone> {
        for id in std::mem::take(&mut self.made) {
            match self.entry(id) {
                Some(entry) if entry.seen & KEPT != 0 => self.left.push(id),
                _ => self.remove(id),
            }
        }
        self.forget_left();
        self.next.clear();
        let mut gone = Vec::new();
        for id in &self.order {
            if let Some(entry) = self.entries.get_mut(*id as usize) {
                gone.extend(marker(entry, LIVE[self.current]));
                entry.seen &= !LIVE[self.current];
            }
        }
        gone
    }

    /// A target that never succeeds must not fill the memory with series that change all the time.
    fn forget_left(&mut self) {
        if self.by_key.len() <= self.order.len() * 2 + LEFT_MAX {
            return;
        }
        let generation = self.generation;
        for id in std::mem::take(&mut self.left) {
            match self.entry(id) {
                Some(entry) if entry.seen >> GENERATION_SHIFT == generation => self.left.push(id),
                _ => self.remove(id),
            }
        }
    }

    /// Gives memory back that a smaller target does not need.
    fn shrink(&mut self) {
        if self.by_key.len() > 64 && self.by_key.len() * 4 < self.entries.len() {
            let mut smaller = Self::new(self.seed);
            (smaller.generation, smaller.current) = (self.generation, self.current);
            smaller.formats = self.formats;
            for id in std::mem::take(&mut self.next) {
                if let Some(entry) = self.entry(id).copied() {
                    let id = smaller.make(entry.key);
                    smaller.entries[id as usize] = Entry { position: id, ..entry };
                }
            }
            *self = smaller;
        }
    }
}

fn marker(entry: &Entry, live: u32) -> Option<Gone> {
    let is_due = entry.seen & live != 0 && entry.series != UNRESOLVED && entry.series != DROPPED;
    is_due.then_some(Gone { series: SeriesRef(entry.series), is_histogram: entry.seen & HISTOGRAM != 0 })
}

#[cfg(test)]
mod tests;
