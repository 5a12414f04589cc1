//! A whole index in memory or mapped.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use labels::{Labels, Matcher};

use crate::series::{RawEntry, entry_offset, parse_raw, resolve};
use crate::survey::Survey;
use crate::toc::{INDEX_HEADER_LEN, Toc, index_version};
use crate::{Error, LabelsReader, PostingsTable, Result, SeriesEntry, Symbols, expand, map_file, postings};

/// The index of one block, version 1 or 2.
#[derive(Debug, Clone)]
pub struct IndexReader {
    file: Arc<str>,
    bytes: Bytes,
    version: u8,
    toc: Toc,
    symbols: Symbols,
    table: PostingsTable,
}

impl IndexReader {
    /// Maps and opens an index file.
    ///
    /// # Errors
    /// [`Error::Io`], or as [`IndexReader::open`].
    pub fn open_file(path: &Path) -> Result<Self> {
        Self::open(&path.display().to_string(), map_file(path)?)
    }

    /// Opens an index; `file` is named in errors. Checks version, table of contents, symbols and postings offset table.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the bytes are not what was written, [`Error::Version`] if their format is not known.
    pub fn open(file: &str, bytes: Bytes) -> Result<Self> {
        let version = index_version(file, &bytes[..bytes.len().min(INDEX_HEADER_LEN)])?;
        let toc = Toc::parse(file, bytes.len() as u64, &bytes)?;
        let file: Arc<str> = file.into();
        // `Toc::parse` has checked that these lie inside.
        let (symbols_at, table_at) = (toc.symbols as usize, toc.postings_offset_table as usize);
        let symbols = bytes.slice(symbols_at..toc.series as usize);
        let symbols = Symbols::open(file.clone(), toc.symbols, toc.symbols, version, &symbols)?;
        let table = bytes.slice(table_at..);
        let end = toc.postings_offset_table;
        let table = PostingsTable::open(file.clone(), end, end, version, &table)?;
        Ok(Self { file, bytes, version, toc, symbols, table })
    }

    /// The file's name, for errors.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The index' format version, 1 or 2.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// Where the sections lie.
    pub fn toc(&self) -> Toc {
        self.toc
    }

    /// Bytes of the whole index.
    pub fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The symbol table.
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// Label names and values and where their lists lie.
    pub fn postings_table(&self) -> &PostingsTable {
        &self.table
    }

    /// The list at a range that the table gave.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the part that is read is not what was written.
    pub fn postings(&self, range: Range<u64>) -> Result<Vec<u32>> {
        let start = usize::try_from(range.start).unwrap_or(usize::MAX);
        match self.bytes.get(start..) {
            Some(bytes) => postings::decode(&self.file, range.start, bytes),
            None => Err(Error::corrupt(&*self.file, range.start, "postings list outside the file")),
        }
    }

    /// The ids of all series, in label order.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the part that is read is not what was written.
    pub fn all_postings(&self) -> Result<Vec<u32>> {
        self.expand(&[])
    }

    /// The ids of the series that match, in label order.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the part that is read is not what was written.
    pub fn expand(&self, matchers: &[Matcher]) -> Result<Vec<u32>> {
        expand::plan(&self.table, matchers)?.combine(|range| self.postings(range))
    }

    /// What the first `bytes_max` bytes of the series' entries tell of the block.
    pub fn survey(&self, bytes_max: usize) -> Survey {
        let (begin, end) = (self.toc.series, self.toc.series_end());
        let last = end.min(begin.saturating_add(bytes_max as u64));
        let bytes = self.bytes.get(begin as usize..last as usize).unwrap_or_default();
        Survey::of(self.version, begin, end, bytes)
    }

    /// Reads series `id` without looking up its symbols.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the part that is read is not what was written.
    pub fn raw_series(&self, id: u32, out: &mut RawEntry) -> Result<()> {
        let offset = entry_offset(self.version, id);
        match self.bytes.get(usize::try_from(offset).unwrap_or(usize::MAX)..) {
            Some(bytes) => parse_raw(&self.file, offset, bytes, out),
            None => Err(Error::corrupt(&*self.file, offset, "series outside the file")),
        }
    }

    /// Reads series `id` into `raw`, and its labels by `labels`, which is of this index.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the part that is read is not what was written.
    pub fn read_series(&self, id: u32, raw: &mut RawEntry, labels: &mut LabelsReader<'_>) -> Result<Labels> {
        self.raw_series(id, raw)?;
        labels
            .read(&raw.labels)?
            .map_err(|e| Error::corrupt(&*self.file, entry_offset(self.version, id), e.to_string()))
    }

    /// Reads the entry of series `id`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the part that is read is not what was written.
    pub fn series(&self, id: u32) -> Result<SeriesEntry> {
        let mut raw = RawEntry::default();
        self.raw_series(id, &mut raw)?;
        let labels = resolve(&self.file, entry_offset(self.version, id), &raw, &self.symbols)?;
        Ok(SeriesEntry { labels, chunks: raw.chunks })
    }
}
