//! Index-headers: from disk if there is a whole one, else from the bucket and then kept on disk.

use std::ops::Range;
use std::path::PathBuf;

use block::survey::Survey;
use block::toc::TOC_LEN;
use block::{BlockId, IndexHeader, IndexParts};
use bytes::{Bytes, BytesMut};
use futures::future::try_join_all;
use futures::stream::{self, StreamExt};
use objstore::{Bucket, Object};

use crate::error::{BlockError, BlockResult};
use crate::header_file::{HeaderWriter, Origin, keep, open_kept};
use crate::index_body;
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
            part_bytes: 8 << 20,
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

/// A header, and what came along.
pub(crate) struct Opened {
    pub(crate) header: IndexHeader,
    /// What was seen of the index' series.
    pub(crate) survey: Survey,
    /// Its series and postings, where all of the index was read.
    pub(crate) body: Option<Bytes>,
}

/// Opens the header in `file`; if there is none, or it is corrupt or of another index, makes it from the index and keeps
/// it in `file`.
pub(crate) async fn open_or_make(
    bucket: &Bucket,
    source: Source<'_>,
    file: Option<PathBuf>,
    options: &HeaderOptions,
) -> BlockResult<Opened> {
    let (id, path) = (source.id, source.path);
    let file = file.zip(source.index.cloned());
    if let Some((file, index)) = file.clone() {
        match blocking(move || open_kept(&file, id, &index)).await {
            Ok(Some((header, survey))) => return Ok(Opened { header, survey, body: None }),
            Ok(None) => {}
            Err(e) => tracing::warn!(index = path, err = ?e, "index-header on disk is corrupt, building it again"),
        }
    }
    let size = match source.index {
        Some(index) => index.size,
        None => bucket.head(path).await?.size,
    };
    let mut failed = None;
    if let Some((file, index)) = file.clone().filter(|_| size > options.whole_bytes_max) {
        match download(bucket, source, &index, file, options).await {
            Ok(Some((header, survey))) => return Ok(Opened { header, survey, body: None }),
            Ok(None) => {}
            Err(BlockError::Corrupt(why)) => failed = Some(why),
            Err(e) => return Err(e),
        }
    }
    let first = match failed {
        Some(why) => Err(BlockError::Corrupt(why)),
        None => make(bucket, path, size, options).await,
    };
    let Made { bytes, survey, body } = match first {
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
        match keep(&file, &bytes, Origin::new(id, &index, survey)) {
            // Mapped from the file, so that the system may take the memory back.
            Ok(()) => IndexHeader::open_file(&file),
            // A full disk costs speed, not answers.
            Err(e) => {
                tracing::warn!(file = %file.display(), err = %e, "cannot keep index-header on disk, holding it in memory");
                IndexHeader::open(&name, bytes.into())
            }
        }
    });
    Ok(Opened { header: opened.await?, survey, body })
}

/// Makes the header of a large index straight in `file`: memory holds a few parts of it and not all. `None` where the disk
/// refuses.
async fn download(
    bucket: &Bucket,
    source: Source<'_>,
    index: &Object,
    file: PathBuf,
    options: &HeaderOptions,
) -> BlockResult<Option<(IndexHeader, Survey)>> {
    let (path, size) = (source.path, index.size);
    let Ends { parts, end, end_at } = ends(bucket, path, size, options).await?;
    let (series_at, survey_end) = (parts.toc.series, survey_end(&parts, options));
    let have = parts.tail.start.max(end_at);
    // The series lie behind the symbols: requests for both.
    let ranges = split(parts.symbols.start..survey_end, options).chain(split(parts.tail.start..have, options));
    let fetch = async |range: Range<u64>| (range.start, part(bucket, path, range, size).await);
    let mut bodies = stream::iter(ranges.map(fetch)).buffered(PARTS_AHEAD);
    let (mut writer, mut series) =
        (WriterTask::begin(file, parts.header_begin().to_vec().into()).await, BytesMut::new());
    while let Some((at, body)) = bodies.next().await {
        let mut bytes = body?;
        if at < parts.tail.start {
            let symbols = usize::try_from(series_at.saturating_sub(at)).unwrap_or(usize::MAX).min(bytes.len());
            series.extend_from_slice(&bytes.split_off(symbols));
        }
        writer = writer.put(bytes).await;
    }
    writer = writer.put(end.slice((have - end_at) as usize..)).await;
    writer = writer.put(parts.header_end().to_vec().into()).await;
    let survey = Survey::of(parts.version, series_at, parts.toc.series_end(), &series);
    let (name, origin) = (path.to_owned(), Origin::new(source.id, index, survey));
    let opened = blocking(move || {
        let Ok(writer) = writer.0 else { return Ok(None) };
        let header = writer.open(&name)?;
        Ok(writer.finish(origin).is_ok().then_some(header))
    });
    Ok(opened.await?.map(|header| (header, survey)))
}

/// Parts that are fetched before they are written.
const PARTS_AHEAD: usize = 2;

/// A header being written by threads that may wait for the disk; an error stays to the end.
struct WriterTask(std::io::Result<HeaderWriter>);

impl WriterTask {
    async fn begin(file: PathBuf, bytes: Bytes) -> Self {
        Self::run(move || {
            let mut writer = HeaderWriter::create(file)?;
            writer.put(&bytes)?;
            Ok(writer)
        })
        .await
    }

    async fn put(self, bytes: Bytes) -> Self {
        Self::run(move || {
            let mut writer = self.0?;
            writer.put(&bytes)?;
            Ok(writer)
        })
        .await
    }

