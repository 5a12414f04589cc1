//! What the database does to files besides reading and writing blocks, as a seam: tests make it fail.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Bytes of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Its size.
    pub total_bytes: u64,
    /// What a process without privileges may still write.
    pub free_bytes: u64,
}

/// Changes of a directory tree. Each one is on the disk when it returns.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Creates a directory and those above it that are missing.
    ///
    /// # Errors
    /// From the operating system, as with all methods here.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Renames a file or directory inside one parent directory.
    ///
    /// # Errors
    /// From the operating system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a directory with all it holds. One that is not there is no error.
    ///
    /// # Errors
    /// From the operating system.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;

    /// Replaces a file: readers see the old or the new one, whole.
    ///
    /// # Errors
    /// From the operating system; the old file is still there then.
    fn write_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Gives a file a second name.
    ///
    /// # Errors
    /// From the operating system.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// The space of the file system that holds `dir`.
    ///
    /// # Errors
    /// From the operating system.
    fn space(&self, dir: &Path) -> io::Result<Space>;
}

/// The disk of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        sync_parent(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        sync_parent(to)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        match fs::remove_dir_all(dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn write_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".tmp");
        let tmp = path.with_file_name(name);
        let written = File::create(&tmp).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        if let Err(e) = written.and_then(|()| fs::rename(&tmp, path)) {
            // A half-written file takes room on a disk that may be full.
            let _ = fs::remove_file(&tmp);
            return Err(e);
        }
        sync_parent(path)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        let found = rustix::fs::statvfs(dir)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Space { total_bytes: bytes(found.f_blocks), free_bytes: bytes(found.f_bavail) })
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => File::open(dir)?.sync_all(),
        _ => Ok(()),
    }
}

/// Bytes of all files below `dir`; what vanishes meanwhile counts nothing.
pub(crate) fn dir_bytes(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => dir_bytes(&entry.path()),
            Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |m| m.len()),
            _ => 0,
        })
        .sum()
}

/// What an operator can do about an error of the file system.
pub(crate) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            " (the disk is full: free space, or lower the retention)"
        }
        io::ErrorKind::ReadOnlyFilesystem => " (the file system is mounted read-only)",
        io::ErrorKind::PermissionDenied => " (the directory must belong to the user that the server runs as)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("meta.json");
        for text in ["one", "two, longer"] {
            RealDisk.write_file(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert!(RealDisk.write_file(&dir.path().join("none/meta.json"), b"x").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
        assert_eq!(dir_bytes(dir.path()), 11);
    }

    #[test]
    fn there_is_space() {
        let space = RealDisk.space(&std::env::temp_dir()).unwrap();
        assert!(space.total_bytes >= space.free_bytes && space.total_bytes > 0, "{space:?}");
        assert!(RealDisk.space(Path::new("/no/such/directory")).is_err());
    }
}
