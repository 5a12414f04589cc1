//! The handle that everyone holds.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::path::{Path as LocalPath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{BoxStream, FuturesOrdered, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload,
};
use tokio::io::AsyncReadExt;

use crate::decorate::{AsksExistence, ReadsHere};
use crate::error::{Error, ErrorKind, Result};
use crate::local::LocalStore;
use crate::pool::{BufferPool, PooledBuffer};
use crate::unfinished::Unfinished;

/// Requests at a time for one list of ranges.
const RANGES_IN_FLIGHT: usize = 8;

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
    /// Ranges closer than this are fetched as one.
    pub coalesce_gap_bytes: u64,
    /// How often a read that came short is repeated.
    pub short_body_retries: u32,
    /// The longest time for one operation (one part, one page of reading), retries included.
    pub operation_timeout: Duration,
    /// The largest object that [`Bucket::get`] takes into memory.
    pub get_bytes_max: u64,
    /// Put on each object.
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
    /// In bytes.
    pub size: u64,
    /// Ms since the epoch, by the store's clock.
    pub last_modified_ms: i64,
    /// Changes with the content; not every store has them.
    pub etag: Option<String>,
}

/// What became of a conditional create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The object is ours.
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
    /// What the store leaves of uploads that were broken off; `None` = nothing.
    pub(crate) unfinished: Option<Arc<dyn Unfinished>>,
    local: Option<Arc<LocalStore>>,
}

/// A body that came in pieces.
enum Joined {
    Nothing,
    Own(BytesMut),
    Pooled(PooledBuffer),
}

impl Joined {
    fn new(pool: Option<&BufferPool>, capacity: usize) -> Self {
        match pool {
            Some(pool) => Self::Pooled(pool.take(capacity)),
            None => Self::Own(BytesMut::with_capacity(capacity)),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Own(bytes) => bytes.len(),
            Self::Pooled(buffer) => buffer.as_ref().len(),
        }
    }

    fn extend(&mut self, piece: &[u8]) {
        match self {
            Self::Nothing => {}
            Self::Own(bytes) => bytes.extend_from_slice(piece),
            Self::Pooled(buffer) => buffer.bytes_mut().extend_from_slice(piece),
        }
    }

