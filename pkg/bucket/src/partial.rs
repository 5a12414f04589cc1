//! Deleting abandoned partial uploads, and never an upload that goes on.
//!
//! No store deletes an object on the condition that nobody has written it meanwhile. So cleaning makes two visits. The
//! first leaves a mark beside the files. The second, at least [`CLEANUP_DELAY_MS`] later, deletes the files if none was
//! written since.
//!
//! The uploader of this project checks for the mark before it begins, before it writes `meta.json`, and after that. If it
//! finds the mark, it leaves the block alone until the block is gone. Cleaning and an upload can only meet if the uploader
//! stood still for the whole delay between two checks; its last check then finds the mark or missing files, and it uploads
//! again.
//!
//! Thanos' uploader does not know the mark. It writes all files again, and cleaning sees that: before each deletion it
//! checks that the file is still the one that was marked.

use std::collections::BTreeMap;

use block::{BlockId, META_FILE};
use futures::future::BoxFuture;
use objstore::{Bucket, Created};
use serde::{Deserialize, Serialize};
use service::Failpoints;

use crate::error::{Error, Result};
use crate::listing::{BlockObjects, list_block};
use crate::marks::{CLEANUP_MARK, MARK_VERSION};

/// Time from the mark to the deletion, ms: much longer than any operation of an uploader with its retries.
pub const CLEANUP_DELAY_MS: i64 = 3_600_000;
/// A mark of this age was left by a process that does not clean any more, ms: uploaders remove it.
pub const CLEANUP_MARK_STALE_MS: i64 = 24 * 3_600_000;

#[derive(Debug, Serialize, Deserialize)]
struct CleanupMark {
    id: BlockId,
    version: u32,
    /// When it was written by the writer's clock, Unix seconds; for people.
    marked_time: i64,
    details: String,
}

/// The outcome of a visit to a partial upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleanup {
    /// It is marked now; a later visit deletes it.
    Marked,
    /// It was marked before, less than [`CLEANUP_DELAY_MS`] ago.
    Waiting,
    /// The upload goes on or has ended; a mark is removed.
    Kept,
    /// All its files are deleted.
    Removed,
}

/// When and how to clean up.
pub struct Options<'a> {
    /// Now, by the slowest clock there is, ms.
    pub now_ms: i64,
    /// Age after which an upload without `meta.json` counts as abandoned, ms.
    pub age_ms: i64,
    /// Named places: `delete.after_object`, `delete.before_mark`.
    pub failpoints: &'a Failpoints,
}

