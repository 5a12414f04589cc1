//! The bucket at one time, as the work sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use block::{BlockId, BlockMeta};
use bucket::Partial;
use bucket::deletions::{self, Request, since_ms};
use bucket::{Filtered, State, View, lineage};

use crate::coverage::Coverage;
use crate::group::{self, Group};
use crate::lease::Listed;
use crate::settings::Settings;

/// What was read of the bucket, and what follows from it.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// When it was taken, by this machine's clock.
    pub(crate) taken_ms: i64,
    /// All blocks as they lie in the bucket.
    pub(crate) view: View,
    /// The filters' verdicts, for metrics and pages.
    pub(crate) filtered: Filtered,
    /// The blocks to work on, by group: visible, complete, not marked for deletion, no duplicates. Replica labels are taken
    /// off.
    pub(crate) groups: BTreeMap<String, Group>,
    /// Coverage of all visible blocks that are complete and not marked, also those of other shards.
    pub(crate) coverage: Coverage,
    /// Blocks all of whose data another block holds.
    pub(crate) duplicates: BTreeSet<BlockId>,
    /// Blocks marked not to be compacted.
    pub(crate) no_compact: BTreeSet<BlockId>,
    /// Blocks marked not to be downsampled.
    pub(crate) no_downsample: BTreeSet<BlockId>,
    /// The leases, listed before the blocks.
    pub(crate) leases: BTreeMap<String, Listed>,
    pub(crate) requests: deletions::Listing,
}

impl Snapshot {
    /// Built from what was read: leases first, then blocks.
    pub(crate) fn new(
        mut view: View,
        leases: BTreeMap<String, Listed>,
        requests: deletions::Listing,
        settings: &Settings,
        now_ms: i64,
    ) -> Self {
        let all = view.metas.clone();
        // A block that is incomplete or marked for deletion is no input and replaces no other.
        let sound = |id: &BlockId| !view.broken.contains_key(id) && !view.deletion_marks.contains_key(id);
        let mut metas: BTreeMap<_, _> =
            all.iter().filter(|(id, _)| sound(id)).map(|(id, m)| (*id, m.clone())).collect();
        let superseded = lineage::superseded(&metas);
        metas.retain(|id, _| !superseded.contains(id));
        let coverage = Coverage::new(metas.values());
        view.metas = metas;
        let mut filters = settings.filters.clone();
        let times = settings.times.at(now_ms);
        filters.time = Some((times.min, times.max));
        filters.remove_replica_labels = settings.replica_labels.clone();
        filters.shard_ignores = settings.replica_labels.clone();
        filters.ignore_deletion_marks_delay_ms = None;
        filters.deduplicate = true;
        let mut filtered = filters.apply(&view, now_ms);
        view.metas = all;
        for id in view.deletion_marks.keys().filter(|id| view.metas.contains_key(id)) {
            filtered.hidden.insert(*id, State::MarkedForDeletion);
        }
        let hidden = |state: State| filtered.hidden.iter().filter(move |(_, s)| **s == state).map(|(id, _)| *id);
        let duplicates = hidden(State::Duplicate).chain(superseded).collect();
        let marked = |is: fn(&bucket::BlockObjects) -> bool| {
            view.objects.iter().filter(|(_, o)| is(o)).map(|(id, _)| *id).collect::<BTreeSet<_>>()
        };
        Self {
            taken_ms: now_ms,
            groups: group::groups(&filtered.kept),
            coverage,
            duplicates,
            no_compact: marked(|o| o.no_compact_mark().is_some()),
            no_downsample: marked(|o| o.no_downsample_mark().is_some()),
            filtered,
            view,
            leases,
            requests,
        }
    }

    /// The number of the newest version of a lease, 0 = none.
    pub(crate) fn lease_number(&self, key: &str) -> u64 {
        self.leases.get(key).map_or(0, |l| l.number)
    }

    /// The requests that reach a block.
    pub(crate) fn reaching(&self, meta: &BlockMeta) -> Vec<&Request> {
        let since_ms = since_ms(meta);
        self.requests.pending().filter(|r| r.reaches(meta, since_ms)).collect()
    }

    /// Visible blocks, also marked ones, that a request reaches; and whether there may be more that could not be read.
    pub(crate) fn reached_by(&self, request: &Request) -> (usize, bool) {
        let reached = self.view.metas.values().filter(|m| request.reaches(m, since_ms(m))).count();
        // The listing has a meta.json that could not be read, or was not found afterwards.
        let is_listed = |id| self.view.objects.get(id).is_some_and(|o| o.meta().is_some());
        let unread = self.view.partial.iter().any(|(id, p)| matches!(p, Partial::CorruptMeta(_)) || is_listed(id));
        (reached, !self.view.is_complete() || unread)
    }

    /// A block's meta as it lies in the bucket.
    pub(crate) fn original(&self, meta: &Arc<BlockMeta>) -> Arc<BlockMeta> {
        self.view.metas.get(&meta.ulid).unwrap_or(meta).clone()
    }

    /// Bytes of a block, all files.
    pub(crate) fn bytes(&self, id: BlockId) -> u64 {
        self.view.objects.get(&id).map_or(0, bucket::BlockObjects::size_bytes)
    }

    /// Bytes of a block's index.
    pub(crate) fn index_bytes(&self, meta: &BlockMeta) -> u64 {
        let objects = self.view.objects.get(&meta.ulid);
        objects.and_then(|o| o.objects.get("index")).map_or(0, |o| o.size)
    }

    /// Blocks that running compactors write, or have decided to make visible.
    pub(crate) fn in_use(&self, is_free: impl Fn(&str, &Listed) -> bool) -> BTreeSet<BlockId> {
        let mut used = BTreeSet::new();
        for (key, listed) in &self.leases {
            let Some(entry) = &listed.entry else { continue };
            if !is_free(key, listed) {
                used.extend(&entry.working);
            }
            used.extend(entry.commit.iter().flat_map(|c| &c.outputs).map(|m| m.ulid));
        }
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::meta::{Compaction, Downsample, Rewrite, ThanosMeta};

    #[test]
    fn a_rewritten_block_goes_and_its_rewrite_stays() {
        let id = |n: u64| BlockId::new(n, 0);
        let block = |n: u64, resolution: i64, from: &[u64]| {
            let rewrites = vec![Rewrite { sources: from.iter().map(|n| id(*n)).collect(), ..Rewrite::default() }];
            let downsample = Downsample { resolution };
            Arc::new(BlockMeta {
                ulid: id(n),
                compaction: Compaction { sources: vec![id(1)], ..Compaction::default() },
                thanos: Some(ThanosMeta { rewrites, downsample, ..ThanosMeta::default() }),
                ..BlockMeta::default()
            })
        };
        let blocks = [block(1, 0, &[]), block(2, 0, &[1]), block(3, 0, &[1, 2]), block(4, 300_000, &[1, 2, 3])];
        let view = View { metas: blocks.iter().map(|b| (b.ulid, b.clone())).collect(), ..View::default() };
        let settings = Settings::default();
        let snapshot = Snapshot::new(view, BTreeMap::new(), deletions::Listing::default(), &settings, 0);
        assert_eq!(snapshot.duplicates, BTreeSet::from([id(1), id(2)]));
        assert_eq!(snapshot.filtered.kept.keys().copied().collect::<Vec<_>>(), [id(3), id(4)]);
        assert_eq!(snapshot.coverage.replacement(&blocks[0]), Some(BTreeSet::from([id(3)])));
        assert_eq!(snapshot.coverage.replacement(&blocks[2]), None);
    }
}
