//! Threads that evaluate parts of queries, beside the one that each query has: as many as cores would have nothing to do.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::EngineOptions;
use crate::threads::Threads;

/// The threads of an engine.
#[derive(Debug)]
pub(crate) struct Hands {
    threads: Arc<Threads>,
    free: Arc<Semaphore>,
    all: usize,
    /// Of one query, beside its own thread.
    per_query: usize,
}

impl Hands {
    /// As many as `options` allow.
    pub fn new(options: &EngineOptions, threads: Arc<Threads>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let per_query = if options.threads == 0 { cores } else { options.threads } - 1;
        let all = per_query.max(cores - 1);
        Self { threads, free: Arc::new(Semaphore::new(all)), all, per_query }
    }

    /// Those that are not free.
    pub fn lent(&self) -> usize {
        self.all - self.free.available_permits()
    }

    /// Runs `work` on further threads, as many as are free now; gives their number. It may be none.
    pub fn lend(&self, mut work: impl FnMut() -> Box<dyn FnOnce() + Send>) -> usize {
        let mut lent = 0;
        while lent < self.per_query
            && let Ok(place) = self.free.clone().try_acquire_owned()
        {
            let work = work();
            let working = move || {
                let _place: OwnedSemaphorePermit = place;
                work();
            };
            if self.threads.run(Box::new(working)).is_err() {
                break;
            }
            lent += 1;
        }
        lent
    }
}
