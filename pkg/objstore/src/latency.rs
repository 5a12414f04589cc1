//! A store that is far away: each operation waits first. For tests and benchmarks.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use object_store::Result;

use crate::decorate::{Hook, Op};

/// Delays each operation by a fixed time.
#[derive(Debug)]
pub struct LatencyHook(pub Duration);

impl Hook for LatencyHook {
    type Guard = ();

    fn before<'a>(&'a self, _: Op, _: &'a str) -> BoxFuture<'a, Result<()>> {
        tokio::time::sleep(self.0).map(Ok).boxed()
    }

    fn after(&self, (): (), _: Op, _: &str, _: u64, _: Option<&object_store::Error>) -> Option<object_store::Error> {
        None
    }
}
