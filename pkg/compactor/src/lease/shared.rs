//! What one process knows of the leases: its name, others' versions, the store's clock.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::Clock;
use objstore::Bucket;
use parking_lot::Mutex;
use tokio::time::Instant;

#[cfg(doc)]
use super::entry::CLOCK_SKEW_MS;
use super::entry::{Entry, LEASES_DIR, LeaseOptions};
use super::register::Register;
use crate::decision::Commit;

/// How long the store's time of day is used after this process learnt it.
const CLOCK_KNOWN: Duration = Duration::from_secs(60);

/// What all leases of a process share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) bucket: Bucket,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) options: LeaseOptions,
    pub(super) holder: String,
    pub(super) nonces: AtomicU64,
    /// The newest version seen of each lease, and since when it has not changed.
    pub(super) observed: Mutex<HashMap<String, (u64, Instant)>>,
    /// Versions that were read before.
    pub(super) entries: Mutex<HashMap<String, (u64, Entry)>>,
    /// The store's time of day, ms, and when this process learnt it.
    pub(super) store_clock: Mutex<Option<(i64, Instant)>>,
    /// Leases that parts of this process hold.
    pub(super) active: Mutex<HashSet<String>>,
}

impl Shared {
    pub(super) fn new(bucket: Bucket, clock: Arc<dyn Clock>, holder: String, options: LeaseOptions) -> Self {
        Self {
            bucket,
            clock,
            options,
            holder,
            nonces: AtomicU64::new(0),
            observed: Mutex::default(),
            entries: Mutex::default(),
            store_clock: Mutex::default(),
            active: Mutex::default(),
        }
    }

    pub(super) fn register(&self, key: &str) -> Register {
        Register {
            bucket: self.bucket.clone(),
            dir: format!("{LEASES_DIR}/{key}"),
            conditional: self.options.conditional,
        }
    }

    /// Since when this process has seen version `number` of `key` unchanged.
    pub(super) fn observe(&self, key: &str, number: u64) -> Instant {
        let now = Instant::now();
        let mut observed = self.observed.lock();
        let seen = observed.entry(key.to_owned()).or_insert((number, now));
        if seen.0 != number {
            *seen = (number, now);
        }
        seen.1
    }

    /// Whether a lease was given up, or its holder counts as dead: the version has not changed for one and a half times its
    /// time to live by this process' monotonic clock, or for the time to live and [`CLOCK_SKEW_MS`] by the store's clock.
    pub(super) fn is_free(&self, key: &str, number: u64, written_ms: i64, entry: &Entry) -> bool {
        let ttl = Duration::from_millis(entry.ttl_ms);
        entry.released
            || self.options.single_instance
            || self.observe(key, number).elapsed() > ttl + ttl / 2
            || self.store_now_ms().is_some_and(|now_ms| entry.is_past(now_ms, written_ms))
    }

    /// The store's time of day, ms, if this process learnt it not long ago.
    pub(super) fn store_now_ms(&self) -> Option<i64> {
        let (heard_ms, at) = (*self.store_clock.lock())?;
        let since = at.elapsed();
        (since < CLOCK_KNOWN).then(|| heard_ms.saturating_add(since.as_millis() as i64))
    }

    pub(super) fn set_store_clock(&self, now_ms: i64) {
        *self.store_clock.lock() = Some((now_ms, Instant::now()));
    }

    /// Asks for the store's time of day if by this machine's clock the holder of a lease is dead. This machine's clock may
    /// be ahead, and must not take leases from holders that work.
    pub(super) async fn ask_store_clock(&self, written_ms: i64, entry: &Entry) {
        let is_foreign = !entry.released && entry.holder != self.holder && !self.options.single_instance;
        if !is_foreign || self.store_now_ms().is_some() || !entry.is_past(self.clock.now_ms(), written_ms) {
            return;
        }
        match self.bucket.probe_clock_ms(&self.nonce()).await {
            Ok(now_ms) => self.set_store_clock(now_ms),
            Err(e) => tracing::debug!(err = %e, "the store's time is not known, leases are waited for"),
        }
    }

    pub(super) fn entry(&self, commit: Option<Commit>) -> Entry {
        Entry {
            version: 1,
            holder: self.holder.clone(),
            nonce: self.nonce(),
            ttl_ms: self.options.ttl.as_millis() as u64,
            released: false,
            working: Vec::new(),
            commit,
        }
    }

    pub(super) fn nonce(&self) -> String {
        format!("{}-{}", self.holder, self.nonces.fetch_add(1, Ordering::Relaxed))
    }
}
