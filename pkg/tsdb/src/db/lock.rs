//! The lock on a data directory. The kernel takes it away when its holder ends, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::error::{Error, Result};

/// The file's name, which Prometheus locks too.
const LOCK_FILE: &str = "lock";

/// Held as long as the directory is open.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock of `dir`.
    pub(crate) fn take(dir: &Path) -> Result<Self> {
        let path = dir.join(LOCK_FILE);
        let mut open = OpenOptions::new();
        let file = open.read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(Error::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                let holder = holder(&file).unwrap_or_else(|| "another process".to_owned());
                Err(Error::Locked { dir: dir.display().to_string(), holder })
            }
            Err(TryLockError::Error(e)) => {
                let what = format!("{e}: the file system has no locks, --storage.tsdb.no-lockfile does without");
                Err(Error::io("lock", &path)(io::Error::new(e.kind(), what)))
            }
        }
    }
}

/// Who holds the lock of `file`, as Linux lists it.
fn holder(file: &File) -> Option<String> {
    let inode = file.metadata().ok()?.ino();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let pid = holder_in(&locks, inode)?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(match name.trim() {
        "" => format!("process {pid}"),
        name => format!("process {pid} ({name})"),
    })
}

/// Lines are like `4: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF`.
fn holder_in(locks: &str, inode: u64) -> Option<i64> {
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let at = fields.iter().position(|f| *f == "FLOCK")?;
        let is_it = fields.get(at + 4)?.rsplit(':').next()?.parse() == Ok(inode);
        let pid: i64 = fields.get(at + 3)?.parse().ok()?;
        (is_it && pid > 0 && !fields.contains(&"->")).then_some(pid)
    })
}

/// The kind of network file system that holds `dir`, if it is one: their locks and their `mmap` do not keep what a
/// database needs.
pub(crate) fn network_file_system(dir: &Path) -> Option<&'static str> {
    const KINDS: [(u64, &str); 9] = [
        (0x6969, "NFS"),
        (0x517B, "SMB"),
        (0xFF53_4D42, "CIFS"),
        (0xFE53_4D42, "SMB2"),
        (0x0102_1997, "9p"),
        (0x00C3_6400, "Ceph"),
        (0x0BD0_0BD0, "Lustre"),
        (0x5346_414F, "AFS"),
        (0x7375_7245, "Coda"),
    ];
    let kind = rustix::fs::statfs(dir).ok()?.f_type as u64 & 0xFFFF_FFFF;
    KINDS.iter().find(|(magic, _)| *magic == kind).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let held = DirLock::take(dir.path()).unwrap();
        let error = DirLock::take(dir.path()).unwrap_err().to_string();
        assert!(error.contains("is in use by") && error.contains("--storage.tsdb.path"), "{error}");
        drop(held);
        DirLock::take(dir.path()).unwrap();
        assert!(DirLock::take(&dir.path().join("none")).unwrap_err().to_string().starts_with("open "));
        assert_eq!(network_file_system(dir.path()), None);
    }

    #[test]
    fn holders_are_read_from_the_list_of_locks() {
        let locks = "1: POSIX  ADVISORY  WRITE 10 fe:00:7 0 EOF\n2: FLOCK  ADVISORY  WRITE 20 fe:00:8 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 30 fe:00:9 0 EOF\nshort FLOCK";
        for (inode, want) in [(7, None), (8, Some(20)), (9, None)] {
            assert_eq!(holder_in(locks, inode), want, "{inode}");
        }
    }
}
