//! Who works on what: leases in the bucket, each a [`Register`] of its own.
//!
//! A lease is held by whoever wrote the newest version of its register, until it is released or was not renewed for its
//! time to live. All that its holder does takes place as a change of the register, so a holder that was taken for dead
//! and comes back finds that its next change is refused. Time only decides when others *try*; that there is one winner
//! follows from the register alone, whatever the clocks say.
//!
//! What a holder has decided to do and others must finish, should it die, is part of the value: [`Entry::commit`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use block::BlockId;
use futures::stream::TryStreamExt;
use model::Clock;
use objstore::{Bucket, ConditionalCreate};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::commit::Commit;
use crate::register::{Changed, Register, RegisterError, number};

/// Below this lie the leases. No block is called so, and Thanos passes it over.
pub(crate) const LEASES_DIR: &str = "aion-compactor/leases";
/// Clocks of machines are expected to differ by no more, ms.
pub(crate) const CLOCK_SKEW_MS: i64 = 5 * 60_000;
/// For how long it is taken as known what the store's clock says.
const CLOCK_KNOWN: Duration = Duration::from_secs(60);

/// What a version of a lease says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) version: u32,
    /// The process that wrote it.
    pub(crate) holder: String,
    /// Differs in each version ever written.
    pub(crate) nonce: String,
    /// How long it holds without being renewed, ms.
    pub(crate) ttl_ms: u64,
    /// The holder has let go.
    #[serde(default)]
    pub(crate) released: bool,
    /// Blocks being written that are not visible yet: nobody is to clean them up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) working: Vec<BlockId>,
    /// Decided, and to be finished before anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) commit: Option<Commit>,
}

/// Why a lease is no help any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeaseError {
    /// Somebody else has it, or may have it.
    #[error("lease {key} was lost: {why}")]
    Lost { key: String, why: &'static str },
    #[error("lease {key}: {source}")]
    Register {
        key: String,
        #[source]
        source: RegisterError,
    },
}

impl LeaseError {
    /// Whether the bucket failed, and may work a while later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Lost { .. } => true,
            Self::Register { source: RegisterError::Bucket(e), .. } => e.kind().is_transient(),
            Self::Register { .. } => false,
        }
    }
}

/// How leases are held.
#[derive(Debug, Clone)]
pub(crate) struct LeaseOptions {
    /// `--compact.lease-ttl`.
    pub(crate) ttl: Duration,
    /// Leases of others are taken over at once: there are no others.
    pub(crate) single_instance: bool,
    pub(crate) conditional: ConditionalCreate,
}

/// What became of a claim.
#[derive(Debug)]
pub(crate) enum Claim {
    /// Ours.
    Held(Arc<Lease>),
    /// Another's, who is alive as far as is known.
    Busy { holder: String },
    /// Somebody has worked here since the version the caller knows: look at the blocks again first.
    Moved,
}

#[derive(Debug)]
struct Shared {
    bucket: Bucket,
    clock: Arc<dyn Clock>,
    options: LeaseOptions,
    holder: String,
    nonces: AtomicU64,
    /// Others' versions, with the time since when they have stood unchanged.
    observed: Mutex<HashMap<String, (u64, Instant)>>,
    entries: Mutex<HashMap<String, (u64, Entry)>>,
    /// What the store's clock said, ms, and when it was heard.
    store_clock: Mutex<Option<(i64, Instant)>>,
    /// Leases that parts of this process hold.
    active: Mutex<HashSet<String>>,
}

/// The leases of one bucket, as one process sees them.
#[derive(Debug, Clone)]
pub(crate) struct Leases(Arc<Shared>);

/// One lease as [`Leases::list`] found it.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) number: u64,
    pub(crate) written_ms: i64,
    /// `None` if it could not be read.
    pub(crate) entry: Option<Entry>,
}

impl Leases {
    /// `holder` must be unlike that of any other process, past ones too.
    pub(crate) fn new(bucket: Bucket, clock: Arc<dyn Clock>, holder: String, options: LeaseOptions) -> Self {
        Self(Arc::new(Shared {
            bucket,
            clock,
            options,
            holder,
            nonces: AtomicU64::new(0),
            observed: Mutex::default(),
            entries: Mutex::default(),
            store_clock: Mutex::default(),
            active: Mutex::default(),
        }))
    }

