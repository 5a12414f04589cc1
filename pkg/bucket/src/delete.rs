//! Taking a block out of the bucket.

use block::{BlockId, META_FILE};
use futures::stream::{self, StreamExt, TryStreamExt};
use objstore::Bucket;
use service::Failpoints;

use crate::error::{Error, Result};
use crate::listing::list_block;
use crate::marks::DELETION_MARK;

/// Objects deleted at a time.
const CONCURRENCY: usize = 8;

/// Deletes `block`: `meta.json` first, so that nobody takes what is left for a block; the deletion mark last, so that a
/// deletion that stopped half-way is taken up again. Repeating it is harmless.
///
/// # Errors
/// Failures of the store; then part of the block may be gone.
pub async fn delete_block(bucket: &Bucket, block: BlockId, failpoints: &Failpoints) -> Result<()> {
    let meta = format!("{block}/{META_FILE}");
    bucket.delete(&meta).await?;
    failpoints.hit("delete.after_meta")?;
    // listed after meta.json went, so that nothing uploaded before it is overlooked
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
}
