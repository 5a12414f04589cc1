//! Blocks in the server's data directory: finding, linking, checking.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use block::{BlockId, BlockMeta, ChunkReader, IndexReader, META_FILE};

/// A `meta.json` larger than this is not read.
const META_BYTES_MAX: u64 = 64 << 20;

/// How much of a block is checked before it is uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    /// The index' table of contents, symbols and postings table, the headers of the segments, and the last series'
    /// chunks: a file that is cut or from another block is found.
    #[default]
    Index,
    /// Every series and every chunk, with the number of samples: the whole block is read.
    Full,
}

/// The blocks in a data directory.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Every directory called like a block.
    pub(crate) names: BTreeSet<BlockId>,
    /// Their metas, oldest first.
    pub(crate) metas: Vec<BlockMeta>,
    /// Those whose meta is of no use, with the reason.
    pub(crate) bad: Vec<(String, String)>,
}

/// Why a block cannot be taken as it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LocalError {
    /// Its directory is no more.
    Gone,
    /// It is damaged, or its files cannot be read.
    Bad(String),
}

/// Lists the blocks in `dir`.
pub(crate) fn blocks(dir: &Path) -> Result<Found, String> {
    let mut found = Found::default();
    let list = fs::read_dir(dir).map_err(|e| format!("data directory {}: {e} (--tsdb.path)", dir.display()))?;
    for entry in list {
        let entry = entry.map_err(|e| format!("data directory {}: {e}", dir.display()))?;
        let Some(id) = entry.file_name().to_str().and_then(|n| BlockId::parse(n).ok()) else { continue };
        let path = entry.path();
        match fs::metadata(&path) {
            Ok(file) if !file.is_dir() => continue,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            // what is in the way is told below
            _ => {}
        }
        found.names.insert(id);
        match read_meta(&path, id) {
            Ok(meta) => found.metas.push(meta),
            Err(LocalError::Gone) => {}
            Err(LocalError::Bad(why)) => found.bad.push((id.to_string(), why)),
        }
    }
    found.metas.sort_by_key(|m| (m.min_time, m.ulid));
    found.bad.sort();
    Ok(found)
}

fn read_meta(dir: &Path, id: BlockId) -> Result<BlockMeta, LocalError> {
    let path = dir.join(META_FILE);
    let bad = |what: String| LocalError::Bad(format!("{}: {what}", path.display()));
    let gone = |e: io::Error| if is_gone(dir) { LocalError::Gone } else { bad(e.to_string()) };
    let size = fs::metadata(&path).map_err(gone)?.len();
    if size > META_BYTES_MAX {
        return Err(bad(format!("has {size} bytes, more than any meta.json")));
    }
    let json = fs::read(&path).map_err(gone)?;
    let meta = BlockMeta::parse(&path.display().to_string(), &json).map_err(|e| LocalError::Bad(e.to_string()))?;
    if meta.ulid != id {
        return Err(bad(format!("is of block {}", meta.ulid)));
    }
    if meta.min_time >= meta.max_time {
        return Err(bad(format!("its time range [{}, {}) is empty", meta.min_time, meta.max_time)));
    }
    Ok(meta)
}

/// Whether there is certainly no such directory.
fn is_gone(dir: &Path) -> bool {
    matches!(dir.try_exists(), Ok(false))
}

/// A block under a second name, which Prometheus does not delete.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) from: PathBuf,
    pub(crate) to: PathBuf,
}

impl Link {
    /// Links the index and the segments; those of a broken-off upload are made anew. Where that cannot be done, says why:
    /// the block is then to be read where it lies, which serves as long as Prometheus does not delete it.
    pub(crate) fn make(&self) -> Result<(), String> {
        let text = |e| format!("cannot link {} to {}: {e}", self.from.display(), self.to.display());
        let made = remove_dir(&self.to).and_then(|()| self.try_make().map_err(text));
        if made.is_err() {
            let _ = remove_dir(&self.to);
        }
        made
    }

    /// Whether Prometheus has deleted the block.
    pub(crate) fn is_gone(&self) -> bool {
        is_gone(&self.from)
    }

