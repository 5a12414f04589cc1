//! A view of the blocks in a bucket.
//!
//! One recursive listing shows every block's objects with sizes and times: no request per block is needed to know which
//! have a `meta.json` or a mark. Only metas and marks not seen in this state before are fetched. A sync of an unchanged
//! bucket with 10 000 blocks of 10 objects costs 100 pages of listing and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use block::{BlockId, BlockMeta, META_FILE};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use objstore::{Bucket, Object};
use parking_lot::Mutex;

use crate::cache::{DiskCache, Origin};
use crate::error::Result;
use crate::listing::{Apart, BlockObjects, list_block, list_blocks, list_blocks_one_by_one};
use crate::marks::{self, DeletionMark, Found, Mark, NoCompactMark, NoDownsampleMark};
use crate::metrics::SyncMetrics;
use crate::view::{Partial, View};

/// How blocks are listed (`--block-discovery-strategy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Listing {
    /// One recursive listing of the bucket.
    #[default]
    Recursive,
    /// One listing of the root, one of each block.
    Concurrent,
}

impl std::str::FromStr for Listing {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "recursive" => Ok(Self::Recursive),
            "concurrent" => Ok(Self::Concurrent),
            other => Err(format!("block discovery strategy {other:?} is unknown: use concurrent or recursive")),
        }
    }
}

/// Options of a [`MetaFetcher`].
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// `--block-discovery-strategy`, see [`Listing`].
    pub listing: Listing,
    /// Requests at a time (`--block-meta-fetch-concurrency`).
    pub concurrency: usize,
    /// Where metas are kept between runs, `<data-dir>/meta-syncer`; `None` = in memory only.
    pub cache_dir: Option<PathBuf>,
    /// A larger `meta.json` is not read.
    pub meta_bytes_max: u64,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self { listing: Listing::default(), concurrency: 32, cache_dir: None, meta_bytes_max: 64 << 20 }
    }
}

/// Fetches views. Metas and marks that have not changed are kept from one fetch to the next.
#[derive(Debug)]
pub struct MetaFetcher {
    bucket: Bucket,
    options: FetchOptions,
    metrics: SyncMetrics,
    disk: Option<DiskCache>,
    seen: Mutex<HashMap<BlockId, Seen>>,
}

#[derive(Debug, Clone, Default)]
struct Seen {
    meta: Option<(Origin, Arc<BlockMeta>)>,
    deletion_mark: Option<(Origin, CheckedMark<DeletionMark>)>,
    no_compact: Option<(Origin, CheckedMark<NoCompactMark>)>,
    no_downsample: Option<(Origin, CheckedMark<NoDownsampleMark>)>,
}

/// A mark, or what is wrong with it.
#[derive(Debug, Clone)]
struct CheckedMark<M> {
    mark: Option<M>,
    odd: Option<String>,
    /// It may mean something to a newer program.
    of_other_version: bool,
}

impl<M> CheckedMark<M> {
    fn nothing() -> Self {
        Self { mark: None, odd: None, of_other_version: false }
    }
}

enum Meta {
    Read(Arc<BlockMeta>),
    Partial(Partial),
    Failed(String),
}

struct Fetched {
    id: BlockId,
    meta: Meta,
    mark: std::result::Result<Option<DeletionMark>, String>,
    odd_marks: Vec<String>,
    seen: Seen,
}

impl MetaFetcher {
    /// A fetcher that knows only what is in its directory.
    pub fn new(bucket: Bucket, options: FetchOptions, metrics: SyncMetrics) -> Self {
        let disk = options.cache_dir.clone().map(DiskCache::new);
        Self { bucket, options, metrics, disk, seen: Mutex::default() }
    }

