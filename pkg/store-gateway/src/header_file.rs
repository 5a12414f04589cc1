//! Index-headers on disk: what each was made from, and how it gets there.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use block::survey::Survey;
use block::{BlockId, IndexHeader, map_file};
use encoding::{crc32c, crc32c_append};
use objstore::Object;
use serde::{Deserialize, Serialize};

/// Which index a header on disk was made from, and what was seen of it; lies beside the header. A header of another index
/// has sound checksums and leads to wrong places: only this tells it apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    block: BlockId,
    index_bytes: u64,
    last_modified_ms: i64,
    etag: Option<String>,
    header_crc32c: u32,
    survey: Survey,
}

impl Origin {
    /// Of `index`, in which `survey` was seen; its checksum is that of what is written.
    pub(crate) fn new(id: BlockId, index: &Object, survey: Survey) -> Self {
        Self {
            block: id,
            index_bytes: index.size,
            last_modified_ms: index.last_modified_ms,
            etag: index.etag.clone(),
            header_crc32c: 0,
            survey,
        }
    }

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
pub(crate) fn open_kept(file: &Path, id: BlockId, index: &Object) -> block::Result<Option<(IndexHeader, Survey)>> {
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

/// A header being written: under another name, to disk, then renamed, so that a reader sees all of it or nothing. The
/// origin of an older header goes first, that of this one comes last.
pub(crate) struct HeaderWriter {
    to: PathBuf,
    tmp: PathBuf,
    out: File,
    crc: u32,
}

impl HeaderWriter {
    /// Begins the header that will be in the file `to`.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn create(to: PathBuf) -> std::io::Result<Self> {
        // something else may lie in the way
        if to.is_dir() {
            std::fs::remove_dir_all(&to)?;
        }
        std::fs::create_dir_all(to.parent().unwrap_or(Path::new(".")))?;
        match std::fs::remove_file(origin_file(&to)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let tmp = to.with_extension("tmp");
        Ok(Self { out: File::create(&tmp)?, to, tmp, crc: 0 })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.crc = crc32c_append(self.crc, bytes);
        self.out.write_all(bytes)
    }

    /// Opens what was written, which is checked by that; `index` is named in errors.
    ///
    /// # Errors
    /// It is corrupt, or cannot be read.
    pub(crate) fn open(&self, index: &str) -> block::Result<IndexHeader> {
        IndexHeader::open(index, map_file(&self.tmp)?)
    }

    /// Puts the header in its place.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn finish(self, origin: Origin) -> std::io::Result<()> {
        self.out.sync_all()?;
        std::fs::rename(&self.tmp, &self.to)?;
        let origin = Origin { header_crc32c: self.crc, ..origin };
        replace(&origin_file(&self.to), &serde_json::to_vec(&origin)?)?;
        File::open(self.to.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
}

/// Writes all of a header.
///
/// # Errors
/// The disk refuses.
pub(crate) fn keep(file: &Path, bytes: &[u8], origin: Origin) -> std::io::Result<()> {
    let mut writer = HeaderWriter::create(file.to_owned())?;
    writer.put(bytes)?;
    writer.finish(origin)
}

fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let tmp = file.with_extension("tmp");
    let mut out = File::create(&tmp)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    drop(out);
    std::fs::rename(&tmp, file)
}
