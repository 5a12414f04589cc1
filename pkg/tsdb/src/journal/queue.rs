//! What the threads of the logs are asked to do, in order.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::log::Log;
use crate::head::{JournalError, LogBatch};

/// Who waits for an outcome.
pub(super) type Answer<T> = oneshot::Sender<Result<T, JournalError>>;

pub(super) enum Request {
    Batch(LogBatch, Answer<()>),
    Cut(Log, Answer<Option<u64>>),
    Sync(Answer<()>),
}

/// Each commit waits for its answer, so that there are never more requests than open commits.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    closed: bool,
}

impl Queue {
    /// Adds a request; one that comes after the end is dropped, which its sender sees.
    pub(super) fn push(&self, request: Request) {
        let mut state = self.state.lock();
        if !state.closed {
            state.requests.push(request);
            self.changed.notify_one();
        }
    }

    /// No more requests are taken.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
        self.ended.notify_all();
    }

    /// All requests that wait, into `out`; false at the end.
    pub(super) fn take(&self, out: &mut Vec<Request>) -> bool {
        let mut state = self.state.lock();
        while state.requests.is_empty() && !state.closed {
            self.changed.wait(&mut state);
        }
        std::mem::swap(out, &mut state.requests);
        !out.is_empty()
    }

    /// Waits; true at the end.
    pub(super) fn is_closed_within(&self, time: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.closed {
            self.ended.wait_for(&mut state, time);
        }
        state.closed
    }
}
