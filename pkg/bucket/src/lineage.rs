//! Which blocks were made from which. A block's meta names its level-1 ancestors (sources), the blocks it was made from
//! (parents), and those they are rewritten versions of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use block::{BlockId, BlockMeta};

/// Blocks of one resolution and equal external labels.
type Group<'a> = (i64, Vec<(&'a str, &'a str)>);

fn group(meta: &BlockMeta) -> Group<'_> {
    let labels = meta.thanos.iter().flat_map(|t| &t.labels);
    (meta.resolution_ms(), labels.map(|(n, v)| (n.as_str(), v.as_str())).collect())
}

/// The level-1 ancestors of a block; a block that names none is its own.
pub fn sources(meta: &BlockMeta) -> BTreeSet<BlockId> {
    let mut found: BTreeSet<BlockId> = meta.compaction.sources.iter().copied().collect();
    if found.is_empty() {
        // An empty set would be within every other.
        found.insert(meta.ulid);
    }
    found
}

/// The blocks that `meta` says it was made from, at whatever resolution.
fn origins(meta: &BlockMeta) -> impl Iterator<Item = BlockId> {
    let parents = meta.compaction.parents.iter().map(|p| p.ulid);
    let rewritten = meta.thanos.iter().flat_map(|t| &t.rewrites).flat_map(|r| r.sources.iter().copied());
    parents.chain(rewritten).filter(|id| *id != meta.ulid)
}

/// Blocks that were replaced by another of `metas`: one of equal sources and resolution that names them as its parents. A
/// rewritten block has the same sources as the original; only its parents show which of the two is the original. Labels may
/// differ, as replica labels may have been taken off.
pub fn superseded(metas: &BTreeMap<BlockId, Arc<BlockMeta>>) -> BTreeSet<BlockId> {
    let data = |meta: &BlockMeta| (meta.resolution_ms(), sources(meta));
    let mut found = BTreeSet::new();
    for meta in metas.values() {
        let old = origins(meta).filter_map(|id| metas.get(&id));
        found.extend(old.filter(|old| data(old) == data(meta)).map(|old| old.ulid));
    }
    if !found.is_empty() {
        // Metas that contradict each other must not hide all blocks.
        let stays: BTreeSet<_> = metas.values().filter(|m| !found.contains(&m.ulid)).map(|m| data(m)).collect();
        found.retain(|id| metas.get(id).is_some_and(|m| stays.contains(&data(m))));
    }
    found
}

/// Blocks whose sources and time are all among those of another one that is kept, within a group of equal labels and
/// resolution. A block that reaches beyond the other one's time is kept: one of the two `meta.json` is wrong. More sources win, then the block that was made from the other ([`superseded`]), then the older one, as in Thanos.
pub fn duplicates(kept: &BTreeMap<BlockId, Arc<BlockMeta>>) -> BTreeSet<BlockId> {
    let mut hidden = superseded(kept);
    let mut groups: BTreeMap<Group<'_>, Vec<(BlockId, BTreeSet<BlockId>)>> = BTreeMap::new();
    let lies_within = |id: &BlockId, other: &BlockId| match (kept.get(id), kept.get(other)) {
        (Some(meta), Some(other)) => other.min_time <= meta.min_time && meta.max_time <= other.max_time,
        _ => false,
    };
    for (id, meta) in kept.iter().filter(|(id, _)| !hidden.contains(id)) {
        groups.entry(group(meta)).or_default().push((*id, sources(meta)));
    }
    for mut group in groups.into_values() {
        group.sort_by(|(a, in_a), (b, in_b)| in_b.len().cmp(&in_a.len()).then(a.cmp(b)));
        // The kept blocks by source: only those can cover a block with that source.
        let mut having: BTreeMap<BlockId, Vec<usize>> = BTreeMap::new();
        for (place, (id, sources)) in group.iter().enumerate() {
            let first = sources.iter().next();
            let candidates = first.and_then(|source| having.get(source)).map(Vec::as_slice).unwrap_or_default();
            let covers = |(other, its): &(BlockId, BTreeSet<BlockId>)| sources.is_subset(its) && lies_within(id, other);
            if candidates.iter().any(|place| covers(&group[*place])) {
                hidden.insert(*id);
                continue;
            }
            for source in sources {
                having.entry(*source).or_default().push(place);
            }
        }
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::meta::{BlockDesc, Compaction, Rewrite, ThanosMeta};

    fn id(n: u64) -> BlockId {
        BlockId::new(n, 0)
    }

    /// A block, its sources, its parents, what it is rewritten from.
    type Told = (u64, &'static [u64], &'static [u64], &'static [u64]);

    fn metas(told: &[Told]) -> BTreeMap<BlockId, Arc<BlockMeta>> {
        let ids = |list: &[u64]| list.iter().map(|n| id(*n)).collect::<Vec<_>>();
        let of = |(n, sources, parents, rewritten): &Told| {
            let desc = |n: &u64| BlockDesc { ulid: id(*n), ..BlockDesc::default() };
            let compaction = Compaction {
                sources: ids(sources),
                parents: parents.iter().map(desc).collect(),
                ..Compaction::default()
            };
            let rewrites = vec![Rewrite { sources: ids(rewritten), ..Rewrite::default() }];
            let thanos = Some(ThanosMeta { rewrites, ..ThanosMeta::default() });
            (id(*n), Arc::new(BlockMeta { ulid: id(*n), compaction, thanos, ..BlockMeta::default() }))
        };
        told.iter().map(of).collect()
    }

    #[test]
    fn who_goes() {
        let cases: &[(&str, &[Told], &[u64])] = &[
            ("rewritten", &[(1, &[1], &[], &[]), (2, &[1], &[], &[1])], &[1]),
            ("by a parent", &[(1, &[1], &[], &[]), (2, &[1], &[1], &[])], &[1]),
            ("by a clock that is behind", &[(5, &[1], &[], &[]), (2, &[1], &[5], &[5])], &[5]),
            ("twice", &[(1, &[1], &[], &[]), (2, &[1], &[1], &[1]), (3, &[1], &[2], &[1, 2])], &[1, 2]),
            ("twice, the second is gone", &[(1, &[1], &[], &[]), (3, &[1], &[2], &[1, 2])], &[1]),
            ("only the name of what is not there", &[(2, &[1], &[7], &[7])], &[]),
            ("no relation: the older stays", &[(1, &[1], &[], &[]), (2, &[1], &[], &[])], &[2]),
            (
                "a merge that added no source",
                &[(1, &[1, 2], &[], &[]), (2, &[2], &[], &[]), (3, &[1, 2], &[1, 2], &[])],
                &[1, 2],
            ),
            ("what it was made from has more", &[(1, &[1, 2], &[], &[]), (2, &[1], &[1], &[1])], &[2]),
            ("each names the other", &[(1, &[1], &[2], &[]), (2, &[1], &[1], &[])], &[2]),
            ("itself", &[(1, &[1], &[1], &[1])], &[]),
        ];
        for (what, told, gone) in cases {
            let gone: BTreeSet<_> = gone.iter().map(|n| id(*n)).collect();
            assert_eq!(duplicates(&metas(told)), gone, "{what}");
        }
    }
}
