//! Postings of the output: the ids of each label pair, sorted outside of memory where they exceed it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::local::{LocalWriter, Window};

/// Takes ids in ascending order, pair by pair; gives them back list by list.
pub(crate) struct PostingsSorter {
    dir: PathBuf,
    memory: u64,
    /// By name: where its pairs are in `held`.
    places: BTreeMap<u32, usize>,
    /// `value << 32 | id`.
    held: Vec<Vec<u64>>,
    /// The names of the series before and their places: most series have the same names.
    recent: Vec<(u32, usize)>,
    held_pairs: u64,
    runs: Vec<PathBuf>,
}

impl PostingsSorter {
    pub(crate) fn new(dir: &Path, memory: u64) -> Self {
        Self {
            dir: dir.to_owned(),
            memory,
            places: BTreeMap::new(),
            held: Vec::new(),
            recent: Vec::new(),
            held_pairs: 0,
            runs: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, id: u32, labels: impl Iterator<Item = (u32, u32)>) -> Result<()> {
        for (n, (name, value)) in labels.enumerate() {
            let place = match self.recent.get(n) {
                Some((recent, place)) if *recent == name => *place,
                _ => self.place(n, name),
            };
            self.held[place].push(u64::from(value) << 32 | u64::from(id));
            self.held_pairs += 1;
        }
        // Vectors double: what is held may be twice what is counted.
        if self.held_pairs * 16 >= self.memory { self.spill() } else { Ok(()) }
    }

    /// Where a name's pairs go; it is the `n`th of its series.
    fn place(&mut self, n: usize, name: u32) -> usize {
        let place = *self.places.entry(name).or_insert(self.held.len());
        if place == self.held.len() {
            self.held.push(Vec::new());
        }
        match self.recent.get_mut(n) {
            Some(recent) => *recent = (name, place),
            None => self.recent.push((name, place)),
        }
        place
    }

    /// All pairs that are held, by name; none are afterwards.
    fn take(&mut self) -> impl Iterator<Item = (u32, Vec<u64>)> + use<> {
        self.recent.clear();
        self.held_pairs = 0;
        let mut held = std::mem::take(&mut self.held);
        std::mem::take(&mut self.places).into_iter().map(move |(name, at)| (name, std::mem::take(&mut held[at])))
    }

    /// Writes a run: for each name and value `name | value | count | ids`, `be32` each.
    fn spill(&mut self) -> Result<()> {
        let path = self.dir.join(format!("postings.{}", self.runs.len()));
        let mut out = LocalWriter::create(&path)?;
        self.runs.push(path);
        for (name, mut pairs) in self.take() {
            pairs.sort_unstable();
            for group in pairs.chunk_by(|a, b| a >> 32 == b >> 32) {
                let value = (group[0] >> 32) as u32;
                for number in [name, value, group.len() as u32] {
                    out.put(&number.to_be_bytes())?;
                }
                for pair in group {
                    out.put(&(*pair as u32).to_be_bytes())?;
                }
            }
        }
        out.finish()?;
        Ok(())
    }

    /// Hands out the lists by name and value: `sink.begin` with the number of ids, then `sink.ids` with some of them.
    pub(crate) fn finish(mut self, sink: &mut impl PostingsSink) -> Result<()> {
        if self.runs.is_empty() {
            let mut ids = Vec::new();
            for (name, mut pairs) in self.take() {
                pairs.sort_unstable();
                for group in pairs.chunk_by(|a, b| a >> 32 == b >> 32) {
                    ids.clear();
                    ids.extend(group.iter().flat_map(|pair| (*pair as u32).to_be_bytes()));
                    sink.begin(name, (group[0] >> 32) as u32, group.len() as u64)?;
                    sink.ids(&ids)?;
                    sink.end()?;
                }
            }
            return Ok(());
        }
        self.spill()?;
        let step = (self.memory as usize / self.runs.len()).clamp(8 << 10, 1 << 20);
        let mut runs = self.runs.iter().map(|path| Run::open(path, step)).collect::<Result<Vec<_>>>()?;
        while let Some(least) = runs.iter().filter_map(|r| r.head).map(|(name, value, _)| (name, value)).min() {
            // Runs are in the order of ids, so their lists follow each other.
            let here = |r: &&mut Run| r.head.is_some_and(|(name, value, _)| (name, value) == least);
            let count = runs.iter_mut().filter(here).filter_map(|r| r.head).map(|h| u64::from(h.2)).sum();
            sink.begin(least.0, least.1, count)?;
            for run in runs.iter_mut().filter(here) {
                run.copy(sink)?;
            }
            sink.end()?;
        }
        drop(runs);
        for path in &self.runs {
            std::fs::remove_file(path).map_err(Error::local("remove", path))?;
        }
        Ok(())
    }
}

/// Receives the postings lists in order.
pub(crate) trait PostingsSink {
    /// The list of a pair begins.
    fn begin(&mut self, name: u32, value: u32, count: u64) -> Result<()>;
    /// Some of its ids, `be32` each.
    fn ids(&mut self, ids: &[u8]) -> Result<()>;
    /// The list is complete.
    fn end(&mut self) -> Result<()>;
}

/// A run being read; `head` is the pair it stands at, with its count.
struct Run {
    window: Window,
    at: u64,
    head: Option<(u32, u32, u32)>,
}

impl Run {
    fn open(path: &Path, step: usize) -> Result<Self> {
        let window = crate::local::LocalFile::open(path)?.window(step);
        let mut run = Self { window, at: 0, head: None };
        run.read_head()?;
        Ok(run)
    }

