//! Commits between their log and their series.

use parking_lot::Mutex;

/// Commits that may be in the log and not yet, or not all, in the series.
#[derive(Debug, Default)]
pub(crate) struct InFlight(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    open: Vec<u64>,
}

/// A commit, until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket<'a> {
    of: &'a InFlight,
    number: u64,
}

impl InFlight {
    /// To be called before anything of a commit is logged.
    pub fn begin(&self) -> Ticket<'_> {
        let mut state = self.0.lock();
        let number = state.next;
        state.next += 1;
        state.open.push(number);
        Ticket { of: self, number }
    }

    /// A mark behind all commits that began so far.
    pub fn mark(&self) -> u64 {
        self.0.lock().next
    }

    /// Whether all commits before the mark are done.
    pub fn is_past(&self, mark: u64) -> bool {
        self.0.lock().open.iter().all(|number| *number >= mark)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.of.0.lock().open.retain(|number| *number != self.number);
    }
}
