//! Saves open chunks.

use std::io;
use std::path::{Path, PathBuf};

use chunkenc::{TimedChunk, XorState};
use encoding::crc32c;
use wal::{Disk, Position, SegmentFile};

use super::format::{Begin, FRAME_BYTES, FRAME_HEAD_BYTES, MAGIC, end, put_data, put_growing, put_head, put_nothing};
use super::{Error, NAME, UNFINISHED, checksum_before};

/// Writes chunks. Without [`Self::finish`] those that were saved before stay.
pub struct SavedWriter {
    wal_dir: PathBuf,
    unfinished: PathBuf,
    file: Box<dyn SegmentFile>,
    len: u64,
    /// A frame, with room for its head.
    frame: Vec<u8>,
    /// How many are written.
    frames: u64,
}

impl SavedWriter {
    /// Begins to save what the log in `wal_dir` says up to `position`, where series have numbers below `next_number`. `None`
    /// right behind the begin of a segment, where the log cannot be told from another one, and where a checkpoint has
    /// replaced the segment.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(
        wal_dir: &Path,
        disk: &dyn Disk,
        position: Position,
        next_number: u64,
    ) -> Result<Option<Self>, Error> {
        let checksum = match checksum_before(wal_dir, position) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            other => other.map_err(Error::io("read the log in", wal_dir))?,
        };
        let Some(checksum) = checksum else { return Ok(None) };
        let unfinished = wal_dir.join(UNFINISHED);
        let create = || {
            match std::fs::remove_file(&unfinished) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            disk.create(&unfinished)
        };
        let file = create().map_err(Error::io("create", &unfinished))?;
        let (wal_dir, frame) = (wal_dir.to_owned(), MAGIC.to_vec());
        let mut writer = Self { wal_dir, unfinished, file, len: 0, frame, frames: 0 };
        writer.write()?;
        Begin { position, checksum, next_number }.put(&mut writer.frame);
        writer.end_frame()?;
        Ok(Some(writer))
    }

    /// An XOR chunk that grows, behind the chunk `behind` on disk; see [`super::SavedChunk`].
    pub fn growing(
        &mut self,
        of: (u64, u64),
        times_ms: (i64, i64),
        (state, buffer): (&XorState, &[u8]),
        cut_at_ms: i64,
    ) {
        put_head(&mut self.frame, of, times_ms);
        put_growing(&mut self.frame, (state, buffer), cut_at_ms);
    }

    /// Any chunk.
    pub fn chunk(&mut self, of: (u64, u64), chunk: &TimedChunk) {
        put_head(&mut self.frame, of, (chunk.min_time, chunk.max_time));
        put_data(&mut self.frame, chunk.encoding, &chunk.data);
    }

    /// A series that has all its samples in chunks on disk, of which this is the last one.
    pub fn nothing(&mut self, of: (u64, u64), times_ms: (i64, i64)) {
        put_head(&mut self.frame, of, times_ms);
        put_nothing(&mut self.frame);
    }

    /// To be called now and then.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn flush(&mut self) -> Result<(), Error> {
        if self.frame.len() < FRAME_BYTES { Ok(()) } else { self.end_frame() }
    }

    /// Makes these chunks those that a start takes; their bytes.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self) -> Result<u64, Error> {
        if self.frame.len() > FRAME_HEAD_BYTES {
            self.end_frame()?;
        }
        self.frame.extend_from_slice(&end(self.frames - 1));
        self.end_frame()?;
        std::fs::rename(&self.unfinished, self.wal_dir.join(NAME)).map_err(Error::io("rename", &self.unfinished))?;
        Ok(self.len)
    }

    fn end_frame(&mut self) -> Result<(), Error> {
        let (head, payload) = self.frame.split_at_mut(FRAME_HEAD_BYTES);
        let (len, crc) = (payload.len() as u32, crc32c(payload));
        head[..4].copy_from_slice(&len.to_be_bytes());
        head[4..].copy_from_slice(&crc.to_be_bytes());
        self.frames += 1;
        self.write()
    }

    fn write(&mut self) -> Result<(), Error> {
        let mut rest = self.frame.as_slice();
        while !rest.is_empty() {
            match self.file.write_at(rest, self.len) {
                Ok(0) => return Err(Error::io("write", &self.unfinished)(io::ErrorKind::WriteZero.into())),
                Ok(written) => (rest, self.len) = (&rest[written..], self.len + written as u64),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("write", &self.unfinished)(e)),
            }
        }
        self.frame.clear();
        self.frame.resize(FRAME_HEAD_BYTES, 0);
        Ok(())
    }
}

impl Drop for SavedWriter {
    fn drop(&mut self) {
        // Once it is finished there is no such file.
        _ = std::fs::remove_file(&self.unfinished);
    }
}
