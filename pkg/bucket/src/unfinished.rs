//! Abandoned multipart uploads of blocks' files. No listing of objects shows their parts.

use std::collections::BTreeMap;

use block::BlockId;
use futures::stream::TryStreamExt;
use objstore::{Bucket, UnfinishedUpload};

use crate::error::Result;
use crate::listing::BlockObjects;

/// Unfinished uploads of blocks' files that began at least `age_ms` ago, if no object of the block was written since then.
/// `blocks` are the objects in the bucket. Uploads outside of blocks are ignored.
///
/// # Errors
/// When the listing was not complete; `Unsupported` where the store has none.
pub async fn abandoned(
    bucket: &Bucket,
    blocks: &BTreeMap<BlockId, BlockObjects>,
    now_ms: i64,
    age_ms: i64,
) -> Result<Vec<(BlockId, UnfinishedUpload)>> {
    let is_old = |at_ms: i64| now_ms.saturating_sub(at_ms) >= age_ms;
    let mut found = Vec::new();
    let mut uploads = bucket.unfinished_uploads();
    while let Some(upload) = uploads.try_next().await? {
        let Some(Ok(id)) = upload.path.split_once('/').map(|(dir, _)| BlockId::parse(dir)) else { continue };
        let written = blocks.get(&id).and_then(BlockObjects::newest_ms);
        if is_old(upload.begun_ms) && written.is_none_or(is_old) {
            found.push((id, upload));
        }
    }
    Ok(found)
}

/// Aborts an upload unless a part came to it within `age_ms`, or it is finished by now; then gives false.
///
/// # Errors
/// Failures of the store.
pub async fn abort(bucket: &Bucket, upload: &UnfinishedUpload, now_ms: i64, age_ms: i64) -> Result<bool> {
    match bucket.unfinished_upload_newest_ms(upload).await {
        Ok(newest_ms) if now_ms.saturating_sub(newest_ms) >= age_ms => {}
        Ok(_) => return Ok(false),
        Err(e) if e.is_not_found() => return Ok(false),
        Err(e) => return Err(e.into()),
    }
    bucket.abort_unfinished_upload(upload).await?;
    tracing::info!(path = upload.path, upload = upload.id, "aborted an abandoned upload");
    Ok(true)
}
