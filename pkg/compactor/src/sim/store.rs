//! A bucket in memory whose times are simulated and whose every operation waits for its turn.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{BoxStream, StreamExt};
use model::Clock;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use objstore::Op;
use objstore::decorate::Hook;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Follows tokio's clock.
#[derive(Debug, Clone)]
pub(super) struct SimClock {
    began: Instant,
    base_ms: i64,
}

impl SimClock {
    pub(super) fn new(base_ms: i64) -> Self {
        Self { began: Instant::now(), base_ms }
    }
}

impl Clock for SimClock {
    fn now_ms(&self) -> i64 {
        self.base_ms + self.began.elapsed().as_millis() as i64
    }
}

/// Memory, with `last_modified` by a simulated clock.
#[derive(Debug)]
pub(super) struct Stamped {
    inner: InMemory,
    clock: SimClock,
    stamps: Arc<Mutex<HashMap<String, i64>>>,
}

impl Stamped {
    pub(super) fn new(clock: SimClock) -> Self {
        Self { inner: InMemory::new(), clock, stamps: Arc::default() }
    }
}

fn restamp(stamps: &Mutex<HashMap<String, i64>>, meta: &mut ObjectMeta) {
    // the type of times is not named by anything we depend on: shift the one that is there
    let real_ms = meta.last_modified.timestamp_millis();
    let want_ms = stamps.lock().get(meta.location.as_ref()).copied().unwrap_or(real_ms);
    let shift = std::time::Duration::from_millis(want_ms.abs_diff(real_ms));
    if want_ms >= real_ms {
        meta.last_modified += shift;
    } else {
        meta.last_modified -= shift;
    }
}

impl fmt::Display for Stamped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated")
    }
}

#[async_trait]
impl ObjectStore for Stamped {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let result = self.inner.put_opts(location, payload, opts).await?;
        self.stamps.lock().insert(location.to_string(), self.clock.now_ms());
        Ok(result)
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut result = self.inner.get_opts(location, options).await?;
        restamp(&self.stamps, &mut result.meta);
        Ok(result)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let stamps = self.stamps.clone();
        self.inner
            .list(prefix)
            .map(move |meta| {
                meta.map(|mut meta| {
                    restamp(&stamps, &mut meta);
                    meta
                })
            })
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// An operation that waits for its turn.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) who: usize,
    pub(super) op: Op,
    pub(super) path: String,
    pub(super) go: oneshot::Sender<()>,
}

/// Where operations wait.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns {
    pub(super) waiting: Arc<Mutex<Vec<Waiting>>>,
    open: Arc<Mutex<bool>>,
}

impl Turns {
    /// From now on nothing waits.
    pub(super) fn open(&self) {
        *self.open.lock() = true;
        self.waiting.lock().clear();
    }

    pub(super) fn hook(&self, who: usize) -> Gate {
        Gate { turns: self.clone(), who }
    }
}

/// One participant's way to the store.
#[derive(Debug)]
pub(super) struct Gate {
    turns: Turns,
    who: usize,
}

impl Hook for Gate {
    type Guard = ();

    fn before<'a>(&'a self, op: Op, path: &'a str) -> BoxFuture<'a, Result<()>> {
        async move {
            if *self.turns.open.lock() {
                return Ok(());
            }
            let (go, turn) = oneshot::channel();
            self.turns.waiting.lock().push(Waiting { who: self.who, op, path: path.to_owned(), go });
            let _ = turn.await;
            Ok(())
        }
        .boxed()
    }

    fn body(&self, (): &(), body: BoxStream<'static, Result<Bytes>>) -> BoxStream<'static, Result<Bytes>> {
        body
    }

    fn after(&self, (): (), _: Op, _: &str, _: u64, _: Option<&object_store::Error>) -> Option<object_store::Error> {
        None
    }
}
