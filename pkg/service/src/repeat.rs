//! Work that comes back: syncs, uploads, polls.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// When to do it again.
#[derive(Debug, Clone, Copy)]
pub struct Every {
    /// From the end of one run to the start of the next.
    pub interval: Duration,
    /// Whether the first run waits an interval.
    pub wait_first: bool,
}

/// Runs `work` again and again until `shutdown`. A run in progress is dropped at shutdown, so it must be safe to cut.
pub async fn repeat<F: Future<Output = ()>>(every: Every, shutdown: CancellationToken, mut work: impl FnMut() -> F) {
    let mut wait = every.wait_first;
    loop {
        if wait {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(every.interval) => {}
            }
        }
        wait = true;
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = work() => {}
        }
    }
}
