//! Writing chunk segment files.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use chunkenc::Encoding;
use encoding::put_uvarint;

use crate::chunk_reader::{SEGMENT_HEADER_LEN, SEGMENT_MAGIC};
use crate::{Error, Result};

/// Largest segment that Prometheus writes.
pub const MAX_SEGMENT_BYTES: u64 = 512 << 20;

/// Appends chunks to `000001`, `000002`, … in one directory.
#[derive(Debug)]
pub struct ChunkWriter {
    dir: PathBuf,
    max_segment_bytes: u64,
    segment: Option<(BufWriter<File>, PathBuf)>,
    /// Segments begun.
    segments: u32,
    at: u64,
    record: Vec<u8>,
}

impl ChunkWriter {
    /// Makes the directory; a segment begins with the first chunk.
    ///
    /// # Errors
    /// [`Error::Io`] if the operating system refuses.
    pub fn create(dir: &Path, max_segment_bytes: u64) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        // Offsets have 32 bits.
        let max_segment_bytes = max_segment_bytes.clamp(64, u64::from(u32::MAX));
        Ok(Self { dir: dir.to_owned(), max_segment_bytes, segment: None, segments: 0, at: 0, record: Vec::new() })
    }

    /// Appends one chunk and gives its reference.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Invalid`] when the chunk alone exceeds a segment.
    pub fn write(&mut self, encoding: Encoding, data: &[u8]) -> Result<u64> {
        self.record.clear();
        put_uvarint(&mut self.record, data.len() as u64);
        let start = self.record.len();
        self.record.push(encoding as u8);
        self.record.extend_from_slice(data);
        let crc = encoding::crc32c(&self.record[start..]);
        self.record.extend_from_slice(&crc.to_be_bytes());
        let len = self.record.len() as u64;
        if len + SEGMENT_HEADER_LEN as u64 > u64::from(u32::MAX) {
            return Err(Error::Invalid(format!("chunk of {len} bytes exceeds a segment")));
        }
        if self.segment.is_none() || self.at + len > self.max_segment_bytes {
            self.cut()?;
        }
        let Some((file, path)) = &mut self.segment else {
            return Err(Error::Invalid("no segment is open".to_owned()));
        };
        file.write_all(&self.record).map_err(Error::io("write", path))?;
        let reference = u64::from(self.segments - 1) << 32 | self.at;
        self.at += len;
        Ok(reference)
    }

    fn cut(&mut self) -> Result<()> {
        self.close()?;
        self.segments += 1;
        let path = self.dir.join(format!("{:06}", self.segments));
        let file = File::create(&path).map_err(Error::io("create", &path))?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        let mut head = [0; SEGMENT_HEADER_LEN];
        head[..4].copy_from_slice(&SEGMENT_MAGIC.to_be_bytes());
        head[4] = 1;
        file.write_all(&head).map_err(Error::io("write", &path))?;
        self.at = SEGMENT_HEADER_LEN as u64;
        self.segment = Some((file, path));
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if let Some((mut file, path)) = self.segment.take() {
            file.flush().map_err(Error::io("write", &path))?;
            file.get_ref().sync_all().map_err(Error::io("sync", &path))?;
        }
        Ok(())
    }

    /// Brings everything to disk; gives the number of segments.
    ///
    /// # Errors
    /// [`Error::Io`] if the operating system refuses.
    pub fn finish(mut self) -> Result<u32> {
        self.close()?;
        sync_dir(&self.dir)?;
        Ok(self.segments)
    }
}

/// Brings a directory's entries to disk.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(Error::io("sync", dir))
}
