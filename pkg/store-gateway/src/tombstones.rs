//! What a request to delete reaches is left out of answers at once, long before its blocks are rewritten.

use std::collections::BTreeMap;
use std::sync::Arc;

use block::{BlockId, BlockMeta};
use bucket::deletions::{Request, since_ms};
use labels::{Labels, Matcher};
use model::TimeRange;
use storage::Chunk;

/// What is to be left out of one block.
#[derive(Debug)]
pub(crate) struct Tombstones {
    resolution_ms: i64,
    rules: Vec<Rule>,
}

/// Series that match all of these lose what lies in the range.
#[derive(Debug)]
pub(crate) struct Rule {
    /// About the series' own labels; those about external labels hold for the block.
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) range: TimeRange,
}

/// The tombstones of all blocks that any of `pending` reaches.
pub(crate) fn tombstones_by_block<'a>(
    pending: &[Request],
    blocks: impl Iterator<Item = (&'a BlockMeta, &'a Labels)>,
) -> BTreeMap<BlockId, Arc<Tombstones>> {
    // The listing has checked that the matchers can be read.
    let pending: Vec<_> = pending.iter().filter_map(|r| Some((r, r.matchers().ok()?))).collect();
    let with_tombstones =
        |(meta, labels): (&BlockMeta, &Labels)| Some((meta.ulid, Arc::new(Tombstones::new(&pending, meta, labels)?)));
    blocks.filter_map(with_tombstones).collect()
}

impl Tombstones {
    fn new(pending: &[(&Request, Vec<Vec<Matcher>>)], meta: &BlockMeta, external: &Labels) -> Option<Self> {
        let mut rules = Vec::new();
        for (request, selectors) in pending.iter().filter(|(r, _)| r.reaches(meta, since_ms(meta))) {
            for selector in selectors {
                let (of_block, own): (Vec<_>, Vec<_>) = selector.iter().partition(|m| external.get(m.name()).is_some());
                if of_block.iter().all(|m| m.matches(external.value(m.name()))) {
                    rules.push(Rule { matchers: own.into_iter().cloned().collect(), range: request.range() });
                }
            }
        }
        (!rules.is_empty()).then(|| Self { resolution_ms: meta.resolution_ms(), rules })
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The times that are to go of a series with these labels, ascending and apart; external labels do not matter.
    pub(crate) fn deleted(&self, own: &Labels) -> Vec<TimeRange> {
        let hit = |rule: &&Rule| rule.matchers.iter().all(|m| m.matches(own.value(m.name())));
        let mut ranges: Vec<TimeRange> = self.rules.iter().filter(hit).map(|rule| rule.range).collect();
        ranges.sort_unstable_by_key(|r| r.min);
        ranges.dedup_by(|next, last| {
            let touches = next.min <= last.max.saturating_add(1);
            if touches {
                last.max = last.max.max(next.max);
            }
            touches
        });
        ranges
    }

    /// Whether all of `span` is in `deleted` (see [`Self::deleted`]). Of downsampled data every window goes that has a part
    /// there; it bears the time of its end.
    pub(crate) fn takes(&self, deleted: &[TimeRange], span: TimeRange) -> bool {
        let reach_ms = self.resolution_ms.max(1) - 1;
        let mut from = span.min;
        for range in deleted {
            if range.min > from {
                return false;
            }
            let end = range.max.saturating_add(reach_ms);
            if end >= span.max {
                return true;
            }
            from = from.max(end.saturating_add(1));
        }
        false
    }

    /// What is left of a chunk of the block.
    pub(crate) fn cut(&self, chunk: Chunk, deleted: &[TimeRange]) -> Result<Option<Chunk>, chunkenc::Error> {
        block::delete_from(chunk, self.resolution_ms, deleted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_whole() {
        let all = |(min, max): (i64, i64)| Rule { matchers: Vec::new(), range: TimeRange::new(min, max) };
        for (resolution_ms, ranges, span, taken) in [
            (0, &[(0, 10)][..], (0, 10), true),
            (0, &[(0, 10)], (0, 11), false),
            (0, &[(1, 10)], (0, 10), false),
            (0, &[(6, 10), (0, 5)], (0, 10), true),
            (0, &[(0, 4), (6, 10)], (0, 10), false),
            (0, &[(0, 9), (2, 3), (10, 12)], (1, 12), true),
            (0, &[], (0, 0), false),
            (0, &[(i64::MIN, i64::MAX)], (i64::MIN, i64::MAX), true),
            // windows of 5: that of time 14 begins at 10
            (5, &[(0, 10)], (4, 14), true),
            (5, &[(0, 10)], (4, 15), false),
            (5, &[(0, 4), (9, 10)], (4, 14), true),
        ] {
            let tombstones = Tombstones { resolution_ms, rules: ranges.iter().copied().map(all).collect() };
            let deleted = tombstones.deleted(&Labels::from_pairs([("a", "b")]));
            let got = tombstones.takes(&deleted, TimeRange::new(span.0, span.1));
            assert_eq!(got, taken, "{resolution_ms} {ranges:?} {span:?}");
        }
    }
}
