//! The orderly end.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use wal::Position;

use super::error::{Error, Result};
use super::tsdb::Tsdb;
use super::work::aside;
use crate::journal::Log;
use crate::snapshot::SnapshotWriter;

/// Transactions that take longer are in the log; there is no snapshot then.
const TRANSACTIONS_WAIT: Duration = Duration::from_secs(10);

impl Tsdb {
    /// Ends the work on the database: what is logged becomes durable, the lock is given back. Reads and writes are refused
    /// from now on.
    ///
    /// # Errors
    /// Full chunks could not be written to disk. They are in the log; the next start reads them from there.
    pub fn close(self: &Arc<Self>) -> BoxFuture<'static, Result<()>> {
        let tsdb = self.clone();
        Box::pin(async move {
            tsdb.closed.cancel();
            tsdb.end_replay().await;
            aside(move |_| async move {
                let _changing = tsdb.blocks.changing().await;
                let snapshot = tsdb.blocks.options.memory_snapshot && tsdb.unfinished().is_none();
                let settled = tokio::time::timeout(TRANSACTIONS_WAIT, tsdb.head.settle_before(i64::MAX));
                let is_still = !snapshot || settled.await.is_ok();
                let mapped = tsdb.map_full_chunks().await;
                if snapshot
                    && is_still
                    && let Err(error) = tsdb.write_snapshot().await
                {
                    tracing::warn!(%error, "no snapshot of the head was written, the next start replays the whole log");
                }
                let synced = tsdb.chunks.sync().map_err(Error::io("sync chunks of the head in", &tsdb.blocks.dir));
                // What is saved then names chunks on disk.
                if !snapshot
                    && tsdb.unfinished().is_none()
                    && let Err(error) = tsdb.save_last_chunks().await
                {
                    tracing::warn!(%error, "open chunks are not saved, the next start replays more of the log");
                }
                tsdb.journal.close();
                tsdb.unlock();
                mapped.and(synced)
            })
            .await
        })
    }

    /// Writes what a start needs so that it has to read the log from its end on only.
    async fn write_snapshot(&self) -> Result<()> {
        let failed = |e: &dyn std::fmt::Display| Error::Head(format!("snapshot: {e}"));
        let Some(segment) = self.journal.cut(Log::Wal).await.map_err(|e| failed(&e.message))? else { return Ok(()) };
        self.head.log_late_again().await.map_err(|e| failed(&e.message))?;
        let position = Position { segment, offset: 0 };
        let options = self.blocks.options.journal.wal.clone();
        let mut writer = SnapshotWriter::create(&self.blocks.dir, position, options).map_err(|e| failed(&e))?;
        self.head.write_snapshot(&mut writer).map_err(|e| failed(&e))?;
        self.blocks.deps.failpoints.hit("tsdb.close.before_snapshot")?;
        writer.finish().map_err(|e| failed(&e))?;
        tracing::info!(segment, "wrote a snapshot of the head");
        Ok(())
    }
}
