//! Which blocks of a group to merge next. Pure: metas in, metas out.
//!
//! The rules are Prometheus' and Thanos': overlapping blocks first; else the first aligned window of the smallest range
//! that holds two blocks or more and is complete; else a large block with many tombstones. The newest block is left
//! alone. Blocks that are not to be compacted split a window; nothing is merged across them.

use std::collections::BTreeSet;
use std::sync::Arc;

use block::{BlockId, BlockMeta};

const HOUR_MS: i64 = 3_600_000;

/// Ranges of blocks by level, ms: 1 h, 2 h, 8 h, 2 d, 14 d.
pub const RANGES_MS: [i64; 5] = [HOUR_MS, 2 * HOUR_MS, 8 * HOUR_MS, 48 * HOUR_MS, 336 * HOUR_MS];

/// A block whose tombstones are more than this share of its series is rewritten.
const TOMBSTONES_SHARE: f64 = 0.05;

type Metas = Vec<Arc<BlockMeta>>;

/// Sorts blocks as plans want them.
pub fn sort(blocks: &mut [Arc<BlockMeta>]) {
    blocks.sort_by_key(|m| (m.min_time, m.ulid));
}

/// The blocks to merge next, in the order of `blocks`; empty when there is nothing to do.
///
/// `blocks` are one group's, in the order of [`sort`]; `ranges` ascend, ms; `excluded` are not to be compacted.
pub fn plan(blocks: &[Arc<BlockMeta>], ranges: &[i64], excluded: &BTreeSet<BlockId>) -> Metas {
    let Some(newest) = blocks.last() else { return Metas::new() };
    let mut free: Vec<&Arc<BlockMeta>> = blocks.iter().filter(|m| !excluded.contains(&m.ulid)).collect();
    let overlapping = first_overlap(&free);
    if !overlapping.is_empty() {
        return overlapping;
    }
    // The newest block is left out: its window may still be filling.
    if !excluded.contains(&newest.ulid) {
        free.pop();
    }
    let settled = &blocks[..blocks.len() - 1];
    let window = first_window(settled, ranges, excluded);
    if !window.is_empty() {
        return window;
    }
    let large = ranges.get(ranges.len() / 2).copied().unwrap_or(i64::MAX);
    for meta in free.iter().rev() {
        if meta.max_time.saturating_sub(meta.min_time) < large {
            break;
        }
        if meta.stats.num_tombstones as f64 / (meta.stats.num_series + 1) as f64 > TOMBSTONES_SHARE {
            return vec![(*meta).clone()];
        }
    }
    Metas::new()
}

/// What [`plan_within`] decided.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bounded {
    pub plan: Metas,
    /// Blocks to mark as not to be compacted: with them an index could grow too large.
    pub too_large: Vec<BlockId>,
}

/// As [`plan`], leaving out blocks whose indexes together come near `index_bytes_max` (85 % of it: a merged index may
/// grow). `index_bytes` gives the size of a block's index.
pub fn plan_within(
    blocks: &[Arc<BlockMeta>],
    ranges: &[i64],
    excluded: &BTreeSet<BlockId>,
    index_bytes_max: u64,
    index_bytes: &dyn Fn(&BlockMeta) -> u64,
) -> Bounded {
    let mut excluded = excluded.clone();
    let mut too_large = Vec::new();
    let limit = (index_bytes_max as f64 * 0.85) as u64;
    'again: loop {
        let plan = plan(blocks, ranges, &excluded);
        let mut total: u64 = 0;
        let mut biggest: Option<(u64, BlockId)> = None;
        for meta in &plan {
            let bytes = index_bytes(meta);
            if biggest.is_none_or(|(most, _)| most < bytes) {
                biggest = Some((bytes, meta.ulid));
            }
            total = total.saturating_add(bytes);
            if total >= limit
                && let Some((_, id)) = biggest
            {
                excluded.insert(id);
                too_large.push(id);
                continue 'again;
            }
        }
        return Bounded { plan, too_large };
    }
}

/// Whether any two of `blocks`, in the order of [`sort`], share time.
pub fn overlap(blocks: &[Arc<BlockMeta>]) -> bool {
    let mut end = i64::MIN;
    blocks.iter().any(|m| {
        let overlaps = m.min_time < end;
        end = end.max(m.max_time);
        overlaps
    })
}

