//! Which blocks are past their retention. Pure: a snapshot and the time in, decisions out.
//!
//! A block is deleted only if its data is there at each downsampled resolution that is kept for longer. Otherwise the
//! downsampled data would have a hole for ever.

use std::collections::BTreeSet;
use std::sync::Arc;

use block::{BlockId, BlockMeta};
use model::Resolution;

use crate::coverage::Coverage;
use crate::policy::{Due, Policy, Retention, Verdict};

/// Retention's decision on one block.
#[derive(Debug, Clone)]
pub struct Decision {
    pub block: Arc<BlockMeta>,
    pub action: Action,
    /// Downsampled blocks that must be readable before the block is deleted.
    pub relies_on: BTreeSet<BlockId>,
}

#[derive(Debug, Clone)]
pub enum Action {
    /// Mark the block for deletion, with these details.
    Mark(String),
    /// Rewrite the block without these series.
    Rewrite(Vec<Due>),
    /// Keep the block until it is downsampled to this resolution.
    Withhold { missing_ms: i64 },
}

/// What decisions are made from.
#[derive(Debug)]
pub struct Situation<'a> {
    pub policy: &'a Policy,
    /// Coverage of all visible blocks that are complete and not marked for deletion.
    pub coverage: &'a Coverage,
    /// Blocks marked as not to be downsampled: retention does not wait for it.
    pub no_downsample: &'a BTreeSet<BlockId>,
    /// `--downsampling.disable`.
    pub downsampling_disabled: bool,
    /// Time of day by the slower of the two clocks.
    pub now_ms: i64,
}

/// Decisions on the blocks of which something is due.
pub fn decide<'a>(blocks: impl Iterator<Item = &'a Arc<BlockMeta>>, situation: &Situation) -> Vec<Decision> {
    blocks.filter_map(|block| decide_one(block, situation)).collect()
}

fn decide_one(block: &Arc<BlockMeta>, situation: &Situation) -> Option<Decision> {
    let decision = |action, relies_on| Some(Decision { block: block.clone(), action, relies_on });
    let (action, retentions) = match situation.policy.verdict(block, situation.now_ms) {
        Verdict::Keep => return None,
        Verdict::Whole { retention_ms, retention, .. } => {
            // Thanos' words.
            let details = format!("block exceeding retention of {}", go_duration(retention_ms));
            (Action::Mark(details), vec![retention])
        }
        Verdict::Partly(due) => {
            let due: Vec<Due> = due.into_iter().filter(|d| !is_applied(block, &d.id)).collect();
            if due.is_empty() {
                return None;
            }
            let retentions = due.iter().map(|d| d.retention).collect();
            (Action::Rewrite(due), retentions)
        }
    };
    let mut relies_on = BTreeSet::new();
    if !situation.downsampling_disabled && !situation.no_downsample.contains(&block.ulid) && block.stats.num_samples > 0
    {
        for resolution_ms in outliving(block, &retentions, situation.now_ms) {
            match situation.coverage.at_resolution(block, resolution_ms) {
                Some(blocks) => relies_on.extend(blocks),
                None => return decision(Action::Withhold { missing_ms: resolution_ms }, BTreeSet::new()),
            }
        }
    }
    decision(action, relies_on)
}

/// The downsampled resolutions, ms, at which the block's time is kept for longer.
fn outliving(block: &BlockMeta, retentions: &[Retention], now_ms: i64) -> Vec<i64> {
    let is_kept = |retention: i64| retention == 0 || now_ms.saturating_sub(block.max_time) <= retention;
    let downsampled = Resolution::ALL.into_iter().filter(|r| r.ms() > block.resolution_ms());
    downsampled.filter(|c| retentions.iter().any(|r| is_kept(r[c.index()]))).map(Resolution::ms).collect()
}

fn is_applied(block: &BlockMeta, id: &str) -> bool {
    let rewrites = block.thanos.iter().flat_map(|t| &t.rewrites);
    rewrites.flat_map(|r| &r.deletions_applied).any(|d| d.request_id == id)
}

