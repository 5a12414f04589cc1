//! The objects of each block in the bucket.

use std::collections::BTreeMap;

use block::{BlockId, META_FILE};
use futures::stream::{self, StreamExt, TryStreamExt};
use objstore::{Bucket, Object};

use crate::error::Result;
use crate::marks::{CLEANUP_MARK, DELETION_MARK, NO_COMPACT_MARK, NO_DOWNSAMPLE_MARK};

/// One block's objects; paths are relative to the block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockObjects {
    /// All objects by path, marks and `meta.json` too.
    pub objects: BTreeMap<String, Object>,
}

impl BlockObjects {
    /// The object `meta.json`, if the block has one.
    pub fn meta(&self) -> Option<&Object> {
        self.objects.get(META_FILE)
    }

    /// The object of the deletion mark, if the block has one.
    pub fn deletion_mark(&self) -> Option<&Object> {
        self.objects.get(DELETION_MARK)
    }

    /// The object of the no-compact mark, if the block has one.
    pub fn no_compact_mark(&self) -> Option<&Object> {
        self.objects.get(NO_COMPACT_MARK)
    }

    /// The object of the no-downsample mark, if the block has one.
    pub fn no_downsample_mark(&self) -> Option<&Object> {
        self.objects.get(NO_DOWNSAMPLE_MARK)
    }

    /// The object of the mark that cleaning leaves on a partial upload, if the block has one.
    pub fn cleanup_mark(&self) -> Option<&Object> {
        self.objects.get(CLEANUP_MARK)
    }

    /// When the newest object was written, cleanup marks apart, ms since the epoch. The age of a partial upload is measured
    /// from it; the ULID has the time when the block was made, which may be long before its upload began.
    pub fn newest_ms(&self) -> Option<i64> {
        self.objects.iter().filter(|(path, _)| *path != CLEANUP_MARK).map(|(_, o)| o.last_modified_ms).max()
    }

    /// Bytes of all objects together.
    pub fn size_bytes(&self) -> u64 {
        self.objects.values().map(|o| o.size).sum()
    }

    fn add(&mut self, path: &str, object: Object) {
        self.objects.insert(path.to_owned(), object);
    }
}

/// All blocks, from one recursive listing. Objects outside of block directories are ignored.
///
/// # Errors
/// When the listing was not complete; then nothing is known.
pub async fn list_blocks(bucket: &Bucket) -> Result<BTreeMap<BlockId, BlockObjects>> {
    let mut blocks: BTreeMap<BlockId, BlockObjects> = BTreeMap::new();
    let mut objects = bucket.list_recursive("");
    while let Some(object) = objects.try_next().await? {
        let Some((dir, rest)) = object.path.split_once('/') else { continue };
        let Ok(id) = BlockId::parse(dir) else { continue };
        let rest = rest.to_owned();
        blocks.entry(id).or_default().add(&rest, object);
    }
    Ok(blocks)
}

/// Blocks that could be listed, and those that could not, with the reason.
pub type Apart = (BTreeMap<BlockId, BlockObjects>, BTreeMap<BlockId, String>);

/// The same from one listing of the root and one for each block, `concurrency` at a time: for stores with so many
/// objects beside the blocks that a recursive listing takes too long, and where a single block cannot be listed.
///
/// # Errors
/// When the listing of the root was not complete, or no block could be listed.
pub async fn list_blocks_one_by_one(bucket: &Bucket, concurrency: usize) -> Result<Apart> {
    let ids: Vec<BlockId> = bucket.list_dirs("").await?.iter().filter_map(|dir| BlockId::parse(dir).ok()).collect();
    let listings = ids.into_iter().map(|id| {
        let bucket = bucket.clone();
        async move { (id, list_block(&bucket, id).await) }
    });
    let mut listings = stream::iter(listings).buffer_unordered(concurrency.max(1));
    let (mut listed, mut failed, mut first) = (BTreeMap::new(), BTreeMap::new(), None);
    while let Some((id, outcome)) = listings.next().await {
        match outcome {
            Ok(objects) => {
                listed.insert(id, objects);
            }
            Err(e) => {
                failed.insert(id, e.to_string());
                first.get_or_insert(e);
            }
        }
    }
    match first {
        Some(e) if listed.is_empty() => Err(e),
        _ => Ok((listed, failed)),
    }
}

/// One block's objects; none if there is no such block.
///
/// # Errors
/// When the listing was not complete.
pub async fn list_block(bucket: &Bucket, id: BlockId) -> Result<BlockObjects> {
    let prefix = id.to_string();
    let mut found = BlockObjects::default();
    let mut objects = bucket.list_recursive(&prefix);
    while let Some(object) = objects.try_next().await? {
        if let Some(path) = object.path.strip_prefix(&prefix).and_then(|p| p.strip_prefix('/')) {
            let path = path.to_owned();
            found.add(&path, object);
        }
    }
    Ok(found)
}
