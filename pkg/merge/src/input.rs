//! The input blocks: what files they have, and their indexes fetched to the disk.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use block::toc::{INDEX_HEADER_LEN, TOC_LEN, index_version};
use block::{BlockId, BlockMeta, META_FILE, TOMBSTONES_FILE, Toc, Tombstones};
use futures::{StreamExt, TryStreamExt};
use objstore::Bucket;

use crate::error::{Error, Result};
use crate::job::Input;
use crate::local::LocalFile;

/// Requests at a time while indexes are fetched.
const FETCHES: usize = 4;

/// The chunk segments of one block.
#[derive(Debug)]
pub(crate) struct Segments {
    pub(crate) block: BlockId,
    /// Bytes of `000001`, `000002`, …
    pub(crate) sizes: Vec<u64>,
}

impl Segments {
    /// The file of a 0-based segment, inside the block.
    pub(crate) fn file(segment: u32) -> String {
        format!("chunks/{:06}", u64::from(segment) + 1)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.sizes.iter().sum()
    }
}

/// A block's files as the bucket lists them.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) index_bytes: u64,
    pub(crate) segments: Arc<Segments>,
    pub(crate) tombstones: bool,
}

/// One block ready to be merged.
#[derive(Debug)]
pub(crate) struct OpenInput {
    pub(crate) meta: Arc<BlockMeta>,
    pub(crate) replica: u64,
    pub(crate) version: u8,
    pub(crate) toc: Toc,
    /// Holds the index's bytes from its start to the end of the series, or beyond.
    pub(crate) index: LocalFile,
    pub(crate) series: Range<u64>,
    pub(crate) segments: Arc<Segments>,
    pub(crate) tombstones: Arc<Tombstones>,
}

/// Lists a block's files and compares them with its meta.
pub(crate) async fn list(bucket: &Bucket, meta: &BlockMeta) -> Result<Files> {
    let id = meta.ulid;
    let prefix = format!("{id}/");
    let mut objects = bucket.list_recursive(&id.to_string());
    let (mut index, mut segments, mut tombstones, mut any) = (None, Vec::new(), false, false);
    while let Some(object) = objects.try_next().await? {
        any = true;
        let path = object.path.strip_prefix(&prefix).unwrap_or(&object.path);
        match path.strip_prefix("chunks/") {
            Some(name) if !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()) => {
                segments.push((name.to_owned(), object.size));
            }
            _ if path == "index" => index = Some(object.size),
            _ => tombstones |= path == TOMBSTONES_FILE,
        }
    }
    let missing = |file: String| Error::input(id, file, "is missing");
    if !any {
        return Err(Error::Vanished { block: id });
    }
    segments.sort_unstable();
    for (n, (name, _)) in segments.iter().enumerate() {
        if name.parse() != Ok(n as u64 + 1) {
            return Err(missing_or_vanished(bucket, id, missing(Segments::file(n as u32))).await);
        }
    }
    let Some(index_bytes) = index else {
        return Err(missing_or_vanished(bucket, id, missing("index".to_owned())).await);
    };
    let sizes: Vec<u64> = segments.into_iter().map(|(_, size)| size).collect();
    for file in meta.thanos.iter().flat_map(|t| &t.files) {
        let found = match file.rel_path.strip_prefix("chunks/") {
            _ if file.rel_path == "index" => Some(index_bytes),
            Some(name) => name.parse::<usize>().ok().and_then(|n| sizes.get(n.wrapping_sub(1))).copied(),
            None => continue,
        };
        match found {
            Some(size) if size == file.size_bytes || file.size_bytes == 0 => {}
            Some(size) => {
                let what = format!("has {size} bytes, the meta says {}", file.size_bytes);
                return Err(Error::input(id, &*file.rel_path, what));
            }
            None => return Err(missing_or_vanished(bucket, id, missing(file.rel_path.clone())).await),
        }
    }
    Ok(Files { index_bytes, segments: Arc::new(Segments { block: id, sizes }), tombstones })
}

/// A file of a block is missing: [`Error::Vanished`] if the block was deleted meanwhile, else `missing`.
pub(crate) async fn missing_or_vanished(bucket: &Bucket, block: BlockId, missing: Error) -> Error {
    match bucket.exists(&format!("{block}/{META_FILE}")).await {
        Ok(false) => Error::Vanished { block },
        Ok(true) => missing,
        Err(e) => e.into(),
    }
}