    async fn run(work: impl FnOnce() -> std::io::Result<HeaderWriter> + Send + 'static) -> Self {
        Self(tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(std::io::Error::other(e))))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> block::Result<T> + Send + 'static) -> BlockResult<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(e) => Err(BlockError::Store(format!("index-header task ended: {e}"))),
    }
}

/// A header that is not kept yet.
struct Made {
    /// Checked.
    bytes: Vec<u8>,
    survey: Survey,
    body: Option<Bytes>,
}

async fn make(bucket: &Bucket, path: &str, size: u64, options: &HeaderOptions) -> BlockResult<Made> {
    let Parts { index, symbols, tail, series, body } = fetch(bucket, path, size, options).await?;
    let work = move || {
        let survey = Survey::of(index.version, index.toc.series, index.toc.series_end(), &series);
        Ok(Made { bytes: index.build("index", &symbols, &tail)?, survey, body })
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
    /// Where all of the index was read.
    body: Option<Bytes>,
}

async fn fetch(bucket: &Bucket, path: &str, size: u64, options: &HeaderOptions) -> BlockResult<Parts> {
    let [head_range, toc_range] = IndexParts::probe("index", size)?;
    if size <= options.whole_bytes_max {
        let whole = exactly(bucket, path, options, 0..size, size).await?;
        let cut = |r: &Range<u64>| whole.slice(r.start as usize..r.end as usize);
        let parts = IndexParts::parse("index", size, &cut(&head_range), &cut(&toc_range))?;
        let (symbols, tail) = (cut(&parts.symbols), cut(&parts.tail));
        let series = cut(&(parts.toc.series..parts.toc.series_end()));
        let body = Some(cut(&index_body::range(parts.toc)));
        return Ok(Parts { index: parts, symbols, tail, series, body });
    }
    let Ends { parts, end, end_at } = ends(bucket, path, size, options).await?;
    let have = parts.tail.start.max(end_at);
    // The series lie behind the symbols: one request for both.
    let (mut symbols, first) = futures::future::try_join(
        exactly(bucket, path, options, parts.symbols.start..survey_end(&parts, options), size),
        exactly(bucket, path, options, parts.tail.start..have, size),
    )
    .await?;
    let series = symbols.split_off((parts.toc.series - parts.symbols.start) as usize);
    let end = end.slice((have - end_at) as usize..);
    let tail = match first.is_empty() {
        true => end,
        false => join(vec![first, end]),
    };
    Ok(Parts { index: parts, symbols, tail, series, body: None })
}

/// Where the parts of a large index lie, and its end.
struct Ends {
    parts: IndexParts,
    end: Bytes,
    /// Where `end` begins.
    end_at: u64,
}

async fn ends(bucket: &Bucket, path: &str, size: u64, options: &HeaderOptions) -> BlockResult<Ends> {
    let [head_range, toc_range] = IndexParts::probe("index", size)?;
    let end_at = size - options.tail_bytes.max(TOC_LEN as u64).min(size);
    let (head, end) = futures::future::try_join(
        exactly(bucket, path, options, head_range, size),
        exactly(bucket, path, options, end_at..size, size),
    )
    .await?;
    let toc = end.slice((toc_range.start - end_at) as usize..);
    let parts = IndexParts::parse("index", size, &head, &toc)?;
    let wanted = parts.symbols.end - parts.symbols.start + (parts.tail.end - parts.tail.start);
    if wanted > options.header_bytes_max {
        return Err(BlockError::Corrupt(format!(
            "index: its header would have {wanted} bytes, at most {}",
            options.header_bytes_max
        )));
    }
    Ok(Ends { parts, end, end_at })
}

/// Up to where series are looked at when a header is made.
fn survey_end(parts: &IndexParts, options: &HeaderOptions) -> u64 {
    parts.toc.series_end().min(parts.toc.series.saturating_add(options.survey_bytes))
}

/// `range` in parts.
fn split(range: Range<u64>, options: &HeaderOptions) -> impl Iterator<Item = Range<u64>> {
    let part = options.part_bytes.max(1);
    let starts = (range.start..range.end).step_by(usize::try_from(part).unwrap_or(usize::MAX));
    starts.map(move |start| start..range.end.min(start.saturating_add(part)))
}

/// `range` of an index of `size` bytes.
async fn part(bucket: &Bucket, path: &str, range: Range<u64>, size: u64) -> BlockResult<Bytes> {
    let (start, want) = (range.start, range.end - range.start);
    let (bytes, now) = get_clamped(bucket, path, range).await?;
    if now > size {
        return Err(replaced("index", start, now, size));
    }
    if bytes.len() as u64 != want {
        let text =
            format!("index: offset {start}: {} bytes read, {want} wanted: it is shorter than listed", bytes.len());
        return Err(BlockError::Corrupt(text));
    }
    Ok(bytes)
}

/// `range` of an index of `size` bytes, in parts side by side.
async fn exactly(
    bucket: &Bucket,
    path: &str,
    options: &HeaderOptions,
    range: Range<u64>,
    size: u64,
) -> BlockResult<Bytes> {
    let parts = split(range, options).map(|range| part(bucket, path, range, size));
    let mut bodies: Vec<Bytes> = try_join_all(parts).await?;
    Ok(if bodies.len() == 1 { bodies.swap_remove(0) } else { join(bodies) })
}

fn join(parts: Vec<Bytes>) -> Bytes {
    let mut all = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    parts.iter().for_each(|p| all.extend_from_slice(p));
    all.freeze()
}
