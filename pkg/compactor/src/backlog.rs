//! The backlog: which merges will follow one another if nothing fails. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use block::{BlockId, BlockMeta};

use crate::group::Group;
use crate::output;
use crate::plan::{plan, sort};

/// Merges that are foreseen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    pub compactions: u64,
    /// Blocks that go into them; those that are made on the way count again.
    pub blocks: u64,
    pub bytes: u64,
}

/// The backlog of a group. `bytes` gives a block's size.
pub fn of_group(
    group: &Group,
    ranges_ms: &[i64],
    excluded: &BTreeSet<BlockId>,
    bytes: &dyn Fn(BlockId) -> u64,
) -> Backlog {
    let mut found = Backlog::default();
    let mut sizes: BTreeMap<BlockId, u64> = group.blocks.iter().map(|m| (m.ulid, bytes(m.ulid))).collect();
    for (made, inputs) in plans(group, ranges_ms, excluded) {
        let size: u64 = inputs.iter().filter_map(|id| sizes.get(id)).sum();
        found.compactions += 1;
        found.blocks += inputs.len() as u64;
        found.bytes = found.bytes.saturating_add(size);
        sizes.insert(made, size);
    }
    found
}

/// The blocks of a group that are still to be merged.
pub fn growing(group: &Group, ranges_ms: &[i64], excluded: &BTreeSet<BlockId>) -> BTreeSet<BlockId> {
    plans(group, ranges_ms, excluded).into_iter().flat_map(|(_, inputs)| inputs).collect()
}

/// The merges one after the other: the id of each output and its inputs.
fn plans(group: &Group, ranges_ms: &[i64], excluded: &BTreeSet<BlockId>) -> Vec<(BlockId, BTreeSet<BlockId>)> {
    let mut out = Vec::new();
    let mut blocks = group.blocks.clone();
    // As in Thanos, a group of one block is left alone.
    while blocks.len() > 1 {
        let mut planned =
            output::apart(&blocks).into_iter().map(|others| plan(&blocks, ranges_ms, &(excluded | &others)));
        let Some(plan) = planned.find(|plan| !plan.is_empty()) else { break };
        let chosen: BTreeSet<BlockId> = plan.iter().map(|m| m.ulid).collect();
        blocks.retain(|m| !chosen.contains(&m.ulid));
        // An id before those of all blocks.
        let id = BlockId::new(out.len() as u64 + 1, 0);
        let merged: BlockMeta = output::compacted(id, &plan, &group.labels);
        blocks.push(Arc::new(merged));
        sort(&mut blocks);
        out.push((id, chosen));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foresees_all_levels() {
        let hour = 3_600_000;
        let block = |n: u64| {
            let min_time = n as i64 * 2 * hour;
            let id = BlockId::new(1000 + n, 1);
            Arc::new(BlockMeta { ulid: id, min_time, max_time: min_time + 2 * hour, ..BlockMeta::default() })
        };
        let group = |blocks: u64| Group {
            key: "0@1".to_owned(),
            resolution_ms: 0,
            labels: Default::default(),
            blocks: (0..blocks).map(block).collect(),
        };
        for (blocks, compactions, inputs) in [(1, 0, 0), (4, 0, 0), (5, 1, 4), (25, 7, 30)] {
            let found = of_group(&group(blocks), &crate::plan::RANGES_MS, &BTreeSet::new(), &|_| 10);
            assert_eq!((found.compactions, found.blocks), (compactions, inputs), "{blocks}");
            assert_eq!(found.bytes > 0, compactions > 0);
            let growing = growing(&group(blocks), &crate::plan::RANGES_MS, &BTreeSet::new());
            // the newest is left alone
            assert_eq!(
                growing.iter().filter(|id| id.time_ms() >= 1000).count() as u64,
                if compactions > 0 { blocks - 1 } else { 0 }
            );
        }
    }
}
