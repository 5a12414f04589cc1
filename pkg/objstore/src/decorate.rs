//! One `ObjectStore` around another, with a [`Hook`] before and after each operation. The hooks live in a file each:
//! [`metrics`](crate::metrics), [`limit`](crate::limit), [`latency`](crate::latency), [`faults`](crate::faults).

use std::fmt;
use std::io::{IoSliceMut, Read, Seek, SeekFrom};
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::pool::BufferPool;

/// The kinds of operation, named as Thanos names them in its metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// A whole object.
    Get,
    /// A part of an object.
    GetRange,
    /// Whether an object is there.
    Exists,
    /// Size, time and ETag of an object.
    Attributes,
    /// A listing.
    Iter,
    /// An object in one request, or the completion of a multipart upload.
    Upload,
    /// The begin of a multipart upload.
    UploadBegin,
    /// One part.
    UploadPart,
    /// Giving a multipart upload up.
    UploadAbort,
    /// Removal of an object.
    Delete,
}

impl Op {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Get,
        Self::GetRange,
        Self::Exists,
        Self::Attributes,
        Self::Iter,
        Self::Upload,
        Self::UploadBegin,
        Self::UploadPart,
        Self::UploadAbort,
        Self::Delete,
    ];

    /// The name in metrics and errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::GetRange => "get_range",
            Self::Exists => "exists",
            Self::Attributes => "attributes",
            Self::Iter => "iter",
            Self::Upload => "upload",
            Self::UploadBegin => "upload_begin",
            Self::UploadPart => "upload_part",
            Self::UploadAbort => "upload_abort",
            Self::Delete => "delete",
        }
    }
}

/// No more memory than this is taken before anything was read.
const READ_AHEAD_BYTES: usize = 64 << 20;
/// No more of a file is read by a task itself, where the system has it in its cache.
const CACHED_BYTES_MAX: u64 = 512 << 10;

/// Put into a request's extensions to tell [`Op::Exists`] from [`Op::Attributes`]: both are one HEAD.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AsksExistence;

/// Put into the extensions of those who may block: a file is read on their thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadsHere;

/// Put into the extensions of those who take a body piece by piece: a file is read in windows of so many bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InWindows(pub(crate) usize);

/// What is done around operations.
pub trait Hook: fmt::Debug + Send + Sync + 'static {
    /// Held while the operation lasts, the reading of its body included.
    type Guard: Send + Sync + 'static;

    /// Before the operation: may wait, may refuse.
    fn before<'a>(&'a self, op: Op, path: &'a str) -> BoxFuture<'a, Result<Self::Guard>>;

    /// May change the body of a GET.
    fn body(&self, _guard: &Self::Guard, body: BoxStream<'static, Result<Bytes>>) -> BoxStream<'static, Result<Bytes>> {
        body
    }

    /// May change what is uploaded in one request.
    fn payload(&self, _guard: &Self::Guard, payload: PutPayload) -> PutPayload {
        payload
    }

    /// After the operation, `bytes` having been moved. What is returned replaces a success.
    fn after(
        &self,
        guard: Self::Guard,
        op: Op,
        path: &str,
        bytes: u64,
        failed: Option<&object_store::Error>,
    ) -> Option<object_store::Error>;
}

/// `inner` with `hook` around it.
#[derive(Debug)]
pub struct Decorated<H> {
    inner: Arc<dyn ObjectStore>,
    hook: Arc<H>,
}

impl<H: Hook> Decorated<H> {
    /// Puts `hook` around `inner`.
    pub fn new(inner: Arc<dyn ObjectStore>, hook: H) -> Self {
        Self { inner, hook: Arc::new(hook) }
    }
}

impl<H: Hook> fmt::Display for Decorated<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

/// An operation under way. Dropped unfinished (the caller went away) it only gives the guard back.
struct Running<H: Hook> {
    hook: Arc<H>,
    guard: Option<H::Guard>,
    op: Op,
    path: String,
    bytes: u64,
}

impl<H: Hook> Running<H> {
    async fn begin(hook: &Arc<H>, op: Op, path: &str) -> Result<Self> {
        let guard = hook.before(op, path).await?;
        Ok(Self { hook: hook.clone(), guard: Some(guard), op, path: path.to_owned(), bytes: 0 })
    }

    fn end<T>(&mut self, outcome: Result<T>) -> Result<T> {
        let Some(guard) = self.guard.take() else { return outcome };
        let replaced = self.hook.after(guard, self.op, &self.path, self.bytes, outcome.as_ref().err());
        match (outcome, replaced) {
            (Ok(_), Some(error)) => Err(error),
            (outcome, _) => outcome,
        }
    }

