//! Bringing a block into the bucket: chunks, then the index, then `meta.json`, whose presence says that the rest is there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use block::meta::{BlockFile, FileHash};
use block::{BlockId, BlockMeta, META_FILE};
use bytes::Bytes;
use futures::future::BoxFuture;
use model::Clock;
use objstore::{Bucket, ConditionalCreate, Created, ErrorKind};
use service::Failpoints;

use crate::error::{Error, Result};
use crate::hash::sha256;
use crate::listing::{BlockObjects, list_block};
use crate::partial::refuse_marked;

/// Options of [`upload_block`].
#[derive(Debug, Clone)]
pub struct UploadOptions {
    /// Note each file's SHA-256 in `meta.json`.
    pub hash: bool,
    /// Whether the store honours conditional creates; `meta.json` is then never written over.
    pub conditional: ConditionalCreate,
    /// Blocks as Prometheus writes them, without external labels, are let through.
    pub allow_no_labels: bool,
    /// Clock for `thanos.upload_time` in `meta.json`.
    pub clock: Arc<dyn Clock>,
    /// Named places: `upload.after_chunk`, `upload.after_index`, `upload.before_meta`, `upload.after_meta`.
    pub failpoints: Failpoints,
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self {
            hash: true,
            conditional: ConditionalCreate::Ignored,
            allow_no_labels: false,
            clock: Arc::new(model::SystemClock),
            failpoints: Failpoints::none(),
        }
    }
}

/// The outcome of an upload.
#[derive(Debug, Clone, PartialEq)]
pub enum Uploaded {
    /// The block is in the bucket now, with this meta.
    Now(Box<BlockMeta>),
    /// It was there before, complete.
    Already,
}

/// Uploads the block in `dir` (`index`, `chunks/*`) under `meta`, whose files, sizes and time of upload are filled in.
///
/// Objects that an interrupted upload left with the right size are not sent again. After an error nothing is cleaned up:
/// the next try uses what is there. An object whose upload seemed to fail may be there too.
///
/// # Errors
/// [`Error::Unfit`] for blocks that must not be uploaded, [`Error::Corrupt`] if another block of this name is there.
pub fn upload_block<'a>(
    bucket: &'a Bucket,
    dir: &'a Path,
    mut meta: BlockMeta,
    options: &'a UploadOptions,
) -> BoxFuture<'a, Result<Uploaded>> {
    Box::pin(async move {
        let id = meta.ulid;
        let unfit = |why: &str| Err(Error::Unfit { block: id, why: why.to_owned() });
        let files = local_files(dir, options.hash).await?;
        match &mut meta.thanos {
            Some(thanos) if options.allow_no_labels || !thanos.labels.is_empty() => {
                thanos.files = files.iter().map(|f| f.described.clone()).collect();
                thanos.files.push(BlockFile { rel_path: META_FILE.to_owned(), ..Default::default() });
                thanos.files.sort_by(|a, b| a.rel_path.cmp(&b.rel_path));
                let segments = files.iter().filter_map(|f| f.described.rel_path.strip_prefix("chunks/"));
                thanos.segment_files = segments.map(str::to_owned).collect();
            }
            None if options.allow_no_labels => {}
            _ => return unfit("has no external labels: blocks of different sources could not be told apart"),
        }
        if id == BlockId::default() {
            return unfit("has no id");
        }

        bucket.prepare().await?;
        let there = list_block(bucket, id).await?;
        if there.meta().is_some() {
            let stored = bucket.get(&format!("{id}/{META_FILE}")).await?;
            if !is_corrupt(&stored) {
                same_block(id, &meta, &stored)?;
                if there.deletion_mark().is_none() && names_files(&stored, &files) {
                    still_whole(bucket, id, &files, options).await?;
                }
                return Ok(Uploaded::Already);
            }
            tracing::warn!(block = %id, "meta.json in the bucket is corrupt, it is written again");
        }
        if there.deletion_mark().is_some() {
            return unfit("is being deleted from the bucket");
        }
        refuse_marked(bucket, id, &there, options.clock.now_ms()).await?;
        send_missing(bucket, id, &files, &there, options).await?;
        // The whole block is listed once more, as readers will find it (thanos-io/thanos#6328).
        let there = list_block(bucket, id).await?;
        if let Some(what) = what_lacks(&files, &there) {
            return Err(Error::Corrupt { block: id, what });
        }
        refuse_marked(bucket, id, &there, options.clock.now_ms()).await?;
        options.failpoints.hit("upload.before_meta")?;
        if let Some(thanos) = &mut meta.thanos {
            thanos.set_upload_time_ms(options.clock.now_ms());
        }
        let outcome = put_meta(bucket, &meta, options.conditional).await?;
        if outcome == Created::AlreadyExists {
            same_block(id, &meta, &bucket.get(&format!("{id}/{META_FILE}")).await?)?;
        }
        options.failpoints.hit("upload.after_meta")?;
        still_whole(bucket, id, &files, options).await?;
        tracing::info!(block = %id, files = files.len(), "block uploaded");
        Ok(if outcome == Created::Created { Uploaded::Now(Box::new(meta)) } else { Uploaded::Already })
    })
}

