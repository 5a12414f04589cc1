//! Which blocks are merged next: the rules of Prometheus' levelled compaction.

use std::collections::BTreeSet;

use block::meta::{BlockDesc, Compaction};
use block::{BlockId, BlockMeta};

/// Hint of blocks of samples that came out of order.
pub(crate) const OUT_OF_ORDER: &str = "from-out-of-order";
/// Hint of blocks of series that had ended.
pub(crate) const STALE: &str = "from-stale-series";
/// Hints of blocks of series that left the head early. Such blocks are never merged with others: the merged block would
/// either lose the hint, or give it to samples of all series.
const APART: [&str; 2] = ["from-selected-series", STALE];
/// How many ranges there are at most; each is three times as long as the one before.
const LEVELS_MAX: usize = 10;

/// How blocks are merged.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// The lengths of blocks, from [`ranges`].
    pub(crate) ranges: Vec<i64>,
    /// Whether blocks that overlap are merged.
    pub(crate) overlapping: bool,
}

/// The lengths of blocks, ascending: `shortest_ms` and its multiples by 3, to `longest_ms`.
pub(crate) fn ranges(shortest_ms: i64, longest_ms: i64) -> Vec<i64> {
    let shortest = shortest_ms.max(1);
    let lengths = std::iter::successors(Some(shortest), |length| length.checked_mul(3)).take(LEVELS_MAX);
    lengths.enumerate().filter(|(n, length)| *n == 0 || *length <= longest_ms).map(|(_, length)| length).collect()
}

/// The blocks to merge into one next; empty = none. One block alone is to be rewritten without its deleted samples.
/// `may_go` says of a block from the head whether it may be merged already.
pub(crate) fn next(metas: &[&BlockMeta], rules: &Rules, may_go: &dyn Fn(BlockId) -> bool) -> Vec<BlockId> {
    let mut by_id: Vec<&BlockMeta> = metas.iter().copied().filter(|m| m.resolution_ms() == 0).collect();
    by_id.sort_by_key(|m| m.ulid);
    // Behind a block that must stay nothing is merged: else single blocks would stay between longer ones.
    let free = by_id.iter().position(|m| m.compaction.level <= 1 && !may_go(m.ulid)).unwrap_or(by_id.len());
    by_id.truncate(free);
    // The head begins where blocks of all samples end. Merged with one of those, a block of late samples that reaches beyond
    // would hide what of these times is only in the head.
    let head_begins = metas.iter().filter(|m| m.compaction.hints.is_empty()).map(|m| m.max_time).max();
    let mut classes: Vec<(BTreeSet<&str>, Vec<&BlockMeta>)> = Vec::new();
    for meta in by_id {
        let is_ahead = head_begins.is_none_or(|begin| meta.max_time > begin);
        let is_apart = |hint: &&str| APART.contains(hint) || is_ahead && *hint == OUT_OF_ORDER;
        let hints: BTreeSet<&str> = meta.compaction.hints.iter().map(String::as_str).filter(is_apart).collect();
        match classes.iter_mut().find(|(class, _)| *class == hints) {
            Some((_, members)) => members.push(meta),
            None => classes.push((hints, vec![meta])),
        }
    }
    classes.sort_by(|a, b| a.0.cmp(&b.0));
    let plans = classes.into_iter().map(|(_, members)| of_class(members, rules));
    plans.into_iter().find(|plan| !plan.is_empty()).unwrap_or_default()
}

fn of_class(mut metas: Vec<&BlockMeta>, rules: &Rules) -> Vec<BlockId> {
    let ranges = &rules.ranges;
    metas.sort_by_key(|m| (m.min_time, m.ulid));
    let overlapping = if rules.overlapping { overlapping(&metas) } else { Vec::new() };
    if !overlapping.is_empty() {
        return overlapping;
    }
    // The newest block is left alone, so that there is time to copy new data piece by piece.
    metas.pop();
    let found = aligned(&metas, ranges);
    if found.is_empty() { with_tombstones(&metas, ranges).into_iter().collect() } else { found }
}

