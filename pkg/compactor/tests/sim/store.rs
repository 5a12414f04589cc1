//! A bucket in memory whose times are simulated, which remembers what was deleted, and whose listings may be stale or
//! break off.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use model::Clock;
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use objstore::ConditionalCreate;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::lease::LEASES_DIR;

/// How long deleted objects are remembered, ms: no listing is staler.
const REMEMBERED_MS: i64 = 600_000;

/// Follows tokio's clock.
#[derive(Debug, Clone)]
pub(super) struct SimClock {
    began: Instant,
    base_ms: i64,
    /// How wrong it is, ms.
    pub(super) off_ms: Arc<AtomicI64>,
}

impl SimClock {
    pub(super) fn new(base_ms: i64) -> Self {
        Self { began: Instant::now(), base_ms, off_ms: Arc::default() }
    }

    /// Another clock that may go wrong by itself.
    pub(super) fn another(&self) -> Self {
        Self { off_ms: Arc::default(), ..self.clone() }
    }
}

impl Clock for SimClock {
    fn now_ms(&self) -> i64 {
        self.base_ms + self.began.elapsed().as_millis() as i64 + self.off_ms.load(Ordering::Relaxed)
    }
}

/// An object.
#[derive(Debug, Clone)]
pub(super) struct Held {
    location: Path,
    pub(super) body: Bytes,
    /// When it was written by the true clock, ms.
    pub(super) stamp_ms: i64,
    /// Differs for each object ever written.
    pub(super) etag: u64,
}

/// All there is.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) objects: BTreeMap<String, Held>,
    /// With the time of deletion.
    gone: Vec<(String, Held, i64)>,
    next_etag: u64,
    /// Changes so far but for those of leases.
    pub(super) changes: u64,
}

impl State {
    fn note(&mut self, path: &str) {
        if !path.starts_with(LEASES_DIR) {
            self.changes += 1;
        }
    }

    /// Writes without asking anybody.
    pub(super) fn put(&mut self, path: &str, body: impl Into<Bytes>, stamp_ms: i64) {
        self.next_etag += 1;
        let held = Held { location: Path::from(path), body: body.into(), stamp_ms, etag: self.next_etag };
        self.objects.insert(path.to_owned(), held);
        self.note(path);
    }

    /// Deletes without asking anybody.
    pub(super) fn delete(&mut self, path: &str, now_ms: i64) {
        self.gone.retain(|(_, _, at)| now_ms - at <= REMEMBERED_MS);
        if let Some(held) = self.objects.remove(path) {
            self.gone.push((path.to_owned(), held, now_ms));
            self.note(path);
        }
    }

    /// What lay below `prefix` at a time not long ago.
    fn listed(&self, prefix: &str, at_ms: i64) -> Vec<ObjectMeta> {
        let is_below = |path: &str| prefix.is_empty() || path.strip_prefix(prefix).is_some_and(|r| r.starts_with('/'));
        let there = self.objects.range(prefix.to_owned()..).take_while(|(path, _)| path.starts_with(prefix));
        let there = there.filter(|(_, held)| held.stamp_ms <= at_ms);
        let mut found: BTreeMap<&str, &Held> = there.map(|(path, held)| (path.as_str(), held)).collect();
        for (path, held, gone_ms) in &self.gone {
            if path.starts_with(prefix) && held.stamp_ms <= at_ms && *gone_ms > at_ms {
                found.entry(path).or_insert(held);
            }
        }
        found.into_iter().filter(|(path, _)| is_below(path)).map(|(_, held)| meta(held)).collect()
    }
}

fn meta(held: &Held) -> ObjectMeta {
    // the type of times is not named by anything we depend on: shift what it begins with
    let mut last_modified = Default::default();
    let mut meta = ObjectMeta {
        location: held.location.clone(),
        last_modified,
        size: held.body.len() as u64,
        e_tag: Some(held.etag.to_string()),
        version: None,
    };
    last_modified += Duration::from_millis(held.stamp_ms.unsigned_abs());
    meta.last_modified = last_modified;
    meta
}

/// The bucket as all see it.
#[derive(Debug, Clone)]
pub(super) struct Store {
    state: Arc<Mutex<State>>,
    pub(super) clock: SimClock,
}

impl Store {
    pub(super) fn new(clock: SimClock) -> Self {
        Self { state: Arc::default(), clock }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// What is wrong with the next listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    /// It shows what was there so long ago, ms.
    Stale(i64),
    /// It fails after so many objects.
    Cut(usize),
}

/// One participant's way to the bucket.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) store: Store,
    /// Whether creating what is there is refused.
    pub(super) conditional: ConditionalCreate,
    pub(super) listing: Arc<Mutex<Option<Listing>>>,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated")
    }
}

/// An error with a status, as stores answer.
pub(super) fn status(code: u16) -> Error {
    Error::Generic { store: "sim", source: format!("status code: {code} by the simulation").into() }
}

fn not_found(path: &Path) -> Error {
    Error::NotFound { path: path.to_string(), source: "no such object".into() }
}

#[async_trait]
impl ObjectStore for Port {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let (now_ms, mut state) = (self.store.clock.now_ms(), self.store.state());
        let honours = self.conditional == ConditionalCreate::Honoured;
        if honours && opts.mode == PutMode::Create && state.objects.contains_key(location.as_ref()) {
            return Err(Error::AlreadyExists { path: location.to_string(), source: "it is there".into() });
        }
        state.put(location.as_ref(), Bytes::from(payload), now_ms);
        Ok(PutResult { e_tag: Some(state.next_etag.to_string()), version: None, extensions: Default::default() })
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(status(501))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let held = self.store.state().objects.get(location.as_ref()).cloned().ok_or_else(|| not_found(location))?;
        let all = 0..held.body.len() as u64;
        let range = match &options.range {
            Some(range) => range.as_range(all.end).map_err(|_| status(416))?,
            None => all,
        };
        let body = held.body.slice(range.start as usize..range.end as usize);
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::once(async { Ok(body) }).boxed()),
            meta: meta(&held),
            range,
            attributes: Attributes::default(),
            extensions: Default::default(),
        })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.store.clone();
        let delete = move |path: Path| {
            let now_ms = store.clock.now_ms();
            store.state().delete(path.as_ref(), now_ms);
            path
        };
        locations.map(move |location| location.map(&delete)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let trouble = self.listing.lock().take();
        let stale_ms = if let Some(Listing::Stale(ms)) = trouble { ms } else { 0 };
        let at_ms = self.store.clock.now_ms() - stale_ms;
        let mut found: Vec<Result<ObjectMeta>> =
            self.store.state().listed(prefix.map_or("", Path::as_ref), at_ms).into_iter().map(Ok).collect();
        if let Some(Listing::Cut(after)) = trouble {
            found.truncate(after);
            found.push(Err(status(500)));
        }
        stream::iter(found).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(status(501))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(status(501))
    }
}