/// The first run of blocks that overlap one another.
fn first_overlap(blocks: &[&Arc<BlockMeta>]) -> Metas {
    let mut found = Metas::new();
    let mut end = i64::MIN;
    let mut before: Option<&Arc<BlockMeta>> = None;
    for &meta in blocks {
        if before.is_some() && meta.min_time < end {
            if let (true, Some(first)) = (found.is_empty(), before) {
                found.push(first.clone());
            }
            found.push(meta.clone());
        } else if !found.is_empty() {
            break;
        }
        end = end.max(meta.max_time);
        before = Some(meta);
    }
    found
}

/// The first complete window of the smallest range that has two blocks or more.
fn first_window(blocks: &[Arc<BlockMeta>], ranges: &[i64], excluded: &BTreeSet<BlockId>) -> Metas {
    let Some(newest) = blocks.last() else { return Metas::new() };
    for &range in ranges.iter().skip(1) {
        for window in windows(blocks, range) {
            if window.len() < 2 || window.iter().any(|m| m.compaction.failed) {
                continue;
            }
            // A window is complete when its blocks span all of it, or when there are later blocks.
            let (start, end) = (window[0].min_time, window[window.len() - 1].max_time);
            if end - start != range && end > newest.min_time {
                continue;
            }
            let runs = window.split(|m| excluded.contains(&m.ulid));
            if let Some(run) = runs.into_iter().find(|run| run.len() > 1) {
                return run.to_vec();
            }
        }
    }
    Metas::new()
}

