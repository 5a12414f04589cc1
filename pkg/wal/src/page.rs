//! What pages and fragments are made of.
//!
//! A fragment is one byte of type and flags, `be16` length, `be32` CRC32C of the data, the data. It lies in one page; what
//! is left of a page and too short for a fragment is zero.

use std::fmt;
use std::path::PathBuf;

use crate::Compression;

/// Bytes of a page.
pub const PAGE_BYTES: usize = 32 << 10;
/// Type, length and checksum.
pub(crate) const HEADER_BYTES: usize = 7;

/// Which part of its record a fragment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Full,
    First,
    Middle,
    Last,
}

const SNAPPY_FLAG: u8 = 1 << 3;
const ZSTD_FLAG: u8 = 1 << 4;

/// The header of a fragment, as it is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    /// `None` if the type or a flag is not known.
    pub(crate) kind: Option<(Part, Compression)>,
    pub(crate) data_bytes: usize,
    pub(crate) crc: u32,
}

impl Header {
    pub(crate) fn parse(bytes: &[u8; HEADER_BYTES]) -> Self {
        let [flags, len0, len1, crc0, crc1, crc2, crc3] = *bytes;
        let part = match flags & 7 {
            1 => Some(Part::Full),
            2 => Some(Part::First),
            3 => Some(Part::Middle),
            4 => Some(Part::Last),
            _ => None,
        };
        let compression = match flags & !7 {
            0 => Some(Compression::None),
            SNAPPY_FLAG => Some(Compression::Snappy),
            ZSTD_FLAG => Some(Compression::Zstd),
            _ => None,
        };
        let data_bytes = usize::from(u16::from_be_bytes([len0, len1]));
        Self { kind: part.zip(compression), data_bytes, crc: u32::from_be_bytes([crc0, crc1, crc2, crc3]) }
    }
}

/// Appends a fragment; its data is shorter than a page.
pub(crate) fn put_fragment(out: &mut Vec<u8>, part: Part, compression: Compression, data: &[u8]) {
    let part = match part {
        Part::Full => 1,
        Part::First => 2,
        Part::Middle => 3,
        Part::Last => 4,
    };
    let flag = match compression {
        Compression::None => 0,
        Compression::Snappy => SNAPPY_FLAG,
        Compression::Zstd => ZSTD_FLAG,
    };
    out.push(part | flag);
    out.extend_from_slice(&(data.len() as u16).to_be_bytes());
    out.extend_from_slice(&encoding::crc32c(data).to_be_bytes());
    out.extend_from_slice(data);
}

/// A place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// The number of the segment.
    pub segment: u64,
    /// Bytes from its begin.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} offset {}", self.segment, self.offset)
    }
}

/// A place of a log that cannot be read. Everything before it was given; what could be read behind it follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corruption {
    /// The segment's file.
    pub path: PathBuf,
    /// Where the corruption begins.
    pub position: Position,
    /// What is wrong there.
    pub why: String,
    /// Nothing that can be read follows, and this is the log's last segment: the end of a write that a crash cut short,
    /// which is normal.
    pub torn: bool,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: offset {}: {}", self.path.display(), self.position.offset, self.why)
    }
}
