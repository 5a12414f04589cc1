//! What git's files tell of a checkout, read without git.

use std::path::{Path, PathBuf};

// A build script that depended on the crate would compile it, and all below it, once more.
#[path = "../../../pkg/model/src/calendar.rs"]
#[allow(dead_code, reason = "the script needs dates only")]
mod calendar;

/// The commit that is checked out.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its hash.
    pub revision: Option<String>,
    /// The branch that is on it; `HEAD` where none is checked out.
    pub branch: Option<String>,
    /// What this was read from; all of it exists.
    pub read: Vec<PathBuf>,
}

/// Reads `dot_git`: a folder, or in a linked worktree a file that names one. Nothing is known where there is none.
pub fn head(dot_git: &Path) -> Head {
    let mut out = Head::default();
    let Some(git) = git_dir(dot_git) else { return out };
    let Some(head) = text(&git.join("HEAD"), &mut out.read) else { return out };
    let Some(name) = head.strip_prefix("ref: ") else {
        out.revision = Some(head).filter(|hash| is_hash(hash));
        out.branch = Some("HEAD".to_owned());
        return out;
    };
    out.branch = Some(name.strip_prefix("refs/heads/").unwrap_or(name).to_owned());
    // A linked worktree shares its branches with the others.
    let shared = std::fs::read_to_string(git.join("commondir")).map_or(git.clone(), |dir| git.join(dir.trim()));
    let loose = text(&shared.join(name), &mut out.read);
    if loose.is_none() {
        // The next commit makes the file.
        out.read.extend(shared.join(name).parent().filter(|dir| dir.is_dir()).map(Path::to_owned));
    }
    let packed = || {
        let list = text(&shared.join("packed-refs"), &mut out.read)?;
        list.lines()
            .find_map(|line| Some(line.split_once(' ')?.0.to_owned()).filter(|_| line.ends_with(&format!(" {name}"))))
    };
    out.revision = loose.or_else(packed).filter(|hash| is_hash(hash));
    out
}

fn git_dir(dot_git: &Path) -> Option<PathBuf> {
    if dot_git.is_dir() {
        return Some(dot_git.to_owned());
    }
    let named = std::fs::read_to_string(dot_git).ok()?;
    Some(dot_git.parent()?.join(named.trim().strip_prefix("gitdir: ")?))
}

fn text(path: &Path, read: &mut Vec<PathBuf>) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    read.push(path.to_owned());
    Some(text.trim().to_owned())
}

fn is_hash(text: &str) -> bool {
    text.len() >= 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Seconds since the epoch as `20240502-12:31:52`, UTC, which is how Prometheus prints dates of builds.
pub fn date(epoch_s: u64) -> String {
    let (day, second) = (epoch_s / 86_400, epoch_s % 86_400);
    // A day of 64 bits of seconds is far below what would overflow.
    let calendar::Date { year, month, day } = calendar::Date::from_days(day as i64);
    format!("{year:04}{month:02}{day:02}-{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0123456789abcdef0123456789abcdef01234567";

    fn write(dir: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    /// Revision and branch of a checkout whose `.git` is a folder with `files`.
    fn of(files: &[(&str, &str)]) -> (Option<String>, Option<String>) {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join(".git"), files);
        let head = head(&dir.path().join(".git"));
        assert!(head.read.iter().all(|path| path.exists()));
        (head.revision, head.branch)
    }

    #[test]
    fn heads() {
        let known = |branch: &str| (Some(HASH.to_owned()), Some(branch.to_owned()));
        let loose = [("HEAD", "ref: refs/heads/a/b\n"), ("refs/heads/a/b", &format!("{HASH}\n"))];
        assert_eq!(of(&loose), known("a/b"));
        let packed = format!("# pack-refs with: peeled\n{HASH} refs/heads/main\n^{HASH}\n");
        assert_eq!(of(&[("HEAD", "ref: refs/heads/main\n"), ("packed-refs", &packed)]), known("main"));
        assert_eq!(of(&[("HEAD", HASH)]), known("HEAD"));
        assert_eq!(of(&[("HEAD", "ref: refs/heads/new\n")]), (None, Some("new".to_owned())));
        assert_eq!(of(&[("HEAD", "rubbish")]), (None, Some("HEAD".to_owned())));
        assert_eq!(head(Path::new("/nowhere/.git")), Head::default());
    }

    #[test]
    fn linked_worktrees() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            &[
                ("tree/.git", "gitdir: ../main/.git/worktrees/tree\n"),
                ("main/.git/worktrees/tree/HEAD", "ref: refs/heads/side\n"),
                ("main/.git/worktrees/tree/commondir", "../..\n"),
                ("main/.git/refs/heads/side", HASH),
            ],
        );
        let head = head(&dir.path().join("tree/.git"));
        assert_eq!((head.revision.as_deref(), head.branch.as_deref()), (Some(HASH), Some("side")));
    }

    #[test]
    fn dates() {
        for (epoch_s, want) in [
            (0, "19700101-00:00:00"),
            (951_782_400, "20000229-00:00:00"),
            (1_714_653_112, "20240502-12:31:52"),
            (4_107_542_399, "21000228-23:59:59"),
            (4_107_542_400, "21000301-00:00:00"),
        ] {
            assert_eq!(date(epoch_s), want);
        }
    }
}
