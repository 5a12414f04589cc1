//! Faults by script: the n-th operation of a kind on a path fails, comes short, hangs, or fails after it was done.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};
use object_store::{PutPayload, Result};
use parking_lot::Mutex;

use crate::decorate::{Hook, Op};
use crate::error::{ErrorKind, store_error};

/// What an operation does in place of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The operation is not done and fails so.
    Fail(ErrorKind),
    /// The operation is done, yet the caller hears that it failed so.
    FailAfter(ErrorKind),
    /// The body of a GET ends after so many bytes, without an error.
    Short(u64),
    /// An object uploaded in one request is stored up to so many bytes, and the caller hears that all is well.
    StoredShort(usize),
    /// The operation never returns.
    Hang,
}

/// A rule that names operations and what becomes of them.
#[derive(Debug, Clone)]
pub struct Fault {
    /// For messages and for [`Faults::hits`].
    pub name: &'static str,
    /// The kind of operation; `None` = any.
    pub op: Option<Op>,
    /// What the path must contain; `""` = any.
    pub path_contains: String,
    /// How many matching operations pass before.
    pub skip: u64,
    /// How many fail then; `u64::MAX` = all.
    pub times: u64,
    /// What becomes of the operation.
    pub effect: Effect,
}

/// The script, shared with the test that writes it.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Vec<Active>>>);

#[derive(Debug)]
struct Active {
    fault: Fault,
    seen: u64,
    hits: u64,
}

impl Faults {
    /// No faults yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fault. The first one that matches an operation holds.
    pub fn add(&self, fault: Fault) {
        self.0.lock().push(Active { fault, seen: 0, hits: 0 });
    }

    /// The next matching operation fails so, once.
    pub fn once(&self, name: &'static str, op: Op, path_contains: &str, effect: Effect) {
        self.add(Fault { name, op: Some(op), path_contains: path_contains.to_owned(), skip: 0, times: 1, effect });
    }

    /// All matching operations fail so.
    pub fn always(&self, name: &'static str, op: Option<Op>, path_contains: &str, effect: Effect) {
        self.add(Fault { name, op, path_contains: path_contains.to_owned(), skip: 0, times: u64::MAX, effect });
    }

    /// Forgets all faults.
    pub fn clear(&self) {
        self.0.lock().clear();
    }

    /// How often the faults called `name` took place.
    pub fn hits(&self, name: &str) -> u64 {
        self.0.lock().iter().filter(|a| a.fault.name == name).map(|a| a.hits).sum()
    }

    fn next(&self, op: Op, path: &str) -> Option<Effect> {
        let mut faults = self.0.lock();
        for active in faults.iter_mut() {
            let fault = &active.fault;
            if fault.op.is_some_and(|o| o != op) || !path.contains(&fault.path_contains) {
                continue;
            }
            active.seen += 1;
            if active.seen > fault.skip && active.hits < fault.times {
                active.hits += 1;
                return Some(fault.effect);
            }
        }
        None
    }
}

impl Hook for Faults {
    type Guard = Option<Effect>;

    fn before<'a>(&'a self, op: Op, path: &'a str) -> BoxFuture<'a, Result<Self::Guard>> {
        match self.next(op, path) {
            Some(Effect::Fail(kind)) => futures::future::err(store_error(kind, path)).boxed(),
            Some(Effect::Hang) => futures::future::pending().boxed(),
            effect => futures::future::ok(effect).boxed(),
        }
    }

    fn body(&self, guard: &Self::Guard, body: BoxStream<'static, Result<Bytes>>) -> BoxStream<'static, Result<Bytes>> {
        let Some(Effect::Short(bytes)) = *guard else { return body };
        stream::unfold((body, bytes), |(mut body, left)| async move {
            if left == 0 {
                return None;
            }
            match body.next().await? {
                Ok(chunk) => {
                    let kept = chunk.slice(..chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
                    let left = left - kept.len() as u64;
                    Some((Ok(kept), (body, left)))
                }
                Err(error) => Some((Err(error), (body, left))),
            }
        })
        .boxed()
    }

    fn payload(&self, guard: &Self::Guard, payload: PutPayload) -> PutPayload {
        let Some(Effect::StoredShort(bytes)) = *guard else { return payload };
        let whole: Vec<u8> = payload.iter().flatten().copied().take(bytes).collect();
        PutPayload::from(whole)
    }

    fn after(
        &self,
        guard: Self::Guard,
        _: Op,
        path: &str,
        _: u64,
        _: Option<&object_store::Error>,
    ) -> Option<object_store::Error> {
        match guard {
            Some(Effect::FailAfter(kind)) => Some(store_error(kind, path)),
            _ => None,
        }
    }
}
