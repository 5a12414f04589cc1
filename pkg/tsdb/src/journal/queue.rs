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
    /// The thread is at work on requests that it has taken.
    thread_writes: bool,
    /// Somebody else has a [`Turn`].
    turn_given: bool,
}

/// The right to write at once, which nobody else has meanwhile: requests that come later wait for its end.
pub(super) struct Turn<'a>(&'a Queue);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.turn_given = false;
        if state.closed || !state.requests.is_empty() {
            self.0.changed.notify_one();
        }
    }
}

impl Queue {
    /// Adds a request; one that comes after the end is dropped, which its sender sees.
    pub(super) fn push(&self, request: Request) {
        let mut state = self.state.lock();
        if !state.closed {
            state.requests.push(request);
            if !state.turn_given {
                self.changed.notify_one();
            }
        }
    }

    /// `None` if a request waits or is worked on, or after the end.
    pub(super) fn try_turn(&self) -> Option<Turn<'_>> {
        let mut state = self.state.lock();
        if state.closed || state.thread_writes || state.turn_given || !state.requests.is_empty() {
            return None;
        }
        state.turn_given = true;
        Some(Turn(self))
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
        state.thread_writes = false;
        while state.turn_given || state.requests.is_empty() && !state.closed {
            self.changed.wait(&mut state);
        }
        std::mem::swap(out, &mut state.requests);
        state.thread_writes = !out.is_empty();
        state.thread_writes
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
