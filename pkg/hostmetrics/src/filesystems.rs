//! Mounted file systems and their room.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::files::{Error, Result, Roots, Text};
use crate::page::{Kind, Page};
use crate::statfs::{Room, Rooms};

/// File systems that have no room of their own, as node_exporter leaves them out.
const TYPES_LEFT_OUT: [&str; 25] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "erofs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "procfs",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
];
/// Mount points that are left out, with all below.
const POINTS_LEFT_OUT: [&str; 3] = ["/dev", "/proc", "/sys"];
/// Folders whose mount points are left out.
const BELOW_LEFT_OUT: [&str; 3] = ["/run/credentials/", "/var/lib/docker/", "/var/lib/containers/storage/"];

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Mount {
    device: String,
    point: String,
    kind: String,
    read_only: bool,
}

/// What is mounted, without pseudo file systems and those of containers.
pub(crate) fn filesystem(rooms: &Rooms, roots: &Roots, page: &mut Page) -> Result {
    // The first process sees the host's mounts, where this one may be in a container.
    let file = match roots.proc("1/mounts") {
        Err(Error::Missing(_) | Error::Unreadable { .. }) => roots.proc("mounts")?,
        other => other?,
    };
    let mounts = parse(&file)?;
    let under_root = |m: &Mount| roots.root.join(m.point.trim_start_matches('/'));
    let paths: Vec<PathBuf> = mounts.iter().map(under_root).collect();
    let rooms = rooms.of(&paths);
    let mut write = |name: &str, help: &str, value: &dyn Fn(&Mount, Option<Room>) -> Option<u64>| {
        let name = format!("node_filesystem_{name}");
        let mut family = page.family(Kind::Gauge, &name, help);
        for (mount, room) in mounts.iter().zip(&rooms) {
            if let Some(value) = value(mount, *room) {
                let labels = [("device", &*mount.device), ("fstype", &mount.kind), ("mountpoint", &mount.point)];
                family.sample(&labels, value);
            }
        }
    };
    let error = "1 where the file system did not tell its room, or not in time.";
    write("device_error", error, &|_, room| Some(u64::from(room.is_none())));
    write("readonly", "1 where it is mounted for reading only.", &|mount, _| Some(u64::from(mount.read_only)));
    write("size_bytes", "Bytes it has.", &|_, room| Some(room?.size_bytes));
    write("free_bytes", "Bytes that are free.", &|_, room| Some(room?.free_bytes));
    write("avail_bytes", "Bytes that are free for others than root.", &|_, room| Some(room?.available_bytes));
    write("files", "Files (inodes) it has room for.", &|_, room| Some(room?.files));
    write("files_free", "Files (inodes) that could be added.", &|_, room| Some(room?.files_free));
    Ok(())
}

/// The mounts in the order of their lines, each once: a later one over the same point hides the one before.
fn parse(file: &Text) -> Result<Vec<Mount>> {
    let mut mounts: Vec<Mount> = Vec::new();
    let mut seen = BTreeSet::new();
    for line in file.text.lines().filter(|l| !l.trim().is_empty()) {
        let words: Vec<_> = line.split(' ').collect();
        let [device, point, kind, options, ..] = words.as_slice() else {
            return Err(file.odd(format!("line {line:?}")));
        };
        let (device, point) = (unescaped(device), unescaped(point));
        if is_left_out(&point, kind) || !seen.insert((device.clone(), point.clone(), (*kind).to_owned())) {
            continue;
        }
        let read_only = options.split(',').any(|o| o == "ro");
        mounts.push(Mount { device, point, kind: (*kind).to_owned(), read_only });
    }
    Ok(mounts)
}

fn is_left_out(point: &str, kind: &str) -> bool {
    let at_or_below = |top: &str| point.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    TYPES_LEFT_OUT.contains(&kind)
        || POINTS_LEFT_OUT.iter().any(|top| at_or_below(top))
        || BELOW_LEFT_OUT.iter().any(|dir| point.strip_prefix(dir).is_some_and(|rest| !rest.is_empty()))
}

/// A word of fstab(5), where blanks are written in octal.
fn unescaped(word: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(word.to_owned(), |word, (escape, plain)| word.replace(escape, plain))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::files::fixture::samples;

    #[test]
    fn what_is_left_out() {
        for (point, kind, left_out) in [
            ("/", "ext4", false),
            ("/boot", "vfat", false),
            ("/dev/shm", "tmpfs", true),
            ("/development", "ext4", false),
            ("/sys", "tmpfs", true),
            ("/run", "tmpfs", false),
            ("/run/credentials/a.service", "ramfs", true),
            ("/var/lib/docker", "ext4", false),
            ("/var/lib/docker/x", "ext4", true),
            ("/x", "overlay", true),
        ] {
            assert_eq!(is_left_out(point, kind), left_out, "{point} {kind}");
        }
    }

    #[test]
    fn rooms_and_errors() {
        let mounts = "/dev/a / ext4 rw,relatime 0 0\n/dev/b /my\\040disk xfs ro,x 0 0\nproc /proc proc rw 0 0\n\
                      /dev/a / ext4 rw,relatime 0 0\nnas:/x /nas nfs4 rw 0 0\n";
        let ask = |path: &Path| match path.file_name().and_then(|n| n.to_str()) {
            Some("nas") => Err(io::ErrorKind::PermissionDenied.into()),
            Some("my disk") => Ok(Room { size_bytes: 10, free_bytes: 5, available_bytes: 4, files: 3, files_free: 2 }),
            _ => Ok(Room::default()),
        };
        let rooms = Rooms::new(Arc::new(ask), Duration::from_secs(60));
        let got = samples(&[("proc/mounts", mounts)], |r, p| filesystem(&rooms, r, p));
        let disk = "{device=\"/dev/b\",fstype=\"xfs\",mountpoint=\"/my disk\"}";
        for line in ["device_error", "readonly", "size_bytes", "free_bytes", "avail_bytes", "files", "files_free"]
            .iter()
            .zip([0, 1, 10, 5, 4, 3, 2])
            .map(|(name, value)| format!("node_filesystem_{name}{disk} {value}\n"))
        {
            assert!(got.contains(&line), "{line} is not in\n{got}");
        }
        assert!(got.contains("device_error{device=\"nas:/x\",fstype=\"nfs4\",mountpoint=\"/nas\"} 1\n"), "{got}");
        assert_eq!((got.matches("nas:/x").count(), got.matches("/dev/a").count()), (2, 7), "{got}");
    }

    #[test]
    fn the_first_process_comes_first() {
        let rooms = Rooms::new(Arc::new(|_| Ok(Room::default())), Duration::from_secs(60));
        let files = [("proc/mounts", "/dev/here / ext4 rw 0 0\n"), ("proc/1/mounts", "/dev/host / ext4 rw 0 0\n")];
        let got = samples(&files, |r, p| filesystem(&rooms, r, p));
        assert!(got.contains("/dev/host") && !got.contains("/dev/here"), "{got}");
    }
}
