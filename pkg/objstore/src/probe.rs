//! Whether the store honours `If-None-Match: *` (some take the header and overwrite all the same), and what its clock says.

use bytes::Bytes;
use model::Clock;
use rand::Rng;

use crate::bucket::{Bucket, Created};
use crate::error::{ErrorKind, Result};

/// What became of the second of two conditional creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionalCreate {
    /// It was refused: conditional creates can be relied on.
    Honoured,
    /// It went through, or the store does not know such requests: they protect nothing.
    Ignored,
}

/// Below this the probes live. No block is called so.
const PROBE_DIR: &str = "aion-probe";

impl Bucket {
    /// Creates a small object of a unique name twice, and removes it.
    ///
    /// # Errors
    /// Failures; then nothing is known.
    pub async fn probe_conditional_create(
        &self,
        clock: &dyn Clock,
        rng: &mut (dyn Rng + Send),
    ) -> Result<ConditionalCreate> {
        let path = format!("{PROBE_DIR}/{}-{:016x}", clock.now_ms(), rng.next_u64());
        // A directory that is not there is not made for the question's sake.
        self.exists(&path).await?;
        let outcome = self.create_twice(&path).await;
        if let Err(e) = self.delete(&path).await
            && outcome.is_ok()
        {
            tracing::warn!(bucket = self.name(), path, err = %e, "probe object left behind");
        }
        outcome
    }

    /// The store's time of day, ms: that of a small object written for it, and removed. No two calls may share a `name`.
    ///
    /// # Errors
    /// Failures of the store, after its retries.
    pub async fn probe_clock_ms(&self, name: &str) -> Result<i64> {
        let path = format!("{PROBE_DIR}/clock-{name}");
        self.put(&path, Bytes::from_static(b"now")).await?;
        let written = self.head(&path).await;
        if let Err(e) = self.delete(&path).await {
            tracing::warn!(bucket = self.name(), path, err = %e, "probe object left behind");
        }
        Ok(written?.last_modified_ms)
    }

    async fn create_twice(&self, path: &str) -> Result<ConditionalCreate> {
        // Unlike in content: equal ones count as a request sent twice.
        for (body, last) in [(&b"first"[..], false), (&b"other"[..], true)] {
            match self.create(path, Bytes::from_static(body)).await {
                Ok(Created::AlreadyExists) => return Ok(ConditionalCreate::Honoured),
                Ok(Created::Created) if last => return Ok(ConditionalCreate::Ignored),
                Ok(Created::Created) => {}
                Err(e) if e.kind() == ErrorKind::Unsupported => return Ok(ConditionalCreate::Ignored),
                Err(e) => return Err(e),
            }
        }
        Ok(ConditionalCreate::Ignored)
    }
}