/// Sends what is not there at its size.
async fn send_missing(
    bucket: &Bucket,
    id: BlockId,
    files: &[LocalFile],
    there: &BlockObjects,
    options: &UploadOptions,
) -> Result<()> {
    for file in files {
        let path = &file.described.rel_path;
        let stored = there.objects.get(path).map(|o| o.size);
        if stored != Some(file.described.size_bytes) {
            let sent = bucket.put_file(&format!("{id}/{path}"), &file.local).await?;
            if sent != file.described.size_bytes {
                return Err(Error::Unfit { block: id, why: format!("{path} changed while it was uploaded") });
            }
        }
        options.failpoints.hit(if path == "index" { "upload.after_index" } else { "upload.after_chunk" })?;
    }
    Ok(())
}

fn what_lacks(files: &[LocalFile], there: &BlockObjects) -> Option<String> {
    files.iter().find_map(|file| {
        let (path, size) = (&file.described.rel_path, file.described.size_bytes);
        let stored = there.objects.get(path).map_or(0, |o| o.size);
        (stored != size).then(|| format!("{path} has {stored} bytes in the bucket, {size} here"))
    })
}

/// Checks a block that is visible now. Cleaning may have taken its upload for abandoned and deleted files: they are sent
/// again. While cleaning goes on, the block is hidden again.
async fn still_whole(bucket: &Bucket, id: BlockId, files: &[LocalFile], options: &UploadOptions) -> Result<()> {
    let there = list_block(bucket, id).await?;
    if let Err(e) = refuse_marked(bucket, id, &there, options.clock.now_ms()).await {
        if matches!(e, Error::CleanedUp { .. }) {
            bucket.delete(&format!("{id}/{META_FILE}")).await?;
        }
        return Err(e);
    }
    if there.deletion_mark().is_some() {
        // Another block has its data by now, or it was requested to be deleted.
        return Ok(());
    }
    if there.meta().is_none() {
        return Err(Error::CleanedUp { block: id });
    }
    if what_lacks(files, &there).is_none() {
        return Ok(());
    }
    tracing::warn!(block = %id, "files of a block that is visible are gone, sending them again");
    send_missing(bucket, id, files, &there, options).await?;
    match what_lacks(files, &list_block(bucket, id).await?) {
        Some(what) => Err(Error::Corrupt { block: id, what }),
        None => Ok(()),
    }
}

/// Whether `meta.json` as it is stored names these very files.
fn names_files(stored: &[u8], files: &[LocalFile]) -> bool {
    let Ok(meta) = BlockMeta::parse(META_FILE, stored) else { return false };
    let named: BTreeMap<String, u64> =
        meta.thanos.into_iter().flat_map(|t| t.files).map(|f| (f.rel_path, f.size_bytes)).collect();
    files.iter().all(|f| named.get(&f.described.rel_path) == Some(&f.described.size_bytes))
}

/// Whether `stored` is no `meta.json` of any version: cut, or garbage.
fn is_corrupt(stored: &[u8]) -> bool {
    matches!(BlockMeta::parse(META_FILE, stored), Err(block::Error::Corrupt { .. }))
}