/// `48h0m0s`.
fn go_duration(ms: i64) -> String {
    let seconds = ms / 1000;
    format!("{}h{}m{}s", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::meta::{BlockStats, Compaction, Downsample, ThanosMeta};

    const DAY: i64 = 86_400_000;

    fn block(n: u64, resolution: i64, max_day: i64, from: &[u64]) -> Arc<BlockMeta> {
        let id = |n: &u64| BlockId::new(*n, 0);
        Arc::new(BlockMeta {
            ulid: id(&n),
            max_time: max_day * DAY,
            stats: BlockStats { num_samples: 1, ..BlockStats::default() },
            compaction: Compaction { sources: from.iter().map(id).collect(), ..Compaction::default() },
            thanos: Some(ThanosMeta { downsample: Downsample { resolution }, ..ThanosMeta::default() }),
            ..BlockMeta::default()
        })
    }

    fn text(decision: &Decision) -> String {
        match &decision.action {
            Action::Mark(details) => {
                format!("{} {details} after {}", decision.block.ulid.time_ms(), decision.relies_on.len())
            }
            Action::Rewrite(due) => format!("{} rewrite {}", decision.block.ulid.time_ms(), due.len()),
            Action::Withhold { missing_ms } => format!("{} waits for {missing_ms}", decision.block.ulid.time_ms()),
        }
    }

    fn decisions(
        blocks: &[Arc<BlockMeta>],
        retention: Retention,
        disabled: bool,
        no_downsample: &[u64],
    ) -> Vec<String> {
        let policy = Policy::new(retention);
        let situation = Situation {
            policy: &policy,
            coverage: &Coverage::new(blocks.iter()),
            no_downsample: &no_downsample.iter().map(|n| BlockId::new(*n, 0)).collect(),
            downsampling_disabled: disabled,
            now_ms: 100 * DAY,
        };
        decide(blocks.iter(), &situation).iter().map(text).collect()
    }

    /// thanos-io/thanos#585, #783, #7908: raw blocks were deleted before they were downsampled.
    #[test]
    fn r585_nothing_goes_before_what_shall_outlive_it_is_there() {
        let raw = block(10, 0, 50, &[1, 2]);
        let five = block(11, 300_000, 50, &[1, 2]);
        let half = block(12, 300_000, 50, &[1]);
        let hour = block(13, 3_600_000, 50, &[1, 2, 3]);
        let all = [raw.clone(), five.clone(), hour.clone()];
        let gone = "10 block exceeding retention of 720h0m0s after";
        for (what, blocks, retention, disabled, no_downsample, want) in [
            ("all there", &all[..], [30 * DAY, 0, 0], false, &[][..], vec![format!("{gone} 2")]),
            ("no 1h", &all[..2], [30 * DAY, 0, 0], false, &[], vec!["10 waits for 3600000".to_owned()]),
            ("1h is past its own", &all[..2], [30 * DAY, 0, 40 * DAY], false, &[], vec![format!("{gone} 1")]),
            ("no 5m", std::slice::from_ref(&raw), [30 * DAY, 0, 0], false, &[], vec!["10 waits for 300000".to_owned()]),
            ("half of 5m", &[raw.clone(), half], [30 * DAY, 0, 1], false, &[], vec!["10 waits for 300000".to_owned()]),
            (
                "nothing outlives it",
                std::slice::from_ref(&raw),
                [30 * DAY, DAY, DAY],
                false,
                &[],
                vec![format!("{gone} 0")],
            ),
            ("no downsampling", std::slice::from_ref(&raw), [30 * DAY, 0, 0], true, &[], vec![format!("{gone} 0")]),
            ("marked", std::slice::from_ref(&raw), [30 * DAY, 0, 0], false, &[10], vec![format!("{gone} 0")]),
            ("not due", std::slice::from_ref(&raw), [60 * DAY, 0, 0], false, &[], vec![]),
            ("5m waits for 1h", &[five], [0, DAY, 0], false, &[], vec!["11 waits for 3600000".to_owned()]),
            (
                "1h waits for nothing",
                &[hour],
                [0, 0, DAY],
                false,
                &[],
                vec!["13 block exceeding retention of 24h0m0s after 0".to_owned()],
            ),
        ] {
            assert_eq!(decisions(blocks, retention, disabled, no_downsample), want, "{what}");
        }
    }
}
