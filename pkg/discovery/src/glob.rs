//! Paths that a pattern stands for.

use std::io;
use std::path::{Path, PathBuf};

/// The paths that match `pattern`, sorted. `*`, `?` and `[a-z]` in any part stand for characters of this part. What does not
/// exist matches nothing; a link to nothing exists.
///
/// # Errors
/// A folder that is there and cannot be listed: what it holds is not known. A `[` or a `\` that nothing follows.
pub fn glob(pattern: &str) -> io::Result<Vec<PathBuf>> {
    if pattern.split('/').any(is_cut_short) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "syntax error in pattern"));
    }
    let mut found = vec![PathBuf::from(if pattern.starts_with('/') { "/" } else { "" })];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for folder in found {
            if part.contains(['*', '?', '[']) {
                next.extend(children(&folder, part)?);
            } else {
                next.push(folder.join(part));
            }
        }
        found = next;
    }
    let is_there = |path: &PathBuf| match path.symlink_metadata() {
        Err(e) => !matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        Ok(_) => true,
    };
    found.retain(is_there);
    found.sort();
    Ok(found)
}

/// Whether `pattern` stands for `path`, be it there or not.
pub(crate) fn fits(pattern: &str, path: &Path) -> bool {
    let parts = |text: &str| text.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (pattern, path) = (parts(pattern), path.to_str().map(parts).unwrap_or_default());
    pattern.len() == path.len() && pattern.iter().zip(&path).all(|(part, name)| matches(part, name))
}

/// Whether a part of a pattern ends where more is needed.
fn is_cut_short(part: &str) -> bool {
    let mut rest = part;
    while let Some(at) = rest.find(['[', '\\']) {
        let (special, after) = rest[at..].split_at(1);
        let end = match special {
            // A class has at least one character.
            "[" => after.char_indices().skip(1).find(|(_, c)| *c == ']').map(|(at, _)| at + 1),
            _ => after.chars().next().map(char::len_utf8),
        };
        let Some(end) = end else { return true };
        rest = &after[end..];
    }
    false
}

fn children(folder: &Path, part: &str) -> io::Result<Vec<PathBuf>> {
    let place = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = match std::fs::read_dir(place) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
        entries => entries.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", place.display())))?,
    };
    let mut out = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        if name.to_str().is_some_and(|name| matches(part, name)) {
            out.push(folder.join(name));
        }
    }
    Ok(out)
}

/// Whether a name matches; the work is bounded by the product of the two lengths.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut i) = (0, 0);
    // Where the latest star stands, and how much of the name it covers.
    let mut star: Option<(usize, usize)> = None;
    while i < name.len() {
        let after = match pattern.get(at) {
            Some('*') => {
                star = Some((at, i));
                at += 1;
                continue;
            }
            Some(_) => one(&pattern[at..], name[i]).map(|used| at + used),
            None => None,
        };
        match (after, star) {
            (Some(after), _) => (at, i) = (after, i + 1),
            (None, Some((place, covered))) => {
                star = Some((place, covered + 1));
                (at, i) = (place + 1, covered + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

/// How much of the pattern stands for this character; `None` when it does not.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '\\' => (pattern.get(1) == Some(&c)).then_some(2),
        '[' => {
            let end = pattern.iter().skip(2).position(|p| *p == ']')? + 2;
            let class = &pattern[1..end];
            let (negated, class) = match class.first() {
                Some('^') => (true, &class[1..]),
                _ => (false, class),
            };
            let mut within = false;
            let mut rest = class;
            while let Some(first) = rest.first() {
                match rest {
                    [from, '-', to, ..] => {
                        within |= (*from..=*to).contains(&c);
                        rest = &rest[3..];
                    }
                    _ => {
                        within |= *first == c;
                        rest = &rest[1..];
                    }
                }
            }
            (within != negated).then_some(end + 1)
        }
        literal => (*literal == c).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, fits) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("a*b*c", "axxbyybc", true),
            ("a*b*c", "axxbyyb", false),
            ("?[a-c][^x]", "zby", true),
            ("?[a-c][^x]", "zdy", false),
            ("\\*", "*", true),
            ("*", "", true),
            ("[", "[", false),
            ("****************b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn patterns_that_are_cut_short() {
        for (pattern, is_wrong) in [
            ("[a", true),
            ("x/[]/y", true),
            ("a\\", true),
            ("[a]*", false),
            ("\\[", false),
            ("a]b", false),
            ("[^x]", false),
        ] {
            assert_eq!(glob(pattern).is_err(), is_wrong, "{pattern}");
        }
    }

    #[test]
    fn folders() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["x/a.yml", "x/b.yml", "y/a.yml", "z.yml"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let names = |pattern: &str| -> Vec<String> {
            let found = glob(&dir.path().join(pattern).display().to_string()).unwrap();
            found.iter().map(|path| path.strip_prefix(dir.path()).unwrap().display().to_string()).collect()
        };
        assert_eq!(names("x/*.yml"), ["x/a.yml", "x/b.yml"]);
        assert_eq!(names("*/a.yml"), ["x/a.yml", "y/a.yml"]);
        assert_eq!(names("z.yml"), ["z.yml"]);
        assert_eq!(names("[a-x]/?.y*l"), ["x/a.yml", "x/b.yml"]);
        assert!(fits("x//[ab].yml", Path::new("x/b.yml")) && !fits("*.yml", Path::new("x/b.yml")));
        assert!(names("none/*.yml").is_empty() && names("none.yml").is_empty() && names("z.yml/*").is_empty());
    }
}
