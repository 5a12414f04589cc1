//! Where operations of simulated processes wait for their turn, and what may befall them and their processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::BoxStream;
use object_store::{Error, Result};
use objstore::Op;
use objstore::decorate::Hook;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::store::{Listing, status};

/// An error that a store may give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It does not answer.
    Timeout,
    /// 503.
    Throttled,
    /// 404.
    Missing,
    /// 412.
    Precondition,
}

impl Trouble {
    fn error(self, path: &str) -> Error {
        let path = path.to_owned();
        match self {
            Self::Timeout => {
                let source = std::io::Error::from(std::io::ErrorKind::TimedOut);
                Error::Generic { store: "sim", source: source.into() }
            }
            Self::Throttled => status(503),
            Self::Missing => Error::NotFound { path, source: "the simulation says so".into() },
            Self::Precondition => Error::Precondition { path, source: "the simulation says so".into() },
        }
    }
}

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Go,
    /// It is not done.
    Fail(Trouble),
    /// It is done, and is said to have failed.
    FailAfter(Trouble),
    /// A listing that is not what it should be.
    List(Listing),
}

/// An operation that waits for its turn.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) process: Arc<Process>,
    pub(super) op: Op,
    pub(super) path: String,
    pub(super) go: oneshot::Sender<Verdict>,
}

/// Where operations wait.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns {
    pub(super) waiting: Arc<Mutex<Vec<Waiting>>>,
    /// Somebody waits.
    pub(super) arrived: Arc<Notify>,
    open: Arc<AtomicBool>,
}

impl Turns {
    /// From now on nothing waits.
    pub(super) fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
        self.waiting.lock().clear();
    }
}

/// One run of a compactor.
#[derive(Debug)]
pub(super) struct Process {
    /// Which compactor.
    pub(super) who: usize,
    /// It was killed: nothing it asks for happens.
    pub(super) dead: AtomicBool,
    /// When it last wanted anything of the store, ms.
    pub(super) seen_ms: AtomicI64,
    /// Until when it does not run, ms.
    pub(super) asleep_until_ms: AtomicI64,
    /// How long it sleeps from before its next change of a block, ms; 0 = it does not.
    pub(super) sleep_at_change_ms: AtomicI64,
    /// What kind of work it does.
    pub(super) kind: Mutex<&'static str>,
}

impl Process {
    pub(super) fn new(who: usize) -> Arc<Self> {
        Arc::new(Self {
            who,
            dead: AtomicBool::new(false),
            seen_ms: AtomicI64::new(i64::MAX),
            asleep_until_ms: AtomicI64::new(0),
            sleep_at_change_ms: AtomicI64::new(0),
            kind: Mutex::new(super::RECOVERY),
        })
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }
}

/// One process' way to the store.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) turns: Turns,
    pub(super) process: Arc<Process>,
    pub(super) listing: Arc<Mutex<Option<Listing>>>,
}

impl Hook for Gate {
    type Guard = Verdict;

    fn before<'a>(&'a self, op: Op, path: &'a str) -> BoxFuture<'a, Result<Verdict>> {
        async move {
            if self.turns.open.load(Ordering::Relaxed) {
                return Ok(Verdict::Go);
            }
            if self.process.is_dead() {
                std::future::pending::<()>().await;
            }
            let (go, turn) = oneshot::channel();
            let waiting = Waiting { process: self.process.clone(), op, path: path.to_owned(), go };
            self.turns.waiting.lock().push(waiting);
            self.turns.arrived.notify_one();
            let verdict = turn.await.unwrap_or(Verdict::Go);
            if self.process.is_dead() {
                std::future::pending::<()>().await;
            }
            match verdict {
                Verdict::Fail(trouble) => return Err(trouble.error(path)),
                Verdict::List(listing) => *self.listing.lock() = Some(listing),
                _ => {}
            }
            Ok(verdict)
        }
        .boxed()
    }

    fn body(&self, _: &Verdict, body: BoxStream<'static, Result<Bytes>>) -> BoxStream<'static, Result<Bytes>> {
        body
    }

    fn after(&self, verdict: Verdict, _: Op, path: &str, _: u64, _: Option<&Error>) -> Option<Error> {
        match verdict {
            Verdict::FailAfter(trouble) => Some(trouble.error(path)),
            _ => None,
        }
    }
}
