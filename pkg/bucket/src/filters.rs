//! Which blocks of a view a component works with. Pure: a view and the time in, blocks out.
//!
//! The order is Thanos': time, shard, freshness, deletion marks, replica labels, duplicates. It matters: a block is a
//! duplicate only of one that is itself kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use block::{BlockId, BlockMeta};
use labels::Builder;
use relabel::Rule;

use crate::lineage;
use crate::view::View;

/// The label that holds a block's id when shards are chosen.
const BLOCK_ID_LABEL: &str = "__block_id";
/// The value of a replica label that is put back because no other label was left.
const DEDUPED: &str = "deduped";

/// The filters' verdict on a block, as in the `state` label of `thanos_blocks_meta_synced`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It is kept, to be worked with.
    Loaded,
    /// It is outside of the wanted time range.
    TimeExcluded,
    /// Its labels belong to another shard.
    LabelExcluded,
    /// It was uploaded less than the consistency delay ago.
    TooFresh,
    /// Marked for deletion longer ago than the delay.
    MarkedForDeletion,
    /// All of its sources are in another block.
    Duplicate,
    /// It is kept and has a no-compact mark.
    MarkedForNoCompact,
    /// It is kept and has a no-downsample mark.
    MarkedForNoDownsample,
}

impl State {
    /// All states, in the order of the metrics.
    pub const ALL: [Self; 8] = [
        Self::Loaded,
        Self::TimeExcluded,
        Self::LabelExcluded,
        Self::TooFresh,
        Self::MarkedForDeletion,
        Self::Duplicate,
        Self::MarkedForNoCompact,
        Self::MarkedForNoDownsample,
    ];

    /// The value of the metrics' label `state`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::TimeExcluded => "time-excluded",
            Self::LabelExcluded => "label-excluded",
            Self::TooFresh => "too-fresh",
            Self::MarkedForDeletion => "marked-for-deletion",
            Self::Duplicate => "duplicate",
            Self::MarkedForNoCompact => "marked-for-no-compact",
            Self::MarkedForNoDownsample => "marked-for-no-downsample",
        }
    }
}

/// The filters, each off by default.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    /// Keep blocks with `max_time >= .0` and `min_time <= .1`, in ms.
    pub time: Option<(i64, i64)>,
    /// Keep blocks whose external labels and `__block_id` come out of these rules non-empty.
    pub shard: Vec<Rule>,
    /// Labels the shard rules do not see.
    pub shard_ignores: Vec<String>,
    /// Leave blocks out for so long after their upload, ms; compactors' blocks are never held back.
    pub consistency_delay_ms: i64,
    /// Leave blocks out that were marked for deletion longer ago than this, ms; `None` = marks mean nothing.
    pub ignore_deletion_marks_delay_ms: Option<i64>,
    /// External labels to take off the metas (in memory), so that replicas fall into one group.
    pub remove_replica_labels: Vec<String>,
    /// Leave blocks out whose sources are all in a kept block of the same group.
    pub deduplicate: bool,
}

/// The blocks that the filters kept and hid.
#[derive(Debug, Clone, Default)]
pub struct Filtered {
    /// Blocks that passed all filters.
    pub kept: BTreeMap<BlockId, Arc<BlockMeta>>,
    /// The others, with the filter that hid them.
    pub hidden: BTreeMap<BlockId, State>,
    /// How many kept blocks had replica labels taken off.
    pub modified: usize,
    /// Kept blocks with a no-compact mark.
    pub no_compact: usize,
    /// Kept blocks with a no-downsample mark.
    pub no_downsample: usize,
}

impl Filtered {
    fn hide(&mut self, state: State, goes: impl Fn(BlockId, &BlockMeta) -> bool) {
        let hidden = &mut self.hidden;
        self.kept.retain(|id, meta| {
            let goes = goes(*id, meta);
            if goes {
                hidden.insert(*id, state);
            }
            !goes
        });
    }
}

