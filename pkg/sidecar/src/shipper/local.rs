//! Blocks in the server's data directory: finding, linking, checking.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use block::{BlockId, BlockMeta, LocalBlock, META_FILE};
use labels::Labels;

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
        if !path.is_dir() {
            continue;
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
    let gone = |e: io::Error| match dir.exists() {
        true => bad(e.to_string()),
        false => LocalError::Gone,
    };
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

/// A block under a second name, which Prometheus does not delete.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) from: PathBuf,
    pub(crate) to: PathBuf,
}

impl Link {
    /// Links the index and the segments; where links cannot be made, copies. Links of a broken-off upload are made anew.
    pub(crate) fn make(&self) -> Result<(), LocalError> {
        remove_dir(&self.to).map_err(LocalError::Bad)?;
        self.try_make().map_err(|e| match self.from.exists() {
            true => LocalError::Bad(format!("cannot link {} to {}: {e}", self.from.display(), self.to.display())),
            false => LocalError::Gone,
        })
    }

    fn try_make(&self) -> io::Result<()> {
        let chunks = self.to.join("chunks");
        fs::create_dir_all(&chunks)?;
        for entry in fs::read_dir(self.from.join("chunks"))? {
            let entry = entry?;
            link_file(&entry.path(), &chunks.join(entry.file_name()))?;
        }
        link_file(&self.from.join("index"), &self.to.join("index"))
    }
}

fn link_file(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(e) if !matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) => {
            // Some network file systems have no links. Never into a file that is there: it could be a link to `from`,
            // which opening it anew would empty.
            let mut copy = File::create_new(to)?;
            io::copy(&mut File::open(from)?, &mut copy).map(drop)
        }
        outcome => outcome,
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
    let block = LocalBlock::open_with(dir, meta.clone(), Labels::empty()).map_err(text)?;
    let index = block.index();
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
            let (encoding, data) = block.chunks().chunk(chunk).map_err(text)?;
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
        assert_eq!(link.make(), Err(LocalError::Gone));
        fs::create_dir_all(link.from.join("chunks")).unwrap();
        fs::write(link.from.join("chunks/000001"), "chunks").unwrap();
        assert!(matches!(link.make(), Err(LocalError::Bad(_))), "no index");
        fs::write(link.from.join("index"), "index").unwrap();
        for _ in 0..2 {
            link.make().unwrap();
            assert_eq!(fs::read_to_string(link.to.join("index")).unwrap(), "index");
            assert_eq!(fs::read_to_string(link.from.join("chunks/000001")).unwrap(), "chunks");
        }
        // a file that is there is an error, not written over
        assert!(link_file(&link.from.join("index"), &link.to.join("index")).is_err());
        assert_eq!(fs::read_to_string(link.from.join("index")).unwrap(), "index");
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