    fn try_make(&self) -> io::Result<()> {
        let chunks = self.to.join("chunks");
        fs::create_dir_all(&chunks)?;
        for entry in fs::read_dir(self.from.join("chunks"))? {
            let entry = entry?;
            fs::hard_link(entry.path(), chunks.join(entry.file_name()))?;
        }
        fs::hard_link(self.from.join("index"), self.to.join("index"))
    }
}

/// Removes a directory with all it holds; one that is not there is fine.
pub(crate) fn remove_dir(dir: &Path) -> Result<(), String> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(format!("cannot remove {}: {e}", dir.display())),
        _ => Ok(()),
    }
}

/// Checks the files of the block in `dir` against its meta and their own checksums.
pub(crate) fn verify(dir: &Path, meta: &BlockMeta, how: Verify) -> Result<(), LocalError> {
    check(dir, meta, how).map_err(LocalError::Bad)
}

fn check(dir: &Path, meta: &BlockMeta, how: Verify) -> Result<(), String> {
    let text = |e: block::Error| e.to_string();
    let index = IndexReader::open_file(&dir.join("index")).map_err(text)?;
    let segments = ChunkReader::open_dir(&dir.join("chunks")).map_err(text)?;
    let ids = index.all_postings().map_err(text)?;
    if meta.stats.num_series != 0 && meta.stats.num_series != ids.len() as u64 {
        return Err(format!("index has {} series, meta.json says {}", ids.len(), meta.stats.num_series));
    }
    let checked = match how {
        Verify::Full => &ids[..],
        // chunks are written in the order of series: the last ones lie at the end of the last segment
        Verify::Index => &ids[ids.len().saturating_sub(1)..],
    };
    let (mut chunks, mut samples) = (0u64, 0u64);
    for id in checked {
        for chunk in index.series(*id).map_err(text)?.chunks {
            let (encoding, data) = segments.chunk(chunk).map_err(text)?;
            samples += chunkenc::num_samples(encoding, &data).map_err(|e| e.to_string())? as u64;
            chunks += 1;
        }
    }
    let differs = |ours: u64, theirs: u64| how == Verify::Full && theirs != 0 && ours != theirs;
    if differs(chunks, meta.stats.num_chunks) || differs(samples, meta.stats.num_samples) {
        return Err(format!(
            "block has {chunks} chunks with {samples} samples, meta.json says {} with {}",
            meta.stats.num_chunks, meta.stats.num_samples
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_never_touch_the_source() {
        let dir = tempfile::tempdir().unwrap();
        let link = Link { from: dir.path().join("a"), to: dir.path().join("thanos/upload/a") };
        assert!(link.make().is_err() && link.is_gone());
        fs::create_dir_all(link.from.join("chunks")).unwrap();
        fs::write(link.from.join("chunks/000001"), "chunks").unwrap();
        assert!(link.make().is_err() && !link.is_gone(), "no index");
        assert!(!link.to.exists(), "a link that is not whole is taken away");
        fs::write(link.from.join("index"), "index").unwrap();
        for _ in 0..2 {
            link.make().unwrap();
            assert_eq!(fs::read_to_string(link.to.join("index")).unwrap(), "index");
            assert_eq!(fs::read_to_string(link.from.join("chunks/000001")).unwrap(), "chunks");
        }
        // prometheus deletes the block: what is linked stays
        fs::remove_dir_all(&link.from).unwrap();
        assert_eq!(fs::read_to_string(link.to.join("chunks/000001")).unwrap(), "chunks");
    }

    #[test]
    fn directories_that_are_no_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let id = "01M7XNEDBRHMVA77T71GPE1DE5";
        for name in ["wal", "chunks_head", "01M7XNEDBRHMVA77T71GPE1DE6.tmp-for-creation", id] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("01M7XNEDBRHMVA77T71GPE1DE7"), "a file").unwrap();
        let found = blocks(dir.path()).unwrap();
        assert_eq!((found.names.len(), found.metas.len(), found.bad.len()), (1, 0, 1));
        let other = r#"{"ulid":"01M7XNEDBRHMVA77T71GPE1DE6","minTime":0,"maxTime":1,"version":1}"#;
        fs::write(dir.path().join(id).join(META_FILE), other).unwrap();
        assert!(blocks(dir.path()).unwrap().bad[0].1.contains("is of block 01M7XNEDBRHMVA77T71GPE1DE6"));
        assert!(blocks(&dir.path().join("none")).unwrap_err().contains("--tsdb.path"));
    }
}