impl Filters {
    /// Applies the filters to `view` at `now_ms`.
    pub fn apply(&self, view: &View, now_ms: i64) -> Filtered {
        let mut out = Filtered { kept: view.metas.clone(), ..Default::default() };
        if let Some((min, max)) = self.time {
            out.hide(State::TimeExcluded, |_, meta| meta.max_time < min || meta.min_time > max);
        }
        if !self.shard.is_empty() {
            out.hide(State::LabelExcluded, |id, meta| !self.is_in_shard(id, meta));
        }
        if self.consistency_delay_ms > 0 {
            out.hide(State::TooFresh, |id, meta| self.is_too_fresh(id, meta, view, now_ms));
        }
        out.hide(State::MarkedForDeletion, |id, _| self.hides_deleted(view, id, now_ms));
        if !self.remove_replica_labels.is_empty() {
            for meta in out.kept.values_mut() {
                if let Some(changed) = without_labels(meta, &self.remove_replica_labels) {
                    *meta = Arc::new(changed);
                    out.modified += 1;
                }
            }
        }
        if self.deduplicate {
            let duplicates = lineage::duplicates(&out.kept);
            out.hide(State::Duplicate, |id, _| duplicates.contains(&id));
        }
        let objects = || out.kept.keys().filter_map(|id| view.objects.get(id));
        out.no_compact = objects().filter(|o| o.no_compact_mark().is_some()).count();
        out.no_downsample = objects().filter(|o| o.no_downsample_mark().is_some()).count();
        out
    }

    /// Whether a block is hidden since it was marked for deletion.
    pub fn hides_deleted(&self, view: &View, id: BlockId, now_ms: i64) -> bool {
        let marked = view.deletion_marks.get(&id).map(|m| m.deletion_time.saturating_mul(1000));
        let delay = self.ignore_deletion_marks_delay_ms;
        marked.zip(delay).is_some_and(|(at, delay)| now_ms.saturating_sub(at) > delay)
    }

    fn is_in_shard(&self, id: BlockId, meta: &BlockMeta) -> bool {
        let mut builder = Builder::new();
        builder.set(BLOCK_ID_LABEL, &id.to_string());
        for (name, value) in meta.thanos.iter().flat_map(|t| &t.labels) {
            if !self.shard_ignores.contains(name) {
                builder.set(name, value);
            }
        }
        relabel::apply_to(&self.shard, &mut builder) && !builder.build().is_empty()
    }

    fn is_too_fresh(&self, id: BlockId, meta: &BlockMeta, view: &View, now_ms: i64) -> bool {
        let (source, uploaded) = match &meta.thanos {
            Some(thanos) => (thanos.source.as_str(), thanos.upload_time_ms()),
            None => ("", None),
        };
        if matches!(source, "compactor" | "compactor.repair" | "bucket.repair") {
            return false;
        }
        // A time of upload in the future would hide the block until then.
        let listed = || view.objects.get(&id).and_then(|o| o.meta()).map(|o| o.last_modified_ms);
        let uploaded = match uploaded {
            Some(at) if at > now_ms => listed().unwrap_or(at),
            uploaded => uploaded.unwrap_or(id.time_ms()),
        };
        now_ms.saturating_sub(uploaded) < self.consistency_delay_ms
    }
}

/// `meta` without the labels `names`, or `None` if it has none of them.
fn without_labels(meta: &BlockMeta, names: &[String]) -> Option<BlockMeta> {
    let thanos = meta.thanos.as_ref()?;
    if !names.iter().any(|name| thanos.labels.contains_key(name)) {
        return None;
    }
    let mut labels = thanos.labels.clone();
    labels.retain(|name, _| !names.contains(name));
    if labels.is_empty() {
        // A block needs labels; all such blocks form one group.
        labels.insert(names[0].clone(), DEDUPED.to_owned());
    }
    let mut changed = meta.clone();
    changed.thanos = Some(block::ThanosMeta { labels, ..thanos.clone() });
    Some(changed)
}