    /// Passes `items` on, measuring each by `size`; ends when they end.
    fn over<T: Send + 'static>(
        self,
        items: BoxStream<'static, Result<T>>,
        size: fn(&T) -> u64,
    ) -> BoxStream<'static, Result<T>> {
        stream::unfold((items, Some(self)), move |(mut items, mut running)| async move {
            match (items.next().await, running.as_mut()) {
                (Some(Ok(item)), op) => {
                    if let Some(op) = op {
                        op.bytes += size(&item);
                    }
                    Some((Ok(item), (items, running)))
                }
                (Some(Err(error)), op) => {
                    let outcome = op.map_or(Ok(()), |op| op.end(Err(error)));
                    outcome.err().map(|error| (Err(error), (items, None)))
                }
                (None, Some(op)) => op.end(Ok(())).err().map(|error| (Err(error), (items, None))),
                (None, None) => None,
            }
        })
        .boxed()
    }
}

/// Has the system read what is not in the page cache yet while the caller works on what came before. Where it cannot,
/// it is read when it is asked for.
fn call_into_cache(file: &std::fs::File, at: u64, len: u64) {
    use rustix::fs::Advice;
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    // Advice costs a look at each page, mostly to find them all there: one is asked for first.
    let first = preadv2(file, &mut [IoSliceMut::new(&mut [0])], at, ReadWriteFlags::NOWAIT);
    if first == Err(Errno::AGAIN) {
        _ = rustix::fs::fadvise(file, at, NonZeroU64::new(len), Advice::WillNeed);
    }
}

/// Whether the system has `range` in its cache, as far as the first and the last page tell: then reading it takes no longer
/// than handing it to another thread.
fn is_in_cache(file: &std::fs::File, range: &Range<u64>) -> bool {
    use rustix::io::{ReadWriteFlags, preadv2};
    let is_there = |at| preadv2(file, &mut [IoSliceMut::new(&mut [0])], at, ReadWriteFlags::NOWAIT).is_ok();
    range.end - range.start <= CACHED_BYTES_MAX && is_there(range.start) && is_there(range.end - 1)
}

/// `range` of an open file, as far as the file goes.
async fn read_file(
    mut file: std::fs::File,
    path: std::path::PathBuf,
    range: Range<u64>,
    pool: Option<BufferPool>,
    here: bool,
) -> Result<Bytes> {
    let failed = move |e: std::io::Error| object_store::Error::Generic {
        store: "LocalFileSystem",
        source: format!("{}: {e}", path.display()).into(),
    };
    // Whoever reads here does so whether it is cached or not.
    let at_once = here || !range.is_empty() && is_in_cache(&file, &range);
    let read = move || {
        let len = range.end.saturating_sub(range.start);
        file.seek(SeekFrom::Start(range.start))?;
        let capacity = usize::try_from(len).unwrap_or(usize::MAX).min(READ_AHEAD_BYTES);
        let mut buffer = pool.unwrap_or_else(|| BufferPool::new(0)).take(capacity);
        (&file).take(len).read_to_end(buffer.bytes_mut())?;
        if here {
            call_into_cache(&file, range.end, len);
        }
        Ok(buffer.freeze())
    };
    if at_once {
        return read().map_err(failed);
    }
    match tokio::task::spawn_blocking(read).await {
        Ok(outcome) => outcome.map_err(failed),
        Err(e) => Err(failed(std::io::Error::other(e))),
    }
}

/// `range` of an open file, each window when it is asked for.
fn read_windows(
    file: std::fs::File,
    path: std::path::PathBuf,
    range: Range<u64>,
    pool: Option<BufferPool>,
    window: usize,
) -> BoxStream<'static, Result<Bytes>> {
    stream::unfold(Some((file, range)), move |left| {
        let (path, pool) = (path.clone(), pool.clone());
        async move {
            let (file, range) = left.filter(|(_, range)| !range.is_empty())?;
            let now = range.start..range.end.min(range.start.saturating_add(window as u64));
            let read = match file.try_clone() {
                Ok(clone) => read_file(clone, path, now.clone(), pool, false).await,
                Err(e) => Err(object_store::Error::Generic { store: "LocalFileSystem", source: e.into() }),
            };
            let left = matches!(&read, Ok(bytes) if !bytes.is_empty()).then_some((file, now.end..range.end));
            Some((read, left))
        }
    })
    .boxed()
}

