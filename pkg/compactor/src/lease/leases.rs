//! All leases of a bucket: listing and claiming them.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::TryStreamExt;
use model::Clock;
use objstore::Bucket;
use tokio::time::Instant;

use super::entry::{Entry, LEASES_DIR, LeaseError, LeaseOptions, Listed};
use super::held::Lease;
use super::register::{Changed, RegisterError, number};
use super::shared::Shared;

/// The outcome of a claim.
#[derive(Debug)]
pub(crate) enum Claim {
    /// This process holds the lease.
    Held(Arc<Lease>),
    /// Another process holds it and is alive, as far as this one knows.
    Busy { holder: String },
    /// Another process has held it since the caller listed the blocks: they are to be listed again first.
    Moved,
}

/// The leases of one bucket, as one process sees them.
#[derive(Debug, Clone)]
pub(crate) struct Leases(pub(super) Arc<Shared>);

impl Leases {
    /// No other process, past or present, may have the name `holder`.
    pub(crate) fn new(bucket: Bucket, clock: Arc<dyn Clock>, holder: String, options: LeaseOptions) -> Self {
        Self(Arc::new(Shared::new(bucket, clock, holder, options)))
    }

    pub(crate) fn holder(&self) -> &str {
        &self.0.holder
    }

    /// All leases: one listing, and a read of each that changed.
    pub(crate) async fn list(&self) -> Result<BTreeMap<String, Listed>, objstore::Error> {
        let mut newest: BTreeMap<String, (u64, i64, String)> = BTreeMap::new();
        let mut objects = self.0.bucket.list_recursive(LEASES_DIR);
        while let Some(object) = objects.try_next().await? {
            let rest = object.path.strip_prefix(LEASES_DIR).unwrap_or_default().trim_start_matches('/');
            let (Some((key, _)), Some(number)) = (rest.rsplit_once('/'), number(&object.path)) else { continue };
            if newest.get(key).is_none_or(|(n, _, _)| *n < number) {
                newest.insert(key.to_owned(), (number, object.last_modified_ms, object.path.clone()));
            }
        }
        let mut listed = BTreeMap::new();
        for (key, (number, written_ms, path)) in newest {
            let known = self.0.entries.lock().get(&key).filter(|(n, _)| *n == number).map(|(_, e)| e.clone());
            let entry = match known {
                Some(entry) => Some(entry),
                None => match self.0.bucket.get(&path).await {
                    Ok(body) => serde_json::from_slice::<Entry>(&body).ok(),
                    Err(e) if e.is_not_found() => None,
                    Err(e) => return Err(e),
                },
            };
            if let Some(entry) = &entry {
                self.0.entries.lock().insert(key.clone(), (number, entry.clone()));
                self.0.observe(&key, number);
                self.0.ask_store_clock(written_ms, entry).await;
            }
            listed.insert(key, Listed { number, written_ms, entry });
        }
        self.0.entries.lock().retain(|key, _| listed.contains_key(key));
        Ok(listed)
    }

    /// Tries to get the lease `key`. `known` is the version (0 = none) that was the newest when the caller listed the
    /// blocks; if there is a newer one, nothing is claimed.
    pub(crate) async fn claim(&self, key: &str, known: Option<u64>) -> Result<Claim, LeaseError> {
        if !self.0.active.lock().insert(key.to_owned()) {
            return Ok(Claim::Busy { holder: self.0.holder.clone() });
        }
        let outcome = self.claim_from_others(key, known).await;
        if !matches!(outcome, Ok(Claim::Held(_))) {
            self.0.active.lock().remove(key);
        }
        outcome
    }

    async fn claim_from_others(&self, key: &str, known: Option<u64>) -> Result<Claim, LeaseError> {
        let register = self.0.register(key);
        let failed = |source: RegisterError| LeaseError::Register { key: key.to_owned(), source };
        let newest = register.read::<Entry>().await.map_err(failed)?;
        let number = newest.as_ref().map_or(0, |v| v.number);
        if known.is_some_and(|known| known != number) {
            return Ok(Claim::Moved);
        }
        let mut commit = None;
        if let Some(newest) = newest {
            let entry = newest.value;
            let ours = entry.holder == self.0.holder;
            self.0.ask_store_clock(newest.written_ms, &entry).await;
            if !ours && !self.0.is_free(key, number, newest.written_ms, &entry) {
                return Ok(Claim::Busy { holder: entry.holder });
            }
            if !entry.released && !ours {
                tracing::warn!(lease = key, holder = entry.holder, "lease was not renewed, taking it over");
            }
            commit = entry.commit;
        }
        let entry = self.0.entry(commit);
        let before = Instant::now();
        match register.create(number + 1, &entry).await.map_err(failed)? {
            Changed::No => Ok(Claim::Busy { holder: "another, just now".to_owned() }),
            Changed::Yes { written_ms } => {
                self.0.set_store_clock(written_ms);
                let held = Lease::new(self.0.clone(), register, key, number + 1, entry, (before, written_ms));
                Ok(Claim::Held(Arc::new(held)))
            }
        }
    }

    /// Removes a lease that nobody needs any more.
    pub(crate) async fn remove(&self, key: &str) -> Result<(), objstore::Error> {
        self.0.register(key).remove().await
    }

    /// See [`Shared::is_free`].
    pub(crate) fn is_free(&self, key: &str, listed: &Listed, entry: &Entry) -> bool {
        self.0.is_free(key, listed.number, listed.written_ms, entry)
    }
}