    /// The blocks there are now.
    ///
    /// # Errors
    /// When the listing was not complete. The view before holds then.
    pub fn fetch(&self) -> BoxFuture<'_, Result<View>> {
        Box::pin(async move {
            let began = Instant::now();
            self.metrics.syncs.inc();
            let outcome = self.fetch_view().await;
            match &outcome {
                Ok(view) if view.is_complete() => {}
                _ => {
                    self.metrics.failures.inc();
                }
            }
            self.metrics.seconds.observe(began.elapsed().as_secs_f64());
            outcome
        })
    }

    async fn fetch_view(&self) -> Result<View> {
        let (mut objects, unlisted) = self.list().await?;
        // A block of which only a mark is left was deleted and then marked again: it has no data.
        let fetches: Vec<_> = objects.iter().map(|(id, objects)| self.fetch_block(*id, objects)).collect();
        let fetched: Vec<Fetched> =
            stream::iter(fetches).buffer_unordered(self.options.concurrency.max(1)).collect().await;
        let mut view = View::default();
        let mut seen = HashMap::with_capacity(fetched.len());
        for block in fetched {
            match block.meta {
                Meta::Read(meta) => {
                    if let Some(broken) = objects.get(&block.id).and_then(|there| missing_file(&meta, there)) {
                        view.broken.insert(block.id, broken);
                    }
                    view.metas.insert(block.id, meta);
                }
                Meta::Partial(why) => {
                    view.partial.insert(block.id, why);
                }
                Meta::Failed(why) => {
                    view.failed.insert(block.id, why);
                }
            }
            match block.mark {
                Ok(Some(mark)) => {
                    view.deletion_marks.insert(block.id, mark);
                }
                Ok(None) => {}
                Err(why) => {
                    view.failed.insert(block.id, why);
                }
            }
            if !block.odd_marks.is_empty() {
                view.odd_marks.insert(block.id, block.odd_marks);
            }
            seen.insert(block.id, block.seen);
        }
        for (id, why) in unlisted {
            objects.insert(id, BlockObjects::default());
            view.failed.insert(id, why);
        }
        view.objects = objects;
        *self.seen.lock() = seen;
        self.tidy_disk(&view).await;
        Ok(view)
    }

    async fn list(&self) -> Result<Apart> {
        let one_by_one = || list_blocks_one_by_one(&self.bucket, self.options.concurrency);
        match self.options.listing {
            Listing::Concurrent => one_by_one().await,
            Listing::Recursive => match list_blocks(&self.bucket).await {
                // On a disk one directory that cannot be read ends the listing of all.
                Err(e) if self.bucket.settings().is_local => {
                    tracing::debug!(err = %e, "listing failed, each block is listed by itself");
                    one_by_one().await
                }
                listed => listed.map(|objects| (objects, BTreeMap::new())),
            },
        }
    }

    async fn fetch_block(&self, id: BlockId, objects: &BlockObjects) -> Fetched {
        let mut seen = self.seen.lock().get(&id).cloned().unwrap_or_default();
        let meta = match objects.meta() {
            None => Meta::Partial(Partial::NoMeta),
            Some(object) => self.fetch_meta(id, object, &mut seen).await,
        };
        let mut odd_marks = Vec::new();
        let mark = match self.fetch_mark(id, objects.deletion_mark(), &mut seen.deletion_mark).await {
            Ok(checked) => {
                odd_marks.extend(checked.odd.clone());
                match checked.odd.filter(|_| checked.of_other_version) {
                    // Its meaning is unknown: nothing may change the block.
                    Some(why) => Err(why),
                    None => Ok(checked.mark),
                }
            }
            Err(e) => Err(e.to_string()),
        };
        // These marks hold by being there: one that cannot be read now is read again by the next sync.
        let no_compact = self.fetch_mark(id, objects.no_compact_mark(), &mut seen.no_compact).await;
        odd_marks.extend(no_compact.ok().and_then(|checked| checked.odd));
        let no_downsample = self.fetch_mark(id, objects.no_downsample_mark(), &mut seen.no_downsample).await;
        odd_marks.extend(no_downsample.ok().and_then(|checked| checked.odd));
        Fetched { id, meta, mark, odd_marks, seen }
    }

    async fn fetch_meta(&self, id: BlockId, object: &Object, seen: &mut Seen) -> Meta {
        let origin = Origin::of(object);
        if let Some((kept, meta)) = &seen.meta
            && *kept == origin
        {
            return Meta::Read(meta.clone());
        }
        if let Some(json) = self.read_disk(id, &origin).await
            && let Ok(meta) = parse(id, &json)
        {
            let meta = Arc::new(meta);
            seen.meta = Some((origin, meta.clone()));
            return Meta::Read(meta);
        }
        if object.size > self.options.meta_bytes_max {
            return Meta::Failed(format!(
                "meta.json of {} bytes, at most {} are read",
                object.size, self.options.meta_bytes_max
            ));
        }
        let (json, read) = match self.bucket.get_with_meta(&object.path).await {
            Ok(read) => read,
            Err(e) if e.is_not_found() => return self.deleted_meta(id, &origin, &e).await,
            Err(e) => return Meta::Failed(e.to_string()),
        };
        match parse(id, &json) {
            Ok(meta) => {
                let meta = Arc::new(meta);
                // Kept only if the listed object is the one that was read.
                if read.size == origin.size
                    && (read.etag.is_none() || origin.etag.is_none() || read.etag == origin.etag)
                {
                    self.write_disk(id, &origin, json.to_vec()).await;
                    seen.meta = Some((origin, meta.clone()));
                }
                Meta::Read(meta)
            }
            Err(block::Error::Version { file, what, found }) => {
                Meta::Failed(block::Error::Version { file, what, found }.to_string())
            }
            Err(e) => Meta::Partial(Partial::CorruptMeta(e.to_string())),
        }
    }

    /// A `meta.json` that was listed and not found: deleted meanwhile, unless the listing goes on showing it.
    async fn deleted_meta(&self, id: BlockId, origin: &Origin, error: &objstore::Error) -> Meta {
        match list_block(&self.bucket, id).await {
            Ok(there) if there.meta().is_none() => Meta::Partial(Partial::NoMeta),
            Ok(there) if there.meta().map(Origin::of).as_ref() == Some(origin) => {
                Meta::Failed(format!("listed, but {error}"))
            }
            Ok(_) => Meta::Failed(format!("written while it was read: {error}")),
            Err(e) => Meta::Failed(e.to_string()),
        }
    }

    async fn fetch_mark<M: Mark + Clone>(
        &self,
        id: BlockId,
        object: Option<&Object>,
        seen: &mut Option<(Origin, CheckedMark<M>)>,
    ) -> Result<CheckedMark<M>> {
        let Some(object) = object else {
            *seen = None;
            return Ok(CheckedMark::nothing());
        };
        let origin = Origin::of(object);
        if let Some((kept, checked)) = seen
            && *kept == origin
        {
            return Ok(checked.clone());
        }
        let checked = match marks::find::<M>(&self.bucket, id).await? {
            Found::Absent => CheckedMark::nothing(),
            Found::Mark(mark) => CheckedMark { mark: Some(mark), ..CheckedMark::nothing() },
            Found::Corrupt { why, of_other_version } => {
                tracing::warn!(block = %id, why, "mark is corrupt: write it again, or delete it");
                CheckedMark { mark: None, odd: Some(why), of_other_version }
            }
        };
        *seen = Some((origin, checked.clone()));
        Ok(checked)
    }

    async fn read_disk(&self, id: BlockId, origin: &Origin) -> Option<Vec<u8>> {
        let (disk, origin) = (self.disk.clone()?, origin.clone());
        tokio::task::spawn_blocking(move || disk.read(id, &origin)).await.ok()?
    }

    async fn write_disk(&self, id: BlockId, origin: &Origin, json: Vec<u8>) {
        let Some(disk) = self.disk.clone() else { return };
        let origin = origin.clone();
        // The cache only saves requests: a full disk is no reason to fail.
        match tokio::task::spawn_blocking(move || disk.write(id, &origin, &json)).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!(block = %id, err = %e, "meta.json not kept on disk"),
            Err(e) => tracing::warn!(block = %id, err = %e, "meta.json not kept on disk"),
        }
    }

    async fn tidy_disk(&self, view: &View) {
        let Some(disk) = self.disk.clone() else { return };
        let known: std::collections::HashSet<BlockId> = view.objects.keys().copied().collect();
        match tokio::task::spawn_blocking(move || disk.retain(|id| known.contains(&id))).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!(err = %e, "kept metas of deleted blocks not removed"),
            Err(e) => tracing::warn!(err = %e, "kept metas of deleted blocks not removed"),
        }
    }
}

fn parse(id: BlockId, json: &[u8]) -> std::result::Result<BlockMeta, block::Error> {
    let file = format!("{id}/{META_FILE}");
    let meta = BlockMeta::parse(&file, json)?;
    if meta.ulid != id {
        return Err(block::Error::corrupt(file, 0, format!("is of block {}", meta.ulid)));
    }
    Ok(meta)
}

/// What `meta.json` names and the listing does not show at that size.
fn missing_file(meta: &BlockMeta, there: &BlockObjects) -> Option<String> {
    let files = &meta.thanos.as_ref()?.files;
    files.iter().filter(|f| f.rel_path != META_FILE && f.size_bytes > 0).find_map(|file| {
        match there.objects.get(&file.rel_path) {
            None => Some(format!("{} is missing", file.rel_path)),
            Some(o) if o.size != file.size_bytes => {
                Some(format!("{} has {} bytes of {}", file.rel_path, o.size, file.size_bytes))
            }
            Some(_) => None,
        }
    })
}
