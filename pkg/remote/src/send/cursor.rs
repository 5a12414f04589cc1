//! Where a queue is in the log, kept in a file so that a restart goes on there.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wal::Position;

use super::rows::{At, Done, shard_of};

const VERSION: u32 = 1;

/// What is known to have been sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    version: u32,
    /// The queue, for people.
    queue: String,
    /// Where reading goes on: no row before is needed.
    resume: At,
    /// How far each shard had come; series are divided by their number.
    shards: Vec<Done>,
}

impl Cursor {
    pub fn new(queue: &str, resume: Position, shards: Vec<Done>) -> Self {
        Self { version: VERSION, queue: queue.to_owned(), resume: resume.into(), shards }
    }

    pub fn resume(&self) -> Position {
        self.resume.into()
    }

    pub fn shards(&self) -> &[Done] {
        &self.shards
    }

    /// Whether a row was sent before.
    pub fn has(&self, series: u64, end: Position, index: u32) -> bool {
        let done = self.shards.get(shard_of(series, self.shards.len()));
        done.is_some_and(|done| done.has(end, index))
    }

    /// Whether rows of records that end behind `end` may have been sent.
    pub fn reaches(&self, end: Position) -> bool {
        self.shards.iter().any(|done| done.end >= At::from(end))
    }
}

/// The file of one queue.
#[derive(Debug, Clone)]
pub(super) struct CursorFile {
    path: PathBuf,
}

impl CursorFile {
    /// The file in `dir` of the queue with this key.
    pub fn new(dir: &Path, key: &str) -> Self {
        let name: String = key.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        let shown: String = name.chars().take(80).collect();
        let hash = xxhash_rust::xxh3::xxh3_64(key.as_bytes());
        Self { path: dir.join(format!("{shown}-{hash:016x}.json")) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was stored last; `None` if nothing was.
    ///
    /// # Errors
    /// The file cannot be read, or is not what was written.
    pub fn load(&self) -> io::Result<Option<Cursor>> {
        let text = match std::fs::read(&self.path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let cursor: Cursor = serde_json::from_slice(&text).map_err(io::Error::other)?;
        if cursor.version != VERSION || cursor.shards.is_empty() {
            return Err(io::Error::other(format!("version {} is not known", cursor.version)));
        }
        Ok(Some(cursor))
    }

    /// Stores the cursor in place of the one before. It survives the end of the process, not that of the machine: there the
    /// log may lack its last second too.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn store(&self, cursor: &Cursor) -> io::Result<()> {
        let text = serde_json::to_vec(cursor).map_err(io::Error::other)?;
        let new = self.path.with_extension("tmp");
        let write = || {
            std::fs::write(&new, &text)?;
            std::fs::rename(&new, &self.path)
        };
        match write() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
                write()
            }
            outcome => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(segment: u64, offset: u64) -> Position {
        Position { segment, offset }
    }

    #[test]
    fn what_is_stored_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = CursorFile::new(&dir.path().join("new"), "http://a/b?c");
        assert_eq!(file.load().unwrap(), None);
        let cursor = Cursor::new("q", at(1, 2), vec![Done { end: at(1, 9).into(), index: 4 }, Done::all(at(2, 0))]);
        file.store(&cursor).unwrap();
        assert_eq!(file.load().unwrap(), Some(cursor.clone()));
        std::fs::write(file.path(), "{").unwrap();
        assert!(file.load().is_err());
        // Series 2 is in shard 0, series 3 in shard 1.
        assert!(cursor.has(2, at(1, 9), 3) && !cursor.has(2, at(1, 9), 4) && cursor.has(2, at(1, 8), 100));
        assert!(cursor.has(3, at(2, 0), 7) && !cursor.has(3, at(2, 1), 0));
        assert!(cursor.reaches(at(2, 0)) && !cursor.reaches(at(2, 1)));
    }
}
