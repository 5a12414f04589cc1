//! A directory as a store: `object_store`'s, but that large objects are written past the page cache.
//!
//! What a merge writes is read again much later, if at all: kept in the page cache it costs a copy and a fresh page for
//! each 4 KiB, and pushes out what queries need. With `O_DIRECT` the disk takes it from our own buffers, and whoever
//! verifies it afterwards reads what the disk has. Where the file system refuses that, it is written as any other file.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::decorate::ReadsHere;

/// What addresses in files and in memory, and lengths, are multiples of for `O_DIRECT`: no block device asks for more.
const ALIGN: usize = 4096;
/// Bytes that do not lie as `O_DIRECT` wants them are gathered in a buffer of so many.
const GATHER_BYTES: usize = 1 << 20;
/// The size of a write through the page cache. For larger ones the kernel takes huge pages, which a virtual machine's
/// host often has to provide first.
const BUFFERED_BYTES: usize = 512 << 10;

/// A directory, made durable with each change.
#[derive(Debug)]
pub(crate) struct LocalStore {
    root: Root,
    /// Once the directory is there: who only reads does not make it.
    files: OnceLock<LocalFileSystem>,
}

/// The directory itself. One that is gone (moved away, a volume that is not mounted) is no empty bucket: listings would
/// show nothing, and writes would begin a second bucket in its place.
#[derive(Debug, Clone)]
struct Root {
    path: PathBuf,
    /// The file system it was on when it was first seen.
    device: Arc<OnceLock<u64>>,
}

impl Root {
    /// Notes that it is there.
    fn seen(&self) {
        if let Ok(found) = std::fs::metadata(&self.path) {
            let _ = self.device.set(found.dev());
        }
    }

    /// Whether it is there.
    async fn check(&self) -> Result<()> {
        let device = self.device.get().copied();
        let gone = move |path: &FilePath| match std::fs::metadata(path) {
            Ok(found) if !found.is_dir() => Some("is no directory any more".to_owned()),
            // The mount point of a volume that was unmounted.
            Ok(found) if device.is_some_and(|d| d != found.dev()) && is_empty(path) => {
                Some("is empty and on another file system than at the start: is its volume mounted?".to_owned())
            }
            Ok(_) => None,
            Err(e) => Some(format!("cannot be found: {e}")),
        };
        let what = blocking(self.path.clone(), move |path| Ok(gone(path))).await?;
        what.map_or(Ok(()), |what| {
            let text = format!("the bucket's directory {} {what}", self.path.display());
            Err(Error::Generic { store: "LocalFileSystem", source: text.into() })
        })
    }

    /// `items`, unless it is gone before or after.
    fn while_there(&self, items: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (before, after) = (self.clone(), self.clone());
        let items = stream::once(async move { before.check().await.map(|()| items) }).try_flatten();
        let end = stream::once(async move { after.check().await.err().map(Err) }).filter_map(std::future::ready);
        items.chain(end).boxed()
    }
}

