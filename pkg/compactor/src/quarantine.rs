//! Groups and blocks that failed are left alone for a while, twice as long each time. The others go on.

use std::collections::BTreeMap;

use block::BlockId;

/// Why something is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub reason: String,
    /// What an operator may do.
    pub hint: &'static str,
    /// How often it failed in a row.
    pub failures: u32,
    /// When it went wrong first, ms since the epoch.
    pub since_ms: i64,
    /// When it is tried again, ms since the epoch.
    pub until_ms: i64,
}

/// How often in a row the same plan may be found outdated before its group is left alone.
pub const STALE_MAX: u32 = 5;

/// Groups (by lease) and blocks that are left alone.
#[derive(Debug, Default)]
pub struct Quarantine {
    min_ms: i64,
    max_ms: i64,
    groups: BTreeMap<String, Case>,
    blocks: BTreeMap<BlockId, Case>,
    /// The last plan of a group that was found outdated, and how often.
    stale: BTreeMap<String, (Vec<BlockId>, u32)>,
}

impl Quarantine {
    /// The first time takes `min_ms`, no time more than `max_ms`.
    pub fn new(min_ms: i64, max_ms: i64) -> Self {
        Self { min_ms: min_ms.max(1), max_ms: max_ms.max(min_ms).max(1), ..Self::default() }
    }

    fn next(&self, before: Option<&Case>, reason: &str, hint: &'static str, now_ms: i64) -> Case {
        let failures = before.map_or(0, |c| c.failures).saturating_add(1);
        let factor = 1_i64.checked_shl(failures - 1).filter(|f| *f > 0).unwrap_or(i64::MAX);
        let wait_ms = self.min_ms.saturating_mul(factor).min(self.max_ms);
        let since_ms = before.map_or(now_ms, |c| c.since_ms);
        Case { reason: reason.to_owned(), hint, failures, since_ms, until_ms: now_ms.saturating_add(wait_ms) }
    }

    pub fn add_group(&mut self, group: &str, reason: &str, hint: &'static str, now_ms: i64) {
        let case = self.next(self.groups.get(group), reason, hint, now_ms);
        self.groups.insert(group.to_owned(), case);
    }

    pub fn add_block(&mut self, block: BlockId, reason: &str, hint: &'static str, now_ms: i64) {
        let case = self.next(self.blocks.get(&block), reason, hint, now_ms);
        self.blocks.insert(block, case);
    }

    /// A plan was outdated when it was carried out; true if that happens each time.
    pub fn is_stuck(&mut self, group: &str, inputs: &[BlockId]) -> bool {
        let (last, times) = self.stale.entry(group.to_owned()).or_default();
        if last != inputs {
            (*last, *times) = (inputs.to_vec(), 0);
        }
        *times += 1;
        let is_stuck = *times >= STALE_MAX;
        if is_stuck {
            self.stale.remove(group);
        }
        is_stuck
    }

    /// A group works again.
    pub fn clear_group(&mut self, group: &str) {
        self.stale.remove(group);
        self.groups.remove(group);
    }

    /// Blocks that were merged without trouble, or are gone.
    pub fn retain_blocks(&mut self, keep: impl Fn(BlockId) -> bool) {
        self.blocks.retain(|id, _| keep(*id));
    }

    /// Whether the group is to be left alone at `now_ms`.
    pub fn has_group(&self, group: &str, now_ms: i64) -> bool {
        self.groups.get(group).is_some_and(|c| now_ms < c.until_ms)
    }

    /// Whether the block is to be left alone at `now_ms`.
    pub fn has_block(&self, block: BlockId, now_ms: i64) -> bool {
        self.blocks.get(&block).is_some_and(|c| now_ms < c.until_ms)
    }

    /// All groups that failed and did not work since.
    pub fn groups(&self) -> &BTreeMap<String, Case> {
        &self.groups
    }

    /// The corrupt blocks.
    pub fn blocks(&self) -> &BTreeMap<BlockId, Case> {
        &self.blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_as_long_each_time() {
        let mut quarantine = Quarantine::new(10, 50);
        for (now, until, failures) in [(0, 10, 1), (10, 30, 2), (30, 70, 3), (70, 120, 4), (120, 170, 5)] {
            quarantine.add_group("g", "broke", "look", now);
            let case = &quarantine.groups()["g"];
            assert_eq!((case.until_ms, case.failures, case.since_ms), (until, failures, 0));
            assert!(quarantine.has_group("g", until - 1) && !quarantine.has_group("g", until));
        }
        assert!(!quarantine.has_group("h", 0));
        quarantine.clear_group("g");
        quarantine.add_group("g", "broke", "look", 500);
        assert_eq!(quarantine.groups()["g"].until_ms, 510);
        for _ in 0..100 {
            quarantine.add_block(BlockId::new(1, 1), "broke", "look", i64::MAX - 100);
        }
        assert!(quarantine.has_block(BlockId::new(1, 1), i64::MAX - 100));
    }

    #[test]
    fn the_same_plan_outdated_each_time() {
        let (mut quarantine, a, b) = (Quarantine::new(10, 50), BlockId::new(1, 1), BlockId::new(2, 2));
        for _ in 1..STALE_MAX {
            assert!(!quarantine.is_stuck("g", &[a, b]));
        }
        assert!(!quarantine.is_stuck("g", &[a]) && !quarantine.is_stuck("h", &[a, b]));
        for _ in 1..STALE_MAX {
            assert!(!quarantine.is_stuck("g", &[a, b]));
        }
        assert!(quarantine.is_stuck("g", &[a, b]) && !quarantine.is_stuck("g", &[a, b]));
        quarantine.clear_group("g");
        for _ in 1..STALE_MAX {
            assert!(!quarantine.is_stuck("g", &[a, b]));
        }
    }
}
