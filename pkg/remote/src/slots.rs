//! Remote reads at a time. Prometheus answers so many and lets others wait (`--storage.remote.read-concurrent-limit`), so
//! who waits is known here, and whoever holds a slot without being read can be asked to go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use storage::{Error, Result};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Cheap to clone; clones share the slots.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    max: usize,
    free: Arc<Semaphore>,
    waiting: Arc<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    count: AtomicUsize,
    came: Notify,
}

impl Slots {
    /// `max` slots; 0 = no limit.
    pub fn new(max: usize) -> Self {
        let permits = if max == 0 { Semaphore::MAX_PERMITS } else { max.min(Semaphore::MAX_PERMITS) };
        Self { max, free: Arc::new(Semaphore::new(permits)), waiting: Arc::default() }
    }

    /// A slot, until it is dropped.
    pub async fn take(&self) -> Result<OwnedSemaphorePermit> {
        if let Ok(slot) = self.free.clone().try_acquire_owned() {
            return Ok(slot);
        }
        let _counted = Counted::new(&self.waiting);
        self.free.clone().acquire_owned().await.map_err(|_| Error::Cancelled)
    }

    /// Comes true, for one of those who hold a slot, when others wait for one: the error to give it up with.
    pub async fn wanted(&self) -> Error {
        loop {
            self.waiting.came.notified().await;
            let count = self.waiting.count.load(Ordering::Acquire);
            if count > 1 {
                self.waiting.came.notify_one();
            }
            if count > 0 {
                return Error::Limit(format!(
                    "the answer was not taken, there is no memory to hold it (--store.max-request-bytes), and other \
                     requests wait for one of {} remote reads at a time (--prometheus.remote-read-concurrency)",
                    self.max
                ));
            }
        }
    }
}

struct Counted<'a>(&'a Waiting);

impl<'a> Counted<'a> {
    fn new(waiting: &'a Waiting) -> Self {
        waiting.count.fetch_add(1, Ordering::AcqRel);
        waiting.came.notify_one();
        Self(waiting)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_is_told_to_one_holder_at_a_time() {
        let slots = Slots::new(1);
        let held = slots.take().await.unwrap();
        let waits = tokio::spawn({
            let slots = slots.clone();
            async move { slots.take().await }
        });
        let error = slots.wanted().await;
        assert!(error.to_string().contains("--prometheus.remote-read-concurrency"), "{error}");
        drop(held);
        let second = waits.await.unwrap().unwrap();
        assert!(futures::poll!(Box::pin(slots.wanted())).is_pending(), "nobody waits any more");
        drop(second);
        assert!(slots.take().await.is_ok());
    }
}