    fn freeze(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::Own(bytes) => bytes.freeze(),
            Self::Pooled(buffer) => buffer.freeze(),
        }
    }
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

    /// What it holds to.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The whole object.
    ///
    /// # Errors
    /// `NotFound`; `ShortBody` when fewer bytes came than the store had announced, after repeating; `Limit` above
    /// [`Settings::get_bytes_max`].
    pub async fn get(&self, path: &str) -> Result<Bytes> {
        self.get_with_meta(path).await.map(|(bytes, _)| bytes)
    }

    /// The whole object, and what was known of it when it was read.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn get_with_meta(&self, path: &str) -> Result<(Bytes, Object)> {
        let location = self.path("get", path)?;
        let read = async || {
            let result = self.store.get_opts(&location, GetOptions::default()).await;
            let result = result.map_err(|e| self.error("get", path, e))?;
            let object = object(&result.meta);
            let max = self.settings.get_bytes_max;
            let body = self.read(path, "get", object.size, max, None, result.into_stream()).await?;
            Ok((body, object))
        };
        self.repeat("get", path, || read().boxed()).await
    }

    /// Exactly the bytes in `range`.
    ///
    /// # Errors
    /// `ShortBody` if the object ends before `range` does, or the body before it was complete, after repeating.
    pub async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Bytes> {
        let want = range.end.saturating_sub(range.start);
        if want == 0 {
            return Ok(Bytes::new());
        }
        let location = self.path("get_range", path)?;
        let read = async || {
            let (bytes, size) = self.fetch_range(&location, path, range.clone()).await?;
            if bytes.len() as u64 != want {
                let text = format!("asked for bytes {}..{} of an object of {size}", range.start, range.end);
                return Err(self.text_error(ErrorKind::ShortBody, "get_range", path, text));
            }
            Ok(bytes)
        };
        self.repeat("get_range", path, || read().boxed()).await
    }

    /// The bytes in `range` as far as the object goes, and the object's size: for readers that guess lengths. A range
    /// that begins at or past the end gives `Precondition`.
    ///
    /// # Errors
    /// `ShortBody` if the body ends before the range or the object does.
    pub async fn get_range_clamped(&self, path: &str, range: Range<u64>) -> Result<(Bytes, u64)> {
        let location = self.path("get_range", path)?;
        self.repeat("get_range", path, || self.fetch_range(&location, path, range.clone()).boxed()).await
    }

    /// All of `ranges`, in their order; near ones in one request. See [`Settings::coalesce_gap_bytes`].
    ///
    /// # Errors
    /// As [`Self::get_range`].
    pub async fn get_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let fetches = merge(ranges, self.settings.coalesce_gap_bytes);
        let mut flying = FuturesOrdered::new();
        let mut bodies = Vec::with_capacity(fetches.len());
        for fetch in &fetches {
            if flying.len() >= RANGES_IN_FLIGHT {
                bodies.extend(flying.next().await.transpose()?);
            }
            flying.push_back(self.get_range(path, fetch.clone()).boxed());
        }
        while let Some(body) = flying.next().await {
            bodies.push(body?);
        }
        let slice = |range: &Range<u64>| {
            if range.is_empty() {
                return Bytes::new();
            }
            // each range lies within exactly one fetch, whose length was checked
            let at = fetches.partition_point(|f| f.end < range.end);
            let begin = (range.start - fetches[at].start) as usize;
            bodies[at].slice(begin..begin + (range.end - range.start) as usize)
        };
        Ok(ranges.iter().map(slice).collect())
    }

    /// Size, time and ETag.
    ///
    /// # Errors
    /// `NotFound` and the failures.
    pub async fn head(&self, path: &str) -> Result<Object> {
        let location = self.path("attributes", path)?;
        let ask = self.store.get_opts(&location, GetOptions::new().with_head(true));
        self.within("attributes", path, ask).await.map(|result| object(&result.meta))
    }

    /// Whether the object is there.
    ///
    /// # Errors
    /// Failures only.
    pub async fn exists(&self, path: &str) -> Result<bool> {
        let location = self.path("exists", path)?;
        let mut extensions = object_store::Extensions::default();
        extensions.insert(AsksExistence);
        let ask = self.store.get_opts(&location, GetOptions::new().with_head(true).with_extensions(extensions));
        match self.within("exists", path, ask).await {
            Ok(_) => Ok(true),
            Err(e) if e.is_not_found() => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// All objects below `prefix` (whole path segments; `""` = all), in the store's order.
    ///
    /// The stream ends with an error unless the listing was complete: what it did not show is then unknown, not absent.
    pub fn list_recursive(&self, prefix: &str) -> BoxStream<'static, Result<Object>> {
        let location = match self.optional_path("iter", prefix) {
            Ok(location) => location,
            Err(e) => return futures::stream::once(async { Err(e) }).boxed(),
        };
        let (bucket, prefix) = (self.clone(), prefix.to_owned());
        let timeout = self.settings.operation_timeout;
        let items = self.store.list(location.as_ref());
        // a deadline for each item, which means for each page
        futures::stream::unfold(Some(items), move |items| {
            let (bucket, prefix) = (bucket.clone(), prefix.clone());
            async move {
                let mut items = items?;
                match tokio::time::timeout(timeout, items.next()).await {
                    Ok(None) => None,
                    Ok(Some(Ok(meta))) => Some((Ok(object(&meta)), Some(items))),
                    Ok(Some(Err(e))) => Some((Err(bucket.error("iter", &prefix, e)), None)),
                    Err(_) => Some((Err(bucket.timed_out("iter", &prefix)), None)),
                }
            }
        })
        .boxed()
    }

    /// The names of the directories right below `prefix`, sorted.
    ///
    /// # Errors
    /// Failures; there is no `NotFound`, an absent prefix has no directories.
    pub async fn list_dirs(&self, prefix: &str) -> Result<Vec<String>> {
        let location = self.optional_path("iter", prefix)?;
        let listing = self.within("iter", prefix, self.store.list_with_delimiter(location.as_ref())).await?;
        let mut dirs: Vec<String> =
            listing.common_prefixes.iter().filter_map(|p| p.filename().map(str::to_owned)).collect();
        dirs.sort();
        dirs.dedup();
        Ok(dirs)
    }

    /// Writes an object, over one that is there.
    ///
    /// # Errors
    /// Failures. After one the object may be there or not: look before concluding.
    pub async fn put(&self, path: &str, body: impl Into<Bytes>) -> Result<()> {
        let location = self.path("upload", path)?;
        let payload = PutPayload::from_bytes(body.into());
        self.within("upload", path, self.store.put_opts(&location, payload, self.put_options(PutMode::Overwrite)))
            .await?;
        Ok(())
    }

    /// Writes an object unless there is one.
    ///
    /// A request whose answer was lost is sent again and then meets its own object. So that this is not taken for
    /// somebody else's, an object found is compared: `body` should hold something that only this writer writes.
    ///
    /// # Errors
    /// Failures. Whether the store honours the condition: [`Self::probe_conditional_create`]. Where it refuses such
    /// requests altogether (501), this looks first and then writes.
    pub async fn put_if_absent(&self, path: &str, body: impl Into<Bytes>) -> Result<Created> {
        let body: Bytes = body.into();
        match self.create(path, body.clone()).await {
            Err(e) if e.kind() == ErrorKind::Unsupported => match self.get(path).await {
                Ok(found) if found == body => Ok(Created::Created),
                Ok(_) => Ok(Created::AlreadyExists),
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    self.put(path, body).await?;
                    Ok(Created::Created)
                }
                Err(e) => Err(e),
            },
            outcome => outcome,
        }
    }

    /// [`Self::put_if_absent`] by the store's own means.
    pub(crate) async fn create(&self, path: &str, body: Bytes) -> Result<Created> {
        let location = self.path("upload", path)?;
        let payload = PutPayload::from_bytes(body.clone());
        let put = self.store.put_opts(&location, payload, self.put_options(PutMode::Create));
        match self.within("upload", path, put).await {
            Ok(_) => Ok(Created::Created),
            Err(e) if matches!(e.kind(), ErrorKind::AlreadyExists | ErrorKind::Precondition) => {
                let same = self.head(path).await?.size == body.len() as u64 && self.get(path).await? == body;
                Ok(if same { Created::Created } else { Created::AlreadyExists })
            }
            Err(e) => Err(e),
        }
    }

    /// Uploads a local file and returns its size in bytes. What the store then says of the object's size is compared.
    ///
    /// # Errors
    /// `ShortBody` if the object's size is not the file's; `Other` for the local file, also when it changes meanwhile.
    pub async fn put_file(&self, path: &str, file: &LocalPath) -> Result<u64> {
        let local = |e: std::io::Error| {
            let text = format!("{}: {e}", file.display());
            self.text_error(ErrorKind::Other, "upload", path, text)
        };
        let mut input = tokio::fs::File::open(file).await.map_err(local)?;
        let size = input.metadata().await.map_err(local)?.len();
        if size <= self.settings.multipart_above_bytes || !self.settings.multipart {
            let body = read_part(&mut input, size.saturating_add(1)).await.map_err(local)?;
            self.same_size(path, file, size, body.len() as u64)?;
            self.put(path, body).await?;
            let stored = self.head(path).await?.size;
            if stored != size {
                let text = format!("the store has {stored} bytes of {size}");
                return Err(self.text_error(ErrorKind::ShortBody, "upload", path, text));
            }
            return Ok(size);
        }
        let mut writer = self.put_parts_writer(path)?;
        loop {
            let part = match read_part(&mut input, self.settings.part_bytes).await.map_err(local) {
                Ok(part) if part.is_empty() => self.same_size(path, file, size, writer.len()).err(),
                Ok(part) => match writer.write(part).await {
                    Ok(()) => continue,
                    Err(e) => Some(e),
                },
                Err(e) => Some(e),
            };
            match part {
                Some(error) => {
                    writer.abort().await;
                    return Err(error);
                }
                None => return writer.finish().await,
            }
        }
    }

    fn same_size(&self, path: &str, file: &LocalPath, size: u64, read: u64) -> Result<()> {
        if read == size {
            return Ok(());
        }
        let text = format!("{} changed while it was read: {size} bytes, then {read}", file.display());
        Err(self.text_error(ErrorKind::Other, "upload", path, text))
    }

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    /// Failures.
    pub async fn delete(&self, path: &str) -> Result<()> {
        let location = self.path("delete", path)?;
        match self.within("delete", path, self.store.delete(&location)).await {
            Err(e) if !e.is_not_found() => Err(e),
            _ => Ok(()),
        }
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

    async fn fetch_range(&self, location: &Path, path: &str, range: Range<u64>) -> Result<(Bytes, u64)> {
        let mut options = GetOptions::new().with_range(Some(GetRange::Bounded(range)));
        if let Some(pool) = &self.pool {
            options.extensions.insert(pool.clone());
        }
        if self.reads_here {
            options.extensions.insert(ReadsHere);
        }
        let result = self.store.get_opts(location, options).await.map_err(|e| self.error("get_range", path, e))?;
        let (size, expected) = (result.meta.size, result.range.end.saturating_sub(result.range.start));
        // the caller chose the range, so no further limit
        let pool = self.pool.as_ref();
        let bytes = self.read(path, "get_range", expected, u64::MAX, pool, result.into_stream()).await?;
        Ok((bytes, size))
    }

    /// Reads a body that should have `expected` bytes. Memory grows with what comes, not with what is announced.
    async fn read(
        &self,
        path: &str,
        op: &'static str,
        expected: u64,
        max: u64,
        pool: Option<&BufferPool>,
        mut body: BoxStream<'static, object_store::Result<Bytes>>,
    ) -> Result<Bytes> {
        if expected > max {
            let text = format!("object of {expected} bytes, at most {max} are read into memory");
            return Err(self.text_error(ErrorKind::Limit, op, path, text));
        }
        let mut whole = Bytes::new();
        let mut joined = Joined::Nothing;
        while let Some(chunk) = body.try_next().await.map_err(|e| self.error(op, path, e))? {
            if whole.is_empty() && joined.len() == 0 {
                whole = chunk;
            } else {
                if joined.len() == 0 {
                    let first = usize::try_from(expected).unwrap_or(usize::MAX).min(8 << 20);
                    joined = Joined::new(pool, first.max(whole.len() + chunk.len()));
                    joined.extend(&whole);
                }
                joined.extend(&chunk);
            }
            if (joined.len().max(whole.len())) as u64 > expected {
                break;
            }
        }
        let bytes = if joined.len() == 0 { whole } else { joined.freeze() };
        if bytes.len() as u64 != expected {
            let text = format!("{} bytes came of {expected}", bytes.len());
            return Err(self.text_error(ErrorKind::ShortBody, op, path, text));
        }
        Ok(bytes)
    }

    /// Runs `read` within the deadline, again when it came short.
    async fn repeat<'a, T>(
        &self,
        op: &'static str,
        path: &str,
        read: impl Fn() -> BoxFuture<'a, Result<T>>,
    ) -> Result<T> {
        let all = async {
            let mut left = self.settings.short_body_retries;
            loop {
                match read().await {
                    Err(e) if e.kind() == ErrorKind::ShortBody && left > 0 => {
                        left -= 1;
                        tracing::debug!(bucket = %self.name, path, err = %e, "read came short, trying again");
                    }
                    outcome => return outcome,
                }
            }
        };
        match tokio::time::timeout(self.settings.operation_timeout, all).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.timed_out(op, path)),
        }
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

