//! Chunk segment files: an 8-byte header, then records `uvarint len | encoding | data | be32 crc`.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chunkenc::Encoding;
use encoding::{Cursor, check_crc};

use crate::{ChunkMeta, Error, MappedFile, Result};

/// First four bytes of a segment file.
pub const SEGMENT_MAGIC: u32 = 0x85BD_40DD;
/// Magic, version 1 and padding.
pub const SEGMENT_HEADER_LEN: usize = 8;

/// Reads the record at the start of `bytes`, which lie at `offset` of `file`: encoding, data (sharing memory) and the
/// record's whole length.
///
/// # Errors
/// [`Error::Corrupt`] when it is cut, its checksum differs or its encoding is not known.
pub fn parse(file: &str, offset: u64, bytes: &Bytes) -> Result<(Encoding, Bytes, usize)> {
    let (encoding, data, len) = record(file, offset, bytes)?;
    Ok((encoding, bytes.slice(data), len))
}

/// The same of borrowed bytes, with where the data lie in them.
///
/// # Errors
/// As [`parse`].
pub fn record(file: &str, offset: u64, bytes: &[u8]) -> Result<(Encoding, Range<usize>, usize)> {
    let mut cursor = Cursor::new(file, offset, bytes);
    let len = cursor.uvarint()?;
    let len = usize::try_from(len).ok().filter(|len| *len <= cursor.left().saturating_sub(5));
    let Some(len) = len else {
        let left = cursor.left();
        return Err(Error::corrupt(file, offset, format!("chunk does not fit the {left} bytes left")));
    };
    let start = cursor.at();
    let record = cursor.bytes(1 + len)?;
    let stored = cursor.be32()?;
    check_crc(file, offset, "chunk", record, stored)?;
    let Some(encoding) = Encoding::from_byte(record[0]) else {
        return Err(Error::Version {
            file: file.to_owned(),
            what: format!("chunk at offset {offset}: encoding"),
            found: u64::from(record[0]),
        });
    };
    Ok((encoding, start + 1..start + 1 + len, cursor.at()))
}

/// Bytes of the whole record at the start of `bytes`, or `None` when not even the length can be read.
pub fn record_len(bytes: &[u8]) -> Option<u64> {
    let mut cursor = Cursor::new("", 0, bytes);
    let len = cursor.uvarint().ok()?;
    len.checked_add(cursor.at() as u64 + 5)
}

/// The segment files of one block, mapped.
#[derive(Debug, Clone)]
pub struct ChunkReader {
    segments: Vec<(Arc<str>, MappedFile)>,
}

impl ChunkReader {
    /// Opens the directory `chunks`; files are taken in the order of their names.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`] or [`Error::Version`].
    pub fn open_dir(dir: &Path) -> Result<Self> {
        let mut names = Vec::new();
        match std::fs::read_dir(dir) {
            Ok(entries) => {
                for entry in entries {
                    let name = entry.map_err(Error::io("list", dir))?.file_name();
                    let name = name.to_string_lossy().into_owned();
                    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()) {
                        names.push(name);
                    }
                }
            }
            // A block without chunks may have been copied without the empty directory.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("list", dir)(e)),
        }
        names.sort_unstable();
        let mut segments = Vec::with_capacity(names.len());
        for (i, name) in names.iter().enumerate() {
            let path = dir.join(name);
            if name.parse() != Ok(i as u64 + 1) {
                let what = format!("segment {} is missing", i + 1);
                return Err(Error::corrupt(path.display().to_string(), 0, what));
            }
            segments.push((path.display().to_string(), MappedFile::open(&path)?));
        }
        Self::new(segments)
    }

    /// Takes segments, in order, with the names for errors.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Version`] on a bad header.
    pub fn new(segments: Vec<(String, MappedFile)>) -> Result<Self> {
        for (file, segment) in &segments {
            check_segment_header(file, segment.bytes())?;
        }
        Ok(Self { segments: segments.into_iter().map(|(file, segment)| (file.into(), segment)).collect() })
    }

    /// Bytes of all segments.
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|(_, segment)| segment.bytes().len() as u64).sum()
    }

    /// How many segments.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Reads one chunk.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the part that is read is not what was written.
    pub fn chunk(&self, meta: ChunkMeta) -> Result<(Encoding, Bytes)> {
        let Some((file, segment)) = self.segments.get(meta.segment() as usize) else {
            let what = format!("the index points to it, but there are {} segments", self.segments.len());
            return Err(Error::corrupt(format!("chunks/{:06}", u64::from(meta.segment()) + 1), 0, what));
        };
        let (offset, bytes) = (meta.offset() as usize, segment.bytes());
        if offset < SEGMENT_HEADER_LEN || offset >= bytes.len() {
            let what = format!("the index points there, but the file has {} bytes", bytes.len());
            return Err(Error::corrupt(&**file, offset as u64, what));
        }
        segment.will_read(offset as u64);
        let (encoding, data, _) = record(file, offset as u64, &bytes[offset..])?;
        Ok((encoding, bytes.slice(offset + data.start..offset + data.end)))
    }
}

/// Checks magic and version at the start of a segment.
///
/// # Errors
/// [`Error::Corrupt`] if the bytes are not what was written, [`Error::Version`] if their format is not known.
pub fn check_segment_header(file: &str, bytes: &[u8]) -> Result<()> {
    let mut cursor = Cursor::new(file, 0, bytes);
    let magic = cursor.be32()?;
    if magic != SEGMENT_MAGIC {
        let what = format!("magic is {magic:08x}, a chunk segment begins with {SEGMENT_MAGIC:08x}");
        return Err(Error::corrupt(file, 0, what));
    }
    match cursor.bytes(4)?[0] {
        1 => Ok(()),
        found => Err(Error::Version { file: file.to_owned(), what: "chunk segment".to_owned(), found: found.into() }),
    }
}
