//! Where a queue is in the log, kept in a file so that a restart goes on there.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
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

/// The file of one queue: two lines, the newer one of which counts. Each begins with its checksum, so that one that was not
/// written as a whole is told from one that was. A file of one text without a checksum is what was written before.
#[derive(Debug)]
pub(super) struct CursorFile {
    path: PathBuf,
    open: Mutex<Option<Open>>,
}

/// A file that this process made.
#[derive(Debug)]
struct Open {
    file: File,
    /// Bytes of a line.
    room: usize,
    /// How many lines were written.
    count: u64,
}

/// The least bytes of a line: what a few shards take.
const ROOM_MIN: usize = 512;

impl CursorFile {
    /// The file in `dir` of the queue with this key.
    pub fn new(dir: &Path, key: &str) -> Self {
        let name: String = key.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        let shown: String = name.chars().take(80).collect();
        let hash = xxhash_rust::xxh3::xxh3_64(key.as_bytes());
        Self { path: dir.join(format!("{shown}-{hash:016x}.json")), open: Mutex::default() }
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
        let newest = text.split(|byte| *byte == b'\n').filter_map(parse).max_by_key(|(count, _)| *count);
        let cursor: Cursor = match newest {
            Some((_, json)) => serde_json::from_slice(json),
            None => serde_json::from_slice(&text),
        }
        .map_err(io::Error::other)?;
        if cursor.version != VERSION || cursor.shards.is_empty() {
            return Err(io::Error::other(format!("version {} is not known", cursor.version)));
        }
        Ok(Some(cursor))
    }

    /// Stores the cursor in place of the one before the last. It survives the end of the process, not that of the machine:
    /// there the log may lack its last second too.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn store(&self, cursor: &Cursor) -> io::Result<()> {
        let json = serde_json::to_vec(cursor).map_err(io::Error::other)?;
        let mut open = self.open.lock();
        if let Some(open) = &mut *open
            && open.store(&json)?
        {
            return Ok(());
        }
        let count = open.take().map_or(0, |open| open.count);
        match self.create(&json, count) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
                *open = Some(self.create(&json, count)?);
            }
            outcome => *open = Some(outcome?),
        }
        Ok(())
    }

    /// A new file in place of the one that is there.
    fn create(&self, json: &[u8], count: u64) -> io::Result<Open> {
        let new = self.path.with_extension("tmp");
        let room = (json.len() + PREFIX_BYTES + 1).next_power_of_two().max(ROOM_MIN);
        let mut file = File::create(&new)?;
        let count = count + 1;
        let (this, other) = (line(count, json, room), line(0, b"", room));
        // The first half is that of even counts.
        file.write_all(&if count.is_multiple_of(2) { [this, other] } else { [other, this] }.concat())?;
        std::fs::rename(&new, &self.path)?;
        Ok(Open { file, room, count })
    }
}

impl Open {
    /// Writes over the older line; false where there is no room, or the file is not there any more.
    fn store(&mut self, json: &[u8]) -> io::Result<bool> {
        if json.len() + PREFIX_BYTES + 1 > self.room || self.file.metadata()?.nlink() == 0 {
            return Ok(false);
        }
        let count = self.count + 1;
        self.file.write_all_at(&line(count, json, self.room), count % 2 * self.room as u64)?;
        self.count = count;
        Ok(true)
    }
}

/// The checksum, the number of the line, and spaces.
const PREFIX_BYTES: usize = 8 + 1 + 16 + 1;

/// A line with its checksum, and spaces up to `room` bytes. One that is empty does not count.
fn line(count: u64, json: &[u8], room: usize) -> Vec<u8> {
    let mut line = Vec::with_capacity(room);
    if !json.is_empty() {
        let counted = [format!("{count:016x} ").as_bytes(), json].concat();
        line.extend_from_slice(format!("{:08x} ", crc32c::crc32c(&counted)).as_bytes());
        line.extend_from_slice(&counted);
    }
    line.resize(room - 1, b' ');
    line.push(b'\n');
    line
}

/// The number of a line that is whole, and what it holds.
fn parse(line: &[u8]) -> Option<(u64, &[u8])> {
    let (crc, counted) = line.trim_ascii_end().split_at_checked(8)?;
    let counted = counted.strip_prefix(b" ")?;
    let hex = |digits: &[u8]| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    if hex(crc)? != u64::from(crc32c::crc32c(counted)) {
        return None;
    }
    let (count, json) = counted.split_at_checked(16)?;
    Some((hex(count)?, json.strip_prefix(b" ")?))
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
        // What was written before there were lines, and what is nothing.
        std::fs::write(file.path(), serde_json::to_vec(&cursor).unwrap()).unwrap();
        assert_eq!(file.load().unwrap(), Some(cursor.clone()));
        std::fs::write(file.path(), "{").unwrap();
        assert!(file.load().is_err());
        // Series 2 is in shard 0, series 3 in shard 1.
        assert!(cursor.has(2, at(1, 9), 3) && !cursor.has(2, at(1, 9), 4) && cursor.has(2, at(1, 8), 100));
        assert!(cursor.has(3, at(2, 0), 7) && !cursor.has(3, at(2, 1), 0));
        assert!(cursor.reaches(at(2, 0)) && !cursor.reaches(at(2, 1)));
    }

    #[test]
    fn a_line_that_is_not_whole_costs_no_more_than_itself() {
        let dir = tempfile::tempdir().unwrap();
        let file = CursorFile::new(dir.path(), "q");
        let cursor = |n: u64, shards: usize| Cursor::new("q", at(n, 0), vec![Done::all(at(n, 9)); shards]);
        for n in 1..=4 {
            file.store(&cursor(n, 1)).unwrap();
            assert_eq!(file.load().unwrap(), Some(cursor(n, 1)));
            let whole = std::fs::read(file.path()).unwrap();
            if n == 1 {
                continue;
            }
            // The line that was written last, cut off anywhere: the rest is that of the line before in its place.
            let newest = whole.split(|byte| *byte == b'\n').filter_map(parse).map(|(count, _)| count).max().unwrap();
            let begin = newest as usize % 2 * ROOM_MIN;
            for cut in 0..100 {
                let mut torn = whole.clone();
                torn[begin + cut] ^= 1;
                std::fs::write(dir.path().join("torn"), &torn).unwrap();
                let torn = CursorFile { path: dir.path().join("torn"), open: Mutex::default() };
                assert_eq!(torn.load().unwrap(), Some(cursor(n - 1, 1)), "{n} {cut}");
            }
        }
        // More than there is room for, then no file at all, then a process that goes on.
        file.store(&cursor(5, 40)).unwrap();
        assert_eq!(file.load().unwrap(), Some(cursor(5, 40)));
        std::fs::remove_file(file.path()).unwrap();
        file.store(&cursor(6, 40)).unwrap();
        assert_eq!(file.load().unwrap(), Some(cursor(6, 40)));
        let next = CursorFile::new(dir.path(), "q");
        assert_eq!(next.load().unwrap(), Some(cursor(6, 40)));
        next.store(&cursor(7, 1)).unwrap();
        assert_eq!(next.load().unwrap(), Some(cursor(7, 1)));
    }
}
