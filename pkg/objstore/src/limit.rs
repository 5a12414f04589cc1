//! At most so many operations at a time.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use object_store::Result;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::decorate::{Hook, Op};

/// Lets `max` operations run at a time; others wait. A GET counts until its body was read.
#[derive(Debug)]
pub struct LimitHook {
    permits: Arc<Semaphore>,
}

impl LimitHook {
    /// `max` is at least 1.
    pub fn new(max: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS))) }
    }
}

impl Hook for LimitHook {
    type Guard = Option<OwnedSemaphorePermit>;

    fn before<'a>(&'a self, _: Op, _: &'a str) -> BoxFuture<'a, Result<Self::Guard>> {
        // The semaphore is never closed.
        self.permits.clone().acquire_owned().map(|permit| Ok(permit.ok())).boxed()
    }

    fn after(
        &self,
        _: Self::Guard,
        _: Op,
        _: &str,
        _: u64,
        _: Option<&object_store::Error>,
    ) -> Option<object_store::Error> {
        None
    }
}
