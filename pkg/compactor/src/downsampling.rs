//! Which blocks are to be downsampled. Pure.
//!
//! Raw blocks of 40 h or more become 5 m ones, 5 m blocks of 10 d or more 1 h ones, as in Thanos; and so do smaller blocks
//! that are so old that they will not grow any more, or that retention waits for. Otherwise time that never filled a
//! large block would be empty once the finer data has gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use block::{BlockId, BlockMeta};
use model::{DAY_MS, Resolution};

use crate::coverage::Coverage;
use crate::policy::Policy;

const HOUR_MS: i64 = 3_600_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Of the input, ms.
    pub from_ms: i64,
    /// Of the output, ms.
    pub to_ms: i64,
    /// Blocks of this range or more, ms.
    pub range_min_ms: i64,
    /// Blocks whose end is older than this, ms, whatever their range: by then they would have been merged.
    pub age_min_ms: i64,
}

/// Both steps, unless flags set other ages.
pub const STEPS: [Step; 2] = [
    Step {
        from_ms: Resolution::Raw.ms(),
        to_ms: Resolution::FiveMinutes.ms(),
        range_min_ms: 40 * HOUR_MS,
        age_min_ms: 40 * HOUR_MS + 4 * DAY_MS,
    },
    Step {
        from_ms: Resolution::FiveMinutes.ms(),
        to_ms: Resolution::OneHour.ms(),
        range_min_ms: 10 * DAY_MS,
        age_min_ms: (10 + 28) * DAY_MS,
    },
];

/// A block to be downsampled.
#[derive(Debug, Clone)]
pub struct Todo {
    pub block: Arc<BlockMeta>,
    pub step: Step,
}

/// What is known of the blocks.
pub struct Situation<'a> {
    pub steps: &'a [Step; 2],
    pub blocks: &'a BTreeMap<BlockId, Arc<BlockMeta>>,
    /// Which blocks hold the data of others.
    pub coverage: &'a Coverage,
    /// Blocks marked as not to be downsampled.
    pub no_downsample: &'a BTreeSet<BlockId>,
    /// Blocks that are still to be merged, so that their age does not count.
    pub growing: &'a BTreeSet<BlockId>,
    /// Blocks that retention waits for, so that their range does not matter.
    pub awaited: &'a BTreeSet<BlockId>,
    /// Nothing is made that retention would delete at once.
    pub policy: &'a Policy,
    pub now_ms: i64,
}

