//! The segment files of a log's directory.

use std::io;
use std::path::{Path, PathBuf};

/// One segment file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// Its number, which is its name.
    pub number: u64,
    /// Where it lies.
    pub path: PathBuf,
}

/// The name of a segment's file: eight digits or more.
pub fn segment_name(number: u64) -> String {
    format!("{number:08}")
}

/// The segments in `dir`, ascending; none if there is no such directory. Whatever else lies there is passed over.
///
/// # Errors
/// The directory cannot be listed.
pub fn list(dir: &Path) -> io::Result<Vec<Segment>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().filter(|n| n.bytes().all(|b| b.is_ascii_digit())).and_then(|n| n.parse().ok());
        if let Some(number) = number
            && entry.file_type()?.is_file()
        {
            found.push(Segment { number, path: entry.path() });
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Bytes of all segments in `dir`.
///
/// # Errors
/// The directory cannot be listed.
pub fn size_bytes(dir: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for segment in list(dir)? {
        match std::fs::metadata(&segment.path) {
            Ok(metadata) => sum += metadata.len(),
            // It was removed since the directory was listed.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(sum)
}

/// Removes the segments in `dir` whose numbers are below `below`, the oldest first; returns how many.
///
/// # Errors
/// One of them cannot be removed; the younger ones are left then, so that no gap appears.
pub fn remove_below(dir: &Path, below: u64) -> io::Result<usize> {
    let mut removed = 0;
    for segment in list(dir)?.iter().take_while(|s| s.number < below) {
        std::fs::remove_file(&segment.path)?;
        removed += 1;
    }
    Ok(removed)
}
