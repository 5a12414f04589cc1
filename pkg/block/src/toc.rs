//! The index's table of contents: its last 52 bytes.

use encoding::{Cursor, check_crc};

use crate::{Error, Result};

/// Size of the table of contents.
pub const TOC_LEN: usize = 52;
/// First four bytes of an index.
pub const INDEX_MAGIC: u32 = 0xBAAA_D700;
/// Length of magic and version at the begin of an index, bytes.
pub const INDEX_HEADER_LEN: usize = 5;

/// Where the sections of an index begin; 0 = absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Toc {
    /// Offset of the symbol table.
    pub symbols: u64,
    /// Offset of the series section.
    pub series: u64,
    /// Label indices, which nobody reads any more.
    pub label_indices: u64,
    /// Offset of the label index table; 0 where there is none.
    pub label_offset_table: u64,
    /// Offset of the first postings list.
    pub postings: u64,
    /// Offset of the table of postings lists.
    pub postings_offset_table: u64,
}

impl Toc {
    /// Reads it from the last bytes of an index of `size` bytes.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is cut, its checksum differs, or its sections do not lie inside the file in order.
    pub fn parse(file: &str, size: u64, tail: &[u8]) -> Result<Self> {
        let Some(bytes) = tail.len().checked_sub(TOC_LEN).map(|at| &tail[at..]) else {
            return Err(Error::corrupt(file, 0, format!("{} bytes hold no table of contents", tail.len())));
        };
        let base = size.saturating_sub(TOC_LEN as u64);
        let mut cursor = Cursor::new(file, base, bytes);
        let mut numbers = [0u64; 6];
        for n in &mut numbers {
            *n = cursor.be64()?;
        }
        check_crc(file, base, "table of contents", &bytes[..48], cursor.be32()?)?;
        let [symbols, series, label_indices, label_offset_table, postings, postings_offset_table] = numbers;
        let toc = Self { symbols, series, label_indices, label_offset_table, postings, postings_offset_table };
        let ordered = symbols >= INDEX_HEADER_LEN as u64
            && symbols < series
            && series <= postings
            && postings <= postings_offset_table
            && postings_offset_table < base;
        if !ordered {
            return Err(Error::corrupt(file, base, format!("sections out of order or outside the file: {toc:?}")));
        }
        Ok(toc)
    }

    /// Where the section of the series ends: the next one begins there.
    pub fn series_end(self) -> u64 {
        if self.label_indices > self.series { self.label_indices.min(self.postings) } else { self.postings }
    }

    /// The table as the index ends with it, checksum included.
    pub fn to_bytes(self) -> [u8; TOC_LEN] {
        let numbers = [
            self.symbols,
            self.series,
            self.label_indices,
            self.label_offset_table,
            self.postings,
            self.postings_offset_table,
        ];
        let mut out = [0; TOC_LEN];
        for (slot, n) in out.chunks_exact_mut(8).zip(numbers) {
            slot.copy_from_slice(&n.to_be_bytes());
        }
        let crc = encoding::crc32c(&out[..48]);
        out[48..].copy_from_slice(&crc.to_be_bytes());
        out
    }
}

/// Reads magic and version from the first bytes of an index: 1 or 2 (3 is read as 2).
///
/// # Errors
/// [`Error::Corrupt`] if the bytes are not what was written, [`Error::Version`] if their format is not known.
pub fn index_version(file: &str, head: &[u8]) -> Result<u8> {
    let mut cursor = Cursor::new(file, 0, head);
    let magic = cursor.be32()?;
    if magic != INDEX_MAGIC {
        return Err(Error::corrupt(file, 0, format!("magic is {magic:08x}, an index begins with {INDEX_MAGIC:08x}")));
    }
    match cursor.bytes(1)?[0] {
        1 => Ok(1),
        2 | 3 => Ok(2),
        found => Err(Error::Version { file: file.to_owned(), what: "index".to_owned(), found: u64::from(found) }),
    }
}
