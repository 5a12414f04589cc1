//! Index-headers: from disk if there is a whole one, else from the bucket and then kept on disk.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use block::survey::Survey;
use block::toc::TOC_LEN;
use block::{BlockId, IndexHeader, IndexParts, map_file};
use bytes::{Bytes, BytesMut};
use encoding::crc32c;
use futures::future::try_join_all;
use objstore::{Bucket, Object};
use serde::{Deserialize, Serialize};

use crate::error::{BlockError, BlockResult};
use crate::read::{get_clamped, replaced};

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
    /// How much of the begin of the series of a larger index is looked at when its header is made.
    pub survey_bytes: u64,
}

impl Default for HeaderOptions {
    fn default() -> Self {
        Self {
            whole_bytes_max: 1 << 20,
            tail_bytes: 256 << 10,
            part_bytes: 16 << 20,
            header_bytes_max: 64 << 30,
            survey_bytes: 64 << 10,
        }
    }
}

/// The index that a header is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) id: BlockId,
    pub(crate) path: &'a str,
    /// As the listing shows it; a header is kept on disk only of one that is listed.
    pub(crate) index: Option<&'a Object>,
}

/// Which index a header on disk was made from, and what was seen of it; lies beside the header. A header of another index
/// has sound checksums and leads to wrong places: only this tells it apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    block: BlockId,
    index_bytes: u64,
    last_modified_ms: i64,
    etag: Option<String>,
    header_crc32c: u32,
    survey: Survey,
}

impl Origin {
    fn is_of(&self, id: BlockId, index: &Object) -> bool {
        (self.block, self.index_bytes, self.last_modified_ms, &self.etag)
            == (id, index.size, index.last_modified_ms, &index.etag)
    }
}

fn origin_file(header: &Path) -> PathBuf {
    header.with_extension("json")
}

fn read_origin(header: &Path, id: BlockId, index: &Object) -> Option<Origin> {
    let origin: Origin = serde_json::from_slice(&std::fs::read(origin_file(header)).ok()?).ok()?;
    origin.is_of(id, index).then_some(origin)
}

/// What was seen of `index` when the header in `file` was made from it; `None` if the header is of another index, or absent.
pub(crate) fn kept_survey(file: &Path, id: BlockId, index: &Object) -> Option<Survey> {
    read_origin(file, id, index).map(|origin| origin.survey)
}

/// The header in `file`, if it was made from this index.
fn open_kept(file: &Path, id: BlockId, index: &Object) -> block::Result<Option<(IndexHeader, Survey)>> {
    if !file.exists() {
        return Ok(None);
    }
    let Some(origin) = read_origin(file, id, index) else {
        tracing::info!(block = %id, "index-header on disk is not of this index, building it again");
        return Ok(None);
    };
    let bytes = map_file(file)?;
    let name = file.display().to_string();
    if crc32c(&bytes) != origin.header_crc32c {
        return Err(block::Error::corrupt(name, 0, "not the bytes that were written"));
    }
    let header = IndexHeader::open(&name, bytes)?;
    Ok((header.source_bytes() == index.size).then_some((header, origin.survey)))
}

/// Opens the header in `file`; if there is none, or it is corrupt or of another index, makes it from the index and keeps
/// it in `file`. Gives what was seen of the index' series too.
pub(crate) async fn open_or_make(
    bucket: &Bucket,
    source: Source<'_>,
    file: Option<PathBuf>,
    options: &HeaderOptions,
) -> BlockResult<(IndexHeader, Survey)> {
    let (id, path) = (source.id, source.path);
    let file = file.zip(source.index.cloned());
    if let Some((file, index)) = file.clone() {
        match blocking(move || open_kept(&file, id, &index)).await {
            Ok(Some(kept)) => return Ok(kept),
            Ok(None) => {}
            Err(e) => tracing::warn!(index = path, err = ?e, "index-header on disk is corrupt, building it again"),
        }
    }
    let size = match source.index {
        Some(index) => index.size,
        None => bucket.head(path).await?.size,
    };
    let (bytes, survey) = match make(bucket, path, size, options).await {
        // Perhaps corrupt on the way: once more.
        Err(BlockError::Corrupt(why)) => {
            tracing::warn!(index = path, why, "index-header cannot be made, reading the index again");
            make(bucket, path, size, options).await?
        }
        made => made?,
    };
    let name = path.to_owned();
    let opened = blocking(move || {
        let Some((file, index)) = file else { return IndexHeader::open(&name, bytes.into()) };
        let origin = Origin {
            block: id,
            index_bytes: size,
            last_modified_ms: index.last_modified_ms,
            etag: index.etag,
            header_crc32c: crc32c(&bytes),
            survey,
        };
        match keep(&file, &bytes, &origin) {
            // Mapped from the file, so that the system may take the memory back.
            Ok(()) => IndexHeader::open_file(&file),
            // A full disk costs speed, not answers.
            Err(e) => {
                tracing::warn!(file = %file.display(), err = %e, "cannot keep index-header on disk, holding it in memory");
                IndexHeader::open(&name, bytes.into())
            }
        }
    });
    Ok((opened.await?, survey))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> block::Result<T> + Send + 'static) -> BlockResult<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(e) => Err(BlockError::Store(format!("index-header task ended: {e}"))),
    }
}

