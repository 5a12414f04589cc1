//! The handle that everyone holds.

mod body;
mod read;
mod write;

pub use body::RangeBody;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{Attribute, Attributes, ObjectMeta, ObjectStore, PutMode, PutOptions};

use crate::error::{Error, ErrorKind, Result};
use crate::local::LocalStore;
use crate::pool::BufferPool;
use crate::unfinished::Unfinished;

/// What to hold to. The defaults suit blocks of hundreds of MiB over a network.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Files above this are uploaded in parts.
    pub multipart_above_bytes: u64,
    /// Size of a part; `parts_in_flight + 1` of them are in memory for each upload.
    pub part_bytes: u64,
    /// Parts sent at a time.
    pub parts_in_flight: usize,
    /// False = each file in one request, held in memory whole: for stores that know no multipart uploads.
    pub multipart: bool,
    /// Whether objects are files of this machine, which are read in the time of a copy mostly.
    pub is_local: bool,
    /// The directory they are in, where keys are paths.
    pub directory: Option<PathBuf>,
    /// Operations at a time; `None` = any number. A body that is open counts.
    pub requests_max: Option<usize>,
    /// Ranges closer than this are fetched as one.
    pub coalesce_gap_bytes: u64,
    /// How often a read that came short is repeated.
    pub short_body_retries: u32,
    /// The longest time for one operation (one part, one page of reading), retries included.
    pub operation_timeout: Duration,
    /// The largest object that [`Bucket::get`] takes into memory.
    pub get_bytes_max: u64,
    /// Attributes that each object is written with.
    pub attributes: Vec<(Attribute, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            multipart_above_bytes: 64 << 20,
            part_bytes: 16 << 20,
            parts_in_flight: 2,
            multipart: true,
            is_local: false,
            directory: None,
            requests_max: None,
            coalesce_gap_bytes: 512 << 10,
            short_body_retries: 3,
            operation_timeout: Duration::from_secs(300),
            get_bytes_max: 1 << 30,
            attributes: Vec::new(),
        }
    }
}

/// What a listing or a HEAD tells of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The key below the bucket's prefix.
    pub path: String,
    /// The object's size, bytes.
    pub size: u64,
    /// Ms since the epoch, by the store's clock.
    pub last_modified_ms: i64,
    /// Changes with the content; not every store has them.
    pub etag: Option<String>,
}

/// What became of a conditional create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The object was absent, and was written.
    Created,
    /// Another one was there before, and is there still.
    AlreadyExists,
}

/// A bucket below its prefix. Cheap to clone.
#[derive(Clone)]
pub struct Bucket {
    name: Arc<str>,
    store: Arc<dyn ObjectStore>,
    settings: Arc<Settings>,
    /// Where ranges are read into, see [`Self::with_pool`].
    pool: Option<BufferPool>,
    /// See [`Self::reading_here`].
    reads_here: bool,
    /// What the store keeps of uploads that were given up; `None` = nothing.
    pub(crate) unfinished: Option<Arc<dyn Unfinished>>,
    local: Option<Arc<LocalStore>>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Bucket {
    /// A bucket called `name` (in errors and metrics) over `store`.
    pub fn new(name: impl Into<Arc<str>>, store: Arc<dyn ObjectStore>, settings: Settings) -> Self {
        Self {
            name: name.into(),
            store,
            settings: Arc::new(settings),
            pool: None,
            reads_here: false,
            unfinished: None,
            local: None,
        }
    }

    /// A bucket in memory, for tests.
    pub fn in_memory() -> Self {
        Self::new("memory", Arc::new(object_store::memory::InMemory::new()), Settings::default())
    }

    /// The same bucket with `hook` around its store.
    #[must_use]
    pub fn decorated(&self, hook: impl crate::decorate::Hook) -> Self {
        let store = Arc::new(crate::decorate::Decorated::new(self.store.clone(), hook));
        Self { store, ..self.clone() }
    }

    /// The same bucket with other settings.
    #[must_use]
    pub fn with_settings(&self, settings: Settings) -> Self {
        Self { settings: Arc::new(settings), ..self.clone() }
    }

    /// The same bucket, whose ranges are read into memory of `pool`: for those who read many and keep none for long.
    #[must_use]
    pub fn with_pool(&self, pool: BufferPool) -> Self {
        Self { pool: Some(pool), ..self.clone() }
    }

    /// The file that an object is, where there is one: for those who read it from front to back and know what its bytes
    /// must be. It may be deleted at any time and stays readable then.
    pub fn file(&self, path: &str) -> Option<PathBuf> {
        self.settings.directory.as_ref().map(|directory| directory.join(path))
    }

    /// The same bucket for a thread that may block: where [`Settings::is_local`], ranges are read on the thread that
    /// asks, so that they are in its processor's cache, and what follows them is called into the page cache.
    #[must_use]
    pub fn reading_here(&self) -> Self {
        Self { reads_here: self.settings.is_local, ..self.clone() }
    }

    /// The same bucket, which is a directory.
    #[must_use]
    pub(crate) fn with_local(&self, local: Arc<LocalStore>) -> Self {
        Self { local: Some(local), ..self.clone() }
    }

    /// For an uploader, before it looks at what is there: makes the directory that a bucket is, if it was never there.
    /// Readers make none. Other stores need nothing.
    ///
    /// # Errors
    /// The directory cannot be made, or is gone.
    pub async fn prepare(&self) -> Result<()> {
        match &self.local {
            Some(local) => self.within("prepare", "", local.prepare()).await,
            None => Ok(()),
        }
    }

    /// The same bucket, over a store that keeps what multipart uploads leave until somebody aborts them.
    #[must_use]
    pub fn with_unfinished(&self, unfinished: Arc<dyn Unfinished>) -> Self {
        Self { unfinished: Some(unfinished), ..self.clone() }
    }

    /// The bucket's name, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The limits and sizes that are in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    pub(crate) fn shared_settings(&self) -> Arc<Settings> {
        self.settings.clone()
    }

