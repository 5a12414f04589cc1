//! Blocks in the server's data directory: finding and linking them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use block::{BlockId, BlockMeta, META_FILE};

/// A `meta.json` larger than this is not read.
const META_BYTES_MAX: u64 = 64 << 20;

/// The blocks in a data directory.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Every directory called like a block.
    pub(super) names: BTreeSet<BlockId>,
    /// Their metas, oldest first.
    pub(super) metas: Vec<BlockMeta>,
    /// Those whose meta is of no use, with the reason.
    pub(super) bad: Vec<(String, String)>,
}

/// Why a block cannot be taken as it is.
enum LocalError {
    /// Its directory is no more.
    Gone,
    /// Its `meta.json` is corrupt or cannot be read.
    Bad(String),
}

/// Lists the blocks in `dir`, which `flag` named.
pub(super) fn blocks(dir: &Path, flag: &str) -> Result<Found, String> {
    let mut found = Found::default();
    let list = fs::read_dir(dir).map_err(|e| format!("data directory {}: {e} ({flag})", dir.display()))?;
    for entry in list {
        let entry = entry.map_err(|e| format!("data directory {}: {e}", dir.display()))?;
        let Some(id) = entry.file_name().to_str().and_then(|n| BlockId::parse(n).ok()) else { continue };
        let path = entry.path();
        match fs::metadata(&path) {
            Ok(file) if !file.is_dir() => continue,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            // Other errors show again when meta.json is read.
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
pub(super) struct Link {
    pub(super) from: PathBuf,
    pub(super) to: PathBuf,
}

impl Link {
    /// Links the index and the segments; links that an interrupted pass left are replaced. An error is no failure of the
    /// upload: the block can be read where it lies, as long as Prometheus does not delete it.
    pub(super) fn make(&self) -> Result<(), String> {
        let text = |e| format!("cannot link {} to {}: {e}", self.from.display(), self.to.display());
        let made = remove_dir(&self.to).and_then(|()| self.try_make().map_err(text));
        if made.is_err() {
            let _ = remove_dir(&self.to);
        }
        made
    }

    /// Whether Prometheus has deleted the block.
    pub(super) fn is_gone(&self) -> bool {
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

/// Runs file work off the async threads.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|e| format!("file work ended: {e}"))
}

/// Removes a directory with all it holds. One that is not there is no error.
pub(super) fn remove_dir(dir: &Path) -> Result<(), String> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(format!("cannot remove {}: {e}", dir.display())),
        _ => Ok(()),
    }
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
        let found = blocks(dir.path(), "--tsdb.path").unwrap();
        assert_eq!((found.names.len(), found.metas.len(), found.bad.len()), (1, 0, 1));
        let other = r#"{"ulid":"01M7XNEDBRHMVA77T71GPE1DE6","minTime":0,"maxTime":1,"version":1}"#;
        fs::write(dir.path().join(id).join(META_FILE), other).unwrap();
        assert!(blocks(dir.path(), "--tsdb.path").unwrap().bad[0].1.contains("is of block 01M7XNEDBRHMVA77T71GPE1DE6"));
        assert!(blocks(&dir.path().join("none"), "--tsdb.path").unwrap_err().contains("--tsdb.path"));
    }
}
