//! What the reading of all blocks shares.

use std::sync::Arc;

use block::IndexHeader;
use model::Clock;
use objstore::Bucket;
use storage::{PartialResponse, Result};
use tokio::sync::Notify;

use crate::bucket_block::BucketBlock;
use crate::chunk_cache::ChunkCache;
use crate::error::{BlockError, BlockResult};
use crate::index_cache::IndexCache;
use crate::limits::Data;
use crate::metrics::GatewayMetrics;
use crate::read::ReadOptions;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) bucket: Bucket,
    /// The same, for ranges that nobody keeps: they are read into memory that is used again. Larger ones that are read once
    /// would stay there in place of those that come again and again.
    pub(crate) pooled: Bucket,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cache: IndexCache,
    pub(crate) chunk_cache: Option<ChunkCache>,
    pub(crate) metrics: GatewayMetrics,
    pub(crate) read: ReadOptions,
    /// Notified when a block turned out to be gone.
    pub(crate) resync: Notify,
}

impl Shared {
    pub(crate) async fn header(&self, block: &BucketBlock) -> BlockResult<Arc<IndexHeader>> {
        block.header(&self.bucket, &*self.clock, &self.metrics, &self.read.header).await
    }

    /// Counts a read that was corrupt.
    pub(crate) fn corrupt(&self, data: Data) {
        self.metrics.corrupt.with(&[data.name()]).inc();
    }

    /// The warning for a block that did not answer.
    ///
    /// # Errors
    /// Where parts must not be missing, and for what is not the block's fault.
    pub(crate) fn failed(&self, block: &BucketBlock, error: BlockError, mode: PartialResponse) -> Result<String> {
        if matches!(error, BlockError::Vanished(_)) {
            self.resync.notify_one();
        }
        if !matches!(error, BlockError::Fatal(_)) {
            tracing::warn!(block = %block.id, err = ?error, "block did not answer");
        }
        error.or_warning(mode, block.name())
    }
}
