//! Blocks whose `meta.json` cannot be used as it lies in the bucket now. What was known of them before holds on; of others
//! it is told that they may be missing.

use std::collections::BTreeMap;
use std::sync::Arc;

use block::{BlockId, BlockMeta, META_FILE};
use bucket::Partial;
use bucket::{BlockObjects, Filtered, View};
use labels::Labels;
use model::TimeRange;

use crate::loaded::Lack;

/// Why the `meta.json` of a block is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    pub why: String,
    /// What was read of it before is used instead: nothing is missing.
    pub is_known: bool,
}

pub(crate) type Metas = BTreeMap<BlockId, Arc<BlockMeta>>;

/// Puts what was `known` before into the view where nothing can be read now; gives all blocks of which nothing can.
pub(crate) fn recall(view: &mut View, known: &Metas) -> BTreeMap<BlockId, Unread> {
    let mut unread = BTreeMap::new();
    for (id, objects) in &view.objects {
        let before = known.get(id).filter(|meta| meta.resolution().is_some());
        let Some(why) = why_unread(view, *id, objects, before) else { continue };
        if let Some(meta) = before {
            view.metas.insert(*id, meta.clone());
        }
        unread.insert(*id, Unread { why, is_known: before.is_some() });
    }
    unread
}

fn why_unread(view: &View, id: BlockId, objects: &BlockObjects, before: Option<&Arc<BlockMeta>>) -> Option<String> {
    if let Some(meta) = view.metas.get(&id) {
        let resolution = meta.resolution_ms();
        return meta.resolution().is_none().then(|| {
            format!("its resolution, {resolution} ms by its meta.json, is not known: a newer program may be needed")
        });
    }
    if let Some(why) = view.failed.get(&id) {
        return Some(format!("its meta.json cannot be read: {why}"));
    }
    match view.partial.get(&id)? {
        Partial::CorruptMeta(why) => {
            Some(format!("its meta.json is corrupt: {why}: write it again, or delete the block"))
        }
        // an upload or a deletion under way, but for a block that was served and has lost nothing else
        Partial::NoMeta => before.filter(|meta| has_all_but_meta(meta, objects)).map(|_| {
            "its meta.json is gone, all other files are there: write it again, or mark the block for deletion"
                .to_owned()
        }),
    }
}

fn has_all_but_meta(meta: &BlockMeta, there: &BlockObjects) -> bool {
    let files = meta.thanos.iter().flat_map(|t| &t.files).filter(|f| f.rel_path != META_FILE);
    let is_there = |path: &str, size: u64| there.objects.get(path).is_some_and(|o| size == 0 || o.size == size);
    let is_going = there.deletion_mark().is_some() || there.cleanup_mark().is_some();
    !is_going && is_there("index", 0) && files.into_iter().all(|f| is_there(&f.rel_path, f.size_bytes))
}

/// Those of `unread` whose data may be missing from answers; blocks of which too little is known are taken out of
/// `filtered`.
pub(crate) fn lacks(
    unread: &BTreeMap<BlockId, Unread>,
    view: &View,
    filtered: &mut Filtered,
    is_deleted: impl Fn(BlockId) -> bool,
) -> Vec<Lack> {
    let mut lacks = Vec::new();
    for (id, Unread { why, .. }) in unread.iter().filter(|(_, u)| !u.is_known) {
        let of = match (view.metas.contains_key(id), filtered.kept.remove(id)) {
            (true, Some(meta)) => {
                let labels = Labels::from_pairs(meta.thanos.iter().flat_map(|t| &t.labels));
                Some((TimeRange::new(meta.min_time, meta.max_time), labels))
            }
            // hidden, as it would be if it could be read
            (true, None) => continue,
            (false, _) if is_deleted(*id) || is_within_another(*id, &filtered.kept) => continue,
            (false, _) => None,
        };
        let why = format!("{why}; its data are missing");
        lacks.push(Lack { id: *id, of, why });
    }
    lacks
}

/// Whether a block of raw data was made from this one: it has the same data then. Only blocks of raw data are named as
/// sources, and parents have the resolution of raw data if what was made from them has.
fn is_within_another(id: BlockId, kept: &Metas) -> bool {
    kept.values().filter(|meta| meta.ulid != id && meta.resolution_ms() == 0).any(|meta| {
        let compaction = &meta.compaction;
        compaction.sources.contains(&id) || compaction.parents.iter().any(|parent| parent.ulid == id)
    })
}

/// Logs what is new in `unread` since `before`, and what is readable again.
pub(crate) fn tell(unread: &BTreeMap<BlockId, Unread>, before: &BTreeMap<BlockId, Unread>) {
    for (id, now) in unread.iter().filter(|(id, now)| before.get(id) != Some(now)) {
        match now.is_known {
            true => tracing::warn!(block = %id, why = now.why, "block is served on as it was known before"),
            false => tracing::warn!(block = %id, why = now.why, "block is not served, answers say so"),
        }
    }
    for id in before.keys().filter(|id| !unread.contains_key(id)) {
        tracing::info!(block = %id, "meta.json of a block is readable again, or the block is gone");
    }
}
