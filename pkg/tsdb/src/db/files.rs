//! Names in a data directory, and the removal of what a killed process left.

use std::fs;
use std::path::{Path, PathBuf};

use block::{BlockId, BlockMeta, META_FILE};
use service::Failpoints;

use super::disk::Disk;
use super::error::{Error, Result};

/// Suffix of directories that are being written.
pub(crate) const FOR_CREATION: &str = ".tmp-for-creation";
/// Suffix of directories that are being deleted.
pub(crate) const FOR_DELETION: &str = ".tmp-for-deletion";
/// Suffix that older servers used for both.
const LEGACY: &str = ".tmp";
/// Copies of the database.
pub(crate) const SNAPSHOTS: &str = "snapshots";

/// The directory in which block `id` is written.
pub(crate) fn creation_dir(parent: &Path, id: BlockId) -> PathBuf {
    parent.join(format!("{id}{FOR_CREATION}"))
}

/// Removes what was being written or deleted when the process before this one ended. What cannot be removed is logged: it
/// takes room and does no other harm.
pub(crate) fn remove_leftovers(disk: &dyn Disk, dir: &Path) {
    for dir in [dir, &dir.join(SNAPSHOTS)] {
        let Ok(entries) = fs::read_dir(dir) else { continue };
        for path in entries.flatten().map(|e| e.path()).filter(|path| is_leftover(path) && path.is_dir()) {
            match disk.remove_dir(&path) {
                Ok(()) => tracing::info!(path = %path.display(), "removed what an interrupted write or deletion left"),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "cannot remove a leftover, remove it by hand")
                }
            }
        }
    }
}

/// Only what is called like a block or a snapshot: nobody else's files are removed.
fn is_leftover(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|n| n.to_str()) else { return false };
    let stem = [FOR_CREATION, FOR_DELETION, LEGACY].iter().find_map(|suffix| name.strip_suffix(suffix));
    let is_snapshot = |stem: &str| path.parent().is_some_and(|p| p.ends_with(SNAPSHOTS)) && !stem.is_empty();
    stem.is_some_and(|stem| BlockId::parse(stem).is_ok() || is_snapshot(stem))
}

/// Deletes a block: it is gone for all readers that begin later, whatever happens meanwhile.
pub(crate) fn delete_block(disk: &dyn Disk, failpoints: &Failpoints, dir: &Path, id: BlockId) -> Result<()> {
    let path = dir.join(id.to_string());
    let tmp = dir.join(format!("{id}{FOR_DELETION}"));
    disk.remove_dir(&tmp).map_err(Error::io("remove", &tmp))?;
    match disk.rename(&path, &tmp) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::io("rename", &path))?,
    }
    failpoints.hit("tsdb.delete.after_rename")?;
    disk.remove_dir(&tmp).map_err(Error::io("remove", &tmp))
}

/// Replaces a block's `meta.json`.
pub(crate) fn write_meta(disk: &dyn Disk, dir: &Path, meta: &BlockMeta) -> Result<()> {
    let path = dir.join(META_FILE);
    disk.write_file(&path, &meta.to_json()).map_err(Error::io("write", &path))
}

/// Gives the files of a block a second name below `to`: its index, chunks and, if it has them, tombstones; with
/// `with_meta` its `meta.json` too.
pub(crate) fn link_block(disk: &dyn Disk, from: &Path, to: &Path, with_meta: bool) -> Result<()> {
    let chunks = to.join("chunks");
    disk.create_dir(&chunks).map_err(Error::io("create", &chunks))?;
    let link = |name: &Path| {
        let (from, to) = (from.join(name), to.join(name));
        disk.link(&from, &to).map_err(Error::io("link", &from))
    };
    let list = from.join("chunks");
    for entry in fs::read_dir(&list).map_err(Error::io("list", &list))? {
        let entry = entry.map_err(Error::io("list", &list))?;
        link(&Path::new("chunks").join(entry.file_name()))?;
    }
    link(Path::new("index"))?;
    for name in [block::TOMBSTONES_FILE, META_FILE] {
        let is_wanted = name != META_FILE || with_meta;
        if is_wanted && from.join(name).exists() {
            link(Path::new(name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::disk::RealDisk;
    use super::*;

    #[test]
    fn only_leftovers_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let id = "01M7XNEDBRHMVA77T71GPE1DE5";
        let gone = [
            format!("{id}.tmp-for-creation/chunks"),
            format!("{id}.tmp-for-deletion"),
            format!("{id}.tmp"),
            "snapshots/20260101T000000Z-1.tmp-for-creation".to_owned(),
        ];
        let kept = ["wal", "chunks_head", id, "mine.tmp", "x.tmp-for-deletion", "snapshots/20260101T000000Z-2"];
        for name in gone.iter().map(String::as_str).chain(kept) {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("queries.active.tmp"), "").unwrap();
        remove_leftovers(&RealDisk, dir.path());
        for name in &gone {
            assert!(!dir.path().join(name).exists(), "{name}");
        }
        for name in kept.iter().chain(&["queries.active.tmp"]) {
            assert!(dir.path().join(name).exists(), "{name}");
        }
    }

    #[test]
    fn deletion_is_repeatable() {
        let dir = tempfile::tempdir().unwrap();
        let id = BlockId::parse("01M7XNEDBRHMVA77T71GPE1DE5").unwrap();
        fs::create_dir_all(dir.path().join(format!("{id}/chunks"))).unwrap();
        fs::create_dir_all(dir.path().join(format!("{id}.tmp-for-deletion/chunks"))).unwrap();
        for _ in 0..2 {
            delete_block(&RealDisk, &Failpoints::none(), dir.path(), id).unwrap();
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }
}
