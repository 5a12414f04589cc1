//! The blocks that are served after a sync, and those that should be and cannot.

use std::collections::BTreeMap;
use std::sync::Arc;

use block::BlockId;
use labels::{Labels, Matcher};
use model::TimeRange;
use storeapi::StoreSet;

use crate::block_set::BlockSet;
use crate::bucket_block::BucketBlock;
use crate::tombstones::{Tombstones, tombstones_by_block};

/// So many blocks that cannot be served are named in an answer; the others are counted.
const NAMED_MAX: usize = 4;

/// A block whose data may be missing from answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lack {
    pub(crate) id: BlockId,
    /// The time and the external labels of its data; `None` = not known, so that any answer may lack them.
    pub(crate) of: Option<(TimeRange, Labels)>,
    pub(crate) why: String,
}

impl Lack {
    /// Whether an answer for `range` and matchers (about blocks, about series) may lack its data.
    fn concerns(&self, range: TimeRange, asked: [&[Matcher]; 2]) -> bool {
        let id = self.id.to_string();
        let labels = match &self.of {
            Some((of, _)) if !of.overlaps(range) => return false,
            Some((_, labels)) => labels,
            None => &Labels::default(),
        };
        let [of_block, of_series] = asked;
        let is_block = of_block.iter().all(|m| match (m.name(), &self.of) {
            ("__block_id", _) => m.matches(&id),
            (name, Some(_)) => m.matches(labels.value(name)),
            (_, None) => true,
        });
        is_block && of_series.iter().all(|m| labels.get(m.name()).is_none_or(|value| m.matches(value)))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) blocks: BTreeMap<BlockId, Arc<BucketBlock>>,
    /// What requests to delete leave out, by block.
    pub(crate) tombstones_by_block: BTreeMap<BlockId, Arc<Tombstones>>,
    pub(crate) sets: Vec<(Labels, BlockSet<Arc<BucketBlock>>)>,
    /// Blocks that cannot be served.
    lacks: Vec<Lack>,
    /// Blocks that are served whose `meta.json` is contradicted by their data.
    doubts: Vec<Lack>,
}

impl Loaded {
    pub(crate) fn new(
        blocks: BTreeMap<BlockId, Arc<BucketBlock>>,
        deletions: &[bucket::deletions::Request],
        lacks: Vec<Lack>,
    ) -> Self {
        let tombstones_by_block = tombstones_by_block(deletions, blocks.values().map(|b| (&*b.meta, &b.labels)));
        let mut by_labels: BTreeMap<Labels, Vec<Arc<BucketBlock>>> = BTreeMap::new();
        for block in blocks.values() {
            by_labels.entry(block.labels.clone()).or_default().push(block.clone());
        }
        let sets = by_labels.into_iter().map(|(labels, blocks)| (labels, BlockSet::new(blocks))).collect();
        let doubts = blocks.values().filter_map(|b| doubt(b)).collect();
        Self { blocks, tombstones_by_block, sets, lacks, doubts }
    }

    /// The same blocks, after something was found out about them.
    pub(crate) fn again(&self, deletions: &[bucket::deletions::Request]) -> Self {
        Self::new(self.blocks.clone(), deletions, self.lacks.clone())
    }

    /// The warnings for an answer.
    pub(crate) fn lacking(&self, range: TimeRange, asked: [&[Matcher]; 2]) -> Vec<String> {
        let mut concerned = self.lacks.iter().chain(&self.doubts).filter(|lack| lack.concerns(range, asked));
        let named = concerned.by_ref().take(NAMED_MAX);
        let mut texts: Vec<String> = named.map(|lack| format!("block {}: {}", lack.id, lack.why)).collect();
        let more = concerned.count();
        if more > 0 {
            texts.push(format!("{more} more blocks cannot be served, see /api/v1/blocks of this store"));
        }
        texts
    }

    /// Whether data of any time and any external labels may be missing.
    pub(crate) fn lacks_anything(&self) -> bool {
        self.lacks.iter().chain(&self.doubts).any(|lack| lack.of.is_none())
    }