/// Reads a range of one of a block's files.
pub(crate) async fn read(bucket: &Bucket, block: BlockId, file: &str, range: Range<u64>) -> Result<bytes::Bytes> {
    match bucket.get_range(&format!("{block}/{file}"), range).await {
        Ok(bytes) => Ok(bytes),
        Err(e) if e.is_not_found() => {
            Err(missing_or_vanished(bucket, block, Error::input(block, file, "is missing")).await)
        }
        Err(e) => Err(e.into()),
    }
}

/// Where an index's sections lie.
pub(crate) async fn read_toc(bucket: &Bucket, block: BlockId, index_bytes: u64) -> Result<(u8, Toc)> {
    if index_bytes < (INDEX_HEADER_LEN + TOC_LEN) as u64 {
        return Err(Error::input(block, "index", format!("{index_bytes} bytes are no index")));
    }
    let head = read(bucket, block, "index", 0..INDEX_HEADER_LEN as u64).await?;
    let tail = read(bucket, block, "index", index_bytes - TOC_LEN as u64..index_bytes).await?;
    let version = index_version("index", &head).map_err(|e| Error::of_input(block, e))?;
    let toc = Toc::parse("index", index_bytes, &tail).map_err(|e| Error::of_input(block, e))?;
    Ok((version, toc))
}

/// Where the series of an index end: at whichever section comes next. The table of contents has 0 for an absent section.
pub(crate) fn series_range(toc: &Toc) -> Range<u64> {
    let next = [toc.label_indices, toc.postings].into_iter().filter(|at| *at >= toc.series);
    toc.series..next.min().unwrap_or(toc.series)
}

/// How inputs are opened.
pub(crate) struct OpenOptions<'a> {
    /// Whether the block's tombstones are applied.
    pub(crate) tombstones: bool,
    /// Directory for the indexes that are fetched.
    pub(crate) dir: &'a Path,
    /// Bytes of one ranged read of an index.
    pub(crate) fetch_bytes: u64,
}

/// Fetches what the merge needs of an index: all but the postings. An index that is in the directory already is used.
/// Where the bucket is a folder, the index is read in place.
pub(crate) async fn open(
    bucket: &Bucket,
    input: &Input,
    files: &Files,
    options: &OpenOptions<'_>,
) -> Result<OpenInput> {
    let Input { meta, replica } = input.clone();
    let id = meta.ulid;
    let (version, toc) = read_toc(bucket, id, files.index_bytes).await?;
    let series = series_range(&toc);
    let path = match bucket.file(&format!("{id}/index")) {
        Some(path) => path,
        None => {
            let path = options.dir.join(format!("{id}.index"));
            if std::fs::metadata(&path).map(|m| m.len()).unwrap_or(0) != series.end {
                fetch_index(bucket, id, series.end, &path, options.fetch_bytes).await?;
            }
            path
        }
    };
    let tombstones = match files.tombstones && options.tombstones {
        true => {
            let bytes = bucket.get(&format!("{id}/{TOMBSTONES_FILE}")).await?;
            Tombstones::parse(TOMBSTONES_FILE, &bytes).map_err(|e| Error::of_input(id, e))?
        }
        false => Tombstones::default(),
    };
    let index = match LocalFile::open(&path) {
        Err(Error::Local { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Err(missing_or_vanished(bucket, id, Error::input(id, "index", "is missing")).await);
        }
        opened => opened?,
    };
    let (segments, tombstones) = (files.segments.clone(), Arc::new(tombstones));
    Ok(OpenInput { meta, replica, version, toc, index, series, segments, tombstones })
}

async fn fetch_index(bucket: &Bucket, id: BlockId, end: u64, path: &Path, fetch_bytes: u64) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let part = path.with_extension("part");
    let file = std::fs::File::create(&part).map_err(Error::local("create", &part))?;
    let step = fetch_bytes.max(64 << 10);
    let starts = (0..end.div_ceil(step)).map(|n| n * step);
    let fetches = futures::stream::iter(starts).map(|start| async move {
        let range = start..(start + step).min(end);
        read(bucket, id, "index", range).await.map(|bytes| (start, bytes))
    });
    let mut fetches = fetches.buffer_unordered(FETCHES);
    while let Some((start, bytes)) = fetches.try_next().await? {
        file.write_all_at(&bytes, start).map_err(Error::local("write", &part))?;
    }
    std::fs::rename(&part, path).map_err(Error::local("rename", &part))
}
