//! Thanos' index-header: the parts of an index that are needed to plan reads of the rest, in a small local file.
//!
//! Layout (version 1): `be32 magic | 1 | index version | be64 offset of the postings offset table`, the index's symbol
//! table, the index from its postings offset table to its end, then `be64 symbols | be64 table | be32 crc`.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use encoding::{Cursor, check_crc};

use crate::toc::{INDEX_HEADER_LEN, TOC_LEN, Toc, index_version};
use crate::{Error, PostingsTable, Result, Symbols, map_file};

/// Name of the file in a block's directory of a store.
pub const INDEX_HEADER_FILE: &str = "index-header";
const MAGIC: u32 = 0xBAAA_D792;
const HEADER_LEN: usize = 14;
const FOOTER_LEN: usize = 20;

/// What to read of an index to build its header: [`IndexParts::probe`] first, then `symbols` and `tail`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexParts {
    /// The index' format version, 1 or 2.
    pub version: u8,
    /// Where the index' sections lie.
    pub toc: Toc,
    /// Byte range of the symbol table in the index.
    pub symbols: Range<u64>,
    /// The postings offset table and the table of contents.
    pub tail: Range<u64>,
}

impl IndexParts {
    /// The two small ranges of an index of `size` bytes to read first: its head and its table of contents.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the index is too short to be one.
    pub fn probe(file: &str, size: u64) -> Result<[Range<u64>; 2]> {
        if size < (INDEX_HEADER_LEN + TOC_LEN) as u64 {
            return Err(Error::corrupt(file, 0, format!("{size} bytes are no index")));
        }
        Ok([0..INDEX_HEADER_LEN as u64, size - TOC_LEN as u64..size])
    }

    /// From the bytes of the two ranges to the two large ones.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the bytes are not what was written, [`Error::Version`] if their format is not known.
    pub fn parse(file: &str, size: u64, head: &[u8], toc: &[u8]) -> Result<Self> {
        let version = index_version(file, head)?;
        let toc = Toc::parse(file, size, toc)?;
        Ok(Self { version, toc, symbols: toc.symbols..toc.series, tail: toc.postings_offset_table..size })
    }

    /// The header file's bytes from the bytes of `symbols` and `tail`, both checked.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming `file` (the index) when one of them is not what the index holds.
    pub fn build(&self, file: &str, symbols: &Bytes, tail: &Bytes) -> Result<Vec<u8>> {
        for (what, range, bytes) in [("symbol table", &self.symbols, symbols), ("tail", &self.tail, tail)] {
            let want = range.end - range.start;
            if bytes.len() as u64 != want {
                let what = format!("{what}: {} bytes read, {want} wanted", bytes.len());
                return Err(Error::corrupt(file, range.start, what));
            }
        }
        let name: Arc<str> = file.into();
        Symbols::open(name.clone(), self.symbols.start, self.symbols.start, self.version, symbols)?;
        PostingsTable::open(name, self.tail.start, self.tail.start, self.version, tail)?;
        Ok([&self.header_begin()[..], symbols, tail, &self.header_end()].concat())
    }

    /// What a header file has before the bytes of `symbols` and `tail`.
    pub fn header_begin(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..4].copy_from_slice(&MAGIC.to_be_bytes());
        out[4..6].copy_from_slice(&[1, self.version]);
        out[6..].copy_from_slice(&self.toc.postings_offset_table.to_be_bytes());
        out
    }

    /// What a header file has behind them.
    pub fn header_end(&self) -> [u8; FOOTER_LEN] {
        let table = HEADER_LEN as u64 + (self.symbols.end - self.symbols.start);
        let mut out = [0; FOOTER_LEN];
        out[..8].copy_from_slice(&(HEADER_LEN as u64).to_be_bytes());
        out[8..16].copy_from_slice(&table.to_be_bytes());
        let crc = encoding::crc32c(&out[..16]);
        out[16..].copy_from_slice(&crc.to_be_bytes());
        out
    }
}

/// An opened index-header.
#[derive(Debug, Clone)]
pub struct IndexHeader {
    version: u8,
    source: Toc,
    symbols: Symbols,
    table: PostingsTable,
    size_bytes: u64,
    source_bytes: u64,
}

impl IndexHeader {
    /// Maps and opens a header file.
    ///
    /// # Errors
    /// [`Error::Io`], or as [`IndexHeader::open`].
    pub fn open_file(path: &Path) -> Result<Self> {
        Self::open(&path.display().to_string(), map_file(path)?)
    }

    /// Opens a header; `file` is named in errors. Checks all of it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] (build it again) or [`Error::Version`].
    pub fn open(file: &str, bytes: Bytes) -> Result<Self> {
        let size = bytes.len();
        if size < HEADER_LEN + TOC_LEN + FOOTER_LEN {
            return Err(Error::corrupt(file, 0, format!("{size} bytes are no index-header")));
        }
        let mut cursor = Cursor::new(file, 0, &bytes);
        let magic = cursor.be32()?;
        if magic != MAGIC {
            return Err(Error::corrupt(
                file,
                0,
                format!("magic is {magic:08x}, an index-header begins with {MAGIC:08x}"),
            ));
        }
        let versions = cursor.bytes(2)?;
        if versions[0] != 1 {
            let what = "index-header".to_owned();
            return Err(Error::Version { file: file.to_owned(), what, found: u64::from(versions[0]) });
        }
        let version = match versions[1] {
            1 => 1,
            2 | 3 => 2,
            found => {
                return Err(Error::Version { file: file.to_owned(), what: "index".to_owned(), found: found.into() });
            }
        };
        let postings_end = cursor.be64()?;
        let footer = size - FOOTER_LEN;
        let mut cursor = cursor.seek(footer);
        let (symbols_at, table_at) = (cursor.be64()?, cursor.be64()?);
        check_crc(file, footer as u64, "index-header's table of contents", &bytes[footer..size - 4], cursor.be32()?)?;
        let inside = symbols_at == HEADER_LEN as u64 && symbols_at < table_at && table_at < (footer - TOC_LEN) as u64;
        if !inside {
            let what = format!("sections at {symbols_at} and {table_at} do not lie inside");
            return Err(Error::corrupt(file, footer as u64, what));
        }
        let tail = bytes.slice(table_at as usize..footer);
        let source_bytes = postings_end.saturating_add(tail.len() as u64);
        let source = Toc::parse(file, source_bytes, &tail)?;
        if source.postings_offset_table != postings_end || source.series - source.symbols != table_at - symbols_at {
            return Err(Error::corrupt(file, 6, "header and the index's table of contents disagree"));
        }
        let name: Arc<str> = file.into();
        let symbols = bytes.slice(symbols_at as usize..table_at as usize);
        let symbols = Symbols::open(name.clone(), symbols_at, source.symbols, version, &symbols)?;
        let table = PostingsTable::open(name, table_at, postings_end, version, &tail)?;
        Ok(Self { version, source, symbols, table, size_bytes: size as u64, source_bytes })
    }

    /// Version of the index, 1 or 2.
    pub fn index_version(&self) -> u8 {
        self.version
    }

    /// The index's table of contents.
    pub fn source_toc(&self) -> Toc {
        self.source
    }

    /// Bytes of the index that it was made from.
    pub fn source_bytes(&self) -> u64 {
        self.source_bytes
    }

    /// Bytes of the header file.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The index's symbols.
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// Label names and values, and the ranges of the index that hold their lists.
    pub fn postings_table(&self) -> &PostingsTable {
        &self.table
    }
}