    pub(crate) fn label_sets(&self) -> Vec<Labels> {
        self.sets.iter().map(|(l, _)| l.clone()).filter(|l| !l.is_empty()).collect()
    }

    /// The time of all blocks, also of those that cannot be served.
    pub(crate) fn range(&self, limits: TimeRange) -> TimeRange {
        let served = self.blocks.values().map(|b| b.range());
        let lacking = self.lacks.iter().filter_map(|lack| lack.of.as_ref()).map(|(of, _)| (of.min, of.max));
        let all = served.chain(lacking).fold((i64::MAX, i64::MIN), |all, one| (all.0.min(one.0), all.1.max(one.1)));
        TimeRange::new(all.0.max(limits.min), all.1.min(limits.max))
    }

    /// What the Info service tells of each external label set. `is_unsure` adds everything.
    pub(crate) fn tsdb_infos(&self, limits: TimeRange, is_unsure: bool) -> Vec<StoreSet> {
        let mut out: Vec<StoreSet> = Vec::new();
        for (labels, set) in &self.sets {
            let mut spans: Vec<(i64, i64)> = set.overlapping(TimeRange::ALL).map(|b| b.range()).collect();
            spans.sort_unstable();
            let mut open: Option<TimeRange> = None;
            for (min, max) in spans {
                match &mut open {
                    Some(range) if min <= range.max => range.max = range.max.max(max),
                    _ => {
                        let done = open.replace(TimeRange::new(min, max));
                        out.extend(done.map(|range| StoreSet { labels: labels.clone(), range }));
                    }
                }
            }
            out.extend(open.map(|range| StoreSet { labels: labels.clone(), range }));
        }
        let lacking = self.lacks.iter().filter_map(|lack| lack.of.clone());
        out.extend(lacking.map(|(range, labels)| StoreSet { labels, range }));
        if is_unsure {
            out.push(StoreSet { labels: Labels::default(), range: TimeRange::ALL });
        }
        for set in &mut out {
            set.range = TimeRange::new(set.range.min.max(limits.min), set.range.max.min(limits.max));
        }
        out
    }
}

fn doubt(block: &BucketBlock) -> Option<Lack> {
    let found = block.contradiction()?;
    let (min, end) = block.range();
    let of = found.is_complete.then(|| (TimeRange::new(min, end), block.labels.clone()));
    Some(Lack { id: block.id, of, why: found.text.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use labels::MatchType;

    #[test]
    fn which_answers_lack_a_block() {
        let id = BlockId::new(1, 1);
        let known =
            Lack { id, of: Some((TimeRange::new(10, 20), Labels::from_pairs([("cluster", "a")]))), why: String::new() };
        let unknown = Lack { of: None, ..known.clone() };
        let m = |name: &str, value: &str| vec![Matcher::new(MatchType::Equal, name, value).unwrap()];
        let none = Vec::new();
        for (range, of_block, of_series, concerned) in [
            ((0, 9), &none, &none, [false, true]),
            ((0, 10), &none, &none, [true, true]),
            ((15, 15), &none, &m("cluster", "a"), [true, true]),
            ((15, 15), &none, &m("cluster", "b"), [false, true]),
            ((15, 15), &none, &m("job", "b"), [true, true]),
            ((15, 15), &m("__block_id", &id.to_string()), &none, [true, true]),
            ((15, 15), &m("__block_id", "x"), &none, [false, false]),
            ((15, 15), &m("cluster", "b"), &none, [false, true]),
            ((21, 30), &none, &none, [false, true]),
        ] {
            let range = TimeRange::new(range.0, range.1);
            let got = [&known, &unknown].map(|lack| lack.concerns(range, [of_block, of_series]));
            assert_eq!(got, concerned, "{range:?} {of_block:?} {of_series:?}");
        }
        let many = |count: usize| Loaded::new(BTreeMap::new(), &[], vec![unknown.clone(); count]);
        let texts = |count: usize| many(count).lacking(TimeRange::ALL, [&[], &[]]);
        assert_eq!((texts(0).len(), texts(4).len(), texts(9).len()), (0, 4, 5));
        assert!(texts(9)[4].starts_with("5 more blocks"), "{:?}", texts(9));
    }
}
