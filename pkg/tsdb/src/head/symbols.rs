//! Label names and values, each once, by number.

use std::cmp::Ordering;

use hashbrown::HashTable;
use labels::{Labels, SortedBuilder};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::shapes::Shapes;

/// Bytes of text that are allocated together.
const BLOCK_BYTES: usize = 64 << 10;

/// The labels of a series by symbols: which names it has, and its values in the names' order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LabelIds {
    pub shape: u32,
    pub values: Box<[u32]>,
}

/// The symbols of a series' metric and job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Kin {
    pub metric: Option<u32>,
    pub job: Option<u32>,
}

/// Text of label names and values. A symbol that nobody uses stays until [`Symbols::sweep`].
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    seed: u64,
    /// Number and hash of each symbol.
    table: HashTable<(u32, u32)>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    blocks: Vec<String>,
    pub shapes: Shapes,
    live_bytes: usize,
    unused: usize,
    metric_name: u32,
    job: u32,
    /// How often numbers were freed: one looked up before may be another text now.
    pub sweeps: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    block: u32,
    at: u32,
    len: u32,
    /// Labels that have it.
    uses: u32,
}

/// A 64-bit hash for the table from the 32 bits it keeps.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Symbols {
    pub fn new(seed: u64) -> Self {
        let mut symbols = Self { seed, ..Self::default() };
        // They stay, whoever uses them.
        (symbols.metric_name, symbols.job) = (symbols.intern(labels::METRIC_NAME), symbols.intern("job"));
        symbols
    }

    /// Metric and job of a series.
    pub fn kin(&self, ids: &LabelIds) -> Kin {
        let mut kin = Kin::default();
        for (name, value) in self.pair_ids(ids) {
            if name == self.metric_name {
                kin.metric = Some(value);
            } else if name == self.job {
                kin.job = Some(value);
            }
        }
        kin
    }

    fn hash(&self, text: &str) -> u32 {
        (xxh3_64_with_seed(text.as_bytes(), self.seed) >> 32) as u32
    }

    /// The text of a symbol in use.
    pub fn text(&self, id: u32) -> &str {
        let Some(entry) = self.entries.get(id as usize) else { return "" };
        let (at, len) = (entry.at as usize, entry.len as usize);
        self.blocks.get(entry.block as usize).and_then(|block| block.get(at..at + len)).unwrap_or("")
    }

    pub fn find(&self, text: &str) -> Option<u32> {
        self.find_hashed(text, self.hash(text))
    }

    fn find_hashed(&self, text: &str, hash: u32) -> Option<u32> {
        self.table.find(spread(hash), |(id, h)| *h == hash && self.text(*id) == text).map(|(id, _)| *id)
    }

    /// The symbol of a text, with one use more.
    fn intern(&mut self, text: &str) -> u32 {
        let hash = self.hash(text);
        if let Some(id) = self.find_hashed(text, hash) {
            let entry = &mut self.entries[id as usize];
            self.unused -= usize::from(entry.uses == 0);
            entry.uses += 1;
            return id;
        }
        let entry = Entry { uses: 1, ..self.store(text) };
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id as usize] = entry;
                id
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.table.insert_unique(spread(hash), (id, hash), |(_, h)| spread(*h));
        id
    }

    fn store(&mut self, text: &str) -> Entry {
        let fits = self.blocks.last().is_some_and(|b| b.capacity() - b.len() >= text.len());
        if !fits {
            self.blocks.push(String::with_capacity(BLOCK_BYTES.max(text.len())));
        }
        self.live_bytes += text.len();
        let block = self.blocks.len() - 1;
        let at = self.blocks[block].len();
        self.blocks[block].push_str(text);
        Entry { block: block as u32, at: at as u32, len: text.len() as u32, uses: 0 }
    }

    /// Label ids of pairs sorted by name; each symbol has one use more, until [`Self::release`]. Where the pairs are like
    /// those of `before`, which is in use, nothing is looked up.
    pub fn intern_pairs(&mut self, pairs: &[(&str, &str)], before: Option<&LabelIds>) -> LabelIds {
        if let Some(before) = before.filter(|before| self.has_names(before, pairs)) {
            self.shapes.use_again(before.shape);
            let values = pairs.iter().zip(&before.values).map(|((_, value), like)| self.intern_like(value, *like));
            return LabelIds { shape: before.shape, values: values.collect() };
        }
        let names: Vec<u32> = pairs.iter().map(|(name, _)| self.intern(name)).collect();
        let values = pairs.iter().map(|(_, value)| self.intern(value)).collect();
        let (shape, known) = self.shapes.intern(&names);
        if known {
            // The shape keeps its names; only its first series counts them.
            self.release_all(&names);
        }
        LabelIds { shape, values }
    }

    fn has_names(&self, ids: &LabelIds, pairs: &[(&str, &str)]) -> bool {
        let names = self.shapes.names(ids.shape);
        names.len() == pairs.len() && names.iter().zip(pairs).all(|(id, (name, _))| self.text(*id) == *name)
    }

    fn intern_like(&mut self, text: &str, like: u32) -> u32 {
        if self.text(like) != text {
            return self.intern(text);
        }
        if let Some(entry) = self.entries.get_mut(like as usize) {
            entry.uses += 1;
        }
        like
    }

    /// A series is gone.
    pub fn release(&mut self, ids: &LabelIds) {
        self.release_all(&ids.values);
        if let Some(names) = self.shapes.release(ids.shape) {
            self.release_all(&names);
        }
    }

    fn release_all(&mut self, ids: &[u32]) {
        for id in ids {
            if let Some(entry) = self.entries.get_mut(*id as usize) {
                entry.uses = entry.uses.saturating_sub(1);
                self.unused += usize::from(entry.uses == 0);
            }
        }
    }

    /// Symbols that nobody uses.
    pub fn unused(&self) -> usize {
        self.unused
    }

    /// Frees the symbols that nobody uses, and their text once it is half of all.
    pub fn sweep(&mut self) {
        if self.unused == 0 {
            return;
        }
        self.sweeps += 1;
        let entries = &mut self.entries;
        let (free, live_bytes) = (&mut self.free, &mut self.live_bytes);
        self.table.retain(|(id, _)| {
            let entry = &mut entries[*id as usize];
            if entry.uses == 0 {
                free.push(*id);
                *live_bytes -= entry.len as usize;
                entry.len = 0;
            }
            entry.uses > 0
        });
        self.unused = 0;
        let held: usize = self.blocks.iter().map(String::capacity).sum();
        if held > 2 * self.live_bytes + 2 * BLOCK_BYTES {
            self.pack();
        }
    }

    /// Copies the texts that are left into new blocks.
    fn pack(&mut self) {
        let old = std::mem::take(&mut self.blocks);
        self.live_bytes = 0;
        let ids: Vec<u32> = self.table.iter().map(|(id, _)| *id).collect();
        for id in ids {
            let Entry { block, at, len, uses } = self.entries[id as usize];
            let text = &old[block as usize][at as usize..(at + len) as usize];
            self.entries[id as usize] = Entry { uses, ..self.store(text) };
        }
    }

    pub fn pairs<'a>(&'a self, ids: &'a LabelIds) -> impl Iterator<Item = (&'a str, &'a str)> + Clone + 'a {
        self.texts(ids.shape, &ids.values)
    }

    /// The pairs of a shape with these values.
    pub fn texts<'a>(&'a self, shape: u32, values: &'a [u32]) -> impl Iterator<Item = (&'a str, &'a str)> + Clone + 'a {
        let names = self.shapes.names(shape).iter();
        names.zip(values).map(|(name, value)| (self.text(*name), self.text(*value)))
    }

    /// The names of a shape, by symbols.
    pub fn names(&self, shape: u32) -> &[u32] {
        self.shapes.names(shape)
    }

    /// One more than the largest symbol.
    pub fn end(&self) -> usize {
        self.entries.len()
    }

    /// (name, value) by symbols.
    pub fn pair_ids<'a>(&'a self, ids: &'a LabelIds) -> impl Iterator<Item = (u32, u32)> + 'a {
        self.shapes.names(ids.shape).iter().copied().zip(ids.values.iter().copied())
    }

    pub fn is(&self, ids: &LabelIds, pairs: &[(&str, &str)]) -> bool {
        ids.values.len() == pairs.len() && self.pairs(ids).eq(pairs.iter().copied())
    }

    pub fn labels(&self, ids: &LabelIds, builder: &mut SortedBuilder) -> Labels {
        builder.clear();
        for (name, value) in self.pairs(ids) {
            // Pairs are interned sorted, so that none is refused.
            let _ = builder.push(name, value);
        }
        builder.finish()
    }

    /// The order of label sets.
    pub fn compare(&self, a: &LabelIds, b: &LabelIds) -> Ordering {
        let (names_a, names_b) = (self.shapes.names(a.shape), self.shapes.names(b.shape));
        let pairs_b = names_b.iter().zip(&*b.values);
        for ((name_a, value_a), (name_b, value_b)) in names_a.iter().zip(&*a.values).zip(pairs_b) {
            if name_a != name_b {
                return self.text(*name_a).cmp(self.text(*name_b));
            }
            if value_a != value_b {
                return self.text(*value_a).cmp(self.text(*value_b));
            }
        }
        a.values.len().cmp(&b.values.len())
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn size_bytes(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(String::capacity).sum();
        let table = self.table.capacity() * 9 + self.free.capacity() * 4;
        blocks + table + self.entries.capacity() * size_of::<Entry>() + self.shapes.size_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_once_and_go_when_unused() {
        let mut symbols = Symbols::new(7);
        let a = symbols.intern_pairs(&[("a", "1"), ("b", "2")], None);
        let b = symbols.intern_pairs(&[("a", "1"), ("b", "3")], Some(&a));
        assert_eq!((a.shape, a.values[0]), (b.shape, b.values[0]));
        assert_eq!(symbols.len(), 7, "with the two that are always there");
        assert_eq!(symbols.compare(&a, &b), Ordering::Less);
        symbols.release(&a);
        symbols.sweep();
        assert_eq!((symbols.len(), symbols.find("2"), symbols.unused()), (6, None, 0));
        assert!(symbols.is(&b, &[("a", "1"), ("b", "3")]));
        symbols.release(&b);
        symbols.sweep();
        assert_eq!((symbols.len(), symbols.live_bytes), (2, "__name__job".len()));
    }

    #[test]
    fn labels_like_those_before_are_counted_too() {
        let mut symbols = Symbols::new(7);
        let sets: [&[(&str, &str)]; 5] =
            [&[("a", "1"), ("b", "2")], &[("a", "1"), ("b", "3")], &[("a", "1")], &[("a", "2")], &[("c", "2")]];
        let mut all: Vec<LabelIds> = Vec::new();
        for set in sets {
            let ids = symbols.intern_pairs(set, all.last());
            assert_eq!(ids, {
                let again = symbols.intern_pairs(set, None);
                symbols.release(&again);
                again
            });
            all.push(ids);
        }
        for ids in &all {
            symbols.release(ids);
        }
        symbols.sweep();
        assert_eq!((symbols.len(), symbols.unused()), (2, 0), "each use was given back");
    }

    #[test]
    fn the_text_of_gone_symbols_is_given_back() {
        let mut symbols = Symbols::new(7);
        let keep = symbols.intern_pairs(&[("keep", "this")], None);
        for round in 0..50 {
            let all: Vec<_> = (0..2000)
                .map(|n| symbols.intern_pairs(&[("label", format!("{:>100}", round * 2000 + n).as_str())], None))
                .collect();
            all.iter().for_each(|ids| symbols.release(ids));
            symbols.sweep();
            assert!(symbols.size_bytes() < 1 << 20, "round {round}: {} bytes", symbols.size_bytes());
        }
        assert_eq!(symbols.labels(&keep, &mut SortedBuilder::new()).to_string(), r#"{keep="this"}"#);
    }
}
