//! Threads for evaluations. One that has nothing to do waits a while for more: short queries cost less than a thread's start.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Address space for an evaluation's stack; only what is touched becomes memory. It is the threads' own because trees as
/// high as the parser lets through need more than the runtime's threads have.
pub(crate) const STACK_BYTES: usize = 64 << 20;
/// A thread ends after waiting for so long.
const IDLE: Duration = Duration::from_secs(10);
/// More threads do not wait: each keeps the memory that its stack has touched.
const IDLE_MAX: usize = 4;

type Work = Box<dyn FnOnce() + Send>;

/// As many threads as there is work at one time.
#[derive(Default)]
pub(crate) struct Threads {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// What was handed to threads that wait.
    handed: VecDeque<Work>,
    idle: usize,
}

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").field("idle", &self.state.lock().idle).finish_non_exhaustive()
    }
}

impl Threads {
    /// Runs `work` at once, on a thread that waits or on a new one.
    ///
    /// # Errors
    /// The system has no thread.
    pub fn run(self: &Arc<Self>, work: Work) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.idle > state.handed.len() {
            state.handed.push_back(work);
            drop(state);
            self.wake.notify_one();
            return Ok(());
        }
        drop(state);
        let threads = self.clone();
        let thread = std::thread::Builder::new().name("query".to_owned()).stack_size(STACK_BYTES);
        thread.spawn(move || threads.serve(work)).map(drop)
    }

    fn serve(&self, mut work: Work) {
        loop {
            work();
            match self.next() {
                Some(next) => work = next,
                None => return,
            }
        }
    }

    /// Waits for more work; `None` when the thread is to end.
    fn next(&self) -> Option<Work> {
        let mut state = self.state.lock();
        if state.idle >= IDLE_MAX {
            return None;
        }
        state.idle += 1;
        while state.handed.is_empty() {
            if self.wake.wait_for(&mut state, IDLE).timed_out() {
                break;
            }
        }
        state.idle -= 1;
        state.handed.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn idle(threads: &Threads, wanted: usize) {
        while threads.state.lock().idle != wanted {
            std::thread::yield_now();
        }
    }

    /// Waits until no more than `wanted` threads are there. Each holds the `Arc` while it lives.
    fn alive(threads: &Arc<Threads>, wanted: usize) {
        while Arc::strong_count(threads) > 1 + wanted {
            std::thread::yield_now();
        }
    }

    #[test]
    fn threads_are_used_again() {
        let threads = Arc::new(Threads::default());
        let (tell, told) = channel();
        let mut ids = Vec::new();
        for _ in 0..3 {
            let tell = tell.clone();
            threads.run(Box::new(move || tell.send(std::thread::current().id()).unwrap())).unwrap();
            ids.push(told.recv().unwrap());
            idle(&threads, 1);
        }
        assert!(ids.len() == 3 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }

    #[test]
    fn all_work_runs_at_one_time_and_few_threads_stay() {
        let threads = Arc::new(Threads::default());
        let barrier = Arc::new(std::sync::Barrier::new(2 * IDLE_MAX + 1));
        for _ in 0..2 * IDLE_MAX {
            let barrier = barrier.clone();
            let work = move || _ = barrier.wait();
            threads.run(Box::new(work)).unwrap();
        }
        barrier.wait();
        alive(&threads, IDLE_MAX);
        // A panic ends its thread only.
        threads.run(Box::new(|| panic!("on purpose"))).unwrap();
        alive(&threads, IDLE_MAX - 1);
    }
}