/// The first blocks that overlap, unless merging one of them failed before.
fn overlapping(metas: &[&BlockMeta]) -> Vec<BlockId> {
    let mut group: Vec<&BlockMeta> = Vec::new();
    let mut end = i64::MIN;
    let usable = |group: &[&BlockMeta]| group.len() > 1 && !group.iter().any(|m| m.compaction.failed);
    for meta in metas {
        if meta.min_time >= end {
            if usable(&group) {
                break;
            }
            group.clear();
        }
        group.push(meta);
        end = end.max(meta.max_time);
    }
    if usable(&group) { group.iter().map(|m| m.ulid).collect() } else { Vec::new() }
}

/// Blocks that fill an aligned range, or lie in one that is over.
fn aligned(metas: &[&BlockMeta], ranges: &[i64]) -> Vec<BlockId> {
    let Some(newest) = metas.last().map(|m| m.min_time) else { return Vec::new() };
    for length in ranges.iter().skip(1) {
        for part in split(metas, *length) {
            let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
            let is_over = last.max_time - first.min_time == *length || last.max_time <= newest;
            if part.len() > 1 && is_over && !part.iter().any(|m| m.compaction.failed) {
                return part.iter().map(|m| m.ulid).collect();
            }
        }
    }
    Vec::new()
}

/// Neighbours that lie in the same range of `length`. Blocks that cross the border of one are in no part.
fn split<'a, 'b>(metas: &'b [&'a BlockMeta], length: i64) -> Vec<&'b [&'a BlockMeta]> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(meta) = metas.get(at) {
        let end = meta.min_time.div_euclid(length).saturating_mul(length).saturating_add(length);
        let count = metas[at..].iter().take_while(|m| m.max_time <= end).count();
        if count > 0 {
            parts.push(&metas[at..at + count]);
        }
        at += count.max(1);
    }
    parts
}

/// The newest block of some length with many deleted samples, or one whose series all have some.
fn with_tombstones(metas: &[&BlockMeta], ranges: &[i64]) -> Option<BlockId> {
    let long = ranges.get(ranges.len() / 2).copied().unwrap_or(i64::MAX);
    for meta in metas.iter().rev().filter(|m| !m.compaction.failed) {
        let (tombstones, series) = (meta.stats.num_tombstones, meta.stats.num_series);
        if meta.max_time - meta.min_time < long {
            return (tombstones > 0 && tombstones >= series).then_some(meta.ulid);
        }
        if tombstones.saturating_mul(20) > series + 1 {
            return Some(meta.ulid);
        }
    }
    None
}

/// The meta of the block that `inputs` are merged into; counts are left for the merge.
pub(crate) fn merged(id: BlockId, inputs: &[&BlockMeta]) -> BlockMeta {
    let hints = |meta: &BlockMeta| meta.compaction.hints.iter().cloned().collect::<BTreeSet<String>>();
    let mut all: BTreeSet<String> = inputs.iter().flat_map(|m| hints(m)).collect();
    if !inputs.iter().all(|m| hints(m).contains(OUT_OF_ORDER)) {
        all.remove(OUT_OF_ORDER);
    }
    let sources: BTreeSet<BlockId> = inputs.iter().flat_map(|m| sources(m)).collect();
    BlockMeta {
        ulid: id,
        min_time: inputs.iter().map(|m| m.min_time).min().unwrap_or_default(),
        max_time: inputs.iter().map(|m| m.max_time).max().unwrap_or_default(),
        compaction: Compaction {
            level: inputs.iter().map(|m| m.compaction.level).max().unwrap_or_default().saturating_add(1),
            sources: sources.into_iter().collect(),
            parents: inputs
                .iter()
                .map(|m| BlockDesc { ulid: m.ulid, min_time: m.min_time, max_time: m.max_time })
                .collect(),
            hints: all.into_iter().collect(),
            ..Compaction::default()
        },
        version: 1,
        ..BlockMeta::default()
    }
}