    fn read_head(&mut self) -> Result<()> {
        let bytes = self.window.get(self.at, 12)?;
        self.head = bytes.first_chunk::<12>().map(|b| {
            let be32 = |at: usize| u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
            (be32(0), be32(4), be32(8))
        });
        self.at += 12;
        Ok(())
    }

    fn copy(&mut self, sink: &mut impl PostingsSink) -> Result<()> {
        let mut left = self.head.map_or(0, |h| u64::from(h.2) * 4);
        while left > 0 {
            let bytes = self.window.get(self.at, 4)?;
            let take = (bytes.len() as u64).min(left) / 4 * 4;
            if take == 0 {
                return Err(Error::corrupt(self.window.file().path(), "postings are cut off"));
            }
            sink.ids(&bytes[..take as usize])?;
            self.at += take;
            left -= take;
        }
        self.read_head()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Lists(Vec<(u32, u32, u64, Vec<u32>)>);

    impl PostingsSink for Lists {
        fn begin(&mut self, name: u32, value: u32, count: u64) -> Result<()> {
            self.0.push((name, value, count, Vec::new()));
            Ok(())
        }
        fn ids(&mut self, ids: &[u8]) -> Result<()> {
            let list = &mut self.0.last_mut().unwrap().3;
            list.extend(ids.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])));
            Ok(())
        }
        fn end(&mut self) -> Result<()> {
            Ok(())
        }
    }

    /// However little memory there is, the lists are the same.
    #[test]
    fn spilled_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let lists = |memory| {
            let mut sorter = PostingsSorter::new(dir.path(), memory);
            for id in 0..2000u32 {
                sorter.push(id * 3, [(1, id % 7), (5, id), (9, 2)].into_iter()).unwrap();
            }
            let mut lists = Lists::default();
            sorter.finish(&mut lists).unwrap();
            lists.0
        };
        let want = lists(u64::MAX);
        assert_eq!(want.len(), 7 + 2000 + 1);
        assert!(want.iter().all(|(.., count, ids)| *count == ids.len() as u64 && ids.is_sorted()));
        assert_eq!(want.last().unwrap().2, 2000);
        for memory in [0, 1 << 10, 20 << 10] {
            assert_eq!(lists(memory), want, "{memory} bytes");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
