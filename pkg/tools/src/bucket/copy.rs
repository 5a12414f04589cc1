//! A block from one bucket into another: each byte checked on its way, `meta.json` last.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::bucket::listing::list_block;
use ::bucket::partial::refuse_marked;
use block::meta::BlockFile;
use block::{BlockId, BlockMeta, IndexReader, META_FILE};
use bytes::Bytes;
use model::Clock;
use objstore::Bucket;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::segment::SegmentCheck;
use crate::Error;

/// Bytes per request, and in memory.
const PIECE_BYTES: u64 = 8 << 20;

#[derive(Debug, Clone)]
pub(super) struct CopyOptions {
    /// Where an index lies while it is checked.
    pub(super) tmp_dir: PathBuf,
    /// Refuse a block whose checksums are wrong. Without it a corrupt block is copied as it is.
    pub(super) check: bool,
    /// For the age of marks.
    pub(super) clock: Arc<dyn Clock>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copied {
    /// The block is there now; objects and bytes that were sent.
    Now { objects: u64, bytes: u64 },
    /// It was there before, whole.
    Already,
}

fn corrupt(block: BlockId, what: impl Into<String>) -> Error {
    Error::Bucket(::bucket::Error::Corrupt { block, what: what.into() })
}

/// Copies `block`. Objects that are there with the right size, from a copy that was interrupted, are not sent again.
///
/// # Errors
/// [`::bucket::Error::Corrupt`] if the source is not what its `meta.json` says, or another block of this name is there.
pub(super) async fn copy_block(
    from: &Bucket,
    to: &Bucket,
    block: BlockId,
    options: &CopyOptions,
) -> Result<Copied, Error> {
    let meta_path = format!("{block}/{META_FILE}");
    let json = from.get(&meta_path).await?;
    let meta = BlockMeta::parse(&meta_path, &json).map_err(|e| corrupt(block, e.to_string()))?;
    let files = source_files(from, &meta).await?;
    to.prepare().await?;
    let there = list_block(to, block).await?;
    let mut is_same_meta = false;
    if there.meta().is_some() {
        let stored = to.get(&meta_path).await?;
        is_same_meta = stored == json;
        if !is_same_meta {
            same_block(block, &meta, &stored)?;
        }
    } else if there.deletion_mark().is_some() {
        return Err(corrupt(block, "is being deleted from the bucket it should go to"));
    }
    refuse_marked(to, block, &there, options.clock.now_ms()).await?;
    let missing = |f: &&BlockFile| there.objects.get(&f.rel_path).is_none_or(|o| o.size != f.size_bytes);
    let missing: Vec<&BlockFile> = files.iter().filter(missing).collect();
    if is_same_meta && missing.is_empty() {
        return Ok(Copied::Already);
    }
    let (mut objects, mut bytes) = (0, 0);
    for file in missing {
        copy_file(from, to, block, file, options).await?;
        objects += 1;
        bytes += file.size_bytes;
    }
    // all of it, once more, as readers will find it
    let there = list_block(to, block).await?;
    for file in &files {
        let stored = there.objects.get(&file.rel_path).map_or(0, |o| o.size);
        if stored != file.size_bytes {
            let what = format!("{} has {stored} bytes of {} where it was copied to", file.rel_path, file.size_bytes);
            return Err(corrupt(block, what));
        }
    }
    if !is_same_meta {
        to.put(&meta_path, json.clone()).await?;
        let stored = to.get(&meta_path).await?;
        if stored != json {
            return Err(corrupt(block, "meta.json is not as it was written"));
        }
        objects += 1;
        bytes += json.len() as u64;
        // Cleaning may have taken an earlier copy for abandoned and deleted files meanwhile.
        let there = list_block(to, block).await?;
        refuse_marked(to, block, &there, options.clock.now_ms()).await?;
        if let Some(file) = files.iter().find(|f| there.objects.get(&f.rel_path).is_none_or(|o| o.size != f.size_bytes))
        {
            return Err(corrupt(block, format!("{} went away while it was copied: copy it again", file.rel_path)));
        }
    }
    Ok(Copied::Now { objects, bytes })
}

/// The data files with their sizes in the bucket, which must be those of `meta.json`; the index last.
async fn source_files(from: &Bucket, meta: &BlockMeta) -> Result<Vec<BlockFile>, Error> {
    let block = meta.ulid;
    let there = list_block(from, block).await?;
    let listed = meta.thanos.as_ref().map(|t| t.files.as_slice()).unwrap_or_default();
    for file in listed.iter().filter(|f| f.rel_path != META_FILE) {
        match there.objects.get(&file.rel_path) {
            None => return Err(corrupt(block, format!("{} is missing", file.rel_path))),
            Some(o) if file.size_bytes != 0 && o.size != file.size_bytes => {
                let what = format!("{} has {} bytes, meta.json says {}", file.rel_path, o.size, file.size_bytes);
                return Err(corrupt(block, what));
            }
            Some(_) => {}
        }
    }
    let is_segment = |path: &str| {
        path.strip_prefix("chunks/").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let data = there.objects.iter().filter(|(path, _)| is_segment(path) || *path == "index");
    let mut files: Vec<BlockFile> = data
        .map(|(path, object)| {
            let hash = listed.iter().find(|f| f.rel_path == *path).and_then(|f| f.hash.clone());
            BlockFile { rel_path: path.clone(), size_bytes: object.size, hash }
        })
        .collect();
    if !files.iter().any(|f| f.rel_path == "index") {
        return Err(corrupt(block, "index is missing"));
    }
    files.sort_by(|a, b| (a.rel_path == "index", &a.rel_path).cmp(&(b.rel_path == "index", &b.rel_path)));
    Ok(files)
}

/// Whether what is there under this name may be completed to be `meta`'s block.
fn same_block(block: BlockId, meta: &BlockMeta, stored: &[u8]) -> Result<(), Error> {
    let theirs = BlockMeta::parse(&format!("{block}/{META_FILE}"), stored)
        .map_err(|e| corrupt(block, format!("where it should go to: {e}")))?;
    if (theirs.min_time, theirs.max_time, &theirs.compaction) != (meta.min_time, meta.max_time, &meta.compaction) {
        return Err(corrupt(block, "another block of this name is where it should go to"));
    }
    Ok(())
}

async fn copy_file(
    from: &Bucket,
    to: &Bucket,
    block: BlockId,
    file: &BlockFile,
    options: &CopyOptions,
) -> Result<(), Error> {
    let path = format!("{block}/{}", file.rel_path);
    let digest = if file.rel_path == "index" {
        copy_index(from, to, &path, file.size_bytes, options).await?
    } else {
        copy_segment(from, to, &path, file.size_bytes, options.check).await?
    };
    let noted = file.hash.as_ref().filter(|h| h.hash_func == "SHA256");
    match noted {
        Some(hash) if options.check && hash.value != digest => {
            // what was sent must not be taken for the right file by the next try
            to.delete(&path).await?;
            Err(corrupt(block, format!("{} has SHA-256 {digest}, meta.json says {}", file.rel_path, hash.value)))
        }
        _ => Ok(()),
    }
}

async fn copy_segment(from: &Bucket, to: &Bucket, path: &str, size: u64, check: bool) -> Result<String, Error> {
    let mut writer = to.put_parts_writer(path)?;
    let mut records = SegmentCheck::new(path);
    let mut hash = Sha256::new();
    let mut at = 0;
    while at < size {
        let piece: Bytes = from.get_range(path, at..size.min(at + PIECE_BYTES)).await?;
        at += piece.len() as u64;
        hash.update(&piece);
        if check && let Err(e) = records.feed(&piece) {
            writer.abort().await;
            return Err(e.into());
        }
        writer.write(piece).await?;
    }
    if check && let Err(e) = records.finish() {
        writer.abort().await;
        return Err(e.into());
    }
    writer.finish().await?;
    Ok(hex(&hash.finalize()))
}

async fn copy_index(from: &Bucket, to: &Bucket, path: &str, size: u64, options: &CopyOptions) -> Result<String, Error> {
    let local = temporary(&options.tmp_dir)?;
    let digest = download(from, path, size, local.path()).await?;
    if options.check {
        let (shown, file) = (path.to_owned(), local.path().to_owned());
        blocking(move || read_index(&shown, &file)).await??;
    }
    to.put_file(path, local.path()).await?;
    Ok(digest)
}

/// Reads every series and list of an index, whose checksums are checked by that.
fn read_index(shown: &str, file: &Path) -> Result<(), block::Error> {
    let index = IndexReader::open(shown, block::map_file(file)?)?;
    let mut entry = block::series::RawEntry::default();
    for id in index.all_postings()? {
        index.raw_series(id, &mut entry)?;
    }
    let table = index.postings_table();
    for name in table.label_names() {
        let mut outcome = Ok(());
        table.each_value(name, "", |_, range| {
            if outcome.is_ok() {
                outcome = index.postings(range).map(drop);
            }
        })?;
        outcome?;
    }
    Ok(())
}

/// A file of its own in `dir`, removed when dropped.
pub(super) fn temporary(dir: &Path) -> Result<tempfile::NamedTempFile, Error> {
    let failed = |e: std::io::Error| Error::Failed(format!("temporary file in {}: {e}", dir.display()));
    std::fs::create_dir_all(dir).map_err(failed)?;
    tempfile::NamedTempFile::new_in(dir).map_err(failed)
}

/// Brings an object to the disk; gives its SHA-256 in lower-case hex.
pub(super) async fn download(from: &Bucket, path: &str, size: u64, local: &Path) -> Result<String, Error> {
    let failed = |e: std::io::Error| Error::Failed(format!("{}: {e}", local.display()));
    let mut file = tokio::fs::File::create(local).await.map_err(failed)?;
    let mut hash = Sha256::new();
    let mut at = 0;
    while at < size {
        let piece = from.get_range(path, at..size.min(at + PIECE_BYTES)).await?;
        at += piece.len() as u64;
        hash.update(&piece);
        file.write_all(&piece).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    Ok(hex(&hash.finalize()))
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Runs work that blocks on a thread for such.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::Failed(format!("a task did not end well: {e}")))
}
