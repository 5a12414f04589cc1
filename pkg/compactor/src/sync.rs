//! Reading the bucket: leases, blocks, requests to delete series.

use std::sync::Arc;
use std::time::Instant;

use crate::compactor::Compactor;
use crate::error::Error;
use crate::snapshot::Snapshot;

/// Listings of a store are not older than this, ms.
const LISTING_AGE_MS: i64 = 24 * 3_600_000;

impl Compactor {
    /// The bucket as of the last sync.
    pub(crate) fn latest(&self) -> Arc<Snapshot> {
        self.view.latest.lock().clone()
    }

    /// Reads the bucket: leases, then blocks, then requests to delete series.
    pub(crate) async fn sync(&self) -> Result<Arc<Snapshot>, Error> {
        let _one_at_a_time = self.view.syncing.lock().await;
        // Boxed, as other long futures: nested in one another they overflow a thread's stack in debug builds.
        let outcome = Box::pin(self.read_bucket()).await;
        let denied = matches!(&outcome, Err(e) if e.is_denied());
        self.metrics.halted.set(if denied { 1.0 } else { 0.0 });
        let snapshot = Arc::new(outcome?);
        self.view.metrics.show(&snapshot.view, &snapshot.filtered);
        self.quarantine.lock().retain_blocks(|id| snapshot.view.metas.contains_key(&id));
        self.known.verified.lock().retain(|id| snapshot.view.metas.contains_key(id));
        *self.view.latest.lock() = snapshot.clone();
        Ok(snapshot)
    }

    async fn read_bucket(&self) -> Result<Snapshot, Error> {
        let began = Instant::now();
        // Leases first: if a holder changes blocks after this, its lease has a newer version than the one listed.
        let leases = self.leases.list().await?;
        let view = self.view.fetcher.fetch().await?;
        let mut requests = bucket::deletions::list(&self.deps.bucket).await?;
        let metas = view.metas.values().map(|m| &**m);
        bucket::deletions::complete(&self.deps.bucket, &mut requests, metas, self.deps.clock.now_ms() - LISTING_AGE_MS)
            .await?;
        // Each is logged once, not with each sync.
        let before = self.latest();
        for (path, why) in requests.corrupt.iter().filter(|(p, why)| before.requests.corrupt.get(*p) != Some(*why)) {
            tracing::warn!(path, why, "deletion request is corrupt, nothing is deleted for it");
        }
        for (id, why) in view.failed.iter().filter(|(id, why)| before.view.failed.get(*id) != Some(*why)) {
            tracing::warn!(block = %id, why, "block cannot be read, others go on without it");
        }
        tracing::debug!(blocks = view.metas.len(), took = ?began.elapsed(), "bucket synced");
        Ok(Snapshot::new(view, leases, requests, &self.settings, self.deps.clock.now_ms()))
    }
}
