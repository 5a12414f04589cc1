//! The symbol table: every label name and value once, sorted.

use std::sync::Arc;

use bytes::Bytes;
use encoding::{Cursor, section};

use crate::Result;

/// Every how many symbols a position is kept in memory. Walking from one to the next is most of what reading a series
/// entry costs; Prometheus' 32 would save 7/8 of a byte per symbol and take several times as long.
const STEP: usize = 4;

/// How far such a walk goes, about: into the next line of the processor's cache.
const WALK_BYTES: usize = 64;

/// The symbols of one index. The strings stay in the file's bytes; memory holds every 4th position.
#[derive(Debug, Clone)]
pub struct Symbols {
    file: Arc<str>,
    /// The section's body: `be32 count`, then `uvarint len | string` each.
    body: Bytes,
    /// Where `body` begins in the file that it was read from.
    base: u64,
    /// Where `body` begins in the source index: what version 1 references count from.
    source_base: u64,
    version: u8,
    count: u32,
    /// Position in `body` of the symbols 0, 4, 8, …
    sparse: Vec<u32>,
}

impl Symbols {
    /// Opens the table at the start of `data`, which lies at `offset` of `file` and began at `source_offset` of the
    /// index. Checks the CRC, that all strings are UTF-8 and that they ascend.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] if the part that is read is not what was written.
    pub fn open(file: Arc<str>, offset: u64, source_offset: u64, version: u8, data: &Bytes) -> Result<Self> {
        let body = data.slice_ref(section(&file, offset, "symbol table", data)?);
        let base = offset + 4;
        let mut cursor = Cursor::new(&file, base, &body);
        let count = cursor.be32()?;
        let mut sparse = Vec::new();
        let mut before: Option<&str> = None;
        for i in 0..count as usize {
            if i % STEP == 0 {
                sparse.push(cursor.at() as u32);
            }
            let at = cursor;
            let text = cursor.string()?;
            if before.is_some_and(|b| b >= text) {
                return Err(at.corrupt(format!("symbol {i} does not ascend")).into());
            }
            before = Some(text);
        }
        if cursor.left() > 0 {
            return Err(cursor.corrupt(format!("{} bytes after {count} symbols", cursor.left())).into());
        }
        Ok(Self { file, body, base, source_base: source_offset + 4, version, count, sparse })
    }

    /// How many symbols the index has.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether the index has no symbol.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn cursor(&self, at: usize) -> Cursor<'_> {
        Cursor::new(&self.file, self.base, &self.body).seek(at)
    }

    /// The string of a reference as series entries have it.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] when there is no such symbol.
    pub fn get(&self, reference: u32) -> Result<&str> {
        if self.version == 1 {
            // The absolute offset of the string's length.
            let at = u64::from(reference).checked_sub(self.source_base).and_then(|at| usize::try_from(at).ok());
            return match at.filter(|at| (4..self.body.len()).contains(at)) {
                Some(at) => Ok(self.cursor(at).string()?),
                None => Err(self.cursor(0).corrupt(format!("no symbol at {reference}")).into()),
            };
        }
        if reference >= self.count {
            return Err(self.cursor(0).corrupt(format!("symbol {reference} of {}", self.count)).into());
        }
        let mut cursor = self.cursor(self.sparse[reference as usize / STEP] as usize);
        for _ in 0..reference as usize % STEP {
            match self.body.get(cursor.at()) {
                // Nearly all strings are shorter than 128 bytes; for a position past the end the last read fails.
                Some(len) if *len < 0x80 => cursor = cursor.seek(cursor.at() + 1 + usize::from(*len)),
                _ => drop(cursor.string_bytes()?),
            }
        }
        Ok(cursor.string()?)
    }

    /// Reads where the strings of `references` lie, so that [`Self::get`] finds them in the processor's cache. These reads do not
    /// wait for one another; those of lookups, one after the other, do.
    pub(crate) fn warm(&self, references: impl Iterator<Item = u32>) {
        let byte = |reference: u32| {
            let at = *self.sparse.get(reference as usize / STEP)? as usize;
            let further = self.body.get(at + WALK_BYTES).copied().unwrap_or(0);
            Some(self.body.get(at)? ^ further)
        };
        std::hint::black_box(references.filter_map(byte).fold(0, |all, byte| all ^ byte));
    }

    /// All symbols, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let mut cursor = self.cursor(4);
        // `open` has read all of them.
        (0..self.count).map_while(move |_| cursor.string().ok())
    }
}