/// Asked before each change: whether whoever cleans may go on.
pub type Check<'a, E> = &'a (dyn Fn() -> BoxFuture<'a, std::result::Result<(), E>> + Send + Sync);

fn mark_path(id: BlockId) -> String {
    format!("{id}/{CLEANUP_MARK}")
}

/// One visit to a block without `meta.json`. To be repeated until it is gone or kept; any number may visit it at a time.
///
/// # Errors
/// Failures of the store, and what `check` gives; then part of the files may be gone.
pub async fn clean_up<E: From<Error>>(
    bucket: &Bucket,
    id: BlockId,
    options: &Options<'_>,
    check: Check<'_, E>,
) -> std::result::Result<Cleanup, E> {
    let there = list_block(bucket, id).await?;
    let mark = there.cleanup_mark().cloned();
    let newest_ms = there.newest_ms();
    let is_old = |at_ms: i64, age_ms: i64| options.now_ms.saturating_sub(at_ms) >= age_ms;
    let is_abandoned = there.meta().is_none()
        && there.deletion_mark().is_none()
        && newest_ms.is_none_or(|at_ms| is_old(at_ms, options.age_ms));
    let Some(mark) = mark else {
        if !is_abandoned || newest_ms.is_none() || is_visible(bucket, id).await? {
            return Ok(Cleanup::Kept);
        }
        check().await?;
        write_mark(bucket, id, options.now_ms).await?;
        tracing::info!(block = %id, "an upload was abandoned, its files are deleted unless it goes on");
        return Ok(Cleanup::Marked);
    };
    if !is_abandoned || newest_ms.is_some_and(|at_ms| at_ms >= mark.last_modified_ms) {
        return give_up(bucket, id, check).await;
    }
    if !is_old(mark.last_modified_ms, CLEANUP_DELAY_MS) {
        return Ok(Cleanup::Waiting);
    }
    tracing::info!(block = %id, "deleting the files of an abandoned upload");
    for object in there.objects.values().filter(|o| !o.path.ends_with(CLEANUP_MARK)) {
        check().await?;
        // Asked by name, as listings may be late.
        if is_visible(bucket, id).await? || !bucket.exists(&mark_path(id)).await.map_err(Error::from)? {
            return give_up(bucket, id, check).await;
        }
        match bucket.head(&object.path).await {
            Ok(now) if now == *object => {}
            Ok(_) => return give_up(bucket, id, check).await,
            Err(e) if e.is_not_found() => continue,
            Err(e) => return Err(Error::from(e).into()),
        }
        bucket.delete(&object.path).await.map_err(Error::from)?;
        options.failpoints.hit("delete.after_object").map_err(Error::from)?;
    }
    options.failpoints.hit("delete.before_mark").map_err(Error::from)?;
    check().await?;
    let left = list_block(bucket, id).await?;
    bucket.delete(&mark_path(id)).await.map_err(Error::from)?;
    if left.objects.keys().any(|path| path != CLEANUP_MARK) {
        tracing::warn!(block = %id, "an upload went on while what it had left was deleted, whoever uploads it looks again");
        return Ok(Cleanup::Kept);
    }
    Ok(Cleanup::Removed)
}

async fn is_visible(bucket: &Bucket, id: BlockId) -> Result<bool> {
    Ok(bucket.exists(&format!("{id}/{META_FILE}")).await?)
}

async fn give_up<E: From<Error>>(bucket: &Bucket, id: BlockId, check: Check<'_, E>) -> std::result::Result<Cleanup, E> {
    check().await?;
    bucket.delete(&mark_path(id)).await.map_err(Error::from)?;
    tracing::info!(block = %id, "the upload of this block goes on or has ended, it is kept");
    Ok(Cleanup::Kept)
}

async fn write_mark(bucket: &Bucket, id: BlockId, now_ms: i64) -> Result<Created> {
    let mark = CleanupMark {
        id,
        version: MARK_VERSION,
        marked_time: now_ms.div_euclid(1000),
        details: "the upload was abandoned".to_owned(),
    };
    let json = serde_json::to_vec(&mark).map_err(|e| Error::Corrupt { block: id, what: e.to_string() })?;
    Ok(bucket.put_if_absent(&mark_path(id), json).await?)
}

/// For uploaders, with what they found of a block: refuses one that is being cleaned up. A mark that was forgotten is taken
/// away.
///
/// # Errors
/// [`Error::CleanedUp`].
pub async fn refuse_marked(bucket: &Bucket, id: BlockId, there: &BlockObjects, now_ms: i64) -> Result<()> {
    match there.cleanup_mark() {
        None => Ok(()),
        Some(mark) if now_ms.saturating_sub(mark.last_modified_ms) >= CLEANUP_MARK_STALE_MS => {
            Ok(bucket.delete(&mark_path(id)).await?)
        }
        Some(_) => Err(Error::CleanedUp { block: id }),
    }
}

/// Blocks to visit: those whose upload seems abandoned, and those that are marked.
pub fn to_visit(
    objects: &BTreeMap<BlockId, BlockObjects>,
    abandoned: impl IntoIterator<Item = BlockId>,
) -> std::collections::BTreeSet<BlockId> {
    let marked = objects.iter().filter(|(_, o)| o.cleanup_mark().is_some()).map(|(id, _)| *id);
    abandoned.into_iter().chain(marked).collect()
}