    pub(crate) fn holder(&self) -> &str {
        &self.0.holder
    }

    fn register(&self, key: &str) -> Register {
        Register {
            bucket: self.0.bucket.clone(),
            dir: format!("{LEASES_DIR}/{key}"),
            conditional: self.0.options.conditional,
        }
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
                self.observe(&key, number);
                self.ask_store_clock(written_ms, entry).await;
            }
            listed.insert(key, Listed { number, written_ms, entry });
        }
        self.0.entries.lock().retain(|key, _| listed.contains_key(key));
        Ok(listed)
    }

    /// Since when version `number` of `key` has stood unchanged, as far as this process has seen.
    fn observe(&self, key: &str, number: u64) -> Instant {
        let now = Instant::now();
        let mut observed = self.0.observed.lock();
        let seen = observed.entry(key.to_owned()).or_insert((number, now));
        if seen.0 != number {
            *seen = (number, now);
        }
        seen.1
    }

    /// Whether the holder of a lease has let go, or must be taken for dead: its version has stood for longer than its
    /// time to live by this process' own monotonic clock, or much longer by the store's clock, if that is known.
    pub(crate) fn is_free(&self, key: &str, number: u64, written_ms: i64, entry: &Entry) -> bool {
        let ttl = Duration::from_millis(entry.ttl_ms);
        entry.released
            || self.0.options.single_instance
            || self.observe(key, number).elapsed() > ttl + ttl / 2
            || self.store_now_ms().is_some_and(|now_ms| is_past(now_ms, written_ms, entry))
    }

    /// The store's time of day, ms, if it was heard not long ago.
    fn store_now_ms(&self) -> Option<i64> {
        let (heard_ms, at) = (*self.0.store_clock.lock())?;
        let since = at.elapsed();
        (since < CLOCK_KNOWN).then(|| heard_ms.saturating_add(since.as_millis() as i64))
    }

    fn hear_store_clock(&self, now_ms: i64) {
        *self.0.store_clock.lock() = Some((now_ms, Instant::now()));
    }

    /// Asks for the store's time of day if by this machine's clock the holder of a lease is dead: that clock may be
    /// wrong, and a machine that is ahead would take every lease from those that work.
    async fn ask_store_clock(&self, written_ms: i64, entry: &Entry) {
        let is_foreign = !entry.released && entry.holder != self.0.holder && !self.0.options.single_instance;
        if !is_foreign || self.store_now_ms().is_some() || !is_past(self.0.clock.now_ms(), written_ms, entry) {
            return;
        }
        match self.0.bucket.probe_clock_ms(&self.nonce()).await {
            Ok(now_ms) => self.hear_store_clock(now_ms),
            Err(e) => tracing::debug!(err = %e, "the store's time is not known, leases are waited for"),
        }
    }

    /// Tries to get the lease `key`. With `known`, the caller's view of the blocks is from when that was the newest
    /// version (0 = none); if it no longer is, nothing is claimed.
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
        let register = self.register(key);
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
            self.ask_store_clock(newest.written_ms, &entry).await;
            if !ours && !self.is_free(key, number, newest.written_ms, &entry) {
                return Ok(Claim::Busy { holder: entry.holder });
            }
            if !entry.released && !ours {
                tracing::warn!(lease = key, holder = entry.holder, "lease was not renewed, taking it over");
            }
            commit = entry.commit;
        }
        let entry = self.entry(commit);
        let before = Instant::now();
        match register.create(number + 1, &entry).await.map_err(failed)? {
            Changed::No => Ok(Claim::Busy { holder: "another, just now".to_owned() }),
            Changed::Yes { written_ms } => {
                self.hear_store_clock(written_ms);
                Ok(Claim::Held(Arc::new(Lease {
                    leases: self.clone(),
                    register,
                    key: key.to_owned(),
                    held: tokio::sync::Mutex::new(Held { number: number + 1, entry }),
                    renewed: Mutex::new(before),
                    written_ms: Mutex::new(written_ms),
                    lost: CancellationToken::new(),
                })))
            }
        }
    }

    fn entry(&self, commit: Option<Commit>) -> Entry {
        Entry {
            version: 1,
            holder: self.0.holder.clone(),
            nonce: self.nonce(),
            ttl_ms: self.0.options.ttl.as_millis() as u64,
            released: false,
            working: Vec::new(),
            commit,
        }
    }

    fn nonce(&self) -> String {
        format!("{}-{}", self.0.holder, self.0.nonces.fetch_add(1, Ordering::Relaxed))
    }

    /// Forgets a lease of something that is gone.
    pub(crate) async fn remove(&self, key: &str) -> Result<(), objstore::Error> {
        self.register(key).remove().await
    }
}