fn is_empty(dir: &FilePath) -> bool {
    std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

impl LocalStore {
    /// The store of `directory`, which need not be there yet.
    ///
    /// # Errors
    /// Something else is there.
    pub(crate) fn new(directory: &FilePath) -> Result<Self> {
        let root = Root { path: directory.to_owned(), device: Arc::default() };
        let store = Self { root, files: OnceLock::new() };
        if directory.exists() {
            store.files()?;
        }
        Ok(store)
    }

    /// The directory, if it is there.
    fn files(&self) -> Result<&LocalFileSystem> {
        if let Some(files) = self.files.get() {
            return Ok(files);
        }
        let path = &self.root.path;
        let found = std::fs::metadata(path);
        if let Err(e) = &found {
            let text = format!("the bucket's directory {} cannot be found: {e}", path.display());
            return Err(Error::Generic { store: "LocalFileSystem", source: text.into() });
        }
        let files = LocalFileSystem::new_with_prefix(path)?;
        self.root.seen();
        // A block is only then said to be uploaded when it would survive a power cut.
        Ok(self.files.get_or_init(|| files.with_fsync(true).with_automatic_cleanup(true)))
    }

    /// The directory to write into. It is made if it was never there; one that is gone is not.
    async fn files_to_write(&self) -> Result<&LocalFileSystem> {
        if self.files.get().is_none() {
            blocking(self.root.path.clone(), create_dirs).await?;
        }
        let files = self.files()?;
        self.root.check().await?;
        Ok(files)
    }

    /// Makes the directory if it was never there.
    pub(crate) async fn prepare(&self) -> Result<()> {
        self.files_to_write().await.map(drop)
    }

    /// Opens a file on this thread. `None` for all but an existing range that is asked for without conditions.
    fn open_here(&self, location: &Path, options: &GetOptions) -> Result<Option<GetResult>> {
        let GetOptions {
            if_match: None, if_none_match: None, head: false, range: Some(GetRange::Bounded(range)), ..
        } = options
        else {
            return Ok(None);
        };
        if options.if_modified_since.is_some() || options.if_unmodified_since.is_some() || options.version.is_some() {
            return Ok(None);
        }
        let path = self.files()?.path_to_filesystem(location)?;
        let opened = File::open(&path).and_then(|file| file.metadata().map(|metadata| (file, metadata)));
        let (file, metadata) = opened.map_err(|e| failed(&path, e))?;
        let (size, modified) = (metadata.len(), metadata.modified().map_err(|e| failed(&path, e))?);
        if !metadata.is_file() || range.start >= range.end || range.start >= size {
            return Ok(None);
        }
        let meta =
            ObjectMeta { location: location.clone(), last_modified: modified.into(), size, e_tag: None, version: None };
        Ok(Some(GetResult {
            payload: GetResultPayload::File(file, path),
            meta,
            range: range.start..range.end.min(size),
            attributes: Attributes::new(),
            extensions: Default::default(),
        }))
    }
}

impl fmt::Display for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalFileSystem({})", self.root.path.display())
    }
}

fn failed(path: &FilePath, e: io::Error) -> Error {
    let path = path.display().to_string();
    match e.kind() {
        io::ErrorKind::NotFound => Error::NotFound { path, source: e.into() },
        // The text of an `io::Error` does not name the file.
        kind => {
            Error::Generic { store: "LocalFileSystem", source: io::Error::new(kind, format!("{path}: {e}")).into() }
        }
    }
}

