//! The files that are read, and what may be wrong with them.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The longest file that is read, in bytes: a host with ten thousand mounts or network devices stays below.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// The most entries of a folder that are read.
const ENTRIES_MAX: usize = 8192;

/// Where the host's files are; another place where a container sees the host's through a mount, or in tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// Usually `/proc`.
    pub proc: PathBuf,
    /// Usually `/sys`.
    pub sys: PathBuf,
    /// Usually `/`: for `etc/os-release`, `run/udev` and the mounts.
    pub root: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: "/proc".into(), sys: "/sys".into(), root: "/".into() }
    }
}

/// Why a collector gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// This kernel does not have it.
    #[error("{} is not there", .0.display())]
    Missing(PathBuf),
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is not understood: {what}", path.display())]
    Odd { path: PathBuf, what: String },
}

pub(crate) type Result<T = (), E = Error> = std::result::Result<T, E>;

impl Roots {
    /// The text of a file below `/proc`.
    pub(crate) fn proc(&self, name: &str) -> Result<Text> {
        read(self.proc.join(name))
    }

    /// The text of a file below `/sys`.
    pub(crate) fn sys(&self, name: &str) -> Result<Text> {
        read(self.sys.join(name))
    }

    /// The text of a file below `/`.
    pub(crate) fn root(&self, name: &str) -> Result<Text> {
        read(self.root.join(name))
    }

    /// The names in a folder below `/sys`, sorted.
    pub(crate) fn sys_names(&self, dir: &str) -> Result<Vec<String>> {
        names(self.sys.join(dir))
    }

    /// A trimmed file below `/sys`; `None` where it is absent or cannot be read, as many attributes of a device that is
    /// switched off.
    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        self.sys(name).ok().map(|t| t.text.trim().to_owned())
    }

    /// An attribute that is a number, possibly negative.
    pub(crate) fn attribute_number(&self, name: &str) -> Option<f64> {
        self.attribute(name)?.parse().ok()
    }
}

/// A file's content, with its path for errors.
#[derive(Debug)]
pub(crate) struct Text {
    path: PathBuf,
    pub text: String,
}

impl Text {
    /// That the content is not understood.
    pub fn odd(&self, what: impl Into<String>) -> Error {
        Error::Odd { path: self.path.clone(), what: what.into() }
    }

    /// A whole number of the file.
    pub fn whole(&self, word: Option<&str>) -> Result<u64> {
        let word = word.unwrap_or_default();
        word.parse().map_err(|_| self.odd(format!("{word:?} is not a whole number")))
    }

    /// A number of the file.
    pub fn real(&self, word: Option<&str>) -> Result<f64> {
        let word = word.unwrap_or_default();
        word.parse().map_err(|_| self.odd(format!("{word:?} is not a number")))
    }
}

fn failed(path: &Path, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::Missing(path.to_owned()),
        _ => Error::Unreadable { path: path.to_owned(), source },
    }
}

/// The text of a file, in which bytes that are no UTF-8 are replaced.
fn read(path: PathBuf) -> Result<Text> {
    let mut bytes = Vec::new();
    let file = fs::File::open(&path).map_err(|e| failed(&path, e))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| failed(&path, e))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::Odd { path, what: format!("it is longer than {FILE_BYTES_MAX} bytes") });
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
    };
    Ok(Text { path, text })
}

fn names(dir: PathBuf) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).map_err(|e| failed(&dir, e))? {
        if names.len() == ENTRIES_MAX {
            return Err(Error::Odd { path: dir, what: format!("it has more than {ENTRIES_MAX} entries") });
        }
        names.extend(entry.map_err(|e| failed(&dir, e))?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Folders of files for tests.

    use super::*;
    use crate::page::Page;

    /// Roots with these files, given as `proc/…`, `sys/…` and `root/…`.
    pub(crate) fn roots(files: &[(&str, &str)]) -> (tempfile::TempDir, Roots) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let at = |name: &str| dir.path().join(name);
        let roots = Roots { proc: at("proc"), sys: at("sys"), root: at("root") };
        (dir, roots)
    }

    /// The samples, without heads, that `read` writes for these files.
    pub(crate) fn samples(files: &[(&str, &str)], read: impl FnOnce(&Roots, &mut Page) -> Result) -> String {
        let (_dir, roots) = roots(files);
        let mut page = Page::default();
        read(&roots, &mut page).unwrap();
        let text = page.into_text();
        text.lines().filter(|l| !l.starts_with('#')).map(|l| format!("{l}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said() {
        let (dir, roots) = fixture::roots(&[("proc/long", &"x".repeat(FILE_BYTES_MAX as usize + 1)), ("proc/n", "7x")]);
        assert!(matches!(roots.proc("none"), Err(Error::Missing(_))));
        assert!(matches!(roots.sys_names("class"), Err(Error::Missing(_))));
        assert!(matches!(roots.proc("long"), Err(Error::Odd { .. })));
        std::fs::create_dir(dir.path().join("proc/dir")).unwrap();
        assert!(matches!(roots.proc("dir"), Err(Error::Unreadable { .. })));
        let text = roots.proc("n").unwrap();
        assert!(
            text.whole(Some("7x"))
                .unwrap_err()
                .to_string()
                .ends_with("/proc/n is not understood: \"7x\" is not a whole number")
        );
        assert_eq!((text.whole(Some("7")).unwrap(), text.real(Some("7.5")).unwrap()), (7, 7.5));
        assert!(text.whole(None).is_err());
    }

    #[test]
    fn bytes_that_are_no_text_do_not_fail() {
        let (dir, roots) = fixture::roots(&[("proc/a", "")]);
        fs::write(dir.path().join("proc/a"), b"a\xff b").unwrap();
        assert_eq!(roots.proc("a").unwrap().text, "a\u{fffd} b");
    }
}