/// Whether a version written at `written_ms` is older at `now_ms` than a living holder would leave it.
fn is_past(now_ms: i64, written_ms: i64, entry: &Entry) -> bool {
    now_ms.saturating_sub(written_ms) > i64::try_from(entry.ttl_ms).unwrap_or(i64::MAX).saturating_add(CLOCK_SKEW_MS)
}

#[derive(Debug)]
struct Held {
    number: u64,
    entry: Entry,
}

/// A lease that this process holds, or held.
#[derive(Debug)]
pub(crate) struct Lease {
    leases: Leases,
    register: Register,
    key: String,
    held: tokio::sync::Mutex<Held>,
    /// From before the last renewal was sent.
    renewed: Mutex<Instant>,
    written_ms: Mutex<i64>,
    lost: CancellationToken,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.lost.cancel();
        self.leases.0.active.lock().remove(&self.key);
    }
}

impl Lease {
    /// The store's clock when it last wrote a version for us, ms.
    pub(crate) fn store_now_ms(&self) -> i64 {
        *self.written_ms.lock()
    }

    fn lose(&self, why: &'static str) -> LeaseError {
        self.lost.cancel();
        LeaseError::Lost { key: self.key.clone(), why }
    }

    /// What was decided under this lease and is not finished.
    pub(crate) async fn pending(&self) -> Option<Commit> {
        self.held.lock().await.entry.commit.clone()
    }

    /// Ours and renewed recently enough that nobody takes it over meanwhile; by the monotonic clock.
    fn within_time(&self) -> bool {
        let ttl = self.leases.0.options.ttl;
        self.leases.0.options.single_instance || self.renewed.lock().elapsed() < ttl - ttl / 5
    }

    async fn change(&self, change: impl FnOnce(&mut Entry)) -> Result<(), LeaseError> {
        let mut held = self.held.lock().await;
        if self.lost.is_cancelled() {
            return Err(self.lose("it was lost before"));
        }
        let mut entry = held.entry.clone();
        change(&mut entry);
        entry.nonce = self.leases.nonce();
        let before = Instant::now();
        match self.register.create(held.number + 1, &entry).await {
            Ok(Changed::Yes { written_ms }) => {
                held.number += 1;
                held.entry = entry;
                *self.renewed.lock() = before;
                *self.written_ms.lock() = written_ms;
                self.leases.hear_store_clock(written_ms);
                Ok(())
            }
            Ok(Changed::No) => Err(self.lose("another has taken it over")),
            Err(source) => {
                // the change may have taken place or not: whoever claims next will see
                self.lost.cancel();
                Err(LeaseError::Register { key: self.key.clone(), source })
            }
        }
    }

    /// Says that the holder lives, and which blocks it writes.
    pub(crate) async fn renew(&self, working: Option<Vec<BlockId>>) -> Result<(), LeaseError> {
        self.change(|entry| {
            if let Some(working) = working {
                entry.working = working;
            }
        })
        .await
    }

    /// Decides: from now on `commit` will be carried out, by this process or another.
    pub(crate) async fn commit(&self, commit: Commit) -> Result<(), LeaseError> {
        if !self.within_time() {
            return Err(self.lose("it was not renewed in time"));
        }
        self.change(|entry| entry.commit = Some(commit)).await
    }