/// The header's bytes, checked, and what was seen of the series.
async fn make(bucket: &Bucket, path: &str, size: u64, options: &HeaderOptions) -> BlockResult<(Vec<u8>, Survey)> {
    let Parts { index, symbols, tail, series } = fetch(bucket, path, size, options).await?;
    let work = move || {
        let survey = Survey::of(index.version, index.toc.series, index.toc.series_end(), &series);
        Ok((index.build("index", &symbols, &tail)?, survey))
    };
    blocking(work).await
}

/// What is read of an index to make its header.
struct Parts {
    index: IndexParts,
    symbols: Bytes,
    tail: Bytes,
    /// All series, or those at the begin.
    series: Bytes,
}

async fn fetch(bucket: &Bucket, path: &str, size: u64, options: &HeaderOptions) -> BlockResult<Parts> {
    let [head_range, toc_range] = IndexParts::probe("index", size)?;
    if size <= options.whole_bytes_max {
        let whole = exactly(bucket, path, options, 0..size, size).await?;
        let cut = |r: &Range<u64>| whole.slice(r.start as usize..r.end as usize);
        let parts = IndexParts::parse("index", size, &cut(&head_range), &cut(&toc_range))?;
        let (symbols, tail) = (cut(&parts.symbols), cut(&parts.tail));
        let series = cut(&(parts.toc.series..parts.toc.series_end()));
        return Ok(Parts { index: parts, symbols, tail, series });
    }
    let tail_at = size - options.tail_bytes.max(TOC_LEN as u64).min(size);
    let (head, end) = futures::future::try_join(
        exactly(bucket, path, options, head_range, size),
        exactly(bucket, path, options, tail_at..size, size),
    )
    .await?;
    let toc = end.slice((toc_range.start - tail_at) as usize..);
    let parts = IndexParts::parse("index", size, &head, &toc)?;
    let wanted = parts.symbols.end - parts.symbols.start + (parts.tail.end - parts.tail.start);
    if wanted > options.header_bytes_max {
        return Err(BlockError::Corrupt(format!(
            "index: its header would have {wanted} bytes, at most {}",
            options.header_bytes_max
        )));
    }
    let have = parts.tail.start.max(tail_at);
    let series_at = parts.toc.series;
    let series_end = parts.toc.series_end().min(series_at.saturating_add(options.survey_bytes));
    // The series lie behind the symbols: one request for both.
    let (mut symbols, first) = futures::future::try_join(
        exactly(bucket, path, options, parts.symbols.start..series_end, size),
        exactly(bucket, path, options, parts.tail.start..have, size),
    )
    .await?;
    let series = symbols.split_off((series_at - parts.symbols.start) as usize);
    let end = end.slice((have - tail_at) as usize..);
    let tail = match first.is_empty() {
        true => end,
        false => join(vec![first, end]),
    };
    Ok(Parts { index: parts, symbols, tail, series })
}

/// `range` of an index of `size` bytes, in parts side by side.
async fn exactly(
    bucket: &Bucket,
    path: &str,
    options: &HeaderOptions,
    range: Range<u64>,
    size: u64,
) -> BlockResult<Bytes> {
    let part = options.part_bytes.max(1);
    let starts = (range.start..range.end).step_by(usize::try_from(part).unwrap_or(usize::MAX));
    let parts = starts.map(async |start| {
        let (bytes, now) = get_clamped(bucket, path, start..range.end.min(start.saturating_add(part))).await?;
        if now > size { Err(replaced("index", start, now, size)) } else { Ok(bytes) }
    });
    let mut bodies: Vec<Bytes> = try_join_all(parts).await?;
    let bytes = if bodies.len() == 1 { bodies.swap_remove(0) } else { join(bodies) };
    let want = range.end - range.start;
    if bytes.len() as u64 != want {
        let text = format!(
            "index: offset {}: {} bytes read, {want} wanted: it is shorter than listed",
            range.start,
            bytes.len()
        );
        return Err(BlockError::Corrupt(text));
    }
    Ok(bytes)
}

fn join(parts: Vec<Bytes>) -> Bytes {
    let mut all = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    parts.iter().for_each(|p| all.extend_from_slice(p));
    all.freeze()
}

/// Writes under another name, to disk, then renames: a reader sees all of it or nothing.
/// The origin of an older header goes first, that of this one comes last.
fn keep(file: &Path, bytes: &[u8], origin: &Origin) -> std::io::Result<()> {
    let dir = file.parent().unwrap_or(Path::new("."));
    // something else may lie in the way
    if file.is_dir() {
        std::fs::remove_dir_all(file)?;
    }
    std::fs::create_dir_all(dir)?;
    match std::fs::remove_file(origin_file(file)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    replace(file, bytes)?;
    replace(&origin_file(file), &serde_json::to_vec(origin)?)?;
    File::open(dir)?.sync_all()
}

fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let tmp = file.with_extension("tmp");
    let mut out = File::create(&tmp)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    drop(out);
    std::fs::rename(&tmp, file)
}
