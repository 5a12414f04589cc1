//! Index-headers: from disk if there is a whole one, else from the bucket and then kept on disk.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use block::toc::TOC_LEN;
use block::{IndexHeader, IndexParts};
use bytes::{Bytes, BytesMut};
use futures::future::try_join_all;
use objstore::Bucket;

use crate::error::{BlockError, BlockResult};
use crate::read::get_clamped;

/// How the parts of an index that its header holds are fetched. The defaults suit stores over a network.
#[derive(Debug, Clone, Copy)]
pub struct HeaderOptions {
    /// An index up to this size is fetched whole, in one request.
    pub whole_bytes_max: u64,
    /// How much of the end of a larger index is fetched at first: its table of contents, and often all that is needed.
    pub tail_bytes: u64,
    /// Larger ranges are fetched in parts, side by side.
    pub part_bytes: u64,
    /// A larger header is not made.
    pub header_bytes_max: u64,
}

impl Default for HeaderOptions {
    fn default() -> Self {
        Self { whole_bytes_max: 1 << 20, tail_bytes: 256 << 10, part_bytes: 16 << 20, header_bytes_max: 64 << 30 }
    }
}

/// Opens the header in `file`; if there is none or it is damaged, makes it from the index at `path`, of `size` bytes if
/// that is known, and keeps it in `file`.
///
/// # Errors
/// Damage of the index, and failures of store and disk.
pub(crate) async fn open_or_make(
    bucket: &Bucket,
    path: &str,
    size: Option<u64>,
    file: Option<PathBuf>,
    options: &HeaderOptions,
) -> BlockResult<IndexHeader> {
    if let Some(file) = file.clone() {
        match blocking(move || if file.exists() { IndexHeader::open_file(&file).map(Some) } else { Ok(None) }).await {
            Ok(Some(header)) => return Ok(header),
            Ok(None) => {}
            Err(e) => tracing::warn!(index = path, err = ?e, "index-header on disk is damaged, making it anew"),
        }
    }
    let size = match size {
        Some(size) => size,
        None => bucket.head(path).await?.size,
    };
    let bytes = match make(bucket, path, size, options).await {
        // Perhaps damaged on the way: once more.
        Err(BlockError::Damaged(why)) => {
            tracing::warn!(index = path, why, "index-header cannot be made, reading the index again");
            make(bucket, path, size, options).await?
        }
        made => made?,
    };
    let name = path.to_owned();
    blocking(move || {
        let Some(file) = file else { return IndexHeader::open(&name, bytes.into()) };
        match keep(&file, &bytes) {
            // Mapped from the file, so that the system may take the memory back.
            Ok(()) => IndexHeader::open_file(&file),
            // A full disk costs speed, not answers.
            Err(e) => {
                tracing::warn!(file = %file.display(), err = %e, "cannot keep index-header on disk, holding it in memory");
                IndexHeader::open(&name, bytes.into())
            }
        }
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> block::Result<T> + Send + 'static) -> BlockResult<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(e) => Err(BlockError::Store(format!("index-header task ended: {e}"))),
    }
}

/// The header's bytes, checked.
async fn make(bucket: &Bucket, path: &str, size: u64, options: &HeaderOptions) -> BlockResult<Vec<u8>> {
    let (parts, symbols, tail) = fetch(bucket, path, size, options).await?;
    blocking(move || parts.build("index", &symbols, &tail)).await
}

async fn fetch(
    bucket: &Bucket,
    path: &str,
    size: u64,
    options: &HeaderOptions,
) -> BlockResult<(IndexParts, Bytes, Bytes)> {
    let [head_range, toc_range] = IndexParts::probe("index", size)?;
    if size <= options.whole_bytes_max {
        let whole = exactly(bucket, path, options, 0..size).await?;
        let cut = |r: &Range<u64>| whole.slice(r.start as usize..r.end as usize);
        let parts = IndexParts::parse("index", size, &cut(&head_range), &cut(&toc_range))?;
        let (symbols, tail) = (cut(&parts.symbols), cut(&parts.tail));
        return Ok((parts, symbols, tail));
    }
    let tail_at = size - options.tail_bytes.max(TOC_LEN as u64).min(size);
    let (head, end) = futures::future::try_join(
        exactly(bucket, path, options, head_range),
        exactly(bucket, path, options, tail_at..size),
    )
    .await?;
    let toc = end.slice((toc_range.start - tail_at) as usize..);
    let parts = IndexParts::parse("index", size, &head, &toc)?;
    let wanted = parts.symbols.end - parts.symbols.start + (parts.tail.end - parts.tail.start);
    if wanted > options.header_bytes_max {
        return Err(BlockError::Damaged(format!(
            "index: its header would have {wanted} bytes, at most {}",
            options.header_bytes_max
        )));
    }
    let have = parts.tail.start.max(tail_at);
    let (symbols, first) = futures::future::try_join(
        exactly(bucket, path, options, parts.symbols.clone()),
        exactly(bucket, path, options, parts.tail.start..have),
    )
    .await?;
    let end = end.slice((have - tail_at) as usize..);
    let tail = match first.is_empty() {
        true => end,
        false => join(vec![first, end]),
    };
    Ok((parts, symbols, tail))
}

/// `range`, in parts side by side.
async fn exactly(bucket: &Bucket, path: &str, options: &HeaderOptions, range: Range<u64>) -> BlockResult<Bytes> {
    let part = options.part_bytes.max(1);
    let starts = (range.start..range.end).step_by(usize::try_from(part).unwrap_or(usize::MAX));
    let parts = starts.map(|start| get_clamped(bucket, path, start..range.end.min(start.saturating_add(part))));
    let mut bodies: Vec<Bytes> = try_join_all(parts).await?;
    let bytes = if bodies.len() == 1 { bodies.swap_remove(0) } else { join(bodies) };
    let want = range.end - range.start;
    if bytes.len() as u64 != want {
        let text = format!(
            "index: offset {}: {} bytes read, {want} wanted: it is shorter than listed",
            range.start,
            bytes.len()
        );
        return Err(BlockError::Damaged(text));
    }
    Ok(bytes)
}

fn join(parts: Vec<Bytes>) -> Bytes {
    let mut all = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    parts.iter().for_each(|p| all.extend_from_slice(p));
    all.freeze()
}

/// Writes under another name, to disk, then renames: a reader sees all of it or nothing.
fn keep(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let dir = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    let tmp = file.with_extension("tmp");
    let mut out = File::create(&tmp)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    drop(out);
    std::fs::rename(&tmp, file)?;
    File::open(dir)?.sync_all()
}