    /// The commit has been carried out, or given up.
    pub(crate) async fn done(&self) -> Result<(), LeaseError> {
        self.change(|entry| entry.commit = None).await
    }

    /// Lets go, so that others need not wait.
    async fn release(&self) -> Result<(), LeaseError> {
        let outcome = self
            .change(|entry| {
                entry.released = true;
                entry.working = Vec::new();
            })
            .await;
        self.lost.cancel();
        outcome
    }

    /// Fails unless the lease is still ours; to be asked right before something is made visible, marked or deleted.
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
            // our own renewal, meanwhile
            Ok(newest) if newest == self.held.lock().await.number => Ok(()),
            Ok(_) => Err(self.lose("another has taken it over")),
            Err(e) => Err(LeaseError::Register { key: self.key.clone(), source: e.into() }),
        }
    }

    /// Does `work` while the lease is renewed, and lets go of the lease unless `stays` says that the outcome forbids it.
    /// `stop` is cancelled when the lease is lost; `work` is waited for all the same.
    pub(crate) async fn held_for<T>(
        &self,
        work: impl Future<Output = T>,
        stop: &CancellationToken,
        stays: impl FnOnce(&T) -> bool,
    ) -> T {
        let whole = async {
            let outcome = work.await;
            if !self.lost.is_cancelled() && !stays(&outcome) {
                // who waits for it would wait for its end otherwise
                if let Err(e) = self.release().await {
                    tracing::debug!(err = %e, "lease not released");
                }
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
                // polled until the end: a renewal under way keeps others of our changes waiting
                () = &mut keep, if kept => {
                    kept = false;
                    stop.cancel();
                }
            }
        }
    }

    /// [`Self::held_for`], with the work dropped when the lease is lost: `None` then.
    pub(crate) async fn held_unless_lost<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let stop = CancellationToken::new();
        self.held_for(stop.run_until_cancelled(work), &stop, |_| false).await
    }

    /// Renews the lease until it is lost or released.
    async fn keep(&self) {
        let every = self.leases.0.options.ttl / 4;
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

#[cfg(test)]
mod tests {
    use super::*;
    use model::{FakeClock, SystemClock};
    use objstore::latency::LatencyHook;

    fn leases(bucket: &Bucket, holder: &str) -> Leases {
        let options = LeaseOptions {
            ttl: Duration::from_secs(60),
            single_instance: false,
            conditional: ConditionalCreate::Honoured,
        };
        Leases::new(bucket.clone(), Arc::new(SystemClock), holder.to_owned(), options)
    }

    async fn held(leases: &Leases) -> Arc<Lease> {
        match leases.claim("g", None).await.unwrap() {
            Claim::Held(lease) => lease,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_holder_at_a_time() {
        let bucket = Bucket::in_memory();
        let (a, b) = (leases(&bucket, "a"), leases(&bucket, "b"));
        let of_a = held(&a).await;
        assert!(matches!(b.claim("g", None).await.unwrap(), Claim::Busy { holder } if holder == "a"));
        of_a.check().await.unwrap();
        of_a.release().await.unwrap();
        assert!(of_a.check().await.is_err());
        let _of_b = held(&b).await;
        assert!(matches!(a.claim("g", None).await.unwrap(), Claim::Busy { .. }));
    }

    /// The store's clock tells who is dead, not that of a machine.
    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_ahead_takes_nothing() {
        let bucket = Bucket::in_memory();
        let of_a = held(&leases(&bucket, "a")).await;
        let ahead = Arc::new(FakeClock::at(SystemClock.now_ms() + 50 * 86_400_000));
        let options = leases(&bucket, "b").0.options.clone();
        let b = Leases::new(bucket.clone(), ahead, "b".to_owned(), options);
        for _ in 0..2 {
            let listed = b.list().await.unwrap().remove("g").unwrap();
            assert!(!b.is_free("g", listed.number, listed.written_ms, &listed.entry.unwrap()));
            assert!(matches!(b.claim("g", None).await.unwrap(), Claim::Busy { .. }));
        }
        of_a.check().await.unwrap();
        assert_eq!(bucket.list_recursive("aion-probe").try_collect::<Vec<_>>().await.unwrap(), []);
        // what has stood for hours by the store's own clock is free at once
        let long_ago = |l: &Listed| b.is_free("g", l.number, l.written_ms - 3_600_000, l.entry.as_ref().unwrap());
        assert!(long_ago(&b.list().await.unwrap()["g"]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_dead_are_replaced_and_fenced() {
        let bucket = Bucket::in_memory();
        let (a, b) = (leases(&bucket, "a"), leases(&bucket, "b"));
        let of_a = held(&a).await;
        assert!(matches!(b.claim("g", None).await.unwrap(), Claim::Busy { .. }));
        tokio::time::advance(Duration::from_secs(91)).await;
        let of_b = held(&b).await;
        assert!(of_a.check().await.is_err());
        assert!(of_a.commit(Commit::default()).await.is_err());
        of_b.check().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn renewal_keeps_it() {
        let bucket = Bucket::in_memory();
        let (a, b) = (leases(&bucket, "a"), leases(&bucket, "b"));
        let of_a = held(&a).await;
        let kept = of_a.clone();
        let keeper = tokio::spawn(async move { kept.keep().await });
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(20)).await;
            assert!(matches!(b.claim("g", None).await.unwrap(), Claim::Busy { .. }));
        }
        of_a.check().await.unwrap();
        of_a.release().await.unwrap();
        keeper.await.unwrap();
    }

    /// A renewal that is under way when the work ends is waited for, not waited on for ever.
    #[tokio::test(start_paused = true)]
    async fn work_may_end_during_a_renewal() {
        let bucket = Bucket::in_memory().decorated(LatencyHook(Duration::from_secs(2)));
        let (a, b) = (leases(&bucket, "a"), leases(&bucket, "b"));
        let of_a = held(&a).await;
        // the first renewal begins 15 s from now
        let work = async {
            tokio::time::sleep(Duration::from_secs(16)).await;
            7
        };
        let stop = CancellationToken::new();
        let whole = of_a.held_for(work, &stop, |_| false);
        let seven = tokio::time::timeout(Duration::from_secs(60), whole).await.unwrap();
        assert_eq!(seven, 7);
        let of_b = held(&b).await;
        assert!(of_a.check().await.is_err());
        // lost to another: what is done under it ends
        let c = leases(&bucket, "c");
        assert!(matches!(c.claim("g", None).await.unwrap(), Claim::Busy { .. }));
        tokio::time::advance(Duration::from_secs(91)).await;
        let _of_c = held(&c).await;
        assert_eq!(of_b.held_unless_lost(std::future::pending::<()>()).await, None);
    }

    /// Whoever takes over finds what was decided; and a commit is refused once somebody has.
    #[tokio::test(start_paused = true)]
    async fn decisions_outlive_their_maker() {
        let bucket = Bucket::in_memory();
        let (a, b) = (leases(&bucket, "a"), leases(&bucket, "b"));
        let of_a = held(&a).await;
        let commit = Commit { inputs: vec![BlockId::new(1, 1)], ..Commit::default() };
        of_a.commit(commit.clone()).await.unwrap();
        tokio::time::advance(Duration::from_secs(91)).await;
        assert!(matches!(b.claim("g", None).await.unwrap(), Claim::Busy { .. }), "seen for the first time");
        tokio::time::advance(Duration::from_secs(91)).await;
        let of_b = held(&b).await;
        assert_eq!(of_b.pending().await, Some(commit));
        of_b.done().await.unwrap();
        assert_eq!(of_b.pending().await, None);
        assert!(of_a.done().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn work_of_others_is_noticed() {
        let bucket = Bucket::in_memory();
        let (a, b) = (leases(&bucket, "a"), leases(&bucket, "b"));
        let listed = a.list().await.unwrap();
        assert!(listed.is_empty());
        held(&b).await.release().await.unwrap();
        assert!(matches!(a.claim("g", Some(0)).await.unwrap(), Claim::Moved));
        let number = a.list().await.unwrap()["g"].number;
        assert!(matches!(a.claim("g", Some(number)).await.unwrap(), Claim::Held(_)));
    }
}