#[async_trait]
impl<H: Hook> ObjectStore for Decorated<H> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let mut running = Running::begin(&self.hook, Op::Upload, location.as_ref()).await?;
        running.bytes = payload.content_length() as u64;
        let payload = match &running.guard {
            Some(guard) => self.hook.payload(guard, payload),
            None => payload,
        };
        running.end(self.inner.put_opts(location, payload, opts).await)
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let mut running = Running::begin(&self.hook, Op::UploadBegin, location.as_ref()).await?;
        let inner = running.end(self.inner.put_multipart_opts(location, opts).await)?;
        Ok(Box::new(Parts { inner, hook: self.hook.clone(), path: location.to_string(), bytes: 0 }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let op = match (&options.range, options.head) {
            (_, true) if options.extensions.get::<AsksExistence>().is_some() => Op::Exists,
            (_, true) => Op::Attributes,
            (Some(_), false) => Op::GetRange,
            (None, false) => Op::Get,
        };
        let pool = options.extensions.get::<BufferPool>().cloned();
        let here = options.extensions.get::<ReadsHere>().is_some();
        let window = options.extensions.get::<InWindows>().map_or(usize::MAX, |windows| windows.0);
        let mut running = Running::begin(&self.hook, op, location.as_ref()).await?;
        let mut result = match self.inner.get_opts(location, options).await {
            Ok(result) if matches!(op, Op::Get | Op::GetRange) => result,
            outcome => return running.end(outcome),
        };
        let (meta, range) = (result.meta.clone(), result.range.clone());
        let (attributes, extensions) = (std::mem::take(&mut result.attributes), std::mem::take(&mut result.extensions));
        let body = match result.payload {
            GetResultPayload::File(file, path) if range.end - range.start > window as u64 => {
                read_windows(file, path, range.clone(), pool, window)
            }
            // One read of the file instead of many small ones.
            GetResultPayload::File(file, path) => match read_file(file, path, range.clone(), pool, here).await {
                Ok(bytes) => stream::once(async { Ok(bytes) }).boxed(),
                Err(error) => return running.end(Err(error)),
            },
            GetResultPayload::Stream(body) => body,
        };
        let body = match &running.guard {
            Some(guard) => self.hook.body(guard, body),
            None => body,
        };
        let body = running.over(body, |bytes| bytes.len() as u64);
        Ok(GetResult { payload: GetResultPayload::Stream(body), meta, range, attributes, extensions })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let mut running = Running::begin(&self.hook, Op::GetRange, location.as_ref()).await?;
        let outcome = self.inner.get_ranges(location, ranges).await;
        running.bytes = outcome.iter().flatten().map(|bytes| bytes.len() as u64).sum();
        running.end(outcome)
    }

    /// One by one: whoever deletes a block cares for the order.
    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, hook) = (self.inner.clone(), self.hook.clone());
        locations
            .and_then(move |location| {
                let (inner, hook) = (inner.clone(), hook.clone());
                async move {
                    let mut running = Running::begin(&hook, Op::Delete, location.as_ref()).await?;
                    let one = stream::iter([Ok(location.clone())]).boxed();
                    let outcome = inner.delete_stream(one).try_collect::<Vec<_>>().await;
                    running.end(outcome.map(|_| location))
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, hook, prefix) = (self.inner.clone(), self.hook.clone(), prefix.cloned());
        stream::once(async move {
            let path = prefix.as_ref().map_or("", |p| p.as_ref());
            let running = Running::begin(&hook, Op::Iter, path).await?;
            Ok::<_, object_store::Error>(running.over(inner.list(prefix.as_ref()), |_| 0))
        })
        .try_flatten()
        .boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, hook, prefix, offset) = (self.inner.clone(), self.hook.clone(), prefix.cloned(), offset.clone());
        stream::once(async move {
            let path = prefix.as_ref().map_or("", |p| p.as_ref());
            let running = Running::begin(&hook, Op::Iter, path).await?;
            Ok::<_, object_store::Error>(running.over(inner.list_with_offset(prefix.as_ref(), &offset), |_| 0))
        })
        .try_flatten()
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut running = Running::begin(&self.hook, Op::Iter, prefix.map_or("", |p| p.as_ref())).await?;
        running.end(self.inner.list_with_delimiter(prefix).await)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let mut running = Running::begin(&self.hook, Op::Upload, to.as_ref()).await?;
        running.end(self.inner.copy_opts(from, to, options).await)
    }
}

/// A multipart upload whose parts and end pass the hook too.
struct Parts<H> {
    inner: Box<dyn MultipartUpload>,
    hook: Arc<H>,
    path: String,
    bytes: u64,
}

impl<H: Hook> fmt::Debug for Parts<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("path", &self.path).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

#[async_trait]
impl<H: Hook> MultipartUpload for Parts<H> {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let len = data.content_length() as u64;
        self.bytes += len;
        // Parts are numbered when asked for, so the inner future is made now and run later.
        let part = self.inner.put_part(data);
        let (hook, path) = (self.hook.clone(), self.path.clone());
        Box::pin(async move {
            let mut running = Running::begin(&hook, Op::UploadPart, &path).await?;
            running.bytes = len;
            running.end(part.await)
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let mut running = Running::begin(&self.hook, Op::Upload, &self.path).await?;
        running.bytes = self.bytes;
        running.end(self.inner.complete().await)
    }

    async fn abort(&mut self) -> Result<()> {
        let mut running = Running::begin(&self.hook, Op::UploadAbort, &self.path).await?;
        running.end(self.inner.abort().await)
    }
}