/// Writes `meta.json` unless there is a readable one, and reads it back: only what is stored whole makes a block visible.
/// After [`Created::AlreadyExists`] the content of the stored one is unknown.
///
/// # Errors
/// [`Error::Corrupt`] if what is stored differs twice from what was sent, [`Error::CleanedUp`] if it is gone again; failures
/// of the store.
pub fn put_meta<'a>(
    bucket: &'a Bucket,
    meta: &'a BlockMeta,
    conditional: ConditionalCreate,
) -> BoxFuture<'a, Result<Created>> {
    Box::pin(async move {
        let path = format!("{}/{META_FILE}", meta.ulid);
        let json: Bytes = meta.to_json().into();
        if json.is_empty() {
            return Err(Error::Unfit { block: meta.ulid, why: "meta.json cannot be written".to_owned() });
        }
        let put = match conditional {
            ConditionalCreate::Honoured => bucket.put_if_absent(&path, json.clone()).await,
            ConditionalCreate::Ignored => bucket.put(&path, json.clone()).await.map(|()| Created::Created),
        };
        let outcome = match put {
            // The answer was lost; the object may be there (thanos-io/thanos#3626).
            Err(e) if e.kind().is_transient() || e.kind() == ErrorKind::Other => match bucket.get(&path).await {
                Ok(stored) if stored == json => return Ok(Created::Created),
                _ => return Err(e.into()),
            },
            outcome => outcome?,
        };
        let stored = match bucket.get(&path).await {
            Err(e) if e.is_not_found() => return Err(Error::CleanedUp { block: meta.ulid }),
            stored => stored?,
        };
        match outcome {
            Created::AlreadyExists if !is_corrupt(&stored) => Ok(outcome),
            Created::Created if is_as_written(meta, &json, &stored) => Ok(outcome),
            _ => {
                tracing::warn!(block = %meta.ulid, bytes = stored.len(), "meta.json is not stored as it was sent, sending it again");
                put_over(bucket, &path, meta, json).await
            }
        }
    })
}

async fn put_over(bucket: &Bucket, path: &str, meta: &BlockMeta, json: Bytes) -> Result<Created> {
    bucket.put(path, json.clone()).await?;
    let stored = bucket.get(path).await?;
    if is_as_written(meta, &json, &stored) {
        return Ok(Created::Created);
    }
    let what =
        format!("{META_FILE} has {} bytes in the bucket and is not what was sent, {} bytes", stored.len(), json.len());
    Err(Error::Corrupt { block: meta.ulid, what })
}

/// Whether `stored` is what was sent, or what another uploader of the same block sent at another time.
fn is_as_written(ours: &BlockMeta, json: &[u8], stored: &[u8]) -> bool {
    if stored == json {
        return true;
    }
    let Ok(mut theirs) = BlockMeta::parse(META_FILE, stored) else { return false };
    if let (Some(theirs), Some(ours)) = (&mut theirs.thanos, &ours.thanos) {
        theirs.upload_time.clone_from(&ours.upload_time);
    }
    theirs == *ours
}

/// Whether `stored` describes the block that `ours` does.
fn same_block(id: BlockId, ours: &BlockMeta, stored: &[u8]) -> Result<()> {
    let corrupt = |what: String| Error::Corrupt { block: id, what };
    let theirs = BlockMeta::parse(&format!("{id}/{META_FILE}"), stored).map_err(|e| corrupt(e.to_string()))?;
    if (theirs.min_time, theirs.max_time, &theirs.compaction) != (ours.min_time, ours.max_time, &ours.compaction) {
        return Err(corrupt("the bucket has another block of this name".to_owned()));
    }
    let labels = |meta: &BlockMeta| meta.thanos.as_ref().map(|t| t.labels.clone()).unwrap_or_default();
    if labels(&theirs) != labels(ours) {
        return Err(corrupt("the bucket has this block under other external labels".to_owned()));
    }
    Ok(())
}

struct LocalFile {
    local: PathBuf,
    described: BlockFile,
}

/// `chunks/*` in order, then `index`: the order of upload.
async fn local_files(dir: &Path, hash: bool) -> Result<Vec<LocalFile>> {
    let chunks = dir.join("chunks");
    let mut names = Vec::new();
    let mut entries = tokio::fs::read_dir(&chunks).await.map_err(Error::local(&chunks))?;
    while let Some(entry) = entries.next_entry().await.map_err(Error::local(&chunks))? {
        // Segments have numbers as names. Any other file, such as an editor's, is not part of the block.
        match entry.file_name().to_str() {
            Some(name) if !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()) => {
                names.push(format!("chunks/{name}"));
            }
            _ => {}
        }
    }
    names.sort();
    names.push("index".to_owned());
    let mut files = Vec::with_capacity(names.len());
    for rel_path in names {
        let local = dir.join(&rel_path);
        let size_bytes = tokio::fs::metadata(&local).await.map_err(Error::local(&local))?.len();
        let hash = match hash {
            true => Some(FileHash { hash_func: "SHA256".to_owned(), value: sha256(&local).await? }),
            false => None,
        };
        files.push(LocalFile { local, described: BlockFile { rel_path, size_bytes, hash } });
    }
    Ok(files)
}
