//! A lease that this process holds: renewing, deciding under it, giving it up.

use std::sync::Arc;

use block::BlockId;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::entry::{Entry, LeaseError};
use super::register::{Changed, Register};
use super::shared::Shared;
use crate::decision::Commit;

#[derive(Debug)]
struct Held {
    number: u64,
    entry: Entry,
}

/// A lease that this process holds, or held.
#[derive(Debug)]
pub(crate) struct Lease {
    shared: Arc<Shared>,
    register: Register,
    key: String,
    held: tokio::sync::Mutex<Held>,
    /// When the last renewal was sent, by the monotonic clock.
    renewed: Mutex<Instant>,
    /// When the store wrote it, by its own clock.
    written_ms: Mutex<i64>,
    /// Cancelled when the lease is lost or given up.
    lost: CancellationToken,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.lost.cancel();
        self.shared.active.lock().remove(&self.key);
    }
}

impl Lease {
    /// A lease of which this process wrote version `number`: sent at the first time, written at the second.
    pub(super) fn new(
        shared: Arc<Shared>,
        register: Register,
        key: &str,
        number: u64,
        entry: Entry,
        (sent, written_ms): (Instant, i64),
    ) -> Self {
        Self {
            shared,
            register,
            key: key.to_owned(),
            held: tokio::sync::Mutex::new(Held { number, entry }),
            renewed: Mutex::new(sent),
            written_ms: Mutex::new(written_ms),
            lost: CancellationToken::new(),
        }
    }

    /// The store's time of day when it wrote this process' last version, ms.
    pub(crate) fn store_now_ms(&self) -> i64 {
        *self.written_ms.lock()
    }

    fn lose(&self, why: &'static str) -> LeaseError {
        self.lost.cancel();
        LeaseError::Lost { key: self.key.clone(), why }
    }

    /// The decision that stands in the lease and is not carried out.
    pub(crate) async fn pending(&self) -> Option<Commit> {
        self.held.lock().await.entry.commit.clone()
    }

    /// Whether the last renewal is so recent, by the monotonic clock, that no other process can have taken the lease over.
    fn within_time(&self) -> bool {
        let ttl = self.shared.options.ttl;
        self.shared.options.single_instance || self.renewed.lock().elapsed() < ttl - ttl / 5
    }

    async fn change(&self, change: impl FnOnce(&mut Entry)) -> Result<(), LeaseError> {
        let mut held = self.held.lock().await;
        if self.lost.is_cancelled() {
            return Err(self.lose("it was lost before"));
        }
        let mut entry = held.entry.clone();
        change(&mut entry);
        entry.nonce = self.shared.nonce();
        let before = Instant::now();
        match self.register.create(held.number + 1, &entry).await {
            Ok(Changed::Yes { written_ms }) => {
                held.number += 1;
                held.entry = entry;
                *self.renewed.lock() = before;
                *self.written_ms.lock() = written_ms;
                self.shared.set_store_clock(written_ms);
                Ok(())
            }
            Ok(Changed::No) => Err(self.lose("another has taken it over")),
            Err(source) => {
                // Whether the change took place is unknown: the next holder will see.
                self.lost.cancel();
                Err(LeaseError::Register { key: self.key.clone(), source })
            }
        }
    }

    /// Writes a new version, so that others see that the holder lives and which blocks it writes.
    pub(crate) async fn renew(&self, working: Option<Vec<BlockId>>) -> Result<(), LeaseError> {
        self.change(|entry| {
            if let Some(working) = working {
                entry.working = working;
            }
        })
        .await
    }

    /// Writes the decision: from now on `commit` will be carried out, by this process or another.
    pub(crate) async fn commit(&self, commit: Commit) -> Result<(), LeaseError> {
        if !self.within_time() {
            return Err(self.lose("it was not renewed in time"));
        }
        self.change(|entry| entry.commit = Some(commit)).await
    }

    /// Removes the decision, which was carried out or given up.
    pub(crate) async fn done(&self) -> Result<(), LeaseError> {
        self.change(|entry| entry.commit = None).await
    }

    /// Gives the lease up, so that others need not wait for its end.
    pub(super) async fn release(&self) -> Result<(), LeaseError> {
        let outcome = self
            .change(|entry| {
                entry.released = true;
                entry.working = Vec::new();
            })
            .await;
        self.lost.cancel();
        outcome
    }

    /// Fails unless this process still holds the lease. Called right before something is made visible, marked or deleted.
    pub(crate) async fn check(&self) -> Result<(), LeaseError> {
        if self.lost.is_cancelled() {
            return Err(self.lose("it was lost before"));
        }
        if !self.within_time() {
            return Err(self.lose("it was not renewed in time"));
        }
        let number = self.held.lock().await.number;
        let newest = self.register.newest().await;
        match newest {
            Ok(newest) if newest == number => Ok(()),
            // A renewal of this process has changed the number meanwhile.
            Ok(newest) if newest == self.held.lock().await.number => Ok(()),
            Ok(_) => Err(self.lose("another has taken it over")),
            Err(e) => Err(LeaseError::Register { key: self.key.clone(), source: e.into() }),
        }
    }

    /// Renews the lease while `work` runs, then gives it up, unless `stays` says that the outcome forbids it. `stop` is
    /// cancelled when the lease is lost; `work` is waited for all the same.
    pub(crate) async fn held_for<T>(
        &self,
        work: impl Future<Output = T>,
        stop: &CancellationToken,
        stays: impl FnOnce(&T) -> bool,
    ) -> T {
        let whole = async {
            let outcome = work.await;
            if !self.lost.is_cancelled()
                && !stays(&outcome)
                && let Err(e) = self.release().await
            {
                tracing::debug!(err = %e, "lease not released");
            }
            outcome
        };
        let keep = self.keep();
        tokio::pin!(whole, keep);
        let mut kept = true;
        loop {
            tokio::select! {
                biased;
                outcome = &mut whole => return outcome,
                // Polled to its end: a renewal under way makes other changes of this lease wait.
                () = &mut keep, if kept => {
                    kept = false;
                    stop.cancel();
                }
            }
        }
    }

    /// As [`Self::held_for`], but `work` is dropped when the lease is lost: `None` then.
    pub(crate) async fn held_unless_lost<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let stop = CancellationToken::new();
        self.held_for(stop.run_until_cancelled(work), &stop, |_| false).await
    }

    /// Renews the lease until it is lost or released.
    pub(super) async fn keep(&self) {
        let every = self.shared.options.ttl / 4;
        loop {
            tokio::select! {
                biased;
                () = self.lost.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
            match self.renew(None).await {
                Ok(()) => {}
                Err(e) => {
                    if !self.lost.is_cancelled() {
                        self.lost.cancel();
                    }
                    tracing::warn!(err = %e, "lease not renewed, its work is stopped");
                    return;
                }
            }
        }
    }
}