/// Blocks to be downsampled, the oldest first.
pub fn todo(situation: &Situation<'_>) -> Vec<Todo> {
    let Situation { steps, blocks, coverage, no_downsample, growing, awaited, policy, now_ms } = *situation;
    let is_wanted = |block: &BlockMeta, resolution_ms: i64| {
        policy.is_kept_at(block, resolution_ms, now_ms)
            // The 1h resolution is made from the 5m one.
            || steps.iter().any(|s| {
                s.from_ms == resolution_ms
                    && policy.is_kept_at(block, s.to_ms, now_ms)
                    && coverage.at_resolution(block, s.to_ms).is_none()
            })
    };
    let mut found: Vec<Todo> = blocks
        .values()
        .filter(|block| !no_downsample.contains(&block.ulid))
        .filter_map(|block| {
            let step = *steps.iter().find(|s| s.from_ms == block.resolution_ms())?;
            let range_ms = block.max_time.saturating_sub(block.min_time);
            let is_old = !growing.contains(&block.ulid) && now_ms.saturating_sub(block.max_time) >= step.age_min_ms;
            let is_time = range_ms >= step.range_min_ms || is_old || awaited.contains(&block.ulid);
            (is_time && coverage.at_resolution(block, step.to_ms).is_none() && is_wanted(block, step.to_ms))
                .then(|| Todo { block: block.clone(), step })
        })
        .collect();
    found.sort_by_key(|t| (t.step.from_ms, t.block.min_time, t.block.ulid));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::meta::{Compaction, Downsample, ThanosMeta};

    fn block(n: u64, resolution: i64, min_h: i64, max_h: i64, from: &[u64]) -> Arc<BlockMeta> {
        let id = |n: &u64| BlockId::new(*n, 0);
        Arc::new(BlockMeta {
            ulid: id(&n),
            min_time: min_h * HOUR_MS,
            max_time: max_h * HOUR_MS,
            compaction: Compaction { sources: from.iter().map(id).collect(), ..Compaction::default() },
            thanos: Some(ThanosMeta { downsample: Downsample { resolution }, ..ThanosMeta::default() }),
            ..BlockMeta::default()
        })
    }

    /// The number of a block that is still to be merged.
    const GROWING: u64 = 99;

    fn got(blocks: &[Arc<BlockMeta>], no_downsample: &[u64], awaited: &[u64], now_h: i64) -> Vec<(u64, i64)> {
        let ids = |ns: &[u64]| ns.iter().map(|n| BlockId::new(*n, 0)).collect::<BTreeSet<_>>();
        let map = blocks.iter().map(|b| (b.ulid, b.clone())).collect();
        let coverage = Coverage::new(blocks.iter());
        let growing = BTreeSet::from([BlockId::new(GROWING, 0)]);
        let situation = Situation {
            steps: &STEPS,
            blocks: &map,
            coverage: &coverage,
            no_downsample: &ids(no_downsample),
            growing: &growing,
            awaited: &ids(awaited),
            policy: &Policy::default(),
            now_ms: now_h * HOUR_MS,
        };
        todo(&situation).iter().map(|t| (t.block.ulid.time_ms() as u64, t.step.to_ms)).collect()
    }

    #[test]
    fn by_range_as_thanos_does() {
        let five = 300_000;
        for (what, blocks, no_downsample, want) in [
            ("39 h", vec![block(1, 0, 0, 39, &[1])], &[][..], vec![]),
            ("40 h", vec![block(1, 0, 0, 40, &[1])], &[], vec![(1, five)]),
            ("marked", vec![block(1, 0, 0, 40, &[1])], &[1], vec![]),
            ("done", vec![block(1, 0, 0, 40, &[1]), block(2, five, 0, 40, &[1, 7])], &[], vec![]),
            ("half done", vec![block(1, 0, 0, 40, &[1, 2]), block(2, five, 0, 40, &[1])], &[], vec![(1, five)]),
            (
                "done in two",
                vec![block(1, 0, 0, 40, &[1, 2]), block(2, five, 0, 9, &[1]), block(3, five, 9, 40, &[2])],
                &[],
                vec![],
            ),
            ("5 m, 239 h", vec![block(1, five, 0, 239, &[1])], &[], vec![]),
            ("5 m, 240 h", vec![block(1, five, 0, 240, &[1])], &[], vec![(1, 3_600_000)]),
            ("1 h", vec![block(1, 3_600_000, 0, 1000, &[1])], &[], vec![]),
            ("unknown resolution", vec![block(1, 1, 0, 1000, &[1])], &[], vec![]),
        ] {
            assert_eq!(got(&blocks, no_downsample, &[], 100), want, "{what}");
        }
    }

    /// thanos-io/thanos#7908: blocks that never reach 40 h were never downsampled, and lost with the raw data.
    #[test]
    fn r7908_by_age() {
        let small = [block(1, 0, 0, 2, &[1])];
        assert_eq!(got(&small, &[], &[], 2 + 135), []);
        assert_eq!(got(&small, &[], &[], 2 + 136), [(1, 300_000)]);
        assert_eq!(got(&small, &[], &[1], 3), [(1, 300_000)]);
        let growing = [block(GROWING, 0, 0, 2, &[1])];
        assert_eq!(got(&growing, &[], &[], 1000), []);
        assert_eq!(got(&growing, &[], &[GROWING], 3), [(GROWING, 300_000)]);
        let five = [block(1, 300_000, 0, 2, &[1])];
        assert_eq!(got(&five, &[], &[], 2 + 38 * 24 - 1), []);
        assert_eq!(got(&five, &[], &[], 2 + 38 * 24), [(1, 3_600_000)]);
    }

    /// Otherwise a block would be made and deleted again for ever.
    #[test]
    fn nothing_is_made_that_is_past_its_retention() {
        let raw = block(1, 0, 0, 48, &[1]);
        let hour = block(3, 3_600_000, 0, 48, &[1]);
        for (retention, blocks, want) in [
            ([0, DAY_MS, DAY_MS], vec![raw.clone()], 0),
            ([0, DAY_MS, 0], vec![raw.clone()], 1),
            ([0, DAY_MS, 0], vec![raw.clone(), hour], 0),
            ([0, 0, DAY_MS], vec![raw], 1),
        ] {
            let map = blocks.iter().map(|b| (b.ulid, b.clone())).collect();
            let none = BTreeSet::new();
            let situation = Situation {
                steps: &STEPS,
                blocks: &map,
                coverage: &Coverage::new(blocks.iter()),
                no_downsample: &none,
                growing: &none,
                awaited: &none,
                policy: &Policy::new(retention),
                now_ms: 100 * HOUR_MS,
            };
            assert_eq!(todo(&situation).len(), want, "{retention:?}");
        }
    }
}
