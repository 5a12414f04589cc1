//! Deleting a block from the bucket.

use block::{BlockId, META_FILE};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use objstore::Bucket;
use service::Failpoints;

use crate::error::{Error, Result};
use crate::listing::list_block;
use crate::marks::DELETION_MARK;

/// Objects deleted at a time.
const CONCURRENCY: usize = 8;

/// Deletes `block`: `meta.json` first, so that the rest does not count as a block; the deletion mark last, so that an
/// interrupted deletion is continued. Repeating it does no harm.
///
/// # Errors
/// Failures of the store; then part of the block may be gone.
pub fn delete_block<'a>(bucket: &'a Bucket, block: BlockId, failpoints: &'a Failpoints) -> BoxFuture<'a, Result<()>> {
    Box::pin(async move {
        let meta = format!("{block}/{META_FILE}");
        bucket.delete(&meta).await?;
        failpoints.hit("delete.after_meta")?;
        // Listed after meta.json was deleted, so that files uploaded before are not missed.
        let found = list_block(bucket, block).await?;
        let data = found.objects.iter().filter(|(path, _)| *path != DELETION_MARK && *path != META_FILE);
        let deletions = data.map(|(_, object)| async move {
            bucket.delete(&object.path).await?;
            failpoints.hit("delete.after_object").map_err(Error::from)
        });
        stream::iter(deletions.collect::<Vec<_>>()).buffer_unordered(CONCURRENCY).try_collect::<Vec<()>>().await?;
        failpoints.hit("delete.before_mark")?;
        if found.deletion_mark().is_some() {
            bucket.delete(&format!("{block}/{DELETION_MARK}")).await?;
        }
        tracing::info!(%block, objects = found.objects.len(), "block deleted");
        Ok(())
    })
}