/// `blocks` by aligned windows of `range` ms; those that fit into none are left out.
fn windows(blocks: &[Arc<BlockMeta>], range: i64) -> Vec<&[Arc<BlockMeta>]> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < blocks.len() {
        let end = blocks[at].min_time.div_euclid(range).saturating_mul(range).saturating_add(range);
        let within = blocks[at..].iter().take_while(|m| m.max_time <= end).count();
        if within > 0 {
            found.push(&blocks[at..at + within]);
        }
        at += within.max(1);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGES: [i64; 5] = [20, 60, 180, 540, 1620];

    fn id(n: u64) -> BlockId {
        BlockId::new(n, 0)
    }

    fn numbers(metas: &[Arc<BlockMeta>]) -> Vec<u64> {
        metas.iter().map(|m| m.ulid.time_ms() as u64).collect()
    }

    /// `(number, min, max)`.
    fn metas(blocks: &[(u64, i64, i64)]) -> Metas {
        let meta = |&(n, min_time, max_time): &(u64, i64, i64)| {
            Arc::new(BlockMeta { ulid: id(n), min_time, max_time, version: 1, ..BlockMeta::default() })
        };
        let mut metas: Metas = blocks.iter().map(meta).collect();
        sort(&mut metas);
        metas
    }

    fn excluded(ids: &[u64]) -> BTreeSet<BlockId> {
        ids.iter().map(|n| id(*n)).collect()
    }

    #[test]
    fn plans_of_prometheus() {
        let cases: &[(&str, &[(u64, i64, i64)], &[u64])] = &[
            ("nothing", &[], &[]),
            ("one block", &[(1, 0, 20)], &[]),
            ("two of three, newest left alone", &[(1, 0, 20), (2, 20, 40)], &[]),
            ("three, of which the newest may still fill", &[(1, 0, 20), (2, 20, 40), (3, 40, 60)], &[]),
            ("a full range and a newer block", &[(1, 0, 20), (2, 20, 40), (3, 40, 60), (4, 60, 80)], &[1, 2, 3]),
            (
                "a full range of the second level",
                &[(6, 0, 60), (7, 60, 120), (8, 120, 180), (9, 180, 200), (10, 200, 220)],
                &[6, 7, 8],
            ),
            ("a gap, and only the newest beyond", &[(1, 0, 20), (2, 20, 40), (4, 60, 80)], &[]),
            ("a gap, and two beyond", &[(1, 0, 20), (2, 20, 40), (4, 60, 80), (5, 80, 100)], &[1, 2]),
            (
                "small ones before large ones",
                &[(1, 0, 20), (2, 20, 40), (3, 40, 60), (4, 60, 120), (5, 120, 180)],
                &[1, 2, 3],
            ),
            ("second level with a gap", &[(6, 0, 60), (8, 120, 180), (9, 180, 200), (10, 200, 220)], &[6, 8]),
            (
                "mixed sizes within a range",
                &[(2, 20, 40), (4, 60, 120), (5, 960, 980), (6, 120, 180), (7, 720, 960)],
                &[2, 4, 6],
            ),
            ("newest by time, not by name", &[(5, 0, 360), (6, 540, 560), (7, 360, 420), (8, 420, 540)], &[7, 8]),
            ("overlap 1", &[(1, 0, 20), (2, 19, 40), (3, 40, 60)], &[1, 2]),
            ("overlap 2", &[(1, 0, 20), (2, 20, 40), (3, 30, 50)], &[2, 3]),
            ("overlap 3", &[(1, 0, 20), (2, 10, 40), (3, 30, 50)], &[1, 2, 3]),
            ("overlap 4", &[(5, 0, 360), (6, 340, 560), (7, 360, 420), (8, 420, 540)], &[5, 6, 7, 8]),
            ("overlap 5", &[(1, 0, 10), (2, 9, 20), (3, 30, 40), (4, 39, 50)], &[1, 2]),
            ("negative times", &[(1, -60, -40), (2, -40, -20), (3, -20, 0), (4, 0, 20)], &[1, 2, 3]),
            ("extreme times", &[(1, i64::MIN + 1, i64::MIN + 20), (2, i64::MAX - 20, i64::MAX)], &[]),
        ];
        for (name, blocks, want) in cases {
            assert_eq!(numbers(&plan(&metas(blocks), &RANGES, &excluded(&[]))), *want, "{name}");
        }
    }

    #[test]
    fn tombstones() {
        for (name, blocks, series, tombstones, marked, want) in [
            ("no newer block", &[(1, 0, 540)][..], 10, 3, &[][..], &[][..]),
            ("large, with a newer block", &[(1, 0, 540), (2, 540, 560)], 10, 3, &[], &[1]),
            ("small", &[(1, 0, 60), (2, 60, 80)], 10, 3, &[], &[]),
            ("none at all", &[(1, 0, 540), (2, 540, 560)], 0, 0, &[], &[]),
            ("excluded", &[(1, 0, 540), (2, 540, 560)], 10, 3, &[1], &[]),
        ] {
            let mut metas = metas(blocks);
            let first = Arc::make_mut(&mut metas[0]);
            (first.stats.num_series, first.stats.num_tombstones) = (series, tombstones);
            assert_eq!(numbers(&plan(&metas, &RANGES, &excluded(marked))), want, "{name}");
        }
    }

    #[test]
    fn windows_with_a_failed_block_are_passed_over() {
        for blocks in [
            &[(1, 0, 20), (2, 20, 40), (3, 40, 60), (4, 60, 80)][..],
            &[(1, 0, 20), (2, 20, 40), (4, 60, 80), (5, 80, 100)],
            &[(1, 0, 20), (2, 20, 40), (3, 40, 60), (4, 60, 120), (5, 120, 180), (6, 180, 200)],
        ] {
            let mut metas = metas(blocks);
            Arc::make_mut(&mut metas[1]).compaction.failed = true;
            assert_eq!(numbers(&plan(&metas, &RANGES, &excluded(&[]))), [0_u64; 0], "{blocks:?}");
        }
    }

    #[test]
    fn marked_blocks_split_windows() {
        let four = &[(1, 0, 20), (2, 20, 40), (3, 40, 60), (4, 60, 80)][..];
        let mixed = &[(2, 20, 40), (4, 60, 120), (5, 960, 980), (6, 120, 180), (7, 720, 960)][..];
        let gap = &[(1, 0, 20), (2, 20, 40), (4, 60, 80), (5, 80, 100)][..];
        for (blocks, marked, want) in [
            (&[(1, 0, 20)][..], &[1][..], &[][..]),
            (four, &[1], &[2, 3]),
            (four, &[2], &[]),
            (four, &[4], &[1, 2, 3]),
            (four, &[1, 4], &[2, 3]),
            (four, &[1, 2, 3, 4], &[]),
            (&[(1, 0, 20), (2, 20, 40), (3, 40, 60), (4, 60, 80), (5, 80, 100)], &[1, 2], &[]),
            (gap, &[4], &[1, 2]),
            (gap, &[2], &[]),
            (mixed, &[6], &[2, 4]),
            (mixed, &[4], &[]),
            (&[(1, 0, 20), (2, 19, 40), (3, 40, 60)], &[1], &[]),
        ] {
            assert_eq!(numbers(&plan(&metas(blocks), &RANGES, &excluded(marked))), want, "{blocks:?} {marked:?}");
        }
    }

    #[test]
    fn indexes_that_would_grow_too_large() {
        // `(number, min, max, bytes of index)`
        let cases: &[(&str, &[(u64, i64, i64, u64)], &[u64], &[u64])] = &[
            ("alone", &[(1, 0, 20, 100)], &[], &[]),
            (
                "the first is too large",
                &[(1, 0, 20, 41), (2, 20, 40, 30), (3, 40, 60, 30), (4, 60, 80, 30)],
                &[2, 3],
                &[1],
            ),
            (
                "the second is too large",
                &[(1, 0, 20, 30), (2, 20, 40, 41), (3, 40, 60, 30), (4, 60, 80, 20)],
                &[],
                &[2],
            ),
            (
                "the newest does not matter",
                &[(1, 0, 20, 10), (2, 20, 40, 10), (3, 40, 60, 10), (4, 60, 80, 90)],
                &[1, 2, 3],
                &[],
            ),
            (
                "two are too large",
                &[(1, 0, 20, 90), (2, 20, 40, 30), (3, 40, 50, 30), (4, 50, 60, 90), (5, 60, 80, 90)],
                &[2, 3],
                &[1, 4],
            ),
            (
                "nothing left beside the large one",
                &[(1, 0, 20, 30), (2, 20, 40, 90), (4, 60, 80, 30), (5, 80, 100, 30)],
                &[],
                &[2],
            ),
            (
                "rest of a mixed window",
                &[(2, 20, 40, 30), (4, 60, 120, 30), (5, 960, 980, 30), (6, 120, 180, 90), (7, 720, 960, 30)],
                &[2, 4],
                &[6],
            ),
            ("an overlap", &[(1, 0, 20, 90), (2, 19, 40, 30), (3, 40, 60, 30)], &[], &[1]),
        ];
        for (name, blocks, want, marked) in cases {
            let bare: Vec<_> = blocks.iter().map(|b| (b.0, b.1, b.2)).collect();
            let bytes = |m: &BlockMeta| blocks.iter().find(|b| id(b.0) == m.ulid).map_or(0, |b| b.3);
            let got = plan_within(&metas(&bare), &RANGES, &excluded(&[]), 100, &bytes);
            assert_eq!(numbers(&got.plan), *want, "{name}");
            assert_eq!(got.too_large, marked.iter().map(|n| id(*n)).collect::<Vec<_>>(), "{name}");
        }
    }

    #[test]
    fn overlaps() {
        assert!(overlap(&metas(&[(1, 0, 20), (2, 19, 40)])));
        assert!(!overlap(&metas(&[(1, 0, 20), (2, 20, 40)])));
    }

    /// A plan is never asked for twice once it has been carried out.
    #[test]
    fn plans_come_to_an_end() {
        let mut blocks = metas(&(0..200).map(|n| (n + 1, n as i64 * 20, n as i64 * 20 + 20)).collect::<Vec<_>>());
        let mut steps = 0;
        loop {
            let plan = plan(&blocks, &RANGES, &excluded(&[]));
            let (Some(first), Some(last)) = (plan.first(), plan.last()) else { break };
            steps += 1;
            assert!(steps < 200);
            let (min_time, max_time) = (first.min_time, last.max_time);
            blocks.retain(|m| !plan.contains(m));
            blocks.push(Arc::new(BlockMeta { ulid: id(1000 + steps), min_time, max_time, ..BlockMeta::default() }));
            sort(&mut blocks);
        }
        assert!(blocks.len() < 12, "{}", blocks.len());
        assert!(!overlap(&blocks));
    }
}