async fn blocking<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce(&FilePath) -> io::Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(move || work(&path).map_err(|e| failed(&path, e)))
        .await
        .unwrap_or_else(|e| Err(Error::Generic { store: "LocalFileSystem", source: e.into() }))
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.files_to_write().await?.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let files = self.files_to_write().await?;
        if !opts.attributes.is_empty() {
            return files.put_multipart_opts(location, opts).await;
        }
        let target = files.path_to_filesystem(location)?;
        let (staged, file) = blocking(target.clone(), stage).await?;
        Ok(Box::new(Upload { target, staged: Some(staged), file: Arc::new(file), at: 0 }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.extensions.get::<ReadsHere>().is_some()
            && let Some(found) = self.open_here(location, &options)?
        {
            return Ok(found);
        }
        self.files()?.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files()?.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.files() {
            Ok(files) => files.delete_stream(locations),
            Err(e) => failing(e),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.files() {
            Ok(files) => self.root.while_there(files.list(prefix)),
            Err(e) => failing(e),
        }
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.files() {
            Ok(files) => self.root.while_there(files.list_with_offset(prefix, offset)),
            Err(e) => failing(e),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let files = self.files()?;
        self.root.check().await?;
        let listed = files.list_with_delimiter(prefix).await?;
        self.root.check().await?;
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files_to_write().await?.copy_opts(from, to, options).await
    }
}

fn failing<T: Send + 'static>(e: Error) -> BoxStream<'static, Result<T>> {
    stream::once(std::future::ready(Err(e))).boxed()
}

/// Opens `<target>#<number>`, which listings pass over and [`crate::Unfinished`] finds.
fn stage(target: &FilePath) -> io::Result<(PathBuf, Staged)> {
    let mut number = 1u64;
    loop {
        let mut staged = target.as_os_str().to_owned();
        staged.push(format!("#{number}"));
        let staged = PathBuf::from(staged);
        match OpenOptions::new().read(true).write(true).create_new(true).open(&staged) {
            Ok(file) => {
                let direct = open_direct(&staged);
                return Ok((staged, Staged { file, is_direct: AtomicBool::new(direct.is_some()), direct }));
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(e) if e.kind() == io::ErrorKind::NotFound => create_dirs(target.parent().unwrap_or(target))?,
            Err(e) => return Err(e),
        }
    }
}

/// `None` where the file system knows no such writes.
fn open_direct(path: &FilePath) -> Option<File> {
    let flags = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).ok()?;
    OpenOptions::new().write(true).custom_flags(flags).open(path).ok()
}

/// Creates a directory with those above it, durably.
fn create_dirs(dir: &FilePath) -> io::Result<()> {
    let missing = dir.ancestors().take_while(|d| !d.exists()).count();
    std::fs::create_dir_all(dir)?;
    dir.ancestors().take(missing + 1).filter(|d| !d.as_os_str().is_empty()).try_for_each(sync_dir)
}

fn sync_dir(dir: &FilePath) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// A file under way, opened twice.
#[derive(Debug)]
struct Staged {
    file: File,
    direct: Option<File>,
    /// Until the file system refuses a write.
    is_direct: AtomicBool,
}

impl Staged {
    fn write_part(&self, part: &PutPayload, mut at: u64) -> io::Result<()> {
        // From the last multiple on another part may write the same page.
        let head = (at.next_multiple_of(ALIGN as u64) - at) as usize;
        let mut gathered = Gathered::default();
        let mut skip = head;
        for mut bytes in part.iter().map(|b| &b[..]) {
            let now = skip.min(bytes.len());
            skip -= now;
            self.write_buffered(&bytes[..now], at)?;
            at += now as u64;
            bytes = &bytes[now..];
            while !bytes.is_empty() {
                let whole = bytes.len() / ALIGN * ALIGN;
                let len = if gathered.len == 0 && whole > 0 && bytes.as_ptr().align_offset(ALIGN) == 0 {
                    self.write_aligned(&bytes[..whole], at)?;
                    at += whole as u64;
                    whole
                } else {
                    let len = gathered.fill(bytes);
                    if gathered.len == GATHER_BYTES {
                        self.write_aligned(gathered.bytes(), at)?;
                        at += GATHER_BYTES as u64;
                        gathered.len = 0;
                    }
                    len
                };
                bytes = &bytes[len..];
            }
        }
        let (whole, tail) = gathered.bytes().split_at(gathered.len / ALIGN * ALIGN);
        self.write_aligned(whole, at)?;
        self.write_buffered(tail, at + whole.len() as u64)
    }

    /// `bytes`, their length and `at` are aligned.
    fn write_aligned(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        if let Some(direct) = self.direct.as_ref().filter(|_| self.is_direct.load(Ordering::Relaxed)) {
            match direct.write_all_at(bytes, at) {
                Err(e) if e.kind() == io::ErrorKind::InvalidInput => self.is_direct.store(false, Ordering::Relaxed),
                outcome => return outcome,
            }
        }
        self.write_buffered(bytes, at)
    }

    fn write_buffered(&self, bytes: &[u8], mut at: u64) -> io::Result<()> {
        for piece in bytes.chunks(BUFFERED_BYTES) {
            self.file.write_all_at(piece, at)?;
            at += piece.len() as u64;
        }
        Ok(())
    }
}

/// Bytes from here and there in one aligned piece of memory.
#[derive(Default)]
struct Gathered {
    memory: Vec<u8>,
    /// Where in it the aligned piece begins.
    from: usize,
    len: usize,
}

impl Gathered {
    /// Takes what fits of `bytes`.
    fn fill(&mut self, bytes: &[u8]) -> usize {
        if self.memory.is_empty() {
            self.memory = vec![0; GATHER_BYTES + ALIGN];
            self.from = self.memory.as_ptr().align_offset(ALIGN).min(ALIGN);
        }
        let len = bytes.len().min(GATHER_BYTES - self.len);
        let begin = self.from + self.len;
        self.memory[begin..begin + len].copy_from_slice(&bytes[..len]);
        self.len += len;
        len
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.from..self.from + self.len]
    }
}

#[derive(Debug)]
struct Upload {
    target: PathBuf,
    /// Taken when the upload ends.
    staged: Option<PathBuf>,
    file: Arc<Staged>,
    at: u64,
}

impl Upload {
    fn take(&mut self) -> Result<PathBuf> {
        let ended = || Error::Generic { store: "LocalFileSystem", source: "the upload has ended already".into() };
        self.staged.take().ok_or_else(ended)
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        let (file, at) = (self.file.clone(), self.at);
        self.at += part.content_length() as u64;
        let staged = self.staged.clone().unwrap_or_else(|| self.target.clone());
        blocking(staged, move |_| file.write_part(&part, at)).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (staged, file) = (self.take()?, self.file.clone());
        let publish = move |target: &FilePath| {
            file.file.sync_all()?;
            std::fs::rename(&staged, target)?;
            target.parent().map_or(Ok(()), sync_dir)
        };
        blocking(self.target.clone(), publish).await?;
        Ok(PutResult { e_tag: None, version: None, extensions: Default::default() })
    }

    async fn abort(&mut self) -> Result<()> {
        blocking(self.take()?, |staged| std::fs::remove_file(staged)).await
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(staged) = self.staged.take() else { return };
        // Best effort: what is left is cleaned up with other partial uploads.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || std::fs::remove_file(staged))),
            Err(_) => drop(std::fs::remove_file(staged)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes that tell where they belong.
    fn bytes(len: usize) -> Vec<u8> {
        (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// Whatever the parts' sizes, where their pieces lie in memory, and in which order they are written.
        #[test]
        fn parts_come_to_lie_where_they_belong(
            lens in proptest::collection::vec(prop_oneof![1..6000usize, Just(4096), Just(8192), 1_000_000..2_200_000usize], 1..6),
            pieces in proptest::collection::vec(prop_oneof![1..5000usize, Just(4096), 500_000..3_000_000usize], 1..6),
            shift in 0..3usize,
            is_direct: bool,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let target = dir.path().join("a/b/object");
            let (path, mut staged) = stage(&target).unwrap();
            if !is_direct {
                staged.direct = None;
            }
            let wanted = bytes(lens.iter().sum());
            let (mut parts, mut at) = (Vec::new(), 0);
            for len in lens {
                let (mut payload, end, mut next) = (Vec::new(), at + len, at);
                for piece in pieces.iter().cycle() {
                    let piece = (*piece).min(end - next);
                    // With and without room before it.
                    let mut memory = vec![0; ALIGN + shift];
                    let from = (memory.as_ptr().align_offset(ALIGN) + shift) % ALIGN;
                    memory.resize(from, 0);
                    memory.extend_from_slice(&wanted[next..next + piece]);
                    payload.push(Bytes::from(memory).slice(from..));
                    next += piece;
                    if next == end {
                        break;
                    }
                }
                parts.push((payload.into_iter().collect::<PutPayload>(), at as u64));
                at = end;
            }
            for (payload, at) in parts.iter().rev() {
                staged.write_part(payload, *at).unwrap();
            }
            prop_assert!(std::fs::read(path).unwrap() == wanted);
        }
    }

    /// As where a file system wants other multiples.
    #[test]
    fn a_write_that_is_refused_goes_through_the_page_cache() {
        let dir = tempfile::tempdir().unwrap();
        let (path, staged) = stage(&dir.path().join("object")).unwrap();
        let wanted = bytes(3 * ALIGN + 1);
        let memory = Bytes::from([&[0][..], &wanted].concat());
        let odd = if memory.as_ptr().align_offset(2) == 0 { 1 } else { 0 };
        let wanted = &memory[odd..odd + 3 * ALIGN];
        staged.write_aligned(wanted, 0).unwrap();
        assert!(std::fs::read(path).unwrap() == wanted);
    }
}