fn sources(meta: &BlockMeta) -> Vec<BlockId> {
    if meta.compaction.sources.is_empty() { vec![meta.ulid] } else { meta.compaction.sources.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(id, min, max)`, and what is special.
    fn meta(id: u64, min_time: i64, max_time: i64, change: impl FnOnce(&mut BlockMeta)) -> BlockMeta {
        let mut meta = BlockMeta { ulid: BlockId::new(id, 0), min_time, max_time, version: 1, ..BlockMeta::default() };
        meta.compaction.level = 1;
        meta.stats.num_series = 100;
        change(&mut meta);
        meta
    }

    fn plain(blocks: &[(u64, i64, i64)]) -> Vec<BlockMeta> {
        blocks.iter().map(|(id, min, max)| meta(*id, *min, *max, |_| {})).collect()
    }

    fn plan(metas: &[BlockMeta]) -> Vec<u64> {
        plan_where(metas, &|_| true)
    }

    fn plan_where(metas: &[BlockMeta], may_go: &dyn Fn(BlockId) -> bool) -> Vec<u64> {
        let all: Vec<&BlockMeta> = metas.iter().collect();
        let rules = Rules { ranges: vec![20, 60, 180], overlapping: true };
        next(&all, &rules, may_go).into_iter().map(|id| id.time_ms() as u64).collect()
    }

    #[test]
    fn lengths() {
        assert_eq!(ranges(2, 2), [2]);
        assert_eq!(ranges(2, 1), [2]);
        assert_eq!(ranges(2, 17), [2, 6]);
        assert_eq!(ranges(2, 18), [2, 6, 18]);
        assert_eq!(ranges(0, 3), [1, 3]);
        assert_eq!(ranges(i64::MAX / 2, i64::MAX).len(), 1);
        assert_eq!(ranges(1, i64::MAX).len(), LEVELS_MAX);
    }

    #[test]
    fn aligned_ranges() {
        for (blocks, want) in [
            (&[][..], vec![]),
            (&[(1, 0, 20)], vec![]),
            (&[(1, 0, 20), (2, 20, 40)], vec![]),
            (&[(1, 0, 20), (2, 20, 40), (3, 40, 60)], vec![]),
            (&[(1, 0, 20), (2, 20, 40), (3, 40, 60), (4, 60, 80)], vec![1, 2, 3]),
            // The newest is left alone, and what came before it is over only when something newer is there.
            (&[(1, 0, 20), (2, 20, 40), (4, 60, 80)], vec![]),
            (&[(1, 0, 20), (2, 20, 40), (4, 60, 80), (5, 80, 100)], vec![1, 2]),
            (&[(1, 0, 20), (3, 40, 60), (4, 60, 80)], vec![1, 3]),
            // A block of another alignment is skipped.
            (&[(1, 0, 20), (2, 20, 40), (3, 40, 70), (4, 70, 80), (5, 80, 100)], vec![1, 2]),
            (&[(1, 10, 70), (2, 70, 90), (3, 90, 110), (4, 110, 130), (5, 130, 150)], vec![2, 3]),
            // Longer ranges when the shorter are done.
            (&[(1, 0, 60), (2, 60, 120), (3, 120, 180), (4, 180, 200)], vec![1, 2, 3]),
            (&[(1, -60, -40), (2, -40, -20), (3, -20, 0), (4, 0, 20)], vec![1, 2, 3]),
        ] {
            assert_eq!(plan(&plain(blocks)), want, "{blocks:?}");
        }
    }

    #[test]
    fn late_samples_of_times_of_the_head_stay_apart() {
        let late = |m: &mut BlockMeta| m.compaction.hints = vec![OUT_OF_ORDER.to_owned()];
        let mut metas = plain(&[(1, 0, 20), (2, 20, 40)]);
        metas.extend([meta(3, 40, 60, late), meta(4, 60, 80, late)]);
        assert_eq!(plan(&metas), [0; 0], "a block of them all would end where the head has more");
        // An early cut ends before the late ones do.
        metas[1].max_time = 30;
        metas[2].min_time = 20;
        assert_eq!(plan(&metas), [0; 0]);
        // Among themselves they may be merged.
        metas.push(meta(5, 40, 60, late));
        assert_eq!(plan(&metas), [3, 5]);
        // Once the head is past them they are like others.
        metas.extend(plain(&[(6, 60, 80)]));
        assert_eq!(plan(&metas), [2, 3, 5]);
    }

    #[test]
    fn overlaps_come_first() {
        for (blocks, want) in [
            (&[(1, 0, 20), (2, 19, 40)][..], vec![1, 2]),
            (&[(1, 0, 20), (2, 0, 20), (3, 20, 40)], vec![1, 2]),
            (&[(1, 0, 20), (2, 20, 40), (3, 0, 100), (4, 120, 140)], vec![1, 3, 2]),
            (&[(1, 0, 20), (2, 20, 40), (3, 40, 60), (4, 60, 80), (5, 70, 90), (6, 100, 120)], vec![4, 5]),
            (&[(1, 0, 10), (2, 5, 20), (3, 30, 40), (4, 35, 50)], vec![1, 2]),
        ] {
            assert_eq!(plan(&plain(blocks)), want, "{blocks:?}");
        }
    }

    #[test]
    fn blocks_that_failed_are_left_out() {
        let mut metas = plain(&[(1, 0, 20), (2, 20, 40), (3, 40, 60), (4, 60, 80)]);
        metas[1].compaction.failed = true;
        assert!(plan(&metas).is_empty());
        let mut metas = plain(&[(1, 0, 20), (2, 5, 20), (3, 30, 40), (4, 35, 50)]);
        metas[0].compaction.failed = true;
        assert_eq!(plan(&metas), [3, 4], "others go on");
    }

    #[test]
    fn tombstones() {
        let with = |length, tombstones| {
            [meta(1, 0, length, |m| m.stats.num_tombstones = tombstones), meta(2, 1000, 1020, |_| {})]
        };
        for (length, tombstones, want) in
            [(60, 5, vec![]), (60, 6, vec![1]), (20, 6, vec![]), (20, 99, vec![]), (20, 100, vec![1]), (60, 0, vec![])]
        {
            assert_eq!(plan(&with(length, tombstones)), want, "{length} {tombstones}");
        }
        let mut failed = with(60, 50);
        failed[0].compaction.failed = true;
        assert!(plan(&failed).is_empty());
    }

    #[test]
    fn hints_are_not_mixed() {
        let stale = |m: &mut BlockMeta| m.compaction.hints = vec!["from-stale-series".to_owned()];
        let late = |m: &mut BlockMeta| m.compaction.hints = vec![OUT_OF_ORDER.to_owned()];
        assert!(plan(&[meta(1, 0, 20, |_| {}), meta(2, 0, 20, stale)]).is_empty());
        assert_eq!(plan(&[meta(1, 0, 20, |_| {}), meta(2, 0, 20, late)]), [1, 2]);
        assert_eq!(plan(&[meta(1, 0, 20, stale), meta(2, 0, 20, stale), meta(3, 0, 20, |_| {})]), [1, 2]);
        let both = [meta(1, 0, 20, stale), meta(2, 0, 20, stale), meta(3, 0, 20, |_| {}), meta(4, 10, 20, |_| {})];
        assert_eq!(plan(&both), [3, 4], "blocks without hints come first");
    }

    #[test]
    fn blocks_that_are_not_uploaded_stay() {
        let metas = plain(&[(1, 0, 20), (2, 20, 40), (3, 40, 60), (4, 60, 80)]);
        assert!(plan_where(&metas, &|id| id.time_ms() < 3).is_empty());
        assert_eq!(plan_where(&metas, &|_| true), [1, 2, 3]);
        let mut merged = plain(&[(1, 0, 60), (2, 60, 120), (3, 120, 180), (4, 180, 200)]);
        merged[..3].iter_mut().for_each(|m| m.compaction.level = 2);
        assert!(plan_where(&merged, &|_| false).is_empty(), "the newest of what is left stays alone");
        merged[3].compaction.level = 2;
        assert_eq!(plan_where(&merged, &|_| false), [1, 2, 3], "only blocks from the head wait");
    }

    #[test]
    fn metas_of_merged_blocks() {
        let hint = |hint: &str| vec![hint.to_owned()];
        let a = meta(1, 0, 20, |m| m.compaction.hints = hint(OUT_OF_ORDER));
        let b = meta(2, 10, 40, |m| {
            m.compaction.level = 3;
            m.compaction.sources = vec![BlockId::new(8, 0), BlockId::new(7, 0)];
            m.compaction.hints = hint("from-stale-series");
        });
        let out = merged(BlockId::new(9, 0), &[&a, &b]);
        assert_eq!((out.min_time, out.max_time, out.compaction.level), (0, 40, 4));
        let sources: Vec<i64> = out.compaction.sources.iter().map(|id| id.time_ms()).collect();
        assert_eq!((sources, out.compaction.hints), (vec![1, 7, 8], hint("from-stale-series")));
        assert_eq!(out.compaction.parents.iter().map(|p| p.max_time).collect::<Vec<_>>(), [20, 40]);
        assert_eq!(merged(BlockId::new(9, 0), &[&a, &a]).compaction.hints, hint(OUT_OF_ORDER));
    }
}
