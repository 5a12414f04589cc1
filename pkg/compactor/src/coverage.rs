//! What holds the data of what: whether a block's samples are also in other blocks.
//!
//! A block's meta names its level-1 ancestors. A block that has all ancestors of another, at the same resolution, holds its data.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use block::{BlockId, BlockMeta};

use crate::group;
use crate::output::{parts, sources};

/// Blocks by resolution and ancestor.
#[derive(Debug, Default)]
pub struct Coverage {
    blocks: BTreeMap<BlockId, Arc<BlockMeta>>,
    having: BTreeMap<(i64, BlockId), Vec<BlockId>>,
}

impl Coverage {
    /// Over `blocks`, which should be visible, whole, and not marked for deletion.
    pub fn new<'a>(blocks: impl Iterator<Item = &'a Arc<BlockMeta>>) -> Self {
        let mut coverage = Self::default();
        for meta in blocks {
            for source in sources(meta) {
                coverage.having.entry((meta.resolution_ms(), source)).or_default().push(meta.ulid);
            }
            coverage.blocks.insert(meta.ulid, meta.clone());
        }
        coverage
    }

    fn having(&self, resolution_ms: i64, source: BlockId) -> &[BlockId] {
        self.having.get(&(resolution_ms, source)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Blocks that together hold all that `meta` does at its own resolution, other than itself: one with all its
    /// ancestors, and the other parts where that one is part of a whole. `None` if there are none.
    pub fn replacement(&self, meta: &BlockMeta) -> Option<BTreeSet<BlockId>> {
        let wanted = sources(meta);
        let resolution_ms = meta.resolution_ms();
        let candidates = self.having(resolution_ms, *wanted.first()?);
        candidates.iter().filter(|id| **id != meta.ulid).find_map(|id| {
            let candidate = self.blocks.get(id)?;
            if !wanted.is_subset(&sources(candidate)) || !is_of_stream(candidate, meta) {
                return None;
            }
            let mut all = BTreeSet::from([*id]);
            for part in parts(candidate) {
                let holder = self.having(resolution_ms, part).iter().find(|id| **id != meta.ulid)?;
                all.insert(*holder);
            }
            Some(all)
        })
    }

    /// Blocks of `resolution_ms` that together have all ancestors of `meta`. `None` if any is missing.
    pub fn at_resolution(&self, meta: &BlockMeta, resolution_ms: i64) -> Option<BTreeSet<BlockId>> {
        let mut all = BTreeSet::new();
        for source in sources(meta) {
            all.insert(*self.having(resolution_ms, source).first()?);
        }
        Some(all)
    }
}

/// Whether `other` may hold data of `meta`: its labels do not contradict. Labels of replicas were taken off on the way.
fn is_of_stream(other: &BlockMeta, meta: &BlockMeta) -> bool {
    let (theirs, ours) = (group::labels(other), group::labels(meta));
    theirs.iter().all(|(name, value)| value == "deduped" || ours.get(name).is_none_or(|v| v == value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output;
    use block::meta::{Compaction, Downsample, ThanosMeta};

    fn id(n: u64) -> BlockId {
        BlockId::new(n, 0)
    }

    fn meta(n: u64, resolution: i64, cluster: &str, from: &[u64]) -> BlockMeta {
        let labels = [("cluster".to_owned(), cluster.to_owned())].into();
        BlockMeta {
            ulid: id(n),
            compaction: Compaction { sources: from.iter().map(|n| id(*n)).collect(), ..Compaction::default() },
            thanos: Some(ThanosMeta { labels, downsample: Downsample { resolution }, ..ThanosMeta::default() }),
            ..BlockMeta::default()
        }
    }

    fn coverage(metas: &[BlockMeta]) -> Coverage {
        let metas: Vec<_> = metas.iter().cloned().map(Arc::new).collect();
        Coverage::new(metas.iter())
    }

    #[test]
    fn replacements() {
        let blocks = [meta(10, 0, "a", &[1, 2, 3]), meta(4, 0, "a", &[4]), meta(11, 5, "a", &[4, 5])];
        let coverage = coverage(&blocks);
        for (what, block, want) in [
            ("within", meta(2, 0, "a", &[2]), Some(vec![10])),
            ("without sources", meta(2, 0, "a", &[]), Some(vec![10])),
            ("itself", meta(10, 0, "a", &[1, 2, 3]), None),
            ("partly", meta(12, 0, "a", &[3, 4]), None),
            ("another resolution", meta(12, 5, "a", &[1]), None),
            ("another cluster", meta(2, 0, "b", &[2]), None),
        ] {
            let want = want.map(|w| w.into_iter().map(id).collect::<BTreeSet<_>>());
            assert_eq!(coverage.replacement(&block), want, "{what}");
        }
        assert_eq!(coverage.at_resolution(&meta(4, 0, "a", &[4]), 5), Some(BTreeSet::from([id(11)])));
        assert_eq!(coverage.at_resolution(&meta(9, 0, "a", &[3, 4]), 5), None);
    }

    #[test]
    fn all_parts_are_needed() {
        let mut parts = [meta(20, 0, "a", &[1, 2]), meta(21, 0, "a", &[1, 2])];
        output::split(&mut parts);
        let block = meta(1, 0, "a", &[1]);
        assert_eq!(coverage(&parts).replacement(&block), Some(BTreeSet::from([id(20), id(21)])));
        assert_eq!(coverage(&parts[1..]).replacement(&block), None);
        assert_eq!(coverage(&parts[..1]).replacement(&block), None);
    }
}
