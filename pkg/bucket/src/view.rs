//! The blocks of a bucket at one time.

use std::collections::BTreeMap;
use std::sync::Arc;

use block::{BlockId, BlockMeta};

use crate::listing::BlockObjects;
use crate::marks::DeletionMark;

/// Why a block is partial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partial {
    /// It has no `meta.json`: an upload or a deletion is under way or was interrupted.
    NoMeta,
    /// Its `meta.json` is corrupt; says how.
    CorruptMeta(String),
}

/// The blocks of a bucket at one time.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Blocks with a `meta.json`, by id.
    pub metas: BTreeMap<BlockId, Arc<BlockMeta>>,
    /// Partial uploads, and blocks with a corrupt `meta.json`. Only the former may be cleaned up, after a long time.
    pub partial: BTreeMap<BlockId, Partial>,
    /// Blocks that the store failed to show, with the error: whether they are there is unknown.
    pub failed: BTreeMap<BlockId, String>,
    /// Blocks in `metas` of which files that `meta.json` names are missing or of another size, with what differs. They
    /// stay in `metas`: a query that fails on them is better than one that silently leaves them out.
    pub broken: BTreeMap<BlockId, String>,
    /// Deletion marks, by block.
    pub deletion_marks: BTreeMap<BlockId, DeletionMark>,
    /// Marks that are corrupt, of another block or of an unknown version, with what is wrong. A deletion mark
    /// among them hides nothing; one of a later version counts among `failed` too. The others protect their block by being
    /// there.
    pub odd_marks: BTreeMap<BlockId, Vec<String>>,
    /// The objects of each block, as listed.
    pub objects: BTreeMap<BlockId, BlockObjects>,
}

impl View {
    /// Whether a block that is not in `metas` is known to be gone or partial. If not, drop nothing.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty()
    }

    /// Partial blocks to which nothing was written for `age_ms`, and which nobody has marked: abandoned uploads.
    ///
    /// The age is that of the *newest* object. The time in a ULID is when the block was made, not when its upload began: a block of
    /// last month may be under way right now (thanos-io/thanos#2470).
    pub fn abandoned(&self, now_ms: i64, age_ms: i64) -> Vec<BlockId> {
        let is_old = |id: &BlockId| {
            let objects = self.objects.get(id);
            let marked = objects.is_some_and(|o| o.deletion_mark().is_some());
            let newest = objects.and_then(BlockObjects::newest_ms).unwrap_or(id.time_ms());
            !marked && now_ms.saturating_sub(newest) >= age_ms
        };
        self.partial.keys().filter(|id| is_old(id)).copied().collect()
    }
}
