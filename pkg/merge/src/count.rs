//! Counting what is asked of the bucket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures::future::{BoxFuture, FutureExt};
use objstore::Op;
use objstore::decorate::Hook;

/// Requests and bytes so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct Traffic(Arc<Sums>);

#[derive(Debug, Default)]
struct Sums {
    requests: AtomicU64,
    read: AtomicU64,
    written: AtomicU64,
}

impl Traffic {
    /// Requests, bytes read, bytes written.
    pub(crate) fn sums(&self) -> (u64, u64, u64) {
        (self.0.requests.load(Relaxed), self.0.read.load(Relaxed), self.0.written.load(Relaxed))
    }
}

impl Hook for Traffic {
    type Guard = ();

    fn before<'a>(&'a self, _: Op, _: &'a str) -> BoxFuture<'a, object_store::Result<()>> {
        self.0.requests.fetch_add(1, Relaxed);
        futures::future::ok(()).boxed()
    }

    fn after(
        &self,
        (): (),
        op: Op,
        _: &str,
        bytes: u64,
        failed: Option<&object_store::Error>,
    ) -> Option<object_store::Error> {
        match op {
            Op::Get | Op::GetRange => _ = self.0.read.fetch_add(bytes, Relaxed),
            Op::UploadPart if failed.is_none() => _ = self.0.written.fetch_add(bytes, Relaxed),
            // The end of a multipart upload counts its bytes again; those of one request are small.
            Op::Upload if failed.is_none() => {}
            _ => {}
        }
        None
    }
}