    pub(crate) fn put_options(&self, mode: PutMode) -> PutOptions {
        PutOptions { mode, attributes: self.attributes(), ..Default::default() }
    }

    pub(crate) fn attributes(&self) -> Attributes {
        self.settings.attributes.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    pub(crate) async fn within<T>(
        &self,
        op: &'static str,
        path: &str,
        operation: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T> {
        match tokio::time::timeout(self.settings.operation_timeout, operation).await {
            Ok(outcome) => outcome.map_err(|e| self.error(op, path, e)),
            Err(_) => Err(self.timed_out(op, path)),
        }
    }

    pub(crate) fn path(&self, op: &'static str, path: &str) -> Result<Path> {
        let bad = |text: String| self.text_error(ErrorKind::Other, op, path, text);
        let parsed = Path::parse(path).map_err(|e| bad(e.to_string()))?;
        if parsed.as_ref().is_empty() { Err(bad("empty path".to_owned())) } else { Ok(parsed) }
    }

    fn optional_path(&self, op: &'static str, path: &str) -> Result<Option<Path>> {
        if path.trim_matches('/').is_empty() { Ok(None) } else { self.path(op, path.trim_matches('/')).map(Some) }
    }

    fn error(&self, op: &'static str, path: &str, source: object_store::Error) -> Error {
        Error::from_store(op, &self.name, path, source)
    }

    pub(crate) fn text_error(&self, kind: ErrorKind, op: &'static str, path: &str, text: String) -> Error {
        let source: Box<dyn std::error::Error + Send + Sync> = text.into();
        Error::new(kind, op, &self.name, path, source)
    }

    fn timed_out(&self, op: &'static str, path: &str) -> Error {
        let text = format!("no answer within {:?}", self.settings.operation_timeout);
        self.text_error(ErrorKind::Timeout, op, path, text)
    }
}

fn object(meta: &ObjectMeta) -> Object {
    Object {
        path: meta.location.to_string(),
        size: meta.size,
        last_modified_ms: meta.last_modified.timestamp_millis(),
        etag: meta.e_tag.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tasks are spawned with these.
    #[test]
    fn futures_are_send() {
        fn send<T: Send>(_: T) {}
        let bucket = Bucket::in_memory();
        send(bucket.get("a"));
        send(bucket.get_range("a", 0..1));
        send(bucket.get_ranges("a", &[]));
        send(bucket.put_file("a", std::path::Path::new("a")));
        send(bucket.put_if_absent("a", "b"));
        send(bucket.list_recursive(""));
    }
}
