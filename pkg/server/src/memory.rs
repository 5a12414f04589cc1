//! How much memory there is, how much the process takes, and how much it may take.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use model::ByteSize;

/// A size, or a share of something else.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Share {
    /// Bytes; 0 = no limit.
    Bytes(u64),
    /// Percent of the whole.
    Percent(f64),
}

impl Share {
    /// `512MiB`, `80%`, `0`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.strip_suffix('%') {
            None => text.parse::<ByteSize>().map(|size| Self::Bytes(size.0)).map_err(|e| e.to_string()),
            Some(number) => match number.trim().parse::<f64>() {
                Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self::Percent(percent)),
                _ => Err(format!("{text:?} is no percentage from 0% to 100%")),
            },
        }
    }

    /// In bytes, where the whole is known; 0 = no limit.
    pub fn of(self, whole_bytes: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => (whole_bytes as f64 * percent / 100.0) as u64,
        }
    }
}

/// The memory that the control group allows, or else that the machine has; 0 = cannot be found out. `root` is `/` or a
/// test's copy of `proc` and `sys/fs/cgroup`.
pub fn available_bytes(root: &Path) -> u64 {
    let machine = kib(&root.join("proc/meminfo"), "MemTotal:").unwrap_or(0);
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut least = machine;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (dir, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            list if list.split(',').any(|c| c == "memory") => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        // A limit holds for all groups below it.
        let own = path.trim_start_matches('/');
        for ancestor in Path::new(own).ancestors() {
            let limit = fs::read_to_string(root.join(dir).join(ancestor).join(file)).unwrap_or_default();
            if let Ok(bytes) = limit.trim().parse::<u64>()
                && bytes > 0
                && (least == 0 || bytes < least)
            {
                least = bytes;
            }
        }
    }
    least
}

/// Memory that the process takes and that cannot be taken back: anonymous pages, without those of mapped files.
pub fn used_bytes(root: &Path) -> u64 {
    // One call gives all of it, where reading a file of unknown length takes ten. This is done several times a second.
    let mut status = [0; 8 << 10];
    let read = File::open(root.join("proc/self/status")).and_then(|mut file| file.read(&mut status));
    let status =
        status.get(..read.unwrap_or(0)).and_then(|status| std::str::from_utf8(status).ok()).unwrap_or_default();
    kib_in(status, "RssAnon:").or_else(|| kib_in(status, "VmRSS:")).unwrap_or(0)
}

fn kib(path: &Path, key: &str) -> Option<u64> {
    kib_in(&fs::read_to_string(path).ok()?, key)
}

fn kib_in(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        assert_eq!(Share::parse("80%").unwrap().of(1000), 800);
        assert_eq!(Share::parse("1KiB").unwrap().of(7), 1024);
        assert_eq!(Share::parse("0").unwrap().of(7), 0);
        for bad in ["101%", "-1%", "x%", "much"] {
            assert!(Share::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_least_limit_of_all_groups_holds() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(available_bytes(dir.path()), 0);
        put("proc/meminfo", "MemTotal:       1000 kB\nMemFree: 1 kB\n");
        assert_eq!(available_bytes(dir.path()), 1_024_000);
        put("proc/self/cgroup", "0::/a/b\n");
        put("sys/fs/cgroup/a/b/memory.max", "max\n");
        assert_eq!(available_bytes(dir.path()), 1_024_000);
        put("sys/fs/cgroup/a/memory.max", "4096\n");
        assert_eq!(available_bytes(dir.path()), 4096);
        put("proc/self/cgroup", "9:memory,x:/c\n8:cpu:/a\n");
        put("sys/fs/cgroup/memory/c/memory.limit_in_bytes", "8192\n");
        assert_eq!(available_bytes(dir.path()), 8192);
        put("proc/self/status", "VmRSS:\t  20 kB\nRssAnon:\t  10 kB\n");
        assert_eq!(used_bytes(dir.path()), 10_240);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process() {
        let root = Path::new("/");
        assert!(used_bytes(root) > 100_000);
        assert!(available_bytes(root) > used_bytes(root));
    }
}
