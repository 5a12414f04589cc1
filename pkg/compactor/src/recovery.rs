//! Carrying out what compactors that died had decided.

use crate::commit::{CommitError, Recovered};
use crate::compactor::Compactor;
use crate::lease::Claim;
use crate::snapshot::Snapshot;

impl Compactor {
    /// Carries out decisions of compactors that died, also in groups for which nothing is planned. Returns how many.
    pub(crate) async fn recover_all(&self, snapshot: &Snapshot) -> u64 {
        let mut finished = 0;
        for (key, listed) in &snapshot.leases {
            let Some(entry) = &listed.entry else { continue };
            if entry.commit.is_none() || !self.leases.is_free(key, listed, entry) {
                continue;
            }
            match self.recover_one(key).await {
                Ok(true) => finished += 1,
                Ok(false) => {}
                Err(e) => {
                    tracing::warn!(lease = key, err = %e, "what another compactor had decided is not finished yet")
                }
            }
        }
        finished
    }

    async fn recover_one(&self, key: &str) -> Result<bool, CommitError> {
        let Claim::Held(lease) = self.leases.claim(key, None).await? else { return Ok(false) };
        let outcome = lease.held_unless_lost(self.committer.recover(&lease)).await;
        let recovered = outcome.transpose()?.unwrap_or(Recovered::Nothing);
        if recovered != Recovered::Nothing {
            let label = if recovered == Recovered::Finished { "finished" } else { "given up" };
            self.metrics.recovered.with(&[label]).inc();
        }
        Ok(recovered != Recovered::Nothing)
    }
}
