//! Finds and reads saved open chunks.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use encoding::{Cursor, crc32c};
use wal::Position;

use super::format::{Begin, FRAME_BYTES, FRAME_BYTES_MAX, FRAME_HEAD_BYTES, MAGIC, SavedChunk, end, read_chunk};
use super::{Error, NAME, checksum_before};

/// Saved open chunks that belong to a log.
#[derive(Debug, Clone)]
pub struct Saved {
    path: PathBuf,
    /// Up to where they have what the log says.
    pub position: Position,
    /// Up to there, series have numbers below this.
    pub next_number: u64,
}

impl Saved {
    /// Those of the log in `wal_dir`, if there are any.
    ///
    /// # Errors
    /// [`Error`]: there is a file that cannot be used.
    pub fn find(wal_dir: &Path) -> Result<Option<Self>, Error> {
        let path = wal_dir.join(NAME);
        let mut frames = match Frames::open(&path) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let Begin { position, checksum, next_number } =
            Begin::read(frames.next()?).map_err(|e| corrupt(&path, e.what))?;
        // Without its segment, the log is another one, or goes on behind it.
        let known = checksum_before(wal_dir, position).ok().flatten() == Some(checksum);
        Ok(known.then_some(Self { path, position, next_number }))
    }

    /// Shows all chunks to `visit`, in bounded memory.
    ///
    /// # Errors
    /// [`Error`] at the first place that is not what was written, or where `visit` says so.
    pub fn each(&self, visit: &mut dyn FnMut(&SavedChunk<'_>) -> Result<(), String>) -> Result<(), Error> {
        let mut frames = Frames::open(&self.path)?;
        let begin = Begin::read(frames.next()?).map_err(|e| corrupt(&self.path, e.what))?;
        if begin.position != self.position {
            return Err(corrupt(&self.path, "it was replaced".to_owned()));
        }
        for count in 0.. {
            let payload = frames.next()?;
            if *payload == end(count) {
                break;
            }
            let mut cursor = Cursor::new("chunks", 0, payload);
            while cursor.left() > 0 {
                let chunk = read_chunk(&mut cursor).map_err(|e| corrupt(&self.path, e.what))?;
                visit(&chunk).map_err(|why| corrupt(&self.path, format!("series {}: {why}", chunk.number)))?;
            }
        }
        Ok(())
    }
}

fn corrupt(path: &Path, why: String) -> Error {
    Error::Corrupt { path: path.to_owned(), why }
}

struct Frames {
    path: PathBuf,
    file: BufReader<File>,
    payload: Vec<u8>,
}

impl Frames {
    fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let file = BufReader::with_capacity(FRAME_BYTES, file);
        let mut frames = Self { path: path.to_owned(), file, payload: Vec::new() };
        let mut magic = [0; MAGIC.len()];
        frames.read_exact(&mut magic)?;
        if magic != MAGIC {
            return Err(corrupt(path, "it begins with other bytes".to_owned()));
        }
        Ok(frames)
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.file.read_exact(bytes).map_err(Error::io("read", &self.path))
    }

    /// The next payload.
    fn next(&mut self) -> Result<&[u8], Error> {
        let mut head = [0; FRAME_HEAD_BYTES];
        self.read_exact(&mut head)?;
        let [a, b, c, d, e, f, g, h] = head;
        let (len, crc) = (u32::from_be_bytes([a, b, c, d]) as usize, u32::from_be_bytes([e, f, g, h]));
        if len > FRAME_BYTES_MAX {
            return Err(corrupt(&self.path, format!("a frame of {len} bytes")));
        }
        let mut payload = std::mem::take(&mut self.payload);
        // What a length says is not trusted with memory.
        payload.clear();
        let read = (&mut self.file).take(len as u64).read_to_end(&mut payload);
        read.map_err(Error::io("read", &self.path))?;
        self.payload = payload;
        if self.payload.len() < len || crc32c(&self.payload) != crc {
            return Err(corrupt(&self.path, "a frame is not what was written".to_owned()));
        }
        Ok(&self.payload)
    }
}