/// `ranges` sorted, and joined where less than `gap` lies between them.
fn merge(ranges: &[Range<u64>], gap: u64) -> Vec<Range<u64>> {
    let mut sorted: Vec<Range<u64>> = ranges.iter().filter(|r| !r.is_empty()).cloned().collect();
    sorted.sort_by_key(|r| (r.start, r.end));
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(gap) => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Up to `len` bytes from where `input` stands, fewer only at its end.
async fn read_part(input: &mut tokio::fs::File, len: u64) -> std::io::Result<Bytes> {
    // the file's own length is not trusted for the allocation: it may be a sparse file of any size
    let mut part = Vec::with_capacity(usize::try_from(len).unwrap_or(usize::MAX).min(16 << 20));
    input.take(len).read_to_end(&mut part).await?;
    Ok(part.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges() {
        for (ranges, gap, want) in [
            (vec![], 0, vec![]),
            (vec![5..6, 0..2, 2..3], 0, vec![0..3, 5..6]),
            (vec![0..10, 2..3, 14..20, 31..32], 4, vec![0..20, 31..32]),
            (vec![3..3, 7..8, 9..9], 0, vec![7..8; 1]),
        ] {
            assert_eq!(merge(&ranges, gap), want, "{ranges:?}");
        }
    }

    /// Tasks are spawned with these.
    #[test]
    fn futures_are_send() {
        fn send<T: Send>(_: T) {}
        let bucket = Bucket::in_memory();
        send(bucket.get("a"));
        send(bucket.get_range("a", 0..1));
        send(bucket.get_ranges("a", &[]));
        send(bucket.put_file("a", LocalPath::new("a")));
        send(bucket.put_if_absent("a", "b"));
        send(bucket.list_recursive(""));
    }
}
