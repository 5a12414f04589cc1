//! Blocks beside each other: overlaps, and blocks that hold the same. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use block::{BlockId, BlockMeta};

use super::finding::{Finding, Issue, Severity};

fn groups(metas: &BTreeMap<BlockId, Arc<BlockMeta>>) -> BTreeMap<String, Vec<&BlockMeta>> {
    let mut out: BTreeMap<String, Vec<&BlockMeta>> = BTreeMap::new();
    for meta in metas.values() {
        out.entry(meta.group_key()).or_default().push(meta);
    }
    for group in out.values_mut() {
        group.sort_by_key(|m| (m.min_time, m.max_time, m.ulid));
    }
    out
}

/// Each block that overlaps one that begins before it, in its group of labels and resolution.
pub(super) fn overlaps(metas: &BTreeMap<BlockId, Arc<BlockMeta>>) -> Vec<Finding> {
    let mut out = Vec::new();
    for (group, blocks) in groups(metas) {
        // the block so far that reaches furthest
        let mut furthest: Option<&BlockMeta> = None;
        for meta in blocks {
            if let Some(before) = furthest.filter(|b| b.max_time > meta.min_time) {
                let what = format!(
                    "overlaps {} from {} to {} in group {group}",
                    before.ulid,
                    model::format_rfc3339_ms(meta.min_time),
                    model::format_rfc3339_ms(before.max_time.min(meta.max_time)),
                );
                out.push(finding(meta.ulid, Issue::Overlaps, what));
            }
            furthest = furthest.filter(|b| b.max_time >= meta.max_time).or(Some(meta));
        }
    }
    out
}

/// Blocks whose range, level, sources and counts another block has too: each but the oldest that none of them was made
/// in place of, with that one.
pub(super) fn duplicates(metas: &BTreeMap<BlockId, Arc<BlockMeta>>) -> Vec<(BlockId, BlockId)> {
    let mut out = Vec::new();
    let superseded = bucket::lineage::superseded(metas);
    for mut blocks in groups(metas).into_values() {
        blocks.sort_by_key(|m| superseded.contains(&m.ulid));
        let mut first: BTreeMap<_, BlockId> = BTreeMap::new();
        for meta in blocks {
            let stats = serde_json::to_string(&meta.stats).unwrap_or_default();
            let sources = &meta.compaction.sources;
            let key = (meta.min_time, meta.max_time, meta.compaction.level, sources, stats);
            match first.entry(key) {
                std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(meta.ulid)),
                std::collections::btree_map::Entry::Occupied(entry) => out.push((meta.ulid, *entry.get())),
            }
        }
    }
    out
}

pub(super) fn duplicate_findings(duplicates: &[(BlockId, BlockId)]) -> Vec<Finding> {
    let of = |(block, kept): &(BlockId, BlockId)| {
        finding(*block, Issue::Duplicates, format!("holds what {kept} holds, it can be removed"))
    };
    duplicates.iter().map(of).collect()
}

fn finding(block: BlockId, issue: Issue, what: String) -> Finding {
    Finding { block, issue, severity: Severity::Wrong, file: String::new(), offset: None, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks 1, 2, … with range, source and label.
    fn metas(blocks: &[(i64, i64, u128, &str)]) -> BTreeMap<BlockId, Arc<BlockMeta>> {
        let of = |(n, (min_time, max_time, source, cluster)): (usize, &(i64, i64, u128, &str))| {
            let ulid = BlockId::new(0, n as u128 + 1);
            let mut meta = BlockMeta { ulid, min_time: *min_time, max_time: *max_time, ..BlockMeta::default() };
            meta.compaction.sources = vec![BlockId::new(0, *source)];
            let mut thanos = block::ThanosMeta::default();
            thanos.labels.insert("cluster".to_owned(), (*cluster).to_owned());
            meta.thanos = Some(thanos);
            (ulid, Arc::new(meta))
        };
        blocks.iter().enumerate().map(of).collect()
    }

    fn id(n: u128) -> BlockId {
        BlockId::new(0, n)
    }

    #[test]
    fn which_overlap() {
        for (blocks, expected) in [
            (&[(0, 10, 1, "a"), (10, 20, 2, "a"), (5, 15, 3, "b")][..], &[][..]),
            (&[(0, 10, 1, "a"), (9, 20, 2, "a")], &[2][..]),
            (&[(0, 100, 1, "a"), (10, 20, 2, "a"), (30, 40, 3, "a"), (100, 110, 4, "a")], &[2, 3]),
            (&[(0, 10, 1, "a"), (0, 10, 1, "a")], &[2]),
        ] {
            let found: Vec<BlockId> = overlaps(&metas(blocks)).into_iter().map(|f| f.block).collect();
            let expected: Vec<BlockId> = expected.iter().map(|n| id(*n)).collect();
            assert_eq!(found, expected, "{blocks:?}");
        }
        let found = overlaps(&metas(&[(0, 10_000, 1, "a"), (9_000, 20_000, 2, "a")]));
        let text = "from 1970-01-01T00:00:09Z to 1970-01-01T00:00:10Z";
        assert!(found[0].what.contains(text), "{}", found[0].what);
    }

    #[test]
    fn which_are_duplicates() {
        let blocks =
            [(0, 10, 1, "a"), (0, 10, 1, "a"), (0, 10, 2, "a"), (0, 10, 1, "b"), (0, 11, 1, "a"), (0, 10, 1, "a")];
        assert_eq!(duplicates(&metas(&blocks)), [(id(2), id(1)), (id(6), id(1))]);
    }
}
